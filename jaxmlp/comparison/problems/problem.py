"""What a problem is: data, a network, a loss, a score, a batch size and a budget."""

import dataclasses
from typing import Any, NamedTuple

import jax
import numpy as np

import jaxmlp
from jaxmlp import losses
from jaxmlp._checks import check_count, one_number, shown
from jaxmlp.comparison import scores
from jaxmlp.comparison.references import Origin
from jaxmlp.comparison.scores import Score

__docformat__ = "google"
__all__ = ["INITIALIZERS", "Problem", "ProblemData"]

SMALL_NORMAL = "truncated_normal(0.03)"
INITIALIZERS = {SMALL_NORMAL: jax.nn.initializers.truncated_normal(0.03), "zeros": jax.nn.initializers.zeros}
"""Initializers that jaxmlp.mlp does not know by name, by the name that a record shows."""


class ProblemData(NamedTuple):
    """The three parts of a problem's data, each a pair (x, y) of arrays or of pytrees with an equal first axis."""

    train: Any
    """Trained on."""

    validation: Any
    """Hyperparameters are chosen on it."""

    test: Any
    """Measured in the race; no choice is made on it."""


@dataclasses.dataclass(frozen=True)
class Problem:
    """A task to compare optimizers on.

    Only name and data are needed: the network is then an MLP with one hidden layer of 64 units, for classification.

    Example:
        >>> x = np.random.default_rng(0).normal(size=(200, 3)).astype(np.float32)
        >>> mine = Problem("mine", (x, x @ np.float32([1, 2, 3])), loss="mean_squared_error", score="r2", epochs=30)
        >>> mine.coarse_epochs, mine.scored_by.higher_is_better
        (3, True)
    """

    name: str
    """On the command line, in files and in the record: letters, digits, "_", "-" and "."."""

    data: Any = dataclasses.field(repr=False, compare=False)
    """Examples (x, y), of which a fifth becomes the test set; or (train, test) or (train, validation, test), each
    (x, y); or a function that returns one of these, called with data_dir and mirror if it takes them; or the name of a
    data set for jaxmlp.datasets.load. x and y are arrays, or pytrees of arrays with an equal first axis."""

    layer_sizes: tuple[int, ...] | None = None
    """Units of input, hidden layers and output of a jaxmlp.mlp; None for another network or one hidden layer of 64."""

    batch_size: int = 32
    """Examples per step."""

    validation_count: int = 0
    """Examples of the training set held out to choose hyperparameters on; 0: a fifth of them."""

    coarse_epochs: int = 0
    """Epochs of the coarse pass, which finds where tuning starts; 0: a tenth of the others."""

    epochs: int = 20
    """Epochs of every other run, while tuning and in the race."""

    targets: tuple[float, ...] = ()
    """Test scores; the time to each is reported."""

    source: str = "the user's own"
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

    network: Any = dataclasses.field(default=None, repr=False, compare=False)
    """A Network or any pair (init, apply), or a function (features, outputs) -> Network; None: by layer_sizes."""

    reference: str | None = None
    """What named it on the command line."""

    origin: Origin | None = None
    """Where a problem that was named by a reference came from."""

    def __post_init__(self):
        """Check what can be checked without data, and fill in the coarse pass."""
        good = isinstance(self.name, str) and all(c.isalnum() or c in "_-." for c in self.name) and self.name[:1] != "."
        if not (good and self.name):
            raise ValueError(f'the name of a problem has letters, digits, "_", "-" and ".", got {shown(self.name)}')
        for name in ("batch_size", "epochs"):
            check_count(f"{name} of {self.name}", getattr(self, name))
        for name in ("validation_count", "coarse_epochs"):
            check_count(f"{name} of {self.name}", getattr(self, name), least=0)
        if self.layer_sizes is not None and self.network is not None:
            raise ValueError(f"{self.name} has layer_sizes and a network; leave one of them out")
        if isinstance(self.targets, int | float):
            raise TypeError(f"targets of {self.name} must be a tuple of scores, got {self.targets!r}")
        losses.get(self.loss)
        score = self.scored_by
        for target in self.targets:
            one_number(f"a target of {self.name}", target, -np.inf)
            if score.unit == "%" and not 0 < target <= 1:
                raise ValueError(f"a target of {self.name} is a fraction in (0, 1], such as 0.95, got {target}")
        if not self.coarse_epochs:
            object.__setattr__(self, "coarse_epochs", max(1, round(self.epochs / 10)))

    @property
    def scored_by(self) -> Score:
        """The score, whether it was given by name or not."""
        return scores.get(self.score, self.loss)

    def describe(self) -> dict[str, Any]:
        """Return the settings as plain values; functions by their names, and data of one's own by that word."""
        values = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        origin = None if self.origin is None else self.origin._asdict()
        arrays = not isinstance(self.data, str) and not callable(self.data)
        return values | {
            "data": "arrays" if arrays else _named(self.data),
            "network": None if self.network is None else _named(self.network),
            "loss": _named(self.loss),
            "score": self.scored_by.name,
            "origin": origin,
        }

    def sizes(self, data: ProblemData) -> tuple[int, ...] | None:
        """Return the layers of the network where it is a jaxmlp.mlp; None where it is another one."""
        if self.network is not None:
            return None
        return self.layer_sizes or (*_features(self, data)[:1], 64, *_features(self, data)[1:])

    def build(self, data: ProblemData) -> jaxmlp.Network:
        """Build the network for the data."""
        sizes = self.sizes(data)
        if sizes is not None:
            initializer = INITIALIZERS.get(self.initializer, self.initializer)
            return jaxmlp.mlp(sizes, activation=self.activation, initializer=initializer, dropout=self.dropout)
        network = self.network
        if callable(network):
            network = network(*_features(self, data))
        if not (isinstance(network, tuple) and len(network) == 2 and all(map(callable, network))):
            raise TypeError(
                f"the network of {self.name} must be a pair of functions (init, apply), such as jaxmlp.mlp returns, or "
                f"a function (features, outputs) that returns one; got {shown(network)}"
            )
        return jaxmlp.Network(*network)


def _features(problem, data):
    """The numbers of inputs and outputs that the data ask for."""
    x, y = data.train
    if not hasattr(x, "ndim") or not hasattr(y, "ndim"):
        raise ValueError(
            f"the data of {problem.name} are no two arrays, so that it needs a network: network=(init, apply)"
        )
    if y.ndim > 1:
        outputs = y.shape[-1]
    elif problem.loss == "softmax_cross_entropy":
        outputs = int(max(part[1].max() for part in data)) + 1
    else:
        outputs = 1
    return (x.shape[-1] if x.ndim > 1 else 1), outputs


def _named(value):
    """A name as it is, a function by its module and name."""
    if isinstance(value, str):
        return value
    if isinstance(value, tuple):
        return ", ".join(map(_named, value))
    module, name = (getattr(value, part, None) for part in ("__module__", "__qualname__"))
    return f"{module}.{name}" if module and name else type(value).__qualname__
