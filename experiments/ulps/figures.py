"""The picture of all errors: one row for each function, one column for each format."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from jaxmlp.comparison.drawing import new

COLOURS = {"jaxmlp": "#D55E00", "jax.nn": "#0072B2", "optax": "#009E73", "PyTorch": "#999999"}
_LEAST = 0.2  # nothing below half a unit says more


def overview(results: Mapping[str, Mapping[str, Mapping[str, Any]]]) -> Figure:
    """Draw the largest error of every function, value and gradient, of every library.

    Args:
        results: format -> kind -> function -> library -> "value" or "gradient" -> {"worst": ulps, ...}.
    """
    names = [(kind, name) for kind, rows in next(iter(results.values())).items() for name in rows]
    figure, axes = new(1, (4.4 * len(results) + 2.2, 0.24 * len(names) + 1.6), columns=len(results))
    for axis, (dtype, by_kind) in zip(axes, results.items(), strict=True):
        finite = [
            f["worst"] for rows in by_kind.values() for row in rows.values() for p in row.values() for f in p.values()
        ]
        end = 4 * max([_LEAST, *(worst for worst in finite if np.isfinite(worst))])
        for place, (kind, name) in enumerate(names):
            for library, parts in by_kind[kind][name].items():
                for part, found in parts.items():
                    shape = "o" if kind == "rules" or part == "value" else "s"
                    inside = COLOURS[library] if part == "value" else "none"
                    mark = shape if np.isfinite(found["worst"]) else "X"
                    # The others beside ours, slightly above it, so that equal errors are seen.
                    shift = 0.0 if library == "jaxmlp" else -0.25
                    size = 6 if library == "jaxmlp" else 4
                    at = np.clip(found["worst"], _LEAST, end)
                    axis.plot(at, place + shift, mark, ms=size, color=COLOURS[library], mfc=inside)
        axis.axvline(0.5, color="k", linewidth=0.8, linestyle=":")
        axis.set(xscale="log", xlim=(0.8 * _LEAST, 1.3 * end), ylim=(len(names) - 0.5, -0.8), title=dtype)
        axis.set_xlabel("largest error in ulps")
        axis.set_yticks(range(len(names)), [name for _, name in names] if axis is axes[0] else [])
    for library, colour in COLOURS.items():
        axes[-1].plot([], [], "o", color=colour, label=library)
    axes[-1].plot([], [], "s", color="k", mfc="none", label="gradient")
    axes[-1].plot([], [], "X", color="k", label="not finite")
    axes[-1].legend(fontsize=8, loc="lower right")
    return figure
