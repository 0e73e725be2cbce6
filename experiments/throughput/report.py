"""Tables and sentences, made from what was measured alone."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import scipy.stats
from rich.table import Table

from experiments.common.peers.settings import Settings
from experiments.throughput import cases
from experiments.throughput.cases import OURS, SYSTEMS
from jaxmlp.comparison.speed import products_per_example

LOSS_TOLERANCES = {"sgd": 1e-4, "adam": 0.01}
"""Of the mean loss of an epoch, relative: weights and batches are equal, the order of sums and Adam's eps are not.

Adam's first steps move every weight by the learning rate, however small its gradient, and so amplify rounding: on MNIST
libraries differ by up to 3e-3, while by gradient descent they differ by less than 1e-6.
"""

MOVE_TOLERANCE = 1e-4
"""Of the way that a rule has moved the parameters, relative: 100 steps in float32, and eps placed differently."""


class Rows(NamedTuple):
    """A table."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]

    def rich(self) -> Table:
        """Return it for the terminal."""
        table = Table(self.columns[0], title=self.title)
        for column in self.columns[1:]:
            table.add_column(column, justify="right")
        for row in self.rows:
            table.add_row(*row)
        return table

    def markdown(self) -> str:
        """Return it as Markdown."""
        lines = [self.columns, [":--", *["--:"] * (len(self.columns) - 1)], *self.rows]
        return "\n".join([f"**{self.title}**", "", *(f"| {' | '.join(line)} |" for line in lines), ""])


class Ratio(NamedTuple):
    """A median over turns and its 95 % interval."""

    median: float
    low: float | None
    high: float | None

    def text(self, form: str = ".2f") -> str:
        """Write it."""
        return f"{self.median:{form}}" + (
            f" ({self.low:{form}} to {self.high:{form}})" if self.low is not None and self.high is not None else ""
        )


def ratio(values: Any) -> Ratio:
    """Return the median of independent values and its exact 95 % interval by the sign test.

    The interval lies between the r-th smallest and the r-th largest value, r the largest with a probability of at
    least 95 % for any distribution: with 7 values the whole range (98.4 %). Fewer than 6 have no such interval.
    """
    ordered = np.sort(np.asarray(values, float))
    rank = int(scipy.stats.binom.ppf(0.025, len(ordered), 0.5))
    if rank == 0:
        return Ratio(float(np.median(ordered)), None, None)
    return Ratio(float(np.median(ordered)), float(ordered[rank - 1]), float(ordered[-rank]))


def summary(found: Mapping[str, Any]) -> dict[str, Any]:
    """Return medians, ratios, floors and checks by case."""
    made: dict[str, Any] = {"cases": {}, "disagreeing": []}
    for name, case in found["cases"].items():
        rows, machine = case["systems"], case["systems"]["machine"]["turns"]
        if name == "rules":
            made["cases"][name] = _rules(rows, machine, made["disagreeing"])
            continue
        settings, runs = (cases.SWEPT, len(cases.RATES) * cases.SEEDS) if name == "sweep" else (cases.NETWORKS[name], 1)
        work = runs * found["examples"] * products_per_example(settings.layer_sizes, training=True) * found["epochs"]
        floor = _floor(settings, found["examples"] * found["epochs"] * runs, work, machine)
        seconds = {n: np.array([turn["seconds"] for turn in row["turns"]]) for n, row in rows.items() if n != "machine"}
        rates = np.array([turn["products"] for turn in machine])
        losses = {n: rows[n]["loss"] for n in seconds}
        away = {n: abs(loss / losses[OURS] - 1) for n, loss in losses.items()}
        made["disagreeing"] += [
            f"{name}: {n}" for n, distance in away.items() if not distance <= LOSS_TOLERANCES[settings.rule]
        ]
        made["cases"][name] = {
            "floor": floor,
            "seconds": {n: float(np.median(taken)) for n, taken in seconds.items()},
            "ratio": {n: ratio(seconds[OURS] / taken)._asdict() for n, taken in seconds.items()},
            "share": {n: ratio(work / (taken * rates))._asdict() for n, taken in seconds.items()},
            "loss_difference": away,
        }
    return made


def tables(found: Mapping[str, Any], made: Mapping[str, Any]) -> list[Rows]:
    """Return a table for each case, and one of the profile."""
    made_tables = []
    for name, case in made["cases"].items():
        rows = found["cases"][name]["systems"]
        made_tables.append(_rules_table(case) if name == "rules" else _network_table(name, rows, case))
    if found["profile"]:
        made_tables.append(_profile_table(found["profile"]["systems"]))
    return made_tables


def notes(found: Mapping[str, Any], made: Mapping[str, Any]) -> list[str]:
    """Return the sentences below the tables."""
    lines = [_sentence(name, case) for name, case in made["cases"].items() if name != "rules"]
    if lines:
        lines.append(
            "Ratios are medians over turns, with 95 % intervals by the sign test from 6 turns on. First: seconds of "
            "the first run, compiling included; compiling: how much longer it was than the second. Loss: distance "
            "from jaxmlp's mean loss over an epoch of the same batches from the same weights."
        )
    agreement = made["disagreeing"]
    if made["cases"]:
        lines.append(
            f"Not the same result as jaxmlp's: {', '.join(agreement)}."
            if agreement
            else f"All reach the same loss, within {100 * LOSS_TOLERANCES['sgd']:g} % by SGD and "
            f"{100 * LOSS_TOLERANCES['adam']:g} % by Adam, and single rules move parameters as far, within "
            f"{100 * MOVE_TOLERANCE:g} %."
        )
    lines.append(f"Trained on {found['examples']:,} examples: {found['source']}.")
    reasons = {SYSTEMS[n].title: reason for n, reason in found["absent"].items()}
    if reasons:
        said = "; ".join(f"{title}: {reason}" for title, reason in reasons.items())
        lines.append(f"Left out: {said}. To include them, pip install -e '.[peers]'.")
    for name, case in [*found["cases"].items(), ("profile", found["profile"])]:
        lines += [f"{name}: {SYSTEMS[n].title} failed: {reason}" for n, reason in case.get("failed", {}).items()]
    return lines


def markdown(made: Sequence[Rows], lines: Sequence[str]) -> str:
    """Return the content of table.md."""
    return "\n".join([*(table.markdown() for table in made), *(f"- {line}" for line in lines), ""])


def _floor(settings: Settings, examples, work, machine):
    """Seconds below which no system can get: of products, of bytes fetched, and of bytes of parameters."""
    median = {name: float(np.median([turn[name] for turn in machine])) for name in ("products", "large", "small")}
    steps = examples / settings.batch_size
    update = (3 + 2 * cases.SLOTS[settings.rule]) * 4 * cases.parameters(settings)
    return {
        "rate": median["products"],
        "products": work / median["products"],
        "fetching": 2 * 4 * settings.layer_sizes[0] * examples / median["large"],
        "parameters": steps * update / median["small"],
    }


def _rules(rows, machine, disagreeing):
    size = 4 * cases.parameters(cases.STEPPED)
    rate = float(np.median([turn["small"] for turn in machine]))
    made: dict[str, Any] = {}
    for rule, slots in cases.SLOTS.items():
        taken = {
            n: np.array([turn["seconds"][rule] for turn in row["turns"]])
            for n, row in rows.items()
            if n != "machine" and rule in row["moved"]
        }
        moved = {n: rows[n]["moved"][rule] for n in taken}
        away = {n: abs(way / moved[OURS] - 1) for n, way in moved.items()}
        disagreeing += [f"rules: {rule} of {n}" for n, distance in away.items() if not distance <= MOVE_TOLERANCE]
        made[rule] = {
            "floor": (3 + 2 * slots) * size / rate,
            "seconds": {n: float(np.median(values)) for n, values in taken.items()},
            "ratio": {n: ratio(taken[OURS] / values)._asdict() for n, values in taken.items()},
            "difference": away,
        }
    return made


def _network_table(name, rows, case):
    title, order = _title(name), sorted(case["seconds"], key=case["seconds"].__getitem__)
    lines = []
    for n in order:
        memory = rows[n].get("memory", {})
        used = memory.get("device") or memory.get("process")
        threads = rows[n]["threads"]
        lines.append(
            [
                SYSTEMS[n].title + (f" ({threads} thread{'s' * (threads > 1)})" if threads else ""),
                f"{case['seconds'][n]:.3f}",
                "" if n == OURS else Ratio(**case["ratio"][n]).text(),
                f"{100 * case['share'][n]['median']:.0f} %",
                f"{rows[n]['first']:.2f}",
                f"{rows[n]['compiling']:.2f}" if SYSTEMS[n].compiles else "",
                f"{used / 1e6:,.0f}" if used else "",
                f"{case['loss_difference'][n]:.0e}" if n != OURS else f"{rows[n]['loss']:.4f}",
            ]
        )
    floor = case["floor"]
    parts = {"products": "products", "fetching": "fetching batches", "parameters": "moving parameters"}
    for part, words in parts.items():
        lines.append([f"limit: {words}", f"{floor[part]:.3f}", *[""] * 6])
    columns = "system", "seconds", "jaxmlp / it", "of the rate", "first", "compiling", "MB", "loss"
    return Rows(f"{title}; machine: {floor['rate'] / 1e9:.0f} Gflop/s", columns, lines)


def _rules_table(case):
    systems = [n for n in SYSTEMS if any(n in row["seconds"] for row in case.values())]
    lines = []
    for rule, row in case.items():
        times = [f"{1e6 * row['seconds'][n]:.0f}" if n in row["seconds"] else "" for n in systems]
        others = {n: s for n, s in row["seconds"].items() if n != OURS}
        fastest = min(others, key=others.__getitem__) if others else None
        text = f"{Ratio(**row['ratio'][fastest]).text()}, {fastest}" if fastest else ""
        lines.append([rule, f"{1e6 * row['floor']:.0f}", *times, text])
    columns = "rule", "limit", *systems, "jaxmlp / fastest other"
    sizes = "-".join(map(str, cases.STEPPED.layer_sizes))
    return Rows(f"one step of a rule alone, {sizes}, microseconds", columns, lines)


def _profile_table(systems):
    names = list(systems)
    parts = list(systems[names[0]]["turns"][0]["seconds"])
    whole = {n: float(np.median([turn["fit"] for turn in systems[n]["turns"]])) for n in names}
    lines = []
    for part in parts:
        cells = []
        for n in names:
            seconds = float(np.median([turn["seconds"][part] for turn in systems[n]["turns"]]))
            cells += [f"{seconds:.3f}", f"{100 * seconds / whole[n]:.0f} %"]
        lines.append([part, *cells])
    lines.append(["fit", *(cell for n in names for cell in (f"{whole[n]:.3f}", "100 %"))])
    cells = []
    for n in names:
        turns = systems[n]["turns"]
        ratio = float(np.median([turn["bfloat16"] / turn["fit"] for turn in turns]))
        cells += [f"{np.median([turn['bfloat16'] for turn in turns]):.3f}", f"{100 * ratio:.0f} %"]
    lines.append(['fit with compute_dtype="bfloat16"', *cells])
    return Rows("where an epoch of fit goes", ["part", *(c for n in names for c in (f"{n} (s)", "share"))], lines)


def _sentence(name, case):
    text = f"{name}: jaxmlp computes its products at {_percent(case['share'][OURS])} of the machine's rate"
    for kinds, words in ((("library",), "library"), (("loop",), "JAX loop")):
        others = {n: s for n, s in case["seconds"].items() if SYSTEMS[n].kind in kinds}
        if others:
            fastest = min(others, key=others.__getitem__)
            taken = Ratio(**case["ratio"][fastest]).text()
            text += f"; it takes {taken} times as long as the fastest {words}, {SYSTEMS[fastest].title}"
    return text + "."


def _percent(share):
    return f"{100 * share['median']:.0f} %" + (
        f" ({100 * share['low']:.0f} to {100 * share['high']:.0f})" if share["low"] is not None else ""
    )


def _title(name):
    if name != "sweep":
        return f"{name}: {cases.title(cases.NETWORKS[name])}"
    return f"sweep: {len(cases.RATES)} rates x {cases.SEEDS} seeds of {cases.title(cases.SWEPT)}"
