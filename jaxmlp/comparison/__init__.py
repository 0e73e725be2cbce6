"""The comparison of optimizers: tune, freeze, race on fresh seeds, give verdicts and report.

    from jaxmlp.comparison import compare
    compare("digits", ["sgd", "adam"], seeds=5, output="results/mine")

Reached by importing it, never by import jaxmlp; it needs the extra `comparison`. Its modules are loaded when they are
first used.

- From Python: compare, Problem and Score; from a command line: command (python -m experiments.optimizers) and its
  options; console, the frame of every command. Both go through comparing.
- Work: problems (tasks and data), references (objects by FILE.py:NAME), scores (what decides which is better), plans
  (what decides the numbers), protocol (their execution), tuning (the search), study (the training runs), measures,
  schedule (many runs on a few cores), race (looks at the verdicts).
- Statistics: statistics, verdicts (over all pairs), speed, timing.
- Files: store (finished runs of an interrupted experiment), entries (what is written of a problem), record
  (results.json and where its numbers came from), tidy (runs.csv).
- Reports, made from the record alone: summary (numbers), findings, durations and wording (sentences), tables, report
  (terminal, Markdown, LaTeX), page (HTML with its pictures), figures (pictures as files); drawing is the style of all
  figures, toy a made-up record for examples.
"""

import importlib
from typing import TYPE_CHECKING

from jaxmlp._checks import need

need("comparison", "matplotlib", "rich", "scipy", "threadpoolctl")

if TYPE_CHECKING:
    from jaxmlp.comparison import (
        command,
        comparing,
        console,
        drawing,
        durations,
        entries,
        figures,
        findings,
        measures,
        options,
        page,
        plans,
        problems,
        protocol,
        race,
        record,
        references,
        report,
        schedule,
        scores,
        speed,
        statistics,
        store,
        study,
        summary,
        tables,
        tidy,
        timing,
        toy,
        tuning,
        verdicts,
        wording,
    )
    from jaxmlp.comparison.comparing import Comparison, Progress, compare
    from jaxmlp.comparison.problems import Problem, from_csv
    from jaxmlp.comparison.scores import Score

__docformat__ = "google"
__all__ = [
    "Comparison",
    "Problem",
    "Progress",
    "Score",
    "command",
    "compare",
    "comparing",
    "console",
    "drawing",
    "durations",
    "entries",
    "figures",
    "findings",
    "from_csv",
    "measures",
    "options",
    "page",
    "plans",
    "problems",
    "protocol",
    "race",
    "record",
    "references",
    "report",
    "schedule",
    "scores",
    "speed",
    "statistics",
    "store",
    "study",
    "summary",
    "tables",
    "tidy",
    "timing",
    "toy",
    "tuning",
    "verdicts",
    "wording",
]

_MODULE_OF = {
    **dict.fromkeys(("Comparison", "Progress", "compare"), "comparing"),
    **dict.fromkeys(("Problem", "from_csv"), "problems"),
    "Score": "scores",
}


def __getattr__(name):
    if name in _MODULE_OF:
        return getattr(importlib.import_module(f"jaxmlp.comparison.{_MODULE_OF[name]}"), name)
    if name in __all__:
        return importlib.import_module(f"jaxmlp.comparison.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__():
    return sorted(__all__)
