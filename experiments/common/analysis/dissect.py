"""The whole analysis of a trained classifier in one call."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import jax
import numpy as np
from matplotlib.figure import Figure

from experiments.common.analysis import figures, measures, perception
from jaxmlp.data import Moments

_MISTAKES = 25  # in a grid of five by five
_CONFIDENT = 0.9998  # published for an image of noise that a network takes for a given digit


def dissect(
    apply: measures.Apply,
    params: Any,
    data: tuple[np.ndarray, np.ndarray],
    class_names: Sequence[str],
    image_shape: tuple[int, int] | None = None,
    *,
    seed: int = 0,
    moments: Moments | None = None,
    count: int = 2000,
) -> tuple[dict[str, Any], dict[str, Callable[[], Figure]]]:
    """Analyse a trained classifier. Everything is computed now; the pictures are drawn later, on demand.

    Args:
        apply: net.apply, or any function (params, x, *, with_hidden=False) of that form.
        params: of the trained network.
        data: (x, y) to analyse, usually the test set.
        class_names: of label 0, 1, ...
        image_shape: (height, width) of a row of x; None if x is not an image, which leaves out the images.
        seed: of the noise images and of the choice of examples.
        moments: with which x was standardised; None for x as loaded, with pixels in [0, 1].
        count: examples to place in the plane; with 2,000, t-SNE takes 6 to 8 s per layer.

    Returns:
        The results and the pictures of a command.Outcome: values for the record, and file name -> what draws it.

    Raises:
        ValueError: outputs are not finite, or class_names and labels do not fit them.
    """
    x, labels = (np.asarray(part) for part in data)
    outputs, hidden = apply(params, x, with_hidden=True)
    outputs = np.asarray(outputs)
    scores = measures.scores(outputs, labels, class_names)
    worst = measures.confident_mistakes(outputs, labels, _MISTAKES)
    layers = dict(zip(("output layer", "last hidden layer"), (outputs, *hidden[-1:]), strict=False))
    layers = {name: np.asarray(layer) for name, layer in layers.items() if layer.shape[1] > 1}
    embeddings = {name: measures.embedding(layer, seed=seed, count=count) for name, layer in layers.items()}
    results: dict[str, Any] = {
        "scores": scores._asdict(),
        "mistakes": worst._asdict(),
        "explained_variance": {name: places.explained for name, places in embeddings.items()},
    }
    pictures: dict[str, Callable[[], Figure]] = {
        "confusion": partial(figures.confusion, scores),
        "class_scores": partial(figures.class_scores, scores),
        "roc": partial(figures.roc, scores, measures.roc_curves(outputs, labels)),
    }
    if outputs.shape[1] == 1:
        pictures["logits"] = partial(figures.logit_histogram, outputs, labels, class_names)
    if embeddings:
        pictures["embeddings"] = partial(figures.scatter, embeddings, labels, class_names)
    if image_shape is None:
        return results, pictures

    mean, deviation = moments or (0.0, 1.0)
    bounds: dict[str, Any] = {"low": (0 - mean) / deviation, "high": (1 - mean) / deviation}
    key, noise_key = jax.random.split(jax.random.key(seed))
    surest = partial(perception.surest_images, apply, params, x.shape[1], key=key, **bounds)
    rows = {"noise": surest(steps=0), f"until {100 * _CONFIDENT:g} %": surest(until=_CONFIDENT), "surest": surest()}
    noise = perception.noise_confidence(apply, params, x.shape[1], key=noise_key, **bounds)
    results |= {"noise": noise._asdict(), "surest": {name: probability for name, (_, probability) in rows.items()}}
    rows = {name: (images * deviation + mean, probability) for name, (images, probability) in rows.items()}
    if len(worst.indices):
        wrong = x[worst.indices] * deviation + mean
        pictures["mistakes"] = partial(figures.mistake_grid, wrong, worst, class_names, image_shape)
    pictures["first_layer"] = partial(figures.weights, perception.first_layer(params), image_shape)
    pictures["surest_images"] = partial(figures.noise_grid, rows, class_names, image_shape)
    return results, pictures
