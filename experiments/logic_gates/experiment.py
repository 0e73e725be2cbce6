"""The experiment and its command line."""

import time
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
import scipy.stats
from rich.table import Table

from experiments.common import command
from experiments.common.command import Comparison, Outcome
from experiments.common.wording import counted
from experiments.logic_gates import figures, published
from experiments.logic_gates.perceptrons import (
    PERCEPTRONS,
    best_without_hidden,
    given_perceptron,
    train_without_hidden,
)
from experiments.logic_gates.settings import (
    ACTIVATIONS,
    FORMS,
    GATES,
    PUBLISHED,
    SOFTMAX,
    SQUARED,
    STEEP,
    TARGETS,
    USUAL,
    WIDTHS,
    Setting,
)
from experiments.logic_gates.training import apart, dead, train
from jaxmlp import activations

SKLEARN_SEEDS = 20
# The networks that try all 16 gates: activation, hidden units, initial weights.
GATE_NETWORKS = (("sigmoid", 2, PUBLISHED), ("relu", 2, PUBLISHED), ("relu", 2, USUAL), ("relu", 3, USUAL))


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit status."""
    return command.run("logic_gates", _experiment, _parser(), arguments)


def share(successes: int, n: int) -> tuple[float, float, float]:
    """Return a success rate and its 95 % interval by Wilson: (rate, low, high), each in [0, 1].

    Source:
        Wilson (1927), "Probable inference, the law of succession, and statistical inference".
    """
    interval = scipy.stats.binomtest(successes, n).proportion_ci(method="wilson")
    return successes / n, float(interval.low), float(interval.high)


def _experiment(options, console):
    activations.steep_sigmoid(options.steepness)  # refuses a bad steepness before anything is trained
    options.learning_rates = sorted(set(options.learning_rates))
    rates, fast = options.learning_rates, max(options.learning_rates)
    on_xor = [
        Setting("xor", name, width, weights, form, rate)
        for weights in (PUBLISHED, USUAL)
        for name in ACTIVATIONS
        for rate in rates
        for width in WIDTHS
        for form in FORMS
    ]
    on_gates = [Setting(gate, *network, SQUARED, fast) for network in GATE_NETWORKS for gate in GATES]
    settings = list(dict.fromkeys(on_xor + on_gates + [network.setting for network in published.NETWORKS]))
    keys = jax.vmap(jax.random.key)(jnp.arange(options.seeds))

    with command.progress(console) as bar:
        task = bar.add_task("perceptrons", total=len(settings) * options.seeds)
        given = {gate: int((given_perceptron(gate) == TARGETS[GATES.index(gate)]).sum()) for gate in PERCEPTRONS}
        alone = train_without_hidden(keys, options.epochs, fast)
        bar.update(task, description="one hidden layer")
        started = time.perf_counter()
        runs = train(
            settings,
            keys,
            epochs=options.epochs,
            steepness=options.steepness,
            on_runs=lambda count: bar.advance(task, count),
        )
        seconds = time.perf_counter() - started
        bar.update(task, description="scikit-learn")
        sklearn = published.classify_all(min(SKLEARN_SEEDS, options.seeds))

    best = best_without_hidden()
    results = {
        "rows_right_of_given_perceptrons": given,
        "without_hidden_layer": {
            gate: {"best_of_all": best[gate], "learning_rate": fast, **_entry(right)} for gate, right in alone.items()
        },
        "runs": [
            setting._asdict() | _entry(4 * runs[setting].score) | _diagnosis(runs[setting]) for setting in settings
        ],
        "published": published.entries(runs, sklearn, options.epochs),
        "seconds_of_training": seconds,
    }
    tables = [_table(form, runs, options) for form in FORMS] + [_gate_table(alone, runs, options.seeds, fast)]
    pictures = {
        "regions": lambda: figures.regions(runs, rates, options.steepness),
        "success": lambda: figures.success(_counts(SQUARED, runs, rates), options.seeds, SQUARED),
        "forms": lambda: figures.forms(_rates_by_form(runs, fast), fast, options.seeds),
        "gates": lambda: figures.gates(runs, fast, options.steepness),
        "steepness": lambda: figures.sigmoids(options.steepness),
    }
    comparisons = [
        *_without_hidden(given, alone),
        *published.comparisons(runs, sklearn, options.epochs),
        *_variants(runs, rates),
    ]
    notes = [*published.notes(runs, sklearn, options.epochs), *_notes(alone, runs, rates, seconds)]
    return Outcome(results, comparisons, notes, pictures, tables)


def _entry(rows_right):
    """The record's entry of some runs, given their rows right of 4, (seeds,)."""
    digits = np.rint(np.asarray(rows_right)).astype(int)
    rate, low, high = share(int((digits == 4).sum()), len(digits))
    return {
        "success_rate": rate,
        "success_low": low,
        "success_high": high,
        "mean_score": digits.mean() / 4,
        "rows_right_by_seed": "".join(map(str, digits)),
    }


def _diagnosis(trained):
    """How far the units of some runs are apart, and how many runs have a dead one."""
    failed = trained.score < 1
    gone = dead(trained.hidden)
    return {
        "units_apart_at_start": apart(trained.start).mean(),
        "units_apart_at_end": apart(trained.params).mean(),
        "share_with_dead_unit": gone.mean(),
        "share_with_dead_unit_of_failed": gone[failed].mean() if failed.any() else None,
    }


def _solved(trained):
    return int((trained.score == 1).sum())


def _without_hidden(given, alone):
    found = [
        Comparison(f"{gate.upper()} by the given perceptron (rows right of 4)", "4", [right], ".0f")
        for gate, right in given.items()
    ]
    return [*found, Comparison("XOR without a hidden layer (rows right of 4)", "never 4", alone["xor"], ".2f")]


def _variants(runs, rates):
    """The published networks with another start, learning rate or output: what changes the answer."""
    slow, fast = min(rates), max(rates)
    variants = ((USUAL, SQUARED, slow), (PUBLISHED, SQUARED, fast), (USUAL, SQUARED, fast), (PUBLISHED, SOFTMAX, slow))
    found = []
    for weights, form, rate in dict.fromkeys(variants):
        for network in published.NETWORKS:
            setting = network.setting._replace(weights=weights, form=form, learning_rate=rate)
            if setting == network.setting:
                continue
            ending = "softmax" if form == SOFTMAX else "sigmoid"
            text = f"XOR by {network.name}, {ending}, {weights} weights, rate {rate:g} (score)"
            found.append(Comparison(text, "-", runs[setting].score))
    return found


def _notes(alone, runs, rates, seconds):
    n, fast = len(alone["xor"]), max(rates)
    possible = sum(right == 4 for right in best_without_hidden().values())
    usual = runs[Setting("xor", "relu", 2, USUAL, SQUARED, fast)]
    gone, solved = dead(usual.hidden), usual.score == 1
    of_gone = ", ".join(
        f"{int(gone[which].sum())} of {int(which.sum())} that {verb}"
        for which, verb in ((~solved, "fail"), (solved, "solve XOR"))
        if which.any()
    )
    total = sum(len(found.score) for found in runs.values())
    return [
        f"No hidden layer: a line gives {possible} of the 16 functions; for XOR and XNOR the best perceptron has 3 "
        f"rows right. Trained perceptrons that learn XOR: {int((alone['xor'] == 4).sum())} of {n}; XNOR: "
        f"{int((alone['xnor'] == 4).sum())} of {n}.",
        "From published weights (hidden layer: 0.75 ± 0.01) the hidden units start nearly equal, and equal units act "
        "as a single unit, which cannot solve XOR. Output weights of different signs push them in opposite "
        f"directions; with equal signs they part more slowly. Rate {published.LEARNING_RATE:g}, by the signs of the "
        "output weights at the start:",
        *_by_signs(runs),
        f"relu 2-2-1 from usual weights, rate {fast:g}: {int(solved.sum())} of {n} solve XOR. Runs that end with a "
        f"dead unit, which is 0 on all four rows and learns no more: {of_gone}.",
        f"{total:,} runs with a hidden layer in {seconds:.0f} s.",
    ]


def _by_signs(runs):
    """How often the published networks solve XOR, by the signs of their output weights at the start."""
    for network in published.NETWORKS:
        found = runs[network.setting]
        positive = found.start[1].w[:, : network.setting.width, 0] > 0
        different = positive.any(axis=1) & ~positive.all(axis=1)
        groups = [
            f"with {signs} signs {int((found.score[which] == 1).sum())} of {int(which.sum())} solve XOR, the first two "
            f"units end {apart(found.params)[which].mean():.2g} apart"
            for which, signs in ((different, "different"), (~different, "equal"))
            if which.any()
        ]
        yield f"  {network.name}: {'; '.join(groups)}."


def _counts(form, runs, rates):
    """Successes by (initial weights, learning rate): (activations, widths)."""
    return {
        (weights, rate): np.array(
            [
                [_solved(runs[Setting("xor", name, width, weights, form, rate)]) for width in WIDTHS]
                for name in ACTIVATIONS
            ]
        )
        for weights in (PUBLISHED, USUAL)
        for rate in rates
    }


def _rates_by_form(runs, rate):
    return {
        form: {
            name: [
                share(_solved(found), len(found.score))
                for found in (runs[Setting("xor", name, width, USUAL, form, rate)] for width in WIDTHS)
            ]
            for name in ACTIVATIONS
        }
        for form in FORMS
    }


def _table(form, runs, options):
    title = f"XOR, {form}: {counted(options.seeds, 'run')}, number that solve it"
    columns = [f"{rate:g}\n{width}" for rate in options.learning_rates for width in WIDTHS]
    table = Table("learning rate\nhidden units", "initial\nweights", title=title, padding=(0, 0), min_width=len(title))
    for column in columns:
        table.add_column(column, justify="right")
    counts = _counts(form, runs, options.learning_rates)
    for row, name in enumerate(ACTIVATIONS):
        label = f"{name} {options.steepness:g}" if name == STEEP else name
        for weights in (PUBLISHED, USUAL):
            cells = [str(count) for rate in options.learning_rates for count in counts[weights, rate][row]]
            table.add_row(label, weights, *cells)
    return table


def _gate_table(alone, runs, seeds, rate):
    heads = [f"{name} 2-{width}-1\n{weights}" for name, width, weights in GATE_NETWORKS]
    table = Table(
        "gate",
        "answers",
        "no hidden\nlayer",
        *heads,
        title=f"All gates: {counted(seeds, 'run')} each, number that solve them, rate {rate:g}",
    )
    for gate, y in zip(GATES, TARGETS, strict=True):
        solved = [_solved(runs[Setting(gate, *network, SQUARED, rate)]) for network in GATE_NETWORKS]
        table.add_row(gate, "".join(map(str, y)), *map(str, [int((alone[gate] == 4).sum()), *solved]))
    return table


def _parser():
    parser = command.options(
        "logic_gates",
        "Train networks with one hidden layer on XOR and the other Boolean functions of two inputs from many seeds. "
        "Reports how often each activation, width, start, form of output and learning rate gets all four rows right.",
        seeds=100,
    )
    add = parser.add_argument
    text = "learning rates of Keras's Adam, per step; each is tried"
    add(
        "--learning-rates",
        type=float,
        nargs="+",
        default=[published.LEARNING_RATE, 0.1],
        above=0,
        metavar="RATE",
        help=text,
    )
    add(
        "--epochs",
        type=command.up_to(command.LARGEST),
        default=published.EPOCHS,
        least=1,
        metavar="N",
        help="steps of each run, on all four rows",
    )
    add("--steepness", type=float, default=4.0, metavar="S", help="steepness of the steep sigmoid")
    return parser
