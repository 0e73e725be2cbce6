"""The experiment and its command line."""

import itertools
from collections.abc import Sequence
from functools import partial
from typing import Any

import jax
from rich.table import Table

from experiments.common import command
from experiments.common.command import Outcome
from experiments.conformance import agreement, figures
from experiments.conformance.peers import NAMES, RULES, peers
from jaxmlp.comparison import record


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit status, 1 if a rule is not what its library computes."""
    return command.run("conformance", _experiment, _parser(), arguments)


def _experiment(options, console):
    chosen = peers(options.libraries)
    grads, rates = agreement.inputs(options.steps, options.seed)
    cells = [(rule, short) for rule in RULES for short in chosen if agreement.missing(chosen[short], rule) is None]
    matrix: dict[str, Any] = {rule: {} for rule in RULES}
    theirs = {}
    with jax.enable_x64(True), command.progress(console, "cells") as bar:
        task = bar.add_task("", total=len(cells))
        for rule, short in cells:
            bar.update(task, description=f"{rule} of {chosen[short].name}")
            matrix[rule][short], theirs[rule, short] = agreement.compare(chosen[short], rule, grads, rates)
            bar.advance(task)
    for rule, short in itertools.product(RULES, chosen):
        matrix[rule].setdefault(short, {"missing": agreement.missing(chosen[short], rule)})
    results = {
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
    }
    compared = [cell for row in results["matrix"].values() for cell in row.values() if "missing" not in cell]
    return Outcome(
        results,
        notes=_notes(results, compared),
        pictures={"matrix": partial(figures.matrix, record.plain(results))},
        tables=[_deviations(results), _drifts(results)],
        status=0 if all(cell["agrees"] for cell in compared) else 1,
    )


def _deviations(results):
    libraries = results["libraries"]
    heads = [f"{entry['name']} {entry['version'] or ''}".strip() for entry in libraries.values()]
    table = Table("rule", *heads, title="Ours against each library: largest relative deviation of any update")
    for rule, row in results["matrix"].items():
        table.add_row(rule, *(figures.cell_text(row[short]) for short in libraries))
    return table


def _drifts(results):
    table = Table(
        "rule",
        "libraries",
        title=f"The libraries against each other: largest ratio between their updates, over {results['steps']} steps",
    )
    for head in ("same settings", "largest at", "own defaults", "largest at"):
        table.add_column(head, justify="left" if "at" in head else "right")
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
    table.caption = f"{equal} more pairs agree to 1e-12, apart from the default learning rate."
    return table


def _drift_text(entry):
    times = figures.times_text(entry)
    if times == "same":
        return times, ""
    rate = "" if entry["rate"] == "constant" else ", rate / 10 from step 51"
    return times, f"{entry['input']}: step {entry['step']}{rate}"


def _notes(results, compared):
    worst = max((cell["deviation"] for cell in compared), default=0.0)
    apart = sum(not cell["agrees"] for cell in compared)
    absent = {entry["name"]: entry["missing"] for entry in results["libraries"].values() if entry["missing"]}
    return [
        f"{len(compared)} pairs of rule and library compared over {results['steps']} steps of "
        f"{len(results['inputs'])} inputs (seed {results['seed']}): {apart} above {results['limits']['float64']:g} "
        f"(float64), the worst at {worst:.1e}. -: the library has no such rule.",
        *(f"{name}: {reason}. Not compared, which does not count as agreement." for name, reason in absent.items()),
    ]


def _parser():
    parser = command.options(
        "conformance",
        "Run every rule beside the real libraries, step by step in float64; print how far ours deviate from theirs, "
        "and theirs from each other. The exit status is 1 if one of ours is not what its library computes.",
    )
    add = parser.add_argument
    least = agreement.FALL + 1  # the learning rate falls at that step
    add(
        "--steps",
        type=command.up_to(command.LARGEST),
        default=1000,
        least=least,
        metavar="N",
        help=f"steps of each run, at least {least}",
    )
    add(
        "--seed",
        type=command.up_to(command.LARGEST),
        default=0,
        least=0,
        metavar="N",
        help="seed of the random gradients and learning rates",
    )
    text = "libraries to compare with; missing ones are reported"
    add("--libraries", nargs="+", default=NAMES, choices=NAMES, metavar="NAME", help=text)
    return parser
