"""The regressor."""

from typing import Any, Self

import numpy as np
import scipy.sparse
from sklearn import neural_network
from sklearn.base import RegressorMixin
from sklearn.utils import column_or_1d
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import validate_data

from jaxmlp.estimators import convert
from jaxmlp.estimators.base import Perceptron, has_partial_fit

__docformat__ = "google"
__all__ = ["MLPRegressor"]


class MLPRegressor(RegressorMixin, Perceptron):
    """Predict one number or several by a multilayer perceptron.

    Parameters, attributes and methods are those of scikit-learn's MLPRegressor; the parameters from dropout on are new.
    Fitting a network of the same layers again compiles nothing, whatever the numbers, and whatever the number of
    examples up to the next of a few padded sizes.

    Args:
        loss: "squared_error", half the squared error; or "poisson", the Poisson deviance of exp(output).
        hidden_layer_sizes: this and all others as for MLPClassifier.

    Attributes:
        coefs_: weights of each layer, a list of (inputs, units).
        intercepts_: biases of each layer, a list of (units,).
        loss_: training loss of the last epoch; loss_curve_ has all epochs.
        best_loss_: lowest training loss; None with early_stopping.
        validation_scores_: score after each epoch with early_stopping, best_validation_score_ the best of them, and
            validation_loss_curve_ the losses; else None.
        n_iter_: epochs, or iterations of "lbfgs"; t_ counts training examples seen.
        n_layers_: layers, input and output included; n_outputs_ are the outputs, out_activation_ their activation.
        n_features_in_: features; feature_names_in_ has their names, where X has names.

    Example:
        >>> import warnings
        >>> from sklearn.datasets import load_diabetes
        >>> from jaxmlp.estimators import MLPRegressor
        >>> x, y = load_diabetes(return_X_y=True)
        >>> model = MLPRegressor(hidden_layer_sizes=(20,), solver="lbfgs", max_iter=50, random_state=0)
        >>> with warnings.catch_warnings(action="ignore"):  # 50 iterations do not converge
        ...     print(model.fit(x, y).score(x, y) > 0.4)
        True

    Source:
        scikit-learn 1.9, sklearn.neural_network.MLPRegressor.
    """

    def __init__(
        self,
        loss: str = "squared_error",
        hidden_layer_sizes: Any = (100,),
        activation: Any = "relu",
        *,
        solver: Any = "adam",
        alpha: float = 0.0001,
        batch_size: Any = "auto",
        learning_rate: str = "constant",
        learning_rate_init: float = 0.001,
        power_t: float = 0.5,
        max_iter: int = 200,
        shuffle: bool = True,
        random_state: Any = None,
        tol: float = 1e-4,
        verbose: Any = False,
        warm_start: bool = False,
        momentum: float = 0.9,
        nesterovs_momentum: bool = True,
        early_stopping: Any = False,
        validation_fraction: float = 0.1,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-8,
        n_iter_no_change: float = 10,
        max_fun: int = 15000,
        dropout: Any = 0.0,
        schedule: Any = None,
        augment: Any = None,
        l1: float = 0.0,
        initializer: Any = None,
        n_restarts: int = 1,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        parameters = dict(vars())
        super().__init__(parameters)

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:  # noqa: N803
        """Train the network.

        Args:
            X: (n, features), dense or sparse.
            y: (n,) or (n, targets).
            sample_weight: (n,), or None for equal weights.

        Raises:
            ValueError: a parameter or the data are not allowed, or training diverged.
        """
        return self._fit(X, y, sample_weight, incremental=False)

    @available_if(has_partial_fit)
    def partial_fit(self, X: Any, y: Any, sample_weight: Any = None) -> Self:  # noqa: N803
        """Train for one epoch on these examples, from the weights and the optimizer's state of the last call.

        Args:
            X: (n, features), dense or sparse.
            y: (n,) or (n, targets).
            sample_weight: (n,), or None for equal weights.
        """
        return self._fit(X, y, sample_weight, incremental=True)

    def predict(self, X: Any) -> np.ndarray:  # noqa: N803
        """Return the predictions, (n,) or (n, targets).

        Args:
            X: (n, features), dense or sparse.
        """
        found = self._outputs(X)
        return found.ravel() if found.shape[1] == 1 else found

    def to_sklearn(self) -> neural_network.MLPRegressor:
        """Return scikit-learn's regressor with these parameters and weights; what is new here is left out.

        Raises:
            ValueError: scikit-learn has no such activation.
        """
        return convert.to_sklearn(self, neural_network.MLPRegressor)

    @classmethod
    def from_sklearn(cls, model: neural_network.MLPRegressor) -> Self:
        """Return a regressor with the parameters and weights of scikit-learn's.

        Args:
            model: fitted or not.

        Raises:
            TypeError: model is something else.
        """
        return convert.from_sklearn(cls, model, neural_network.MLPRegressor)

    def _loss_name(self):
        return self.loss

    def _validated(self, x, y, incremental, reset):
        validated: Any = validate_data(
            self,
            x,
            y,
            accept_sparse=["csr", "csc"],
            multi_output=True,
            y_numeric=True,
            dtype=(np.float64, np.float32),
            reset=reset,
        )
        x, y = validated
        if y.ndim == 2 and y.shape[1] == 1:
            y = column_or_1d(y, warn=True)
        if self.loss == "poisson" and np.min(y) < 0:
            raise ValueError(f'loss="poisson" needs targets >= 0, got {np.min(y):g}')
        y = np.asarray(y)
        return x if scipy.sparse.issparse(x) else np.asarray(x), y.reshape(len(y), -1)
