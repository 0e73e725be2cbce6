"""The classifier."""

from typing import Any, Self

import numpy as np
import scipy.sparse
from sklearn import neural_network
from sklearn.base import ClassifierMixin
from sklearn.preprocessing import LabelBinarizer
from sklearn.utils import column_or_1d
from sklearn.utils.metaestimators import available_if
from sklearn.utils.multiclass import check_classification_targets, type_of_target, unique_labels
from sklearn.utils.validation import validate_data

from jaxmlp.estimators import convert
from jaxmlp.estimators.base import Perceptron, has_partial_fit

__docformat__ = "google"
__all__ = ["MLPClassifier"]


class MLPClassifier(ClassifierMixin, Perceptron):
    """Classify by a multilayer perceptron: two classes, several, or several labels at once.

    Parameters, attributes and methods are those of scikit-learn's MLPClassifier; those from dropout on are new.
    Fitting a network of the same layers again compiles nothing, whatever the numbers, and whatever the number of
    examples up to the next of a few padded sizes.

    Args:
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

    Attributes:
        classes_: labels, in the order of the outputs.
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
        >>> from sklearn.datasets import load_iris
        >>> from jaxmlp.estimators import MLPClassifier
        >>> x, y = load_iris(return_X_y=True)
        >>> model = MLPClassifier((20,), max_iter=500, learning_rate_init=0.01, random_state=0).fit(x, y)
        >>> print(model.score(x, y) > 0.95, model.predict(x[:2]))
        True [0 0]

    Source:
        scikit-learn 1.9, sklearn.neural_network.MLPClassifier.
    """

    def __init__(
        self,
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
            y: (n,) labels of any kind, or (n, labels) of 0 and 1.
            sample_weight: (n,), or None for equal weights.

        Raises:
            ValueError: a parameter or the data are not allowed, or training diverged.
        """
        return self._fit(X, y, sample_weight, incremental=False)

    @available_if(has_partial_fit)
    def partial_fit(self, X: Any, y: Any, sample_weight: Any = None, classes: Any = None) -> Self:  # noqa: N803
        """Train for one epoch on these examples, from the weights and the optimizer's state of the last call.

        Args:
            X: (n, features), dense or sparse.
            y: (n,) or (n, labels).
            sample_weight: (n,), or None for equal weights.
            classes: every class that will occur; needed in the first call.

        Raises:
            ValueError: the first call has no classes, or y has others.
        """
        self._meet(y, classes)
        return self._fit(X, y, sample_weight, incremental=True)

    def predict(self, X: Any) -> Any:  # noqa: N803
        """Return the likeliest class of each example, or a row of 0 and 1 for several labels: sparse if they were.

        Args:
            X: (n, features), dense or sparse.
        """
        found = self._outputs(X)
        if self.out_activation_ == "softmax":
            return self.classes_[found.argmax(axis=1)]
        labels = self._label_binarizer.inverse_transform(found.ravel() if self.n_outputs_ == 1 else found)
        return labels if scipy.sparse.issparse(labels) else np.asarray(labels)

    def predict_proba(self, X: Any) -> np.ndarray:  # noqa: N803
        """Return the probability of each class, (n, classes), in the order of classes_.

        Args:
            X: (n, features), dense or sparse.
        """
        found = self._outputs(X)
        return np.hstack([1 - found, found]) if self.n_outputs_ == 1 else found

    def predict_log_proba(self, X: Any) -> np.ndarray:  # noqa: N803
        """Return the logarithm of predict_proba.

        Args:
            X: (n, features), dense or sparse.
        """
        with np.errstate(divide="ignore"):
            return np.log(self.predict_proba(X))

    def to_sklearn(self) -> neural_network.MLPClassifier:
        """Return scikit-learn's classifier with these parameters and weights; what is new here is left out.

        Raises:
            ValueError: scikit-learn has no such activation.
        """
        return convert.to_sklearn(self, neural_network.MLPClassifier)

    @classmethod
    def from_sklearn(cls, model: neural_network.MLPClassifier) -> Self:
        """Return a classifier with the parameters and weights of scikit-learn's.

        Args:
            model: fitted or not.

        Raises:
            TypeError: model is something else.
        """
        return convert.from_sklearn(cls, model, neural_network.MLPClassifier)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_label = True
        return tags

    def _loss_name(self):
        return "softmax" if self._label_binarizer.y_type_ == "multiclass" else "logistic"

    def _validated(self, x, y, incremental, reset):
        validated: Any = validate_data(
            self,
            x,
            y,
            accept_sparse=["csr", "csc"],
            multi_output=True,
            dtype=(np.float64, np.float32),
            reset=reset,
        )
        x, y = validated
        check_classification_targets(y)
        if y.ndim == 2 and y.shape[1] == 1:
            y = column_or_1d(y, warn=True)
        if not hasattr(self, "classes_") or not (self.warm_start or incremental):
            self._label_binarizer = LabelBinarizer().fit(y)
            self.classes_ = self._label_binarizer.classes_
        else:
            self._check_known(unique_labels(y), incremental)
        y = self._label_binarizer.transform(y)
        y = y.toarray() if scipy.sparse.issparse(y) else np.asarray(y)
        return x if scipy.sparse.issparse(x) else np.asarray(x), y.astype(bool)

    def _check_known(self, found, incremental):
        unknown = np.setdiff1d(found, self.classes_)
        missing = np.setdiff1d(self.classes_, found)
        if len(unknown) or (len(missing) and not incremental):
            call = "partial_fit" if incremental else "fit with warm_start=True"
            raise ValueError(f"{call} takes the classes of the first call, {self.classes_}; y has {found}")

    def _meet(self, y, classes):
        """Note the classes in the first call of partial_fit."""
        if not hasattr(self, "classes_"):
            if classes is None:
                raise ValueError("the first call of partial_fit needs classes, every class that will occur")
            several = type_of_target(y).startswith("multilabel")
            self._label_binarizer = LabelBinarizer().fit(y if several else unique_labels(classes))
            self.classes_ = unique_labels(classes)
        elif classes is not None and not np.array_equal(self.classes_, unique_labels(classes)):
            raise ValueError(f"classes differ from those of the first call: {classes} and {self.classes_}")
