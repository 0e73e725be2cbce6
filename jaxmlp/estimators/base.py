"""What MLPClassifier and MLPRegressor share."""

import abc
import os
import warnings
from concurrent.futures import ThreadPoolExecutor
from numbers import Real
from typing import TYPE_CHECKING, Any

import jax
import numpy as np
import scipy.sparse
from sklearn import config_context
from sklearn.base import BaseEstimator
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import train_test_split
from sklearn.utils import check_array, check_random_state
from sklearn.utils.validation import check_is_fitted, validate_data

from jaxmlp.estimators import forward, start
from jaxmlp.estimators.examples import on_device, padded_batch, padded_features, padded_rows
from jaxmlp.estimators.parameters import (
    activation_of,
    check,
    dtype_of,
    elementwise,
    hidden_sizes,
    numbers_of,
    plan_of,
)
from jaxmlp.estimators.programs import Scored
from jaxmlp.estimators.solvers import Memory, Outcome, Rows, computing, descend, train
from jaxmlp.training.settings import applied, thread_settings

__all__ = ["Perceptron", "has_partial_fit"]


class Perceptron(BaseEstimator, abc.ABC):
    """The network, its training and its attributes; the two estimators say what targets and outputs mean."""

    def __init__(self, parameters: dict[str, Any]) -> None:
        for name, value in parameters.items():  # not _get_param_names: a subclass may have parameters of its own
            if name not in ("self", "__class__"):
                setattr(self, name, value)

    if TYPE_CHECKING:  # parameters are set by name

        def __getattr__(self, name: str) -> Any: ...

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        tags.target_tags.multi_output = True
        return tags

    def _fit(self, x: Any, y: Any, sample_weight: Any, incremental: bool) -> Any:
        check(self)
        if incremental and self.early_stopping:
            raise ValueError(
                "partial_fit does not support early_stopping, which holds out a part of one whole data set"
            )
        first = not hasattr(self, "coefs_") or not (self.warm_start or incremental)
        with config_context(array_api_dispatch=False):  # arrays of all libraries become NumPy's
            x, y = self._validated(x, y, incremental, first)
            sample_weight = None if sample_weight is None else _checked_weights(sample_weight, x)
        self.n_outputs_ = y.shape[1]
        random_state = check_random_state(self.random_state)
        states = [random_state]
        if first and self.n_restarts > 1:
            states = [np.random.RandomState(seed) for seed in random_state.randint(2**31 - 1, size=self.n_restarts)]
        sizes = (x.shape[1], *hidden_sizes(self), y.shape[1])
        if first:
            starts = [start.parameters(sizes, self.activation, self.initializer, state, x.dtype) for state in states]
            self._forget(len(sizes))
        else:
            had = (*(len(w) for w in self.coefs_), len(self.intercepts_[-1]))
            if had != sizes:
                raise ValueError(
                    f"partial_fit and warm_start=True continue with the layers of the first call, {had}; parameters "
                    f"and data are now of {sizes}. To begin anew, call fit with warm_start=False"
                )
            starts = [(self.coefs_, self.intercepts_)]
        outcomes = self._solved(x, y, sample_weight, starts, states, random_state, incremental)
        self._keep(outcomes[self._best_of(outcomes)], x, incremental)
        return self

    def _solved(self, x, y, sample_weight, starts, states, random_state, incremental) -> list[Outcome]:
        """Run the solver from every start."""
        stochastic, dtype = self.solver != "lbfgs", dtype_of(self)
        rows = np.arange(x.shape[0])
        held_out = None
        if stochastic and self.early_stopping:
            rows, held_out = self._split(rows, y, random_state)
        self._n_train = n = len(rows)
        batch = min(200, n) if self.batch_size == "auto" else min(self.batch_size, n)
        if stochastic and self.batch_size != "auto" and self.batch_size > n:
            warnings.warn(
                f"batch_size is {self.batch_size}, more than the {n} examples; it is taken as {n}", stacklevel=4
            )
        features = padded_features(x.shape[1]) if elementwise(self) else x.shape[1]
        kept = padded_rows(x.shape[0], features if stochastic else None)
        sizes = (features, *hidden_sizes(self), y.shape[1])
        plan = plan_of(self, sizes, self._loss_name(), padded_batch(self.batch_size, n, sizes))
        numbers = numbers_of(self, dtype, n, batch)
        verbose = bool(self.verbose)
        with computing(dtype, self.device):
            examples = on_device(x, y, sample_weight, dtype, kept, features)
            scored = None if held_out is None else _scored(held_out, y, sample_weight, dtype, kept)

        def run(index):
            coefs, intercepts = starts[index]
            begin = [np.pad(coefs[0], ((0, features - len(coefs[0])), (0, 0))), *coefs[1:]], intercepts
            with computing(dtype, self.device):
                if not stochastic:
                    limits = {"iterations": self.max_iter, "calls": self.max_fun}
                    outcome = descend(plan, numbers, begin, examples, verbose=verbose, **limits)
                else:
                    outcome = train(
                        plan,
                        numbers,
                        begin,
                        self._memory(incremental),
                        examples,
                        Rows(rows, kept, bool(self.shuffle), scored),
                        states[index],
                        epochs=1 if incremental else self.max_iter,
                        rewind=not isinstance(self.random_state, int | np.integer),
                        verbose=verbose,
                    )
            # The weights of padded features have been 0 all the time: so are their inputs, gradients and penalties.
            return outcome._replace(coefs=[outcome.coefs[0][: x.shape[1]], *outcome.coefs[1:]])

        if len(starts) == 1:
            return [run(0)]
        settings = thread_settings()

        def run_in_thread(index):
            with applied(settings):
                return run(index)

        with ThreadPoolExecutor(os.cpu_count() if jax.default_backend() == "cpu" else 1) as pool:
            return list(pool.map(run_in_thread, range(len(starts))))

    def _split(self, rows, y, random_state):
        """Return the rows to train on and those held out: the ones that scikit-learn holds out."""
        stratify = y if self._loss_name() == "logistic" and y.shape[1] == 1 else None
        train_rows, held_out = train_test_split(
            rows, random_state=random_state, test_size=self.validation_fraction, stratify=stratify
        )
        if len(held_out) < 2:
            raise ValueError(
                f"the validation set has {len(held_out)} of {len(rows)} examples and needs 2; increase "
                "validation_fraction or give more examples"
            )
        return train_rows, held_out

    def _best_of(self, outcomes):
        """Return which restart is best: by validation where there is one, by training loss otherwise."""
        if len(outcomes) == 1:
            return 0
        if self.solver != "lbfgs" and self.early_stopping:
            return int(np.argmax(np.nan_to_num([one.memory.best for one in outcomes], nan=-np.inf)))
        return int(np.argmin(np.nan_to_num([one.loss_curve[-1] for one in outcomes], nan=np.inf)))

    def _forget(self, layers):
        """Set the attributes of an estimator that has not been trained."""
        self.n_iter_, self.t_, self.n_layers_ = 0, 0, layers
        self.out_activation_ = {"squared_error": "identity", "poisson": "exp"}.get(self._loss_name(), self._loss_name())
        for name in ("_optimizer_state", "_best", "loss_"):
            if name in vars(self):
                delattr(self, name)
        if self.solver != "lbfgs":
            self.loss_curve_ = []
            self._no_improvement_count = 0
            watched = bool(self.early_stopping)
            self.best_loss_ = None if watched else np.inf
            self.validation_scores_ = [] if watched else None
            self.validation_loss_curve_ = [] if watched else None
            self.best_validation_score_ = -np.inf if watched else None

    def _memory(self, incremental):
        state = getattr(self, "_optimizer_state", None) if incremental else None
        leaves, rate, steps = (None, None, 0) if state is None else state
        return Memory(leaves, rate, steps, self.t_, self._no_improvement_count, getattr(self, "_best", None))

    def _keep(self, outcome, x, incremental):
        self.coefs_ = [w.astype(x.dtype) for w in outcome.coefs]
        self.intercepts_ = [b.astype(x.dtype) for b in outcome.intercepts]
        self.n_iter_ = outcome.iterations
        if outcome.loss_curve:
            self.loss_ = outcome.loss_curve[-1]
        if self.solver != "lbfgs":
            memory = outcome.memory
            self.loss_curve_ += outcome.loss_curve
            self.t_ += self._n_train * outcome.iterations
            self._no_improvement_count, self._best = memory.stale, memory.best
            self._optimizer_state = memory.opt_leaves, memory.rate, memory.steps
            if self.early_stopping:
                self.validation_scores_ += outcome.scores
                self.validation_loss_curve_ += outcome.validation_losses
                self.best_validation_score_ = float(np.max(self.validation_scores_, initial=-np.inf))
            else:
                self.best_loss_ = memory.best
        if not all(np.isfinite(a).all() for a in (*self.coefs_, *self.intercepts_)):
            raise ValueError(
                "training gave weights that are not finite; scale the features (StandardScaler), lower "
                'learning_rate_init, or train with dtype="float64"'
            )
        if outcome.loss_curve and not np.isfinite(self.loss_):
            warnings.warn(
                f"the loss is {self.loss_}; scale features and targets (StandardScaler), or lower learning_rate_init",
                ConvergenceWarning,
                stacklevel=4,
            )
        if not (outcome.converged or incremental) and outcome.iterations == self.max_iter:
            warnings.warn(
                f"training reached max_iter={self.max_iter} before it converged; increase max_iter, or scale the "
                "features",
                ConvergenceWarning,
                stacklevel=4,
            )
        elif not outcome.converged and self.solver == "lbfgs":
            warnings.warn(f"lbfgs reached max_fun={self.max_fun} before it converged", ConvergenceWarning, stacklevel=4)

    def _outputs(self, x: Any) -> np.ndarray:
        """Return the activations of the output layer, (n, outputs)."""
        check_is_fitted(self)
        with config_context(array_api_dispatch=False):
            x = validate_data(self, x, accept_sparse=["csr", "csc"], reset=False)
        x = x if scipy.sparse.issparse(x) else np.asarray(x)
        z = forward.outputs(x, self.coefs_, self.intercepts_, activation_of(self))
        return forward.probabilities(self.out_activation_, z)

    @abc.abstractmethod
    def _validated(self, x: Any, y: Any, incremental: bool, reset: bool) -> tuple[Any, np.ndarray]:
        """Return x and y checked, y as an array of targets (n, outputs); incremental for partial_fit."""

    @abc.abstractmethod
    def _loss_name(self) -> str:
        """Return the loss: "softmax", "logistic", "squared_error" or "poisson"."""


def has_partial_fit(estimator: Any) -> bool:
    """Return True, or raise the AttributeError of an estimator whose solver has no partial_fit."""
    if estimator.solver == "lbfgs":
        raise AttributeError('partial_fit needs a solver that takes mini-batches; "lbfgs" takes all examples at once')
    return True


def _checked_weights(sample_weight, x):
    if isinstance(sample_weight, Real):
        sample_weight = np.full(x.shape[0], sample_weight, x.dtype)
    dtypes: Any = [np.float64, np.float32]
    weights = check_array(sample_weight, ensure_2d=False, dtype=dtypes, input_name="sample_weight")
    if weights.shape != (x.shape[0],):
        raise ValueError(f"sample_weight must have shape {(x.shape[0],)}, one number per example, got {weights.shape}")
    if (weights < 0).any():
        raise ValueError(f"sample_weight must be at least 0, got {weights.min():g}")
    if not weights.any():
        raise ValueError("sample_weight must hold at least one non-zero number; all of them are zero")
    return weights


def _scored(rows, y, sample_weight, dtype, kept):
    padded = np.zeros(kept, np.int32)
    padded[: len(rows)] = rows
    targets = np.asarray(y[rows], np.float64)
    weights = np.ones(len(rows)) if sample_weight is None else sample_weight[rows]
    mean = np.average(targets, axis=0, weights=weights) if weights.sum() else 0
    spread = (weights[:, None] * (targets - mean) ** 2).sum(axis=0)
    return jax.device_put(Scored(padded, np.int32(len(rows)), spread.astype(dtype)))
