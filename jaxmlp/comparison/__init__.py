"""The comparison of optimizers: tune on a validation part, freeze the choice, rerun on fresh seeds, test once.

Reached by importing its modules, never by import jaxmlp; it needs the extra `comparison`.

- Work: problems (tasks and data), protocol (the plan and its execution), study (the training runs), statistics,
  verdicts (over all pairs), speed.
- Files: store (finished runs of an interrupted experiment), record (results.json and where its numbers came from).
- Reports, made from the record alone: summary (numbers), findings, durations and wording (sentences), tables, report
  (terminal, Markdown, LaTeX), page with page_style and small_print (HTML), dots and panels on svg (its pictures),
  figures (pictures as files); drawing is the style of all figures, toy a made-up record for examples.
- Command line: command (python -m experiments.optimizers); console, the frame of every command.
"""

from jaxmlp._checks import need

need("comparison", "matplotlib", "rich", "scipy", "threadpoolctl")

from jaxmlp.comparison import (  # noqa: E402 - the extra is checked first
    command,
    console,
    dots,
    drawing,
    durations,
    figures,
    findings,
    page,
    page_style,
    panels,
    problems,
    protocol,
    record,
    report,
    small_print,
    speed,
    statistics,
    store,
    study,
    summary,
    svg,
    tables,
    toy,
    verdicts,
    wording,
)

__docformat__ = "google"
__all__ = [
    "command",
    "console",
    "dots",
    "drawing",
    "durations",
    "figures",
    "findings",
    "page",
    "page_style",
    "panels",
    "problems",
    "protocol",
    "record",
    "report",
    "small_print",
    "speed",
    "statistics",
    "store",
    "study",
    "summary",
    "svg",
    "tables",
    "toy",
    "verdicts",
    "wording",
]
