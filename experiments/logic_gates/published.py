"""XOR as it was published: three networks in Keras with the probabilities that they printed, and two in scikit-learn.

Keras: mean squared error, Adam at Keras's defaults, 1,000 epochs, every batch all four rows; the weights of the hidden
layer have an initializer of their own, those of the output layer Keras's default (see settings.PUBLISHED).
scikit-learn: MLPClassifier(hidden_layer_sizes=(2,), max_iter=10000, random_state=20), otherwise its defaults.
"""

import warnings
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPClassifier

from experiments.common.command import Comparison
from experiments.common.wording import counted
from experiments.logic_gates.settings import GATES, PUBLISHED, ROWS, SQUARED, TARGETS, Setting
from experiments.logic_gates.training import Trained

LEARNING_RATE, EPOCHS = 0.001, 1000  # of the networks in Keras
RANDOM_STATE, MAX_ITER = 20, 10_000  # of those in scikit-learn
SCORES = {"logistic": 0.5, "relu": 1.0}  # scikit-learn's, by activation


class Network(NamedTuple):
    """A network published in Keras; one run of each was printed."""

    setting: Setting
    """How it is trained."""

    score: float
    """Share of the four rows that are right."""

    probabilities: tuple[float, ...]
    """Of a one, on the four rows."""

    @property
    def name(self) -> str:
        """Activation and sizes."""
        return f"{self.setting.activation} 2-{self.setting.width}-1"


NETWORKS = tuple(
    Network(Setting("xor", activation, width, PUBLISHED, SQUARED, LEARNING_RATE), score, probabilities)
    for activation, width, score, probabilities in (
        ("sigmoid", 2, 0.75, (0.517, 0.506, 0.506, 0.492)),
        ("relu", 2, 1.0, (0.478, 0.581, 0.581, 0.398)),
        ("relu", 3, 1.0, (0.320, 0.699, 0.699, 0.297)),
    )
)


class Nearest(NamedTuple):
    """The run whose probabilities are nearest to the published ones."""

    seed: int
    """Its seed."""

    probabilities: np.ndarray
    """Of a one, (4,)."""

    distance: float
    """Largest absolute difference from the published ones."""


def nearest(network: Network, trained: Trained) -> Nearest:
    """Return the run of a published network whose probabilities are nearest to the published ones."""
    probabilities = np.asarray(jax.nn.sigmoid(trained.logits[..., 0]))
    distances = np.abs(probabilities - np.array(network.probabilities)).max(axis=1)
    seed = int(distances.argmin())
    return Nearest(seed, probabilities[seed], float(distances[seed]))


class Classifier(NamedTuple):
    """What a trained MLPClassifier answers on the four rows."""

    random_state: int
    """What it was started from."""

    score: float
    """Share of the four rows that are right."""

    answers: list[int]
    """On the four rows."""

    iterations: int
    """Epochs until it stopped by its own rule, at most MAX_ITER."""


def classify(activation: str, random_state: int) -> Classifier:
    """Train scikit-learn's network with that random state, otherwise as published."""
    rows, y = ROWS.astype(float), TARGETS[GATES.index("xor")]  # in float32 scikit-learn computes in float32
    network = MLPClassifier((2,), activation=activation, max_iter=MAX_ITER, random_state=random_state)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        network.fit(rows, y)
    answers = np.asarray(network.predict(rows)).tolist()
    return Classifier(random_state, float(network.score(rows, y)), answers, network.n_iter_)


class Classifiers(NamedTuple):
    """scikit-learn's networks of one activation."""

    published: Classifier
    """The one with RANDOM_STATE."""

    others: Sequence[Classifier]
    """Those with the random states 0, 1 and so on."""

    @property
    def scores(self) -> np.ndarray:
        """Of the others, (random states,)."""
        return np.array([classifier.score for classifier in self.others])


def classify_all(random_states: int) -> dict[str, Classifiers]:
    """Train scikit-learn's networks by activation: as published, and from that many other random states."""
    return {
        name: Classifiers(classify(name, RANDOM_STATE), [classify(name, state) for state in range(random_states)])
        for name in SCORES
    }


def entries(runs: Mapping[Setting, Trained], sklearn: Mapping[str, Classifiers], epochs: int) -> dict[str, Any]:
    """Return the record's entries; nearest runs only for the published number of epochs."""
    keras = [
        {
            "network": network.name,
            "published_score": network.score,
            "published_probabilities": network.probabilities,
            "scores": runs[network.setting].score,
            "nearest_run": nearest(network, runs[network.setting])._asdict() if epochs == EPOCHS else None,
        }
        for network in NETWORKS
    ]
    scikit_learn = {
        name: {"published_score": SCORES[name], "as_published": found.published._asdict()}
        | {"others": [classifier._asdict() for classifier in found.others]}
        for name, found in sklearn.items()
    }
    return {"keras": keras, "scikit_learn": scikit_learn}


def comparisons(runs: Mapping[Setting, Trained], sklearn: Mapping[str, Classifiers], epochs: int) -> list[Comparison]:
    """Return the rows of the last table; published figures of Keras only for the published number of epochs."""
    found = []
    for name, classifiers in sklearn.items():
        text, others = f"XOR by scikit-learn, {name} 2-2-1, random_state", _range(len(classifiers.others))
        found.append(Comparison(f"{text} {RANDOM_STATE} (score)", f"{SCORES[name]}", [classifiers.published.score]))
        found.append(Comparison(f"{text} {others} (score)", "-", classifiers.scores))
    for network in NETWORKS:
        text = f"XOR by Keras's network, {network.name}, {epochs} epochs (score)"
        figure = f"{network.score}" if epochs == EPOCHS else "-"
        found.append(Comparison(text, figure, runs[network.setting].score))
    return found


def notes(runs: Mapping[Setting, Trained], sklearn: Mapping[str, Classifiers], epochs: int) -> list[str]:
    """Return what is printed about them below the tables."""
    lines = [
        f"scikit-learn as published (random_state {RANDOM_STATE}, at most {MAX_ITER:,} iterations), and from other "
        "random states:"
    ]
    for name, found in sklearn.items():
        scores, run = found.scores, found.published
        lines.append(
            f"  {name} 2-2-1: score {run.score:g} (published: {SCORES[name]:g}), answers "
            f"{' '.join(map(str, run.answers))}, after {run.iterations:,} iterations. random_state "
            f"{_range(len(scores))}: {int((scores == run.score).sum())} of {len(scores)} with the same score."
        )
    if epochs != EPOCHS:
        return lines
    lines.append(
        "Keras's networks as published, trained by jaxmlp (hidden weights normal, mean 0.75, standard deviation 0.01; "
        f"output weights Glorot uniform; Adam with Keras's defaults, {EPOCHS:,} epochs). Probabilities of a one on "
        "the four rows:"
    )
    for network in NETWORKS:
        trained = runs[network.setting]
        near, n = nearest(network, trained), len(trained.score)
        which = f"nearest of {n}, " if n > 1 else ""
        lines.append(
            f"  {network.name}: published {_row(network.probabilities)}; {which}seed {near.seed}: "
            f"{_row(near.probabilities)}, largest difference {near.distance:.4f}. Published score: "
            f"{network.score:g}; {int((trained.score == network.score).sum())} of {counted(n, 'run')} with it."
        )
    return lines


def _range(n):
    return f"0 to {n - 1}" if n > 1 else "0"


def _row(probabilities):
    return " ".join(f"{p:.3f}" for p in probabilities)
