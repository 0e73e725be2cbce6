"""Pictures of a classifier's errors and responses, drawn from the arrays of measures and perception."""

import textwrap
from collections.abc import Mapping, Sequence

import matplotlib.patheffects as patheffects
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from experiments.common.analysis.measures import Embedding, Mistakes, Scores
from experiments.common.wording import percent
from jaxmlp.comparison.drawing import LOOKS

_COLOURS = [*(look["color"] for look in LOOKS.values()), "#D4C200", "#882255", "#999999"]
_MARKERS = "osD^vPX"
_WIDTH = 6.8  # inches
_SMALL = 8  # points


def confusion(scores: Scores) -> Figure:
    """Draw the confusion matrix: right answers in grey, the number of wrong ones as colour, recall and precision."""
    names, n = scores.class_names, len(scores.class_names)
    figure, ax = _new((_WIDTH, 5.2 + 0.06 * _longest(names)) if n > 4 else (5.4, 3.6))
    wrong = np.where(np.eye(n, dtype=bool), 0, scores.confusion)
    norm = Normalize(0, max(1, wrong.max()))
    image = ax.imshow(np.where(wrong > 0, wrong, np.nan), cmap="OrRd", norm=norm)
    ax.imshow(np.where(np.eye(n, dtype=bool), 1.0, np.nan), cmap="Greys", vmin=0, vmax=6)
    for i, j in np.ndindex(n, n):
        if scores.confusion[i, j]:
            colour = "w" if norm(wrong[i, j]) > 0.6 else "k"
            ax.text(j, i, f"{scores.confusion[i, j]:,}", ha="center", va="center", color=colour, fontsize=_SMALL)
    right, bottom = ax.secondary_yaxis("right"), ax.secondary_xaxis("bottom")
    right.set_yticks(range(n), [f"{100 * recall:.1f}" for recall in scores.recall], fontsize=_SMALL)
    bottom.set_xticks(range(n), [f"{100 * precision:.1f}" for precision in scores.precision], fontsize=_SMALL)
    right.set_ylabel("recall (%)", fontsize=9)
    bottom.set_xlabel("precision (%)", fontsize=9)
    slant = {"rotation": 40, "ha": "left", "rotation_mode": "anchor"} if n > 4 and _longest(names) > 3 else {}
    ax.xaxis.tick_top()
    ax.xaxis.set_label_position("top")
    ax.set_xticks(range(n), names, fontsize=9, **slant)
    ax.set_yticks(range(n), names, fontsize=9)
    for axes in (ax, right, bottom):
        axes.tick_params(length=0)
        axes.spines[:].set_visible(False)
    ax.set(xlabel="predicted class", ylabel="true class")
    ax.set_title(f"accuracy {100 * scores.accuracy:.2f} % of {scores.n:,} examples", fontsize=10)
    bar = figure.colorbar(image, ax=ax, shrink=0.7, pad=0.03, label="wrong answers (examples)")
    bar.ax.yaxis.set_major_locator(MaxNLocator(integer=True))
    return figure


def class_scores(scores: Scores) -> Figure:
    """Draw precision, recall and F1 of each class and their means, one row each."""
    rows = [f"{name} ({n:,})" for name, n in zip(scores.class_names, scores.support, strict=True)] + ["mean of classes"]
    figure, ax = _new((_WIDTH, 1.3 + 0.32 * len(rows)))
    shown = {
        "precision": (scores.precision, scores.macro_precision, "rmsprop"),
        "recall": (scores.recall, scores.macro_recall, "momentum"),
        "F1": (scores.f1, scores.macro_f1, "sgd"),
    }
    for name, (values, macro, look) in shown.items():
        style = {"color": LOOKS[look]["color"], "marker": LOOKS[look]["marker"], "linestyle": "none"}
        ax.plot(100 * np.append(values, macro), range(len(rows)), label=name, markersize=6, **style)
    ax.set_yticks(range(len(rows)), rows, fontsize=9)
    ax.set_ylim(len(rows) - 0.5, -0.5)
    ax.axhline(len(rows) - 1.5, color="#999999", linewidth=0.8)
    ax.grid(alpha=0.3)
    ax.spines[["top", "right"]].set_visible(False)
    ax.set(xlabel="precision, recall, F1 (%)", ylabel="class (examples)")
    figure.legend(loc="outside upper center", ncols=3, fontsize=9, frameon=False)
    return figure


def roc(scores: Scores, curves: Sequence[tuple[np.ndarray, np.ndarray] | None]) -> Figure:
    """Draw each class's ROC curve against the rest, near the corner where the curves differ.

    Args:
        scores: for names and areas. Of two classes only the second's curve is drawn; the first's is its mirror image.
        curves: as measures.roc_curves returns them.
    """
    figure, ax = _new((_WIDTH, 4.6))
    shown = [k for k, curve in enumerate(curves) if curve is not None and (len(curves) > 2 or k == 1)]
    found = {k: curve for k in shown if (curve := curves[k]) is not None}
    limits = [
        limit for limit in (0.01, 0.02, 0.05, 0.1, 0.2, 0.3) if all(np.interp(limit, *c) > 0.95 for c in found.values())
    ]
    right = limits[0] if limits and found else 1.0
    bottom = min(np.interp(right / 10, *curve) for curve in found.values()) if right < 1 else 0.0
    for i, (k, (false_positive, true_positive)) in enumerate(found.items()):
        style = {"color": _COLOURS[k % len(_COLOURS)], "linestyle": ("-", "--", "-.")[i % 3], "linewidth": 1.4}
        label = f"{scores.class_names[k]}: {scores.auc[k]:.4f}"
        # Between thresholds the curve goes up and right in steps.
        ax.plot(100 * false_positive, 100 * true_positive, label=label, drawstyle="steps-post", **style)
    if right == 1:
        ax.plot([0, 100], [0, 100], color="#999999", linewidth=0.8)
    ax.set(xlim=(-right, 101 * right), ylim=(100 * np.floor(20 * bottom) / 20, 100 + (0.5 if right < 1 else 1)))
    ax.set(xlabel="false positive rate (% of the other classes)", ylabel="true positive rate (% of the class)")
    subject = "ROC curves, each class against the rest" if len(curves) > 2 else "ROC curve"
    ax.set_title(subject + (": the corner" if right < 1 else ""), fontsize=10)
    ax.grid(alpha=0.3)
    ax.spines[["top", "right"]].set_visible(False)
    title = f"class: area (mean {scores.macro_auc:.4f})" if len(curves) > 2 else "class: area"
    ax.legend(loc="lower right", title=title, fontsize=9, title_fontsize=9, framealpha=0.9)
    return figure


def logit_histogram(logits: np.ndarray, labels: np.ndarray, class_names: Sequence[str]) -> Figure:
    """Draw a histogram of the logits (n, 1) of both classes; above 0 the answer is the second class."""
    figure, ax = _new((_WIDTH, 3.4))
    edges = list(np.histogram_bin_edges(logits, bins=40))
    for k, (colour, hatch) in enumerate((("#0072B2", "///"), ("#E69F00", None))):
        values = np.ravel(logits)[labels == k]
        label = f"{class_names[k]} ({len(values):,})"
        ax.hist(values, edges, histtype="stepfilled", alpha=0.5, color=colour, hatch=hatch, label=label)
    ax.axvline(0, color="k", linewidth=1)
    ax.set(xlabel=f"logit: log odds of {class_names[1]} (nats)", ylabel="examples")
    ax.yaxis.set_major_locator(MaxNLocator(integer=True))
    ax.spines[["top", "right"]].set_visible(False)
    ax.legend(title="true class", fontsize=9, title_fontsize=9, frameon=False)
    return figure


def scatter(embeddings: Mapping[str, Embedding], labels: np.ndarray, class_names: Sequence[str]) -> Figure:
    """Draw PCA and t-SNE side by side, one row per layer, with a name or, if names are long, a number at each class.

    Args:
        embeddings: layer -> its examples in the plane.
        labels: of all examples, (n,).
        class_names: of label 0, 1, ...
    """
    figure, axes = plt.subplots(
        len(embeddings), 2, figsize=(_WIDTH, 0.7 + 3.3 * len(embeddings)), layout="constrained", squeeze=False
    )
    for row, (layer, places) in zip(axes, embeddings.items(), strict=True):
        chosen = np.asarray(labels)[places.indices].astype(int)
        for ax, points, method in zip(row, (places.pca, places.tsne), ("PCA", "t-SNE"), strict=True):
            if points is None:
                ax.set_axis_off()
                continue
            shares = (
                [f" ({100 * share:.0f} % of variance)" for share in places.explained] if method == "PCA" else ["", ""]
            )
            ax.set(xlabel=f"{method} 1{shares[0]}", ylabel=f"{method} 2{shares[1]}", xticks=[], yticks=[])
            ax.set_title(f"{layer}, n = {len(points):,}", fontsize=10)
            _classes(ax, points, chosen, class_names)
    handles, names = axes[0, 0].get_legend_handles_labels()
    figure.legend(
        handles, names, loc="outside lower center", ncols=5, fontsize=9, markerscale=2.2, frameon=False, handletextpad=0
    )
    return figure


def mistake_grid(
    images: np.ndarray, mistakes: Mistakes, class_names: Sequence[str], image_shape: tuple[int, int]
) -> Figure:
    """Draw the most confident mistakes, five in a row, with true and predicted class and both probabilities.

    Args:
        images: of the mistakes, pixels in [0, 1], (m, height * width).
        mistakes: as measures.confident_mistakes returns them.
        class_names: of label 0, 1, ...
        image_shape: (height, width).
    """
    titles = []
    rows = zip(*mistakes[1:], strict=True)
    for true, predicted, p_predicted, p_true in rows:
        a, b, p, q = class_names[true], class_names[predicted], percent(p_predicted), percent(p_true)
        short = _longest(class_names) <= 3
        titles.append(f"{a} called {b}\n{b}: {p}\n{a}: {q}" if short else f"{a} called\n{b}: {p}\n({a}: {q})")
    return image_grid(images, titles, image_shape, columns=5, title="The most confident mistakes")


def noise_grid(
    rows: Mapping[str, tuple[np.ndarray, np.ndarray]], class_names: Sequence[str], image_shape: tuple[int, int]
) -> Figure:
    """Draw rows of images, one column per class, with the probability of that class above each image.

    Args:
        rows: name -> (images (classes, height * width), pixels in [0, 1]; probabilities (classes,)).
        class_names: of label 0, 1, ...
        image_shape: (height, width).
    """
    titles = [percent(p) for _, probability in rows.values() for p in probability]
    names = [name.replace(" ", "\n").replace("/", "/\n") for name in class_names]
    heads = [f"{name}\n{title}" for name, title in zip(names, titles, strict=False)]
    images = np.concatenate([images for images, _ in rows.values()])
    text = "Images that the network takes for each class, and how confidently"
    return image_grid(
        images, [*heads, *titles[len(heads) :]], image_shape, columns=len(class_names), row_names=list(rows), title=text
    )


def weights(w: np.ndarray, image_shape: tuple[int, int], *, count: int = 100) -> Figure:
    """Draw the weights of the first units as images, red for positive and blue for negative.

    Args:
        w: weights by unit, (units, height * width).
        image_shape: (height, width).
        count: number of units to draw, or fewer if there are not as many.
    """
    shown, (height, width) = w[:count], image_shape
    limit = np.quantile(np.abs(shown), 0.995)  # so that a few outliers do not make the rest pale
    columns = min(10, len(shown))
    rows = -(-len(shown) // columns)
    # One large image: laying out a hundred axes takes seconds.
    tiles = np.full((rows * columns, height + 2, width + 2), np.nan)
    tiles[: len(shown), 1:-1, 1:-1] = shown.reshape(-1, height, width)
    tiled = tiles.reshape(rows, columns, height + 2, width + 2).swapaxes(1, 2).reshape(rows * (height + 2), -1)
    figure, ax = _new((_WIDTH, 0.5 + 0.82 * _WIDTH * tiled.shape[0] / tiled.shape[1]))
    image = ax.imshow(tiled, cmap="RdBu_r", vmin=-limit, vmax=limit, interpolation="none")
    ax.set_axis_off()
    which = f"the {len(shown)} largest of {len(w)} units" if len(shown) < len(w) else f"{len(w)} units, largest first"
    ax.set_title(f"First-layer weights: {which}", fontsize=10)
    figure.colorbar(image, ax=ax, shrink=0.6, pad=0.02, label="weight", extend="both")
    return figure


def augmented_grid(originals: np.ndarray, variants: Sequence[np.ndarray], image_shape: tuple[int, int]) -> Figure:
    """Draw images in the first row and augmented variants in the rows below.

    Args:
        originals: pixels in [0, 1], (n, height * width).
        variants: each like originals.
        image_shape: (height, width).
    """
    names = ("original", *(f"variant {number}" for number in range(1, len(variants) + 1)))
    images, title = np.concatenate([originals, *variants]), "Training images and augmented variants"
    return image_grid(images, (), image_shape, columns=len(originals), row_names=names, title=title)


def image_grid(
    images: np.ndarray,
    titles: Sequence[str],
    image_shape: tuple[int, int],
    *,
    columns: int,
    row_names: Sequence[str] = (),
    title: str = "",
) -> Figure:
    """Draw images in a grid.

    Args:
        images: row by row of the grid, pixels in [0, 1] from white to black, (n, height * width).
        titles: one above each image, or none at all.
        image_shape: (height, width).
        columns: images in a row.
        row_names: one to the left of each row, or none.
        title: of the picture.
    """
    height, width = image_shape
    rows = -(-len(images) // columns)
    lines = sum(max((text.count("\n") + 1 for text in titles[i * columns :][:columns]), default=0) for i in range(rows))
    total = min(_WIDTH, 1.6 * columns + 0.5)
    size = total, rows * (total - 0.3) / columns * height / width + 0.15 * lines + 0.06 * rows + 0.3
    figure, grid = plt.subplots(rows, columns, figsize=size, layout="constrained", squeeze=False)
    figure.set_layout_engine("constrained", w_pad=0.02, h_pad=0.02, wspace=0.02, hspace=0.02)
    axes = grid.flatten()
    for ax in axes[len(images) :]:
        ax.set_axis_off()
    for ax, image in zip(axes, images, strict=False):
        ax.imshow(image.reshape(image_shape), cmap="gray_r", vmin=0, vmax=1)
        ax.set(xticks=[], yticks=[])
        ax.spines[:].set_color("#cccccc")
    for ax, text in zip(axes, titles, strict=False):
        ax.set_title(text, fontsize=_SMALL, pad=2)
    for ax, text in zip(axes[::columns], row_names, strict=True) if row_names else ():
        ax.set_ylabel(textwrap.fill(text, 10), fontsize=9)
    figure.suptitle(title, fontsize=10)
    return figure


def _new(size):
    return plt.subplots(figsize=size, layout="constrained")


def _classes(ax, points, labels, class_names):
    outline = [patheffects.withStroke(linewidth=2.5, foreground="white")]
    numbered = len(class_names) > 3 and _longest(class_names) > 3  # long names would overlap
    for k, name in enumerate(class_names):
        own = points[labels == k]
        style = {"color": _COLOURS[k % len(_COLOURS)], "marker": _MARKERS[k % len(_MARKERS)], "linestyle": "none"}
        label = f"{k} {name}" if numbered else name
        ax.plot(*own.T, markersize=2.6, markeredgewidth=0, alpha=0.7, label=label, **style)
        if len(own):
            text = {"s": f"{k}" if numbered else name, "path_effects": outline, "weight": "bold", "fontsize": 9}
            ax.text(*np.median(own, axis=0), ha="center", va="center", zorder=5, **text)


def _longest(names):
    return max(len(name) for name in names)
