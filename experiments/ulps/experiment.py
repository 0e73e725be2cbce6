"""The command line, and the tables."""

from collections.abc import Sequence
from functools import partial

import jax
from rich.table import Table

from experiments.common import command
from experiments.common.command import Outcome
from experiments.ulps import exact, figures, measure


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit status."""
    return command.run("ulps", _experiment, _parser(), arguments)


def _experiment(options, console):
    kinds = {
        "activations": (measure.of_activation, exact.ACTIVATIONS),
        "losses": (measure.of_loss, exact.LOSSES),
        "rules": (measure.of_rule, measure.rules()),
    }
    cells = [(dtype, kind, name) for dtype in options.dtypes for kind, (_, names) in kinds.items() for name in names]
    results = {dtype: {kind: {} for kind in kinds} for dtype in options.dtypes}
    with jax.enable_x64(True), command.progress(console, "functions") as bar:
        task = bar.add_task("", total=len(cells))
        for dtype, kind, name in cells:
            bar.update(task, description=f"{name} in {dtype}")
            results[dtype][kind][name] = kinds[kind][0](name, dtype, options.points, options.seed)
            bar.advance(task)
    notes = [
        f"Units in the last place of the exact value, worst (median), over {options.points:,} inputs "
        f"(seed {options.seed}); a correctly rounded one is at most 0.5 away. Exact values have {exact.DIGITS} digits.",
        "Losses of bfloat16 outputs are float32, and are measured as such. Results that are subnormal may be 0.",
    ]
    tables = [_table(dtype, kind, rows) for dtype, by_kind in results.items() for kind, rows in by_kind.items()]
    found = {"points": options.points, "seed": options.seed, "ulps": results}
    return Outcome(found, notes=notes, tables=tables, pictures={"ulps": partial(figures.overview, results)})


def _table(dtype, kind, rows):
    parts = ("value", "gradient") if kind != "rules" else ("value",)
    libraries = list(dict.fromkeys(library for row in rows.values() for library in row))
    table = Table("", title=f"{kind} in {dtype}: ulps, worst (median)")
    for part in parts:
        for library in libraries:
            table.add_column(f"{library}\n{part if kind != 'rules' else 'update'}", justify="right")
    for name, row in rows.items():
        table.add_row(name, *(_cell(row.get(library, {}).get(part)) for part in parts for library in libraries))
    return table


def _cell(found):
    if found is None:
        return "-"
    return f"{_short(found['worst'])} ({_short(found['median'])})"


def _short(distance):
    return f"{distance:.2f}" if distance < 100 else f"{distance:.1e}"


def _parser():
    parser = command.options(
        "ulps",
        "Measure the error of every activation, loss and rule against 50 digits, in units in the last place, beside "
        "jax.nn, optax and PyTorch where they are installed.",
    )
    add = parser.add_argument
    add(
        "--points",
        type=command.up_to(command.LARGEST),
        default=1000,
        least=10,
        metavar="N",
        help="inputs of each function",
    )
    add("--seed", type=command.up_to(command.LARGEST), default=0, least=0, metavar="N", help="seed of the inputs")
    text = "formats to measure in"
    add("--dtypes", nargs="+", default=measure.DTYPES, choices=measure.DTYPES, metavar="NAME", help=text)
    return parser
