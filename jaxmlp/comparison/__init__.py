"""The comparison of optimizers: tune, freeze, race on fresh seeds, give verdicts and report.

    from jaxmlp.comparison import compare
    compare("digits", ["sgd", "adam"], seeds=5, output="results/mine")

Reached by importing it, never by import jaxmlp; it needs the extra `comparison`. Its modules are loaded when they are
first used.

- From Python: compare, Candidate, Problem and Score; from a command line: command (python -m jaxmlp.comparison) and its
  options; console, the frame of every command. Both go through comparing.
- Candidates: candidates (what competes), references (objects by FILE.py:NAME), spaces (what is searched), recipes (from
  hyperparameters to an optimizer), trials (which can compete).
- Work: problems (tasks and data), scores (what decides which is better), plans
  (what decides the numbers), protocol (their execution), tuning (the search), study (the training runs), measures,
  schedule (many runs on a few cores), workers (other processes and machines do them) and sending (what these are sent),
  race (looks at the verdicts).
- Statistics: statistics, verdicts (over all pairs), speed, timing.
- Files: store (finished runs of an interrupted experiment), entries (what is written of a problem), record
  (JSON, and where its numbers came from), records (the record in its folder: read, written, joined), growing (further
  candidates for a record), tidy (runs.csv).
- Reports, made from the record alone: summary (numbers), findings, durations and wording (sentences), points
  (hyperparameters in words), tables, report (terminal, Markdown, LaTeX), page (HTML with its pictures), figures
  (pictures as files); drawing is the style of all figures, toy a made-up record for examples.
"""

import importlib
from typing import TYPE_CHECKING

from jaxmlp._checks import need

need("comparison", "matplotlib", "rich", "scipy", "threadpoolctl")

if TYPE_CHECKING:
    from jaxmlp.comparison import (
        candidates,
        command,
        comparing,
        console,
        drawing,
        durations,
        entries,
        figures,
        findings,
        growing,
        measures,
        options,
        page,
        plans,
        points,
        problems,
        protocol,
        race,
        recipes,
        record,
        records,
        references,
        report,
        schedule,
        scores,
        sending,
        spaces,
        speed,
        statistics,
        store,
        study,
        summary,
        tables,
        tidy,
        timing,
        toy,
        trials,
        tuning,
        verdicts,
        wording,
        workers,
    )
    from jaxmlp.comparison.candidates import Candidate
    from jaxmlp.comparison.comparing import Comparison, Progress, compare
    from jaxmlp.comparison.problems import Problem, from_csv
    from jaxmlp.comparison.scores import Score
    from jaxmlp.comparison.spaces import choice, log_uniform, one_minus_log_uniform, uniform

__docformat__ = "google"
__all__ = [
    "Candidate",
    "Comparison",
    "Problem",
    "Progress",
    "Score",
    "candidates",
    "choice",
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
    "growing",
    "log_uniform",
    "measures",
    "one_minus_log_uniform",
    "options",
    "page",
    "plans",
    "points",
    "problems",
    "protocol",
    "race",
    "recipes",
    "record",
    "records",
    "references",
    "report",
    "schedule",
    "scores",
    "sending",
    "spaces",
    "speed",
    "statistics",
    "store",
    "study",
    "summary",
    "tables",
    "tidy",
    "timing",
    "toy",
    "trials",
    "tuning",
    "uniform",
    "verdicts",
    "wording",
    "workers",
]

_MODULE_OF = {
    **dict.fromkeys(("Comparison", "Progress", "compare"), "comparing"),
    **dict.fromkeys(("Problem", "from_csv"), "problems"),
    "Candidate": "candidates",
    "Score": "scores",
    **dict.fromkeys(("choice", "log_uniform", "one_minus_log_uniform", "uniform"), "spaces"),
}


def __getattr__(name):
    if name in _MODULE_OF:
        return getattr(importlib.import_module(f"jaxmlp.comparison.{_MODULE_OF[name]}"), name)
    if name in __all__:
        return importlib.import_module(f"jaxmlp.comparison.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__():
    return sorted(__all__)
