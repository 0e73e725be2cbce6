"""The errors of a classifier in numbers: logits and labels in, statistics by scikit-learn out."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import scipy.special
from sklearn import metrics
from sklearn.decomposition import PCA
from sklearn.manifold import TSNE
from threadpoolctl import threadpool_limits

Apply = Callable[..., Any]


class Scores(NamedTuple):
    """Scores of a classifier, overall and for each class; shares are in [0, 1]."""

    n: int
    """Number of examples."""

    accuracy: float
    """Share of right answers."""

    log_loss: float
    """Mean of -log p(true class), nats per example."""

    class_names: tuple[str, ...]
    """Of label 0, 1, ..."""

    confusion: np.ndarray
    """Counts, true class by predicted class, (classes, classes)."""

    precision: np.ndarray
    """0 for a class that is never predicted, (classes,)."""

    recall: np.ndarray
    """0 for a class without examples, (classes,)."""

    f1: np.ndarray
    """Harmonic mean of precision and recall, (classes,)."""

    support: np.ndarray
    """Examples of each class, (classes,)."""

    auc: np.ndarray
    """Area under the ROC curve of each class against the rest; NaN if one of the two is missing, (classes,)."""

    macro_precision: float
    """Mean over all classes with equal weights, as are the next two."""

    macro_recall: float
    """Mean recall."""

    macro_f1: float
    """Mean F1."""

    macro_auc: float
    """Mean over the classes that have an area; NaN if none has."""


class Mistakes(NamedTuple):
    """Wrong answers, the most confident first."""

    indices: np.ndarray
    """Of the examples, (m,)."""

    labels: np.ndarray
    """True classes, (m,)."""

    predicted: np.ndarray
    """Predicted classes, (m,)."""

    predicted_probability: np.ndarray
    """Probability of the predicted class, (m,)."""

    true_probability: np.ndarray
    """Probability of the true class, (m,)."""


class Embedding(NamedTuple):
    """Examples placed in the plane."""

    indices: np.ndarray
    """Of the chosen examples, (m,)."""

    pca: np.ndarray
    """Their first two principal components, (m, 2)."""

    explained: np.ndarray
    """Share of the variance of all examples that each component explains, (2,)."""

    tsne: np.ndarray | None
    """Their places by t-SNE, (m, 2); None if it has nothing to do."""


def scores(logits: np.ndarray, labels: np.ndarray, class_names: Sequence[str]) -> Scores:
    """Score a classifier's outputs.

    Args:
        logits: (n, classes), of which the largest is the answer; or one logit per example, (n, 1) or (n,), where the
            answer is class 1 if it is > 0.
        labels: whole numbers in [0, classes), (n,).
        class_names: one per class; two for one logit.

    Raises:
        ValueError: logits are not finite, or shapes, labels and names do not fit each other.
    """
    logits, labels = _checked(logits, labels)
    classes = range(logits.shape[1])
    if len(class_names) != len(classes):
        raise ValueError(f"class_names must name {len(classes)} classes, got {len(class_names)}: {class_names}")
    predicted = np.argmax(logits, axis=1)
    log_probability = scipy.special.log_softmax(logits, axis=1)
    per_class = metrics.precision_recall_fscore_support(
        labels,
        predicted,
        labels=classes,
        zero_division=0,  # pyright: ignore[reportArgumentType]
    )
    precision, recall, f1, support = (np.asarray(values) for values in per_class)
    auc = np.array([_auc(labels == k, odds) for k, odds in enumerate(_log_odds(logits).T)])
    return Scores(
        n=len(labels),
        accuracy=float(np.mean(predicted == labels)),
        log_loss=float(-np.mean(log_probability[np.arange(len(labels)), labels])),
        class_names=tuple(class_names),
        confusion=metrics.confusion_matrix(labels, predicted, labels=classes),
        precision=precision,
        recall=recall,
        f1=f1,
        support=support,
        auc=auc,
        macro_precision=float(np.mean(precision)),
        macro_recall=float(np.mean(recall)),
        macro_f1=float(np.mean(f1)),
        macro_auc=float(np.nanmean(auc)) if np.any(np.isfinite(auc)) else float("nan"),
    )


def probabilities(logits: np.ndarray) -> np.ndarray:
    """Return the probability of each class, (n, classes) in float64: softmax, or sigmoid of one logit per example."""
    return scipy.special.softmax(_class_logits(logits), axis=1)


def roc_curves(logits: np.ndarray, labels: np.ndarray) -> list[tuple[np.ndarray, np.ndarray] | None]:
    """Return each class's (false positive rates, true positive rates) against the rest; None if it has no curve.

    Args:
        logits: as for scores.
        labels: as for scores.

    Raises:
        ValueError: as for scores.
    """
    logits, labels = _checked(logits, labels)
    ranked = [(labels == k, odds) for k, odds in enumerate(_log_odds(logits).T)]
    return [metrics.roc_curve(*pair)[:2] if _has_both(pair[0]) else None for pair in ranked]


def confident_mistakes(logits: np.ndarray, labels: np.ndarray, count: int) -> Mistakes:
    """Find the wrong answers with the highest confidence.

    Args:
        logits: as for scores.
        labels: as for scores.
        count: number of answers to find, or fewer if there are not as many.

    Raises:
        ValueError: as for scores.
    """
    logits, labels = _checked(logits, labels)
    predicted, probability = np.argmax(logits, axis=1), scipy.special.softmax(logits, axis=1)
    wrong = np.flatnonzero(predicted != labels)
    odds = _log_odds(logits)[wrong, predicted[wrong]]
    worst = wrong[np.argsort(-odds, kind="stable")[:count]]
    return Mistakes(
        indices=worst,
        labels=labels[worst],
        predicted=predicted[worst],
        predicted_probability=probability[worst, predicted[worst]],
        true_probability=probability[worst, labels[worst]],
    )


def embedding(features: np.ndarray, *, seed: int, count: int = 2000) -> Embedding:
    """Place examples in the plane by PCA, and by t-SNE started from PCA; 2,000 of them take 6 to 8 s.

    Args:
        features: e.g. the outputs or activations of a layer, (n, d) with n >= 4 and d >= 2. t-SNE is left out if d is
            2, which is a plane already, or if all examples are equal.
        seed: of the choice of examples.
        count: examples to place, chosen at random, or all if there are fewer. PCA is fitted to all n.

    Raises:
        ValueError: features have another shape or are not finite.

    Source:
        van der Maaten and Hinton (2008), "Visualizing data using t-SNE".
    """
    features = np.asarray(features, np.float64)
    if features.ndim != 2 or features.shape[1] < 2 or len(features) < 4:
        raise ValueError(f"features must have shape (n, d) with n >= 4 and d >= 2, got {features.shape}")
    _check_finite("features", features)
    chosen = np.random.default_rng(seed).permutation(len(features))[:count]
    if np.all(features == features[0]):  # no direction has variance
        return Embedding(chosen, np.zeros((len(chosen), 2)), np.zeros(2), None)
    pca = PCA(2, svd_solver="covariance_eigh").fit(features)
    tsne = None
    if features.shape[1] > 2:
        perplexity = min(30.0, (len(chosen) - 1) / 3)
        # Its threads wait for each other in busy loops, which on a shared machine can make it ten times slower.
        with threadpool_limits(1):
            tsne = TSNE(perplexity=perplexity, init="pca", random_state=seed).fit_transform(features[chosen])
    return Embedding(chosen, pca.transform(features[chosen]), pca.explained_variance_ratio_, tsne)


def _class_logits(logits):
    """One column per class, in float64; a single logit z means the same as the two logits (0, z)."""
    logits = np.asarray(logits, np.float64)
    if logits.ndim == 1:
        logits = logits[:, None]
    if logits.ndim != 2 or 0 in logits.shape:
        raise ValueError(f"logits must have shape (n, classes), (n, 1) or (n,), got {logits.shape}")
    _check_finite("logits", logits)
    return np.concatenate([np.zeros_like(logits), logits], axis=1) if logits.shape[1] == 1 else logits


def _checked(logits, labels):
    logits, given = _class_logits(logits), np.asarray(labels)
    if given.shape != (len(logits),):
        raise ValueError(f"labels must have shape ({len(logits)},), one per row of logits, got {given.shape}")
    labels = given.astype(int)
    if np.any(labels != given) or labels.min() < 0 or labels.max() >= logits.shape[1]:
        raise ValueError(f"labels must be whole numbers from 0 to {logits.shape[1] - 1}, got {np.unique(given)[:20]}")
    return logits, labels


def _check_finite(name, rows):
    bad = int(np.sum(~np.all(np.isfinite(rows), axis=1)))
    if bad:
        raise ValueError(
            f"{name} must be finite, got NaN or infinity in {bad} of {len(rows)} examples; did the training diverge?"
        )


def _log_odds(logits):
    """log p_k - log(1 - p_k), (n, classes): ranks like p_k, but does not round to ties near 0 and 1."""
    others = [np.delete(logits, k, axis=1) for k in range(logits.shape[1])]
    return logits - np.stack([scipy.special.logsumexp(rest, axis=1) for rest in others], axis=1)


def _has_both(is_class):
    return bool(np.any(is_class) and not np.all(is_class))


def _auc(is_class, odds):
    return float(metrics.roc_auc_score(is_class, odds)) if _has_both(is_class) else float("nan")
