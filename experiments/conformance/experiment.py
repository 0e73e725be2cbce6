"""The experiment and its command line."""

import argparse
import itertools
import shlex
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
from rich.table import Table

from experiments.common import command
from experiments.conformance import agreement, figures
from experiments.conformance.peers import RULES, peers
from jaxmlp._checks import check_choice
from jaxmlp.comparison import drawing, record


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit status: 1 where a rule is not what its library computes."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    options = _parser().parse_args(words)

    def body(console):
        results = _run(options, words, console)
        cells = [cell for row in results["matrix"].values() for cell in row.values()]
        return 1 if any(not cell.get("agrees", True) for cell in cells) else 0

    return command.guarded(body)


def _run(options, words, console):
    started = time.perf_counter()
    everybody = peers()
    chosen = {check_choice("library", name, everybody): everybody[name] for name in options.libraries or everybody}
    if options.steps <= agreement.FALL:
        raise ValueError(
            f"--steps must be at least {agreement.FALL + 1}, got {options.steps}: the learning rate falls at that step"
        )
    if options.seed < 0:
        raise ValueError(f"--seed must be 0 or more, got {options.seed}")
    options.output.mkdir(parents=True, exist_ok=True)

    grads, rates = agreement.inputs(options.steps, options.seed)
    cells = [(rule, short) for rule in RULES for short in chosen if agreement.missing(chosen[short], rule) is None]
    matrix: dict[str, Any] = {rule: {} for rule in RULES}
    theirs = {}
    with jax.enable_x64(True), command.progress(console, "cells") as progress:
        bar = progress.add_task("", total=len(cells))
        for rule, short in cells:
            progress.update(bar, description=f"{rule} of {chosen[short].name}")
            matrix[rule][short], theirs[rule, short] = agreement.compare(chosen[short], rule, grads, rates)
            progress.advance(bar)
    for rule, short in itertools.product(RULES, chosen):
        matrix[rule].setdefault(short, {"missing": agreement.missing(chosen[short], rule)})
    results = {
        "experiment": "conformance",
        "format": 1,
        "command": "python -m experiments.conformance " + shlex.join(words),
        "provenance": record.provenance(),
        "libraries": {
            short: {"name": peer.name, "version": peer.version, "missing": peer.missing}
            for short, peer in chosen.items()
        },
        "steps": options.steps,
        "seed": options.seed,
        "inputs": list(grads),
        "learning_rates": rates,
        "settings": agreement.SETTINGS,
        "limits": agreement.LIMITS,
        "matrix": {rule: {short: matrix[rule][short] for short in chosen} for rule in RULES},
        "drift": {rule: agreement.drifts(rule, chosen, theirs, list(grads)) for rule in RULES},
        "seconds_in_all": time.perf_counter() - started,
    }
    record.write(options.output / "results.json", results)
    drawing.save(figures.matrix(record.plain(results)), options.output / "matrix.png")
    for table in _tables(results):
        console.print(table)
    console.print(_summary(results, options.output), highlight=False, soft_wrap=True)
    return results


def _tables(results):
    libraries = results["libraries"]
    heads = [f"{entry['name']} {entry['version'] or ''}".strip() for entry in libraries.values()]
    table = Table("rule", *heads, title="Ours against each library: largest relative deviation of any update")
    for rule, row in results["matrix"].items():
        table.add_row(rule, *(figures.cell_text(row[short]) for short in libraries))
    yield table

    table = Table(
        "rule",
        "libraries",
        title="The libraries against each other: how many times one's update the other's is, "
        f"at most in {results['steps']} steps",
    )
    for head in ("same settings", "shown best by", "own defaults", "shown best by"):
        table.add_column(head, justify="left" if "by" in head else "right")
    rows, equal = {}, 0
    for rule, pairs in results["drift"].items():
        for pair, entry in pairs.items():
            if "missing" in entry:
                continue
            cells = tuple(text for which in ("the same", "own defaults") for text in _drift_text(entry[which]))
            if cells[0] == cells[2] == "same":
                equal += 1
            else:  # pairs that differ in the same way share a row
                rows.setdefault((rule, cells), []).append(pair.replace("/", ", "))
    for (rule, cells), pairs in rows.items():
        table.add_row(rule, "\n".join(pairs), *cells)
    table.caption = f"{equal} more pairs are the same to 1e-12, learning rate aside."
    yield table


def _drift_text(entry):
    times = figures.times_text(entry)
    if times == "same":
        return times, ""
    rate = "" if entry["rate"] == "constant" else ", rate a tenth from 51 on"
    return times, f"{entry['input']}: step {entry['step']}{rate}"


def _summary(results, output):
    compared = [cell for row in results["matrix"].values() for cell in row.values() if "missing" not in cell]
    worst = max((cell["deviation"] for cell in compared), default=0.0)
    apart = sum(not cell["agrees"] for cell in compared)
    absent = {entry["name"]: entry["missing"] for entry in results["libraries"].values() if entry["missing"]}
    origin = results["provenance"]
    versions = ", ".join(f"{name} {origin['versions'][name]}" for name in ("jaxmlp", "jax", "python"))
    lines = [
        f"  {len(compared)} pairs of rule and library compared over {results['steps']} steps of "
        f"{len(results['inputs'])} inputs (seed {results['seed']}): {apart} above {results['limits']['float64']:g} "
        f"(float64), the worst at {worst:.1e}. -: the library has no such rule."
    ]
    lines += [f"  {name}: {reason}. Not compared; this is no agreement." for name, reason in absent.items()]
    lines.append(
        f"  {versions}; {origin['device']}; commit {origin['commit'] or 'unknown'}; "
        f"{results['seconds_in_all']:.0f} s in all."
    )
    lines.append(f"  Record and picture: {output}")
    return "\n".join(lines)


def _parser():
    parser = argparse.ArgumentParser(
        prog="python -m experiments.conformance",
        description="Run every rule beside the real libraries, step by step in float64; print how far ours are from "
        "theirs and theirs from each other. Exit status 1 where one of ours is not what its library computes.",
    )
    add = parser.add_argument
    add(
        "--steps",
        type=int,
        default=1000,
        metavar="N",
        help=f"steps of each run, at least {agreement.FALL + 1} (default 1000)",
    )
    add("--seed", type=int, default=0, metavar="N", help="seed of the random gradients and rates (default 0)")
    add(
        "--libraries",
        nargs="+",
        metavar="NAME",
        help="which to compare with: optax, torch, keras, sklearn (default: all; those not installed are told)",
    )
    add(
        "--output",
        type=Path,
        default=Path("results") / "conformance",
        metavar="DIR",
        help="where to write record and picture (default results/conformance)",
    )
    return parser
