"""Grid search in threads of one process: all points of all folds run the same compiled program."""

from typing import Any, Self

import joblib
import numpy as np
from sklearn.model_selection import GridSearchCV

__docformat__ = "google"
__all__ = ["SweepSearchCV"]


class SweepSearchCV(GridSearchCV):
    """Search a grid by cross-validation as GridSearchCV does, with its results and attributes, but in threads.

    Processes would each import JAX and compile again. Threads share what is compiled: points that differ in numbers
    (alpha, learning_rate_init, momentum, tol, ...) and folds of about one size need one program between them. Points
    that differ in hidden_layer_sizes, activation, solver, batch_size or dropout need one program each. XLA releases the
    interpreter while it computes, so that the threads run side by side.

    Args:
        estimator: an MLPClassifier or MLPRegressor of this module, or a pipeline that ends in one. Any other estimator
            works too.
        param_grid: name -> values, or a list of such dicts.
        cv: number of folds, a splitter, or an iterable of (train, test).
        scoring: as GridSearchCV takes it.
        n_jobs: number of threads; None and -1 are one per CPU.
        refit: as GridSearchCV takes it.
        verbose: as GridSearchCV takes it.
        pre_dispatch: as GridSearchCV takes it.
        error_score: as GridSearchCV takes it.
        return_train_score: as GridSearchCV takes it.

    Differs from:
        GridSearchCV, whose n_jobs=None is one worker, and which takes cv by name only.

    Example:
        >>> from sklearn.datasets import load_iris
        >>> from jaxmlp.estimators import MLPClassifier, SweepSearchCV
        >>> model = MLPClassifier((10,), max_iter=300, tol=1e-3, random_state=0)
        >>> search = SweepSearchCV(model, {"learning_rate_init": [1e-4, 1e-2]}, cv=3).fit(*load_iris(return_X_y=True))
        >>> print(search.best_params_, search.cv_results_["mean_test_score"].shape)
        {'learning_rate_init': 0.01} (2,)
    """

    def __init__(
        self,
        estimator: Any,
        param_grid: Any,
        cv: Any = None,
        *,
        scoring: Any = None,
        n_jobs: int | None = None,
        refit: Any = True,
        verbose: int = 0,
        pre_dispatch: Any = "2*n_jobs",
        error_score: Any = np.nan,
        return_train_score: bool = False,
    ) -> None:
        super().__init__(
            estimator,
            param_grid,
            scoring=scoring,
            n_jobs=n_jobs,
            refit=refit,
            cv=cv,
            verbose=verbose,
            pre_dispatch=pre_dispatch,
            error_score=error_score,
            return_train_score=return_train_score,
        )

    def fit(self, X: Any, y: Any = None, **params: Any) -> Self:  # noqa: N803
        """Run all points on all folds, then fit the best on everything.

        Args:
            X: (n, features).
            y: the targets; None for an estimator without any.
            params: what the estimator's fit and the scorer take, such as sample_weight.
        """
        with joblib.parallel_config(backend="threading", n_jobs=-1):
            return super().fit(X, y, **params)
