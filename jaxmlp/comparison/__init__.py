"""The comparison of optimizers: tune on a validation part, freeze the choice, rerun on fresh seeds, test once.

Reached by importing its modules, never by import jaxmlp; it needs the extra `comparison`.

- Work: problems (tasks and data), plans (what decides the numbers), protocol (their execution), tuning (the search),
  study (the training runs), measures, schedule (many runs on a few cores), race (looks at the verdicts).
- Statistics: statistics, verdicts (over all pairs), speed, timing.
- Files: store (finished runs of an interrupted experiment), entries (what is written of a problem), record
  (results.json and where its numbers came from).
- Reports, made from the record alone: summary, report (tables), figures, page (HTML); drawing is the style of all
  pictures, toy a made-up record for examples.
- Command line: command (python -m experiments.optimizers) and its options; console, the frame of every command.
"""

from jaxmlp._checks import need

need("comparison", "matplotlib", "rich", "scipy", "threadpoolctl")

from jaxmlp.comparison import (  # noqa: E402 - the extra is checked first
    command,
    console,
    drawing,
    entries,
    figures,
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
    speed,
    statistics,
    store,
    study,
    summary,
    timing,
    toy,
    tuning,
    verdicts,
)

__docformat__ = "google"
__all__ = [
    "command",
    "console",
    "drawing",
    "entries",
    "figures",
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
    "speed",
    "statistics",
    "store",
    "study",
    "summary",
    "timing",
    "toy",
    "tuning",
    "verdicts",
]
