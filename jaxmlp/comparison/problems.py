"""Named problems: a data set, a network, a batch size and a budget, most of them as published elsewhere."""

import dataclasses
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
import optax

import jaxmlp
from jaxmlp import losses
from jaxmlp._checks import check_choice
from jaxmlp.comparison import scores
from jaxmlp.comparison.scores import Score
from jaxmlp.data import Examples, split

__docformat__ = "google"
__all__ = ["INITIALIZERS", "PROBLEMS", "Problem", "ProblemData", "get", "load", "resplit"]


@dataclasses.dataclass(frozen=True)
class Problem:
    """A task to compare optimizers on.

    Example:
        >>> problem = dataclasses.replace(get("digits"), epochs=5)
        >>> problem.network().init(jax.random.key(0))[0].w.shape
        (64, 64)
    """

    name: str
    """Its name on the command line and in the record."""

    dataset: str
    """A name for jaxmlp.datasets.load."""

    layer_sizes: tuple[int, ...]
    """Units of input, hidden layers and output."""

    batch_size: int
    """Examples per step."""

    validation_count: int
    """Examples of the training set held out to choose hyperparameters on."""

    coarse_epochs: int
    """Epochs of the coarse pass, which finds where tuning starts."""

    epochs: int
    """Epochs of every other run, while tuning and in the race."""

    targets: tuple[float, ...]
    """Test scores; the time to each is reported."""

    source: str
    """Where the settings come from."""

    differences: str = ""
    """How the settings differ from the source."""

    activation: str = "relu"
    """A name in jaxmlp.activations."""

    initializer: str = "he_normal"
    """A name that jaxmlp.mlp takes, or one of INITIALIZERS."""

    dropout: float | tuple[float, ...] = 0.0
    """Dropout rate of every hidden layer, or one rate per layer input."""

    max_norm: float | None = None
    """Limit on the norm of each unit's incoming weights; None for no limit."""

    keep_validation: bool = False
    """Race on the training part alone; otherwise on the training and validation parts."""

    loss: str | losses.Loss = "softmax_cross_entropy"
    """A name in jaxmlp.losses.LOSSES, or a function (outputs, targets) -> scalar."""

    score: str | Score = "accuracy"
    """What candidates are compared by: a Score, or a name in scores.SCORES, or "loss"."""

    @property
    def scored_by(self) -> Score:
        """The score, whether it was given by name or not."""
        return scores.get(self.score, self.loss)

    def describe(self) -> dict[str, Any]:
        """Return the settings as plain values; functions by their names."""
        values = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        return values | {"loss": _named(self.loss), "score": self.scored_by.name}

    def network(self) -> jaxmlp.Network:
        """Build the network."""
        initializer = INITIALIZERS.get(self.initializer, self.initializer)
        return jaxmlp.mlp(self.layer_sizes, activation=self.activation, initializer=initializer, dropout=self.dropout)

    def factory(self, optimizer: str) -> Any:
        """Return the optimizer's factory, with a projection if the problem limits the weights."""
        rule = jaxmlp.optimizers.get(optimizer)
        return rule if self.max_norm is None else _Projected(rule, self.max_norm)


class ProblemData(NamedTuple):
    """The three parts of a problem's data, each a pair (x, y)."""

    train: Examples
    """Trained on."""

    validation: Examples
    """Hyperparameters are chosen on it."""

    test: Examples
    """Measured in the race; no choice is made on it."""


def load(problem: Problem, *, data_dir: Path | None = None, mirror: str | None = None) -> ProblemData:
    """Load a problem's data, its training set split into a training and a validation part.

    Args:
        problem: the task.
        data_dir: data set directory, as for jaxmlp.datasets.load.
        mirror: where to fetch a missing data set from, as for jaxmlp.datasets.load.

    Returns:
        The three parts. The split is the same at every call.

    Raises:
        jaxmlp.datasets.DatasetUnavailableError: the data set is neither on disk nor can it be fetched.

    Example:
        >>> [len(y) for x, y in load(get("digits"))]
        [1150, 287, 360]
    """
    dataset = jaxmlp.datasets.load(problem.dataset, data_dir=data_dir, mirror=mirror)
    train, validation = split(*dataset.train, count=problem.validation_count, seed=0)
    return ProblemData(train, validation, dataset.test)


def resplit(problem: Problem, data: ProblemData, number: int) -> ProblemData:
    """Divide the training and validation parts anew.

    Args:
        problem: the task.
        data: as load returns it, which is split 0.
        number: of the split, >= 0; equal numbers give equal splits.

    Example:
        >>> digits = get("digits")
        >>> data = load(digits)
        >>> other = resplit(digits, data, 1)
        >>> len(other.validation[1]), bool((other.validation[1] == data.validation[1]).all())
        (287, False)
    """
    if number == 0:
        return data
    x, y = (np.concatenate(parts) for parts in zip(data.train, data.validation, strict=True))
    train, validation = split(x, y, count=problem.validation_count, seed=number)
    return ProblemData(train, validation, data.test)


def get(name: str) -> Problem:
    """Return the problem of that name.

    Raises:
        ValueError: the name is unknown.

    Example:
        >>> get("digits").layer_sizes
        (64, 64, 10)
    """
    return PROBLEMS[check_choice("problem", name, PROBLEMS)]


def _named(value):
    """A name as it is, a function by its module and name."""
    return value if isinstance(value, str) else f"{value.__module__}.{getattr(value, '__qualname__', value)}"


@dataclasses.dataclass(frozen=True)
class _Projected:
    rule: Any
    limit: float

    def __call__(self, learning_rate):
        return optax.chain(self.rule(learning_rate), jaxmlp.optimizers.max_norm(self.limit))


_DEEPOBS_DIFFERENCES = (
    "the validation part is 10,000 training images; the last, partial batch is trained on, while DeepOBS drops it"
)
_SMALL_NORMAL = "truncated_normal(0.03)"
INITIALIZERS = {_SMALL_NORMAL: jax.nn.initializers.truncated_normal(0.03)}
"""Initializers that jaxmlp.mlp does not know by name, by the name that a record shows."""

PROBLEMS: dict[str, Problem] = {
    problem.name: problem
    for problem in (
        Problem(
            name="digits",
            dataset="digits",
            layer_sizes=(64, 64, 10),
            batch_size=32,
            validation_count=287,
            coarse_epochs=4,
            epochs=40,
            targets=(0.95, 0.97),
            source="scikit-learn's copy of the UCI handwritten digits; our own settings",
        ),
        Problem(
            name="mnist",
            dataset="mnist",
            layer_sizes=(784, 128, 10),
            batch_size=128,
            validation_count=10_000,
            coarse_epochs=2,
            epochs=10,
            targets=(0.97, 0.98),
            source="the usual first MNIST network; our own settings",
        ),
        Problem(
            name="fashion_mnist",
            dataset="fashion_mnist",
            layer_sizes=(784, 128, 10),
            batch_size=128,
            validation_count=10_000,
            coarse_epochs=2,
            epochs=10,
            targets=(0.87, 0.88),
            source="the settings of mnist on Fashion-MNIST",
        ),
        Problem(
            name="deepobs_mnist_mlp",
            dataset="mnist",
            layer_sizes=(784, 1000, 500, 100, 10),
            batch_size=128,
            validation_count=10_000,
            coarse_epochs=5,
            epochs=100,
            targets=(0.97, 0.98),
            initializer=_SMALL_NORMAL,
            source="DeepOBS (Schneider, Balles and Hennig, ICLR 2019), problem mnist_mlp",
            differences=_DEEPOBS_DIFFERENCES,
        ),
        Problem(
            name="deepobs_fmnist_mlp",
            dataset="fashion_mnist",
            layer_sizes=(784, 1000, 500, 100, 10),
            batch_size=128,
            validation_count=10_000,
            coarse_epochs=5,
            epochs=100,
            targets=(0.88, 0.89),
            initializer=_SMALL_NORMAL,
            source="DeepOBS (Schneider, Balles and Hennig, ICLR 2019), problem fmnist_mlp",
            differences=_DEEPOBS_DIFFERENCES,
        ),
        Problem(
            name="algoperf_mnist",
            dataset="mnist",
            layer_sizes=(784, 128, 10),
            batch_size=128,
            validation_count=10_000,
            coarse_epochs=3,
            epochs=20,
            targets=(0.97,),
            activation="sigmoid",
            initializer="lecun_normal",
            keep_validation=True,
            source="AlgoPerf (Dahl et al. 2023), its MNIST development workload: 97 % on validation and test",
            differences="measured after every epoch rather than every 10 seconds; batch size 128 is our choice",
        ),
        Problem(
            name="dropout2014_3x1024",
            dataset="mnist",
            layer_sizes=(784, 1024, 1024, 1024, 10),
            batch_size=100,
            validation_count=10_000,
            coarse_epochs=3,
            epochs=50,
            targets=(0.98, 0.985),
            dropout=(0.2, 0.5, 0.5, 0.5),
            max_norm=2.0,
            source="Srivastava et al. (2014), table 2: 1.06 % test error after about 1,000,000 updates",
            differences="50 epochs (30,000 updates) by default; max-norm limit 2 and a constant learning rate are our "
            "choice",
        ),
    )
}
"""Every problem by its name."""
