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
        hidden_layer_sizes: units of each hidden layer; () has none.
        activation: of the hidden layers: "identity", "logistic", "tanh", "relu", any other name in
            jaxmlp.activations.ACTIVATIONS, or a function array -> array.
        solver: "sgd" (with momentum), "adam" and "lbfgs" mean what they mean in scikit-learn. "momentum", "nesterov",
            "adagrad", "rmsprop" and "amsgrad" are the rules of jaxmlp.optimizers. An optax.GradientTransformation is
            used as it is, with its own learning rate.
        alpha: strength of the penalty alpha / 2 * sum w^2, divided by the examples in the batch, >= 0.
        batch_size: examples per step; "auto" is min(200, n).
        learning_rate: of solver="sgd": "constant"; "invscaling", learning_rate_init / (examples seen + 1)^power_t;
            "adaptive", divided by 5 where training would have stopped, until it is 1e-6.
        learning_rate_init: learning rate at the start, > 0.
        power_t: exponent of "invscaling", >= 0.
        max_iter: most epochs, or most iterations of "lbfgs".
        shuffle: whether each epoch has an order of its own.
        random_state: an integer, a numpy.random.RandomState, or None. The random numbers are those that scikit-learn
            draws: equal random_state gives equal weights, batches and validation sets.
        tol: least improvement of the training loss, or of what early_stopping watches; for "lbfgs", the largest entry
            of the gradient at the end.
        verbose: whether to print a line per epoch.
        warm_start: whether fit continues from the last weights.
        momentum: of "sgd", "momentum" and "nesterov".
        nesterovs_momentum: whether the momentum of "sgd" is Nesterov's.
        early_stopping: True holds out a part of the examples, stops when its score no longer improves, and keeps the
            weights of the best epoch; "loss" does so by its loss.
        validation_fraction: the part held out.
        beta_1: of "adam" and "amsgrad".
        beta_2: of "adam" and "amsgrad".
        epsilon: of "adam" and "amsgrad".
        n_iter_no_change: training stops after more epochs than this in a row without an improvement by tol.
        max_fun: most evaluations of the loss by "lbfgs".
        dropout: fraction of a layer's inputs dropped in training, as jaxmlp.mlp takes it.
        schedule: of the learning rate over max_iter epochs: "cosine" or "linear", which end at 0, or a function
            (step count) -> learning rate.
        augment: (key, x) -> x, applied to each batch, e.g. jaxmlp.augment.distort(...).
        l1: strength of the penalty l1 * sum |w|, divided as alpha is, >= 0.
        initializer: of the weights, as jaxmlp.mlp takes it; None is scikit-learn's, biases included.
        n_restarts: number of runs from different weights; the best is kept, by what early_stopping watches or, without
            it, by the training loss.
        device: "cpu", "gpu", "gpu:1", ..., or a jax.Device; None is JAX's default.
        dtype: to train in, "float32" or "float64"; None is float64 for "lbfgs" and float32 for all others. Weights are
            returned in the dtype of X.

    Example:
        >>> from sklearn.datasets import load_diabetes
        >>> from jaxmlp.estimators import MLPRegressor
        >>> x, y = load_diabetes(return_X_y=True)
        >>> model = MLPRegressor(hidden_layer_sizes=(20,), solver="lbfgs", max_iter=50, random_state=0)
        >>> with __import__("warnings").catch_warnings(action="ignore"):
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
        """
        return convert.from_sklearn(cls, model)

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
