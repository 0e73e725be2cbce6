"""The comparison of optimizers: tune, freeze, race on fresh seeds, give verdicts and report.

Reached by importing its modules, never by import jaxmlp; it needs the extra `comparison`.

- Work: problems (tasks and data), scores (what decides which is better), plans (what decides the numbers), protocol
  (their execution), tuning (the search), study (the training runs), measures, schedule (many runs on a few cores),
  race (looks at the verdicts).
- Statistics: statistics, verdicts (over all pairs), speed, timing.
- Files: store (finished runs of an interrupted experiment), entries (what is written of a problem), record
  (results.json and where its numbers came from), tidy (runs.csv).
- Reports, made from the record alone: summary (numbers), findings, durations and wording (sentences), tables, report
  (terminal, Markdown, LaTeX), page (HTML with its pictures), figures (pictures as files); drawing is the style of all
  figures, toy a made-up record for examples.
- Command line: command (python -m experiments.optimizers) and its options; console, the frame of every command.
"""

from jaxmlp._checks import need

need("comparison", "matplotlib", "rich", "scipy", "threadpoolctl")

from jaxmlp.comparison import (  # noqa: E402 - the extra is checked first
    command,
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

__docformat__ = "google"
__all__ = [
    "command",
    "console",
    "drawing",
    "durations",
    "entries",
    "figures",
    "findings",
    "measures",
    "options",
    "page",
    "plans",
    "problems",
    "protocol",
    "race",
    "record",
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
