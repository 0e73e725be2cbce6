"""What a classifier gets right and wrong, in numbers: logits and labels in, statistics out, by scikit-learn."""

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
    """How good a classifier is, in all and for each class; shares are in [0, 1]."""

    n: int  # examples
    accuracy: float
    log_loss: float  # mean of -log p(true class), nats per example
    class_names: tuple[str, ...]
    confusion: np.ndarray  # (classes, classes) counts: true class by predicted class
    precision: np.ndarray  # (classes,); 0 for a class that is never predicted
    recall: np.ndarray  # (classes,); 0 for a class without examples
    f1: np.ndarray  # (classes,)
    support: np.ndarray  # (classes,) examples of each class
    auc: np.ndarray  # (classes,) area under ROC, class against the rest; NaN where there is no class or no rest
    macro_precision: float  # mean over all classes, each counting the same
    macro_recall: float
    macro_f1: float
    macro_auc: float  # mean over the classes that have one, else NaN


class Mistakes(NamedTuple):
    """Wrong answers, the most confident first."""

    indices: np.ndarray  # (m,) of the examples
    labels: np.ndarray  # (m,) the true classes
    predicted: np.ndarray  # (m,) the classes answered
    predicted_probability: np.ndarray  # (m,)
    true_probability: np.ndarray  # (m,)


class Embedding(NamedTuple):
    """Examples placed in the plane."""

    indices: np.ndarray  # (m,) the examples that were chosen
    pca: np.ndarray  # (m, 2) their first two principal components
    explained: np.ndarray  # (2,) share of the variance of all examples that each component holds
    tsne: np.ndarray | None  # (m, 2); None where it has nothing to do


def scores(logits: np.ndarray, labels: np.ndarray, class_names: Sequence[str]) -> Scores:
    """Score a classifier's outputs.

    Args:
        logits: (n, classes), the answer being the largest; or one logit per example, (n, 1) or (n,), the answer being
            class 1 where it is > 0.
        labels: (n,) whole numbers in [0, classes).
        class_names: one per class; two for one logit.

    Raises: ValueError where logits are not finite, or where shapes, labels and names do not fit each other.
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
    """Return each class's (false positive rates, true positive rates) against the rest; None where it has no curve.

    Args: logits and labels as scores takes them.
    Raises: ValueError as scores does.
    """
    logits, labels = _checked(logits, labels)
    ranked = [(labels == k, odds) for k, odds in enumerate(_log_odds(logits).T)]
    return [metrics.roc_curve(*pair)[:2] if _has_both(pair[0]) else None for pair in ranked]


def confident_mistakes(logits: np.ndarray, labels: np.ndarray, count: int) -> Mistakes:
    """Find the wrong answers that the classifier is surest of, count of them or as many as there are.

    Args: logits and labels as scores takes them.
    Raises: ValueError as scores does.
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
        features: (n, d) with d >= 2 and n >= 4, e.g. the outputs or the activations of a layer. t-SNE is left out
            where d is 2, a plane already, and where all examples are equal.
        seed: of the choice of examples.
        count: examples to place, chosen at random; all where there are fewer. PCA is fitted to all n.

    Raises: ValueError where features are of another shape or not finite.
    Source: van der Maaten and Hinton (2008), "Visualizing data using t-SNE".
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
        # On a machine with other work its threads, waiting busily for each other, can make it ten times slower.
        with threadpool_limits(1):
            tsne = TSNE(perplexity=perplexity, init="pca", random_state=seed).fit_transform(features[chosen])
    return Embedding(chosen, pca.transform(features[chosen]), pca.explained_variance_ratio_, tsne)


def _class_logits(logits):
    """One column per class, in float64; a single logit z says what the two logits (0, z) say."""
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
    """log p_k - log(1 - p_k), (n, classes): ranks as p_k does, but does not round to ties where p_k nears 0 or 1."""
    others = [np.delete(logits, k, axis=1) for k in range(logits.shape[1])]
    return logits - np.stack([scipy.special.logsumexp(rest, axis=1) for rest in others], axis=1)


def _has_both(is_class):
    return bool(np.any(is_class) and not np.all(is_class))


def _auc(is_class, odds):
    return float(metrics.roc_auc_score(is_class, odds)) if _has_both(is_class) else float("nan")
