"""The page of instruments: three columns of pictures, each with one sentence on how to read it."""

import base64
import html
from collections.abc import Mapping
from pathlib import Path

from experiments.cockpit.figures import COLUMNS, READING

_STYLE = """
body { font: 15px/1.45 system-ui, sans-serif; margin: 0 auto; max-width: 84rem; padding: 1rem; color: #1a1a1a;
  background: #fff; }
.columns { display: grid; grid-template-columns: repeat(3, 1fr); gap: 1.2rem; }
@media (max-width: 50rem) { .columns { grid-template-columns: 1fr; } }
figure { margin: 0 0 1rem; break-inside: avoid; } img { width: 100%; height: auto; display: block; }
figcaption { color: #444; font-size: .87rem; }
h2 { border-top: 1px solid #ccc; padding-top: .8rem; } .wide img { max-width: 46rem; }
"""
EDGE = (
    "Lower: solid, the sharpness of the full training loss; dashed, 2 / learning rate, above which gradient descent "
    "cannot converge on a quadratic. Sharpness rises until it reaches the line and then hovers there, while the loss "
    "keeps falling though no longer at every step (Cohen et al., 2021)."
)


def text(groups: Mapping[str, tuple[str, Mapping[str, Path]]], origin: str) -> str:
    """Return the page as HTML with its pictures embedded, so that it can be moved.

    Args:
        groups: title -> (paragraph, panel -> file of its picture); a panel "edge" stands alone.
        origin: where the numbers come from, one sentence.
    """
    parts = []
    for title, (paragraph, pictures) in groups.items():
        parts.append(f"<h2>{html.escape(title)}</h2><p>{html.escape(paragraph)}</p>")
        if "edge" in pictures:
            parts.append(f'<div class="wide">{_figure("Edge of stability", pictures["edge"], EDGE)}</div>')
            continue
        columns = "".join(
            f"<div><h3>{column}</h3>{''.join(_figure(READING[n][0], pictures[n], READING[n][1]) for n in names)}</div>"
            for column, names in COLUMNS.items()
        )
        parts.append(f'<div class="columns">{columns}</div>')
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1"><title>Cockpit</title>'
        f'<link rel="icon" href="data:,"><style>{_STYLE}</style></head><body><h1>Inside the runs</h1>'
        f"{''.join(parts)}<p>{html.escape(origin)}</p></body></html>\n"
    )


def _figure(title, picture, sentence):
    data = base64.b64encode(picture.read_bytes()).decode()
    return (
        f'<figure><img alt="{html.escape(title)}" src="data:image/svg+xml;base64,{data}">'
        f"<figcaption>{html.escape(sentence)}</figcaption></figure>"
    )
