"""The record of a comparison in its folder: results.json and the curves beside it, read, written and joined."""

import shlex
import time
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from jaxmlp.comparison import entries, race, record, store
from jaxmlp.comparison.store import Arrays
from jaxmlp.comparison.study import RACE

__docformat__ = "google"
__all__ = ["CURVES", "RECORD", "check_free", "command_of", "join_problem", "merge", "of_problem", "read", "write"]

RECORD, CURVES = "results.json", "curves.npz"
"""The names of the files."""

_TRIES, _PAUSE = 5, 0.05  # a process that has written its curves is about to write its results

_COMMAND = "python -m jaxmlp.comparison"


def read(folder: Path) -> tuple[dict[str, Any], Arrays]:
    """Return the record in a folder and its curves, both checked to be of a comparison and of the same run.

    Raises:
        ValueError: there is none, or it is damaged or of another format.

    Example:
        >>> read(Path("no such folder"))
        Traceback (most recent call last):
        ValueError: there is no results.json in no such folder; run the comparison first, or give its folder to --output
    """
    for _ in range(_TRIES):
        results = _results(folder)
        try:
            data = (folder / CURVES).read_bytes()  # once: another process may replace the file at any moment
        except OSError:
            data = b""
        curves = store.arrays_of(data)
        if curves is not None and zlib.crc32(data) == results["curves"]["crc32"]:
            return results, curves
        time.sleep(_PAUSE)
    raise ValueError(
        f"{folder / CURVES} is missing, damaged or from another run than {RECORD} beside it; run the comparison again"
    )


def _results(folder):
    """Return what is in results.json, checked."""
    if not (folder / RECORD).exists():
        raise ValueError(f"there is no {RECORD} in {folder}; run the comparison first, or give its folder to --output")
    results = record.read(folder / RECORD)
    if results.get("experiment") != "optimizers":
        raise ValueError(
            f"{folder / RECORD} is not a record of this comparison; run it again, or choose another --output"
        )
    if results.get("format") != record.FORMAT:
        raise ValueError(
            f"{folder / RECORD} is a record of format {results.get('format')}, and this version reads format "
            f"{record.FORMAT}; run the comparison again, or choose another --output"
        )
    if results.get("sha256") != record.seal(results):
        raise ValueError(
            f"{folder / RECORD} is damaged, was edited, or is of an older version; run the comparison again, or "
            "restore the file"
        )
    return results


def write(folder: Path, results: Mapping[str, Any], curves: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """Write a record: the curves first, so that the record never names curves that are not there.

    Args:
        folder: created if missing.
        results: all of the record but its format and what it says of the curves.
        curves: problem/candidate/phase/quantity -> array.

    Returns:
        The record as it is read back.

    Example:
        >>> import tempfile
        >>> folder = Path(tempfile.mkdtemp())
        >>> results = write(folder, {"experiment": "optimizers", "problems": {}}, {"x": np.zeros(1)})
        >>> results == read(folder)[0], sorted(results)
        (True, ['curves', 'experiment', 'format', 'problems', 'sha256'])
    """
    store.save_arrays(folder / CURVES, curves)
    about = {"file": CURVES, "crc32": zlib.crc32((folder / CURVES).read_bytes())}
    written = record.plain({**results, "format": record.FORMAT, "curves": about})
    written["sha256"] = record.seal(written)
    record.write(folder / RECORD, written)
    return written


def check_free(folder: Path) -> None:
    """Raise a ValueError if a folder holds a finished record.

    Example:
        >>> check_free(Path("no such folder"))
    """
    if (folder / RECORD).exists():
        raise ValueError(
            f"{folder} holds a finished record; to add to it, use --add NAME or --add-seeds N; to make its tables and "
            "pictures again, --report-only; to replace it, --overwrite; or choose another --output"
        )


def command_of(words: Sequence[str], added_seeds: Sequence[int] = ()) -> str:
    """Return the command that repeats a comparison.

    Args:
        words: its arguments.
        added_seeds: by how many seeds its record was extended, each time.

    Example:
        >>> command_of(["--optimizers", "sgd", "adam"])
        'python -m jaxmlp.comparison --optimizers sgd adam'
    """
    base = f"{_COMMAND} {shlex.join(words)}".rstrip()
    return " && ".join([base, *(f"{base} --add-seeds {count}" for count in added_seeds)])


def of_problem(name: str, curves: Mapping[str, np.ndarray]) -> Arrays:
    """Return the curves of one problem, without its name before theirs.

    Args:
        name: of the problem.
        curves: problem/candidate/phase/quantity -> array.

    Example:
        >>> of_problem("digits", {"digits/sgd/race/seed": 1, "mnist/sgd/race/seed": 2})
        {'sgd/race/seed': 1}
    """
    return {path.split("/", 1)[1]: values for path, values in curves.items() if path.split("/", 1)[0] == name}


_OF_CANDIDATES = ("candidates", "grids")  # what differs between plans of other candidates
_SAME = ("problem", "score", "examples", "data_sha256", "steps_per_epoch", "confidence", "margin", "chance", "splits")


def join_problem(
    first: tuple[Mapping[str, Any], Arrays], second: tuple[Mapping[str, Any], Arrays], what: str, remedy: str
) -> tuple[dict[str, Any], Arrays]:
    """Join two entries of one problem, by equal plans, with different candidates: verdicts and power are made again.

    Args:
        first: (entry, curves) as protocol.execute returns them, or as read from a record.
        second: the same, of other candidates.
        what: the beginning of an error message.
        remedy: its end.

    Returns:
        (entry, curves) of all candidates, those of the first before those of the second.

    Raises:
        ValueError: the plans differ, or a candidate is in both.

    Example:
        >>> from jaxmlp.comparison import toy
        >>> join_problem((toy.PROBLEM, toy.CURVES), (toy.PROBLEM, toy.CURVES), "no", "rename one")
        Traceback (most recent call last):
        ValueError: no: both have the candidates sgd, nesterov, adam; rename one
    """
    (a, of_a), (b, of_b) = first, second
    both = [name for name in a["candidates"] if name in b["candidates"]]
    if both:
        raise ValueError(f"{what}: both have the candidates {', '.join(both)}; {remedy}")
    store.check_same(_compared(a), _compared(b), what, remedy)
    entry = {**a, "candidates": {**a["candidates"], **b["candidates"]}}
    if "plan" in a:
        entry["plan"] = a["plan"] | {part: {**a["plan"][part], **b["plan"][part]} for part in _OF_CANDIDATES}
    curves = {**of_a, **of_b}
    finished = entries.read_finished(entry, curves)
    looks = finished.looks
    runs: dict[str, Any] = {}
    for index, look in enumerate(looks):
        runs = {
            name: race.runs_of(tables[RACE], look.seeds, entry["splits"], entry["examples"]["test"])
            for name, tables in finished.tables.items()
        }
        better = entry["score"]["higher_is_better"]
        before = entry["pairs"] if index else []
        added = max(0, index + 1 - len(looks) + finished.added)
        entry["pairs"] = race.update(before, runs, look.error, index, entry["margin"], better, added)
    percent = entry["score"]["unit"] == "%"
    entry["power"] = race.power(runs, entry["pairs"], looks[-1].error, *([] if percent else [None]))
    entry["effort"] = {name: value + b["effort"][name] for name, value in a["effort"].items()}
    coarse = [e["tuning"]["coarse"]["seeds"] for e in (a, b)]
    entry["tuning"] = {**a["tuning"], "coarse": {**a["tuning"]["coarse"], "seeds": max(coarse, key=len)}}
    entry["throughput"] = None  # of one call
    entry["timed_apart"] = True
    return record.plain(entry), curves


def _compared(entry):
    """What must be equal of two entries, as plain values."""
    plan = {name: value for name, value in entry.get("plan", {}).items() if name not in _OF_CANDIDATES}
    looks = [dict(look) for look in entry["race"]["looks"]]
    return record.plain({name: entry[name] for name in _SAME} | {"plan": plan, "looks": looks})


def merge(folders: Sequence[Path], output: Path) -> None:
    """Join records of equal plans, with different candidates or different problems, and write the result.

    Args:
        folders: of the records, at least two.
        output: folder of the new record.

    Raises:
        ValueError: a folder has no record, or the records cannot be joined.

    Example:
        >>> merge([Path("a")], Path("b"))
        Traceback (most recent call last):
        ValueError: merge takes at least two folders, got 1
    """
    if len(folders) < 2:
        raise ValueError(f"merge takes at least two folders, got {len(folders)}")
    found = [read(folder) for folder in folders]
    (results, curves), first = found[0], folders[0]
    problems = {name: (entry, of_problem(name, curves)) for name, entry in results["problems"].items()}
    for folder, (other, other_curves) in zip(folders[1:], found[1:], strict=True):
        what = f"the records in {first} and {folder} cannot be joined"
        for part in ("versions", "device"):
            before, now = results["provenance"][part], other["provenance"][part]
            store.check_same({part: before}, {part: now}, what, "run one of them again on the other's machine")
        for name, entry in other["problems"].items():
            one = entry, of_problem(name, other_curves)
            remedy = "run one of them again with the settings of the other, or with NAME=REFERENCE for another name"
            problems[name] = join_problem(problems[name], one, f"{what}: {name}", remedy) if name in problems else one
    commits = {each["provenance"]["commit"] for each, _ in found}
    words = _joined_words([each for each, _ in found])
    joined = {f"{name}/{path}": values for name, (_, of) in problems.items() for path, values in of.items()}
    places = [place for each, _ in found for place in each.get("places", ())]
    written = {
        **results,
        **({"places": record.of_places((), places)} if places else {}),
        "arguments": words,
        "command": command_of(words) if words else " && ".join(each["command"] for each, _ in found),
        "provenance": results["provenance"] | {"commit": commits.pop() if len(commits) == 1 else None},
        "problem_chosen_because": f"joined from {len(found)} records",
        "problems": {name: entry for name, (entry, _) in problems.items()},
        "seconds_of_last_call": sum(each["seconds_of_last_call"] for each, _ in found),
    }
    write(output, written, joined)


def _joined_words(results):
    """The arguments of one command that does what several did; None where no single command does."""
    if any(each.get("arguments") is None or each.get("added_seeds") for each in results):
        return None
    options = [_groups(each["arguments"]) for each in results]
    names = list(dict.fromkeys(name for each in options for name in each))
    union = {"--problem", "--optimizers", "--space"}
    joined: dict[str, list[str]] = {}
    for name in names:
        values = [each.get(name) for each in options]
        if name not in union and any(value != values[0] for value in values):
            return None
        joined[name] = list(dict.fromkeys(word for value in values for word in value or []))
    # Every problem with every candidate.
    sets = [(set(each.get("--problem", [])), set(each.get("--optimizers", []))) for each in options]
    pairs = {pair for problems, candidates in sets for pair in ((p, c) for p in problems for c in candidates)}
    if len(pairs) != len(joined["--problem"]) * len(joined["--optimizers"]):
        return None
    return [word for name, values in joined.items() for word in (name, *values)]


def _groups(words):
    """Words as option -> its values."""
    found: dict[str, list[str]] = {}
    for word in words:
        if word.startswith("--"):
            found[word] = []
        else:
            found[next(reversed(found))].append(word)
    return found
