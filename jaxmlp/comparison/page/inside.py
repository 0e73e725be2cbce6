"""The page of instruments: three columns of pictures, each with a sentence on how to read it."""

import html
import io
import re
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
from matplotlib.figure import Figure

from jaxmlp import _files
from jaxmlp.comparison import inside, report
from jaxmlp.comparison.drawing import LOOKS
from jaxmlp.comparison.page.readings import COLUMNS, READING, colours, panel
from jaxmlp.comparison.wording import display

__docformat__ = "google"
__all__ = ["PAGE", "Group", "drawn", "group", "text", "write_page"]

PAGE = "instruments.html"
"""The page of a comparison with instruments."""

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


class Group(NamedTuple):
    """Runs that are drawn together."""

    paragraph: str
    """What they are."""
    pictures: Mapping[str, str]
    """Panel -> SVG."""
    colours: Mapping[str, str]
    """Run -> its colour in all panels."""
    wide: Mapping[str, tuple[str, str]] = MappingProxyType({})
    """Title -> (SVG, how to read it), of pictures as wide as the page, above the panels."""


def group(paragraph: str, runs: Mapping[str, Mapping[str, Any]], looks: Mapping[str, str] | None = None) -> Group:
    """Draw all panels of some runs.

    Args:
        paragraph: what they are.
        runs: run -> instrument -> Readings.
        looks: run -> its colour; None: as colours gives them.

    Example:
        >>> group("No run.", {}).colours
        {}
    """
    looks = colours(runs) if looks is None else looks
    pictures = {name: drawn(panel(name, runs, looks)) for name in READING} if runs else {}
    named = {_named(run, runs[run]): colour for run, colour in looks.items()}
    return Group(paragraph, pictures, named)


def text(groups: Mapping[str, Group], origin: str, title: str = "Inside the runs") -> str:
    """Return the page as HTML with its pictures inside, so that it can be moved.

    Args:
        groups: their titles and what they show.
        origin: where the numbers come from, one sentence.
        title: the heading.

    Example:
        >>> "<h2>Nothing</h2>" in text({"Nothing": Group("No run.", {}, {})}, "Seed 0.")
        True
    """
    parts = []
    for name, shown in groups.items():
        parts.append(f"<h2>{html.escape(name)}</h2><p>{html.escape(shown.paragraph)}</p>")
        parts += [
            f'<div class="wide">{_figure(heading, picture, reading)}</div>'
            for heading, (picture, reading) in shown.wide.items()
        ]
        if not shown.pictures:
            continue
        parts.append(_key(shown.colours))
        columns = "".join(
            f"<div><h3>{column}</h3>{''.join(_figure(READING[n][0], shown.pictures[n], READING[n][1]) for n in names)}"
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


def write_page(path: Path, results: Mapping[str, Any], curves: Mapping[str, np.ndarray]) -> None:
    """Write the page of a comparison, whole or not at all; where no run had instruments, remove that of another.

    Args:
        path: of the .html file.
        results: the record.
        curves: problem/candidate/... -> array, as in curves.npz.

    Example:
        >>> from jaxmlp.comparison import toy
        >>> write_page(Path("no such folder", PAGE), toy.RECORD, {})
    """
    groups = {}
    for name, problem in results["problems"].items():
        of_problem = {key.split("/", 1)[1]: values for key, values in curves.items() if key.split("/", 1)[0] == name}
        found = {candidate: inside.readings(candidate, of_problem) for candidate in problem["candidates"]}
        found = {candidate: one for candidate, one in found.items() if one}
        if found:
            seed = min(problem["candidates"][next(iter(found))]["race"]["seeds"])
            paragraph = f"The race's run of seed {seed} of each optimizer at its choice, repeated with instruments."
            paragraph += f" Batches of {problem['problem']['batch_size']}."
            looks = {display(candidate): LOOKS[candidate]["color"] for candidate in found}
            runs = {display(candidate): one for candidate, one in found.items()}
            groups[display(name)] = group(paragraph, runs, looks)
    if groups:
        _files.write(
            path, text(groups, "See report.html for the comparison. " + report.origin(results).split(". ", 1)[1])
        )
    else:
        path.unlink(missing_ok=True)


def drawn(figure: Figure) -> str:
    """Return a figure as SVG.

    Example:
        >>> "<svg" in drawn(Figure())
        True
    """
    drawing = io.StringIO()
    figure.savefig(drawing, format="svg", dpi=150)
    return drawing.getvalue()


def _named(name, readings):
    bad = np.flatnonzero(~np.isfinite(readings["loss"].values))
    return name if not len(bad) else f"{name} (its loss is not finite from step {bad[0]} on)"


def _key(of_runs):
    names = (f'<span><i style="background: {_ink(c)}"></i>{html.escape(name)}</span>' for name, c in of_runs.items())
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
