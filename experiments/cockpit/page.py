"""The page of instruments: three columns of pictures, each with one sentence on how to read it."""

import html
import io
import re
from collections.abc import Mapping
from typing import NamedTuple

from matplotlib.figure import Figure

from experiments.cockpit.figures import COLUMNS, READING

_STYLE = """
:root { color-scheme: light dark; --paper: #fff; --ink: #1c2024; --soft: #4b535c; --rule: #ccd2d9; }
@media (prefers-color-scheme: dark) { :root { --paper: #14171b; --ink: #e7eaee; --soft: #a2abb5; --rule: #3a414a; } }
* { box-sizing: border-box; }
body { font: 15px/1.45 system-ui, sans-serif; margin: 0 auto; max-width: 84rem; padding: 1rem; color: var(--ink);
  background: var(--paper); }
.columns { display: grid; grid-template-columns: repeat(3, 1fr); gap: 1.2rem; }
@media (max-width: 50rem) { .columns { grid-template-columns: 1fr; } }
figure { margin: 0 0 1rem; break-inside: avoid; }
svg { width: 100%; height: auto; display: block; fill: var(--ink); }
figcaption { color: var(--soft); font-size: .87rem; } p { max-width: 60rem; }
h2 { border-top: 1px solid var(--rule); padding-top: .8rem; } .wide { max-width: 52rem; }
.key span { margin-right: 1.2rem; white-space: nowrap; }
.key i { display: inline-block; width: 1.1rem; height: .25rem; margin-right: .4rem; vertical-align: middle; }
"""
EDGE = (
    "Lower: solid, the sharpness of the full training loss; dashed, 2 / learning rate, above which gradient descent "
    "cannot converge on a quadratic. Sharpness rises until it reaches the line and then hovers there, while the loss "
    "keeps falling though no longer at every step (Cohen et al., 2021)."
)


class Group(NamedTuple):
    """Runs that are drawn together."""

    paragraph: str
    """What they are."""
    pictures: Mapping[str, str]
    """Panel -> SVG; a panel "edge" stands alone."""
    colours: Mapping[str, str]
    """Run -> its colour in all panels."""


def text(groups: Mapping[str, Group], origin: str, title: str = "Inside the runs") -> str:
    """Return the page as HTML with its pictures inside, so that it can be moved.

    Args:
        groups: their titles and what they show.
        origin: where the numbers come from, one sentence.
        title: the heading.
    """
    parts = []
    for name, group in groups.items():
        parts.append(f"<h2>{html.escape(name)}</h2><p>{html.escape(group.paragraph)}</p>")
        if "edge" in group.pictures:
            parts.append(f'<div class="wide">{_figure("Edge of stability", group.pictures["edge"], EDGE)}</div>')
            continue
        parts.append(_key(group.colours))
        columns = "".join(
            f"<div><h3>{column}</h3>{''.join(_figure(READING[n][0], group.pictures[n], READING[n][1]) for n in names)}"
            "</div>"
            for column, names in COLUMNS.items()
        )
        parts.append(f'<div class="columns">{columns}</div>')
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<title>{html.escape(title)}</title><link rel="icon" href="data:,"><style>{_STYLE}</style></head>'
        f"<body><h1>{html.escape(title)}</h1>{''.join(parts)}<p>{html.escape(origin)}</p></body></html>\n"
    )


def drawn(figure: Figure) -> str:
    """Return a figure as SVG."""
    drawing = io.StringIO()
    figure.savefig(drawing, format="svg", dpi=150)
    return drawing.getvalue()


def _key(colours):
    names = (f'<span><i style="background: {_ink(c)}"></i>{html.escape(name)}</span>' for name, c in colours.items())
    return f'<p class="key">{"".join(names)}</p>'


def _figure(title, picture, sentence):
    return f"<figure>{_inline(title, picture)}<figcaption>{html.escape(sentence)}</figcaption></figure>"


def _inline(title, picture):
    """The picture as part of the page, in its colours of ink and paper."""
    picture = re.sub(r"<metadata>.*?</metadata>", "", picture[picture.index("<svg") :], flags=re.DOTALL)
    picture = re.sub(r'<g id="[^"]*"', "<g", picture)  # they would not be unique on the page
    return _ink(picture).replace("<svg ", f'<svg role="img" aria-label="{html.escape(title)}" ', 1)


def _ink(text):
    return text.replace("#000000", "var(--ink)").replace("#ffffff", "var(--paper)")
