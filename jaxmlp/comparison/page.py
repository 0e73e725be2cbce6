"""A comparison as one self-contained HTML page, pictures included, readable on a phone and in print."""

import base64
import html
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from jaxmlp import _files
from jaxmlp.comparison import report, statistics
from jaxmlp.comparison.summary import Summary

__docformat__ = "google"
__all__ = ["write_page"]

# How to read each picture, for someone who sees it for the first time.
_READING = {
    "learning_curves": "Lower is better. Each line is the mean of a tuned optimizer over the fresh seeds; where bands "
    "overlap, other seeds might reverse the order.",
    "sensitivity": "A wide flat valley means that the learning rate needs little tuning; a ring at the end of a line "
    "means that the grid was too narrow.",
    "time_to_target": "Each mark is one seed and the bar their median; further left is faster. A time is the number of "
    "epochs to the target multiplied by the seconds of one epoch of training alone, so its resolution is one epoch.",
    "budget": "For each number of tries, the expected validation error of the best of that many learning rates drawn "
    "at random. An optimizer whose line starts low needs little tuning.",
    "profile": "The height at 1 is the share of targets for which an optimizer was fastest; further right, the share "
    "that it reached within that multiple of the fastest time.",
}
_HEADINGS = {
    "learning_curves": "Learning curves",
    "sensitivity": "Sensitivity to the learning rate",
    "time_to_target": "Time to target",
    "budget": "Tuning budget",
    "profile": "All targets together",
}

_STYLE = """
:root { color-scheme: light; }
body { font: 16px/1.5 system-ui, sans-serif; margin: 0 auto; max-width: 60rem; padding: 1rem;
  color: #1a1a1a; background: #fff; }
h1 { font-size: 1.6rem; line-height: 1.2; } h2 { margin-top: 2.5rem; border-top: 1px solid #ccc; padding-top: 1rem; }
h3 { margin-bottom: .3rem; }
figure { margin: 1rem 0; break-inside: avoid; } img { width: 100%; max-width: 46rem; height: auto; display: block; }
figcaption { color: #444; font-size: .92rem; }
.wide { overflow-x: auto; } table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { padding: .3rem .7rem; text-align: right; white-space: nowrap; border-bottom: 1px solid #ddd; }
th:first-child, td:first-child { text-align: left; position: sticky; left: 0; background: #fff; }
.warning { background: #fff4d6; padding: .3rem .6rem; }
dt { font-weight: 600; } dd { margin: 0 0 .5rem; overflow-wrap: anywhere; }
@media print { body { max-width: none; font-size: 11pt; } .wide { overflow: visible; } table { font-size: 8pt; } }
"""


def write_page(
    path: Path,
    results: Mapping[str, Any],
    summaries: Mapping[str, Summary],
    times: Mapping[str, Mapping[str, float | None]],
    pictures: Sequence[Path],
    profile: Path,
) -> None:
    """Write the page, whole or not at all.

    Args:
        path: of the .html file.
        results: the record.
        summaries: problem -> summary.
        times: optimizer -> {"problem, target": seconds, None for never}.
        pictures: files named <problem>-<kind>.png.
        profile: file of the picture over all problems.

    Example:
        >>> import tempfile
        >>> from jaxmlp.comparison import drawing, figures, summary, toy
        >>> folder, times = Path(tempfile.mkdtemp()), summary.target_times(toy.RECORD["problems"])
        >>> drawing.save(figures.profile(times), folder / "profile.png")
        >>> summaries = {"digits": summary.summarise(toy.PROBLEM)}
        >>> write_page(folder / "report.html", toy.RECORD, summaries, times, [], folder / "profile.png")
    """
    parts = [f"<h1>Optimizers compared on {_text(', '.join(results['problems']))}</h1>", _how(results)]
    for name, problem in results["problems"].items():
        parts += [
            f"<h2>{_text(report.title(name, problem))}</h2>",
            _source(problem),
            _tables(name, problem, summaries[name]),
        ]
        parts += [_finding(finding) for finding in summaries[name].findings]
        parts += [
            _figure(kind, picture, name)
            for kind in _READING
            for picture in pictures
            if picture.name == f"{name}-{kind}.png"
        ]
    parts += ["<h2>All targets together</h2>", _scores(times), _figure("profile", profile, "all problems")]
    parts += ["<h2>Where the numbers come from</h2>", _origin(results)]
    page = f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>Optimizers compared</title><link rel="icon" href="data:,"><style>{_STYLE}</style></head>
<body>{"".join(parts)}</body></html>
"""
    _files.write(path, page)


def _how(results):
    return (
        "<p>Each optimizer's learning rate was chosen on a validation part of the training set and then frozen. The "
        "optimizer was trained again from fresh seeds, and only those runs were measured on the test set. &plusmn; is "
        "a 95 % interval over the seeds (Student's t).</p>"
        f"<p>Problem: {_text(', '.join(results['problems']))}, {_text(results['problem_chosen_because'])}.</p>"
    )


def _source(problem):
    settings = problem["problem"]
    differs = f" Differences: {settings['differences']}." if settings["differences"] else ""
    counts = ", ".join(f"{count:,} {name}" for name, count in problem["examples"].items())
    trained = "the training part alone" if settings["keep_validation"] else "the training and validation parts"
    return (
        f"<p>Settings: {_text(settings['source'])}.{_text(differs)} Examples: {counts}; the final runs were trained on "
        f"{trained}. Tuning: {len(problem['tuning_seeds'])} seeds, {settings['tune_epochs']} epochs each.</p>"
    )


def _tables(name, problem, summary):
    parts = []
    for caption, (headings, rows) in (
        ("", report.result_cells(summary)),
        (f"<p>{_text(name)}: differences in test accuracy</p>", report.pair_cells(summary)),
        # Not a <caption>: on a phone that is as wide as the table, which is wider than the screen.
        (f"<p>{_text(report.time_title(name, problem))}</p>", report.time_cells(summary)),
    ):
        if not rows:
            continue
        head = "".join(f"<th scope=col>{_text(heading)}</th>" for heading in headings)
        body = "".join(f"<tr>{''.join(f'<td>{_text(cell)}</td>' for cell in row)}</tr>" for row in rows)
        table = f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
        parts.append(f"{caption}<div class=wide>{table}</div>")
    return "".join(parts)


def _finding(finding):
    kind = " class=warning" if finding.startswith("Warning") else ""
    return f"<p{kind}>{_text(finding)}</p>"


def _figure(kind, picture, name):
    data = base64.b64encode(picture.read_bytes()).decode()
    return (
        f'<figure><h3>{_HEADINGS[kind]}</h3><img alt="{_HEADINGS[kind]}, {_text(name)}" '
        f'src="data:image/png;base64,{data}"><figcaption>{_READING[kind]}</figcaption></figure>'
    )


def _scores(times):
    scores = statistics.profile_score(times)
    rows = "".join(
        f"<tr><td>{_text(name)}</td><td>{score:.3f}</td></tr>"
        for name, score in sorted(scores.items(), key=lambda item: -item[1])
    )
    count = len(next(iter(times.values())))
    return (
        f"<p>Score: the area under the performance profile for ratios 1 to 4, as a share of the whole (AlgoPerf), over "
        f"{count} (problem, target) pairs. With few pairs it means little.</p>"
        "<div class=wide><table><thead><tr><th>optimizer</th><th>score</th></tr></thead>"
        f"<tbody>{rows}</tbody></table></div>"
    )


def _origin(results):
    origin = results["provenance"]
    versions = ", ".join(f"{name} {version}" for name, version in origin["versions"].items() if version)
    seeds = "; ".join(
        f"{name}: tuning {_range(problem['tuning_seeds'])}, fresh {_range(problem['fresh_seeds'])}"
        for name, problem in results["problems"].items()
    )
    entries = {
        "Command": results["command"],
        "Device": f"{origin['device']}, {origin['cpus']} CPUs, {origin['machine']}",
        "Versions": versions,
        "Commit": origin["commit"] or "unknown",
        "Seeds": seeds,
        "Time of the last call": f"{results['seconds_of_last_call']:.0f} s, compilation included",
    }
    return "<dl>" + "".join(f"<dt>{name}</dt><dd>{_text(str(value))}</dd>" for name, value in entries.items()) + "</dl>"


def _range(seeds):
    return f"{seeds[0]} to {seeds[-1]}" if len(seeds) > 1 else str(seeds[0])


def _text(value):
    return html.escape(str(value))
