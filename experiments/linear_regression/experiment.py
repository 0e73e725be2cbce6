"""The experiment and its command line."""

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
from rich.table import Table

from experiments.common import command
from experiments.common.command import Comparison, Outcome
from experiments.linear_regression import figures, inference
from experiments.linear_regression.descent import (
    TARGET,
    arrivals,
    closed_form,
    closed_forms,
    condition_number,
    descend,
    implied_rate,
    problem,
    raw_line,
    steps_along_slow_direction,
)
from jaxmlp.datasets import noisy_line
from jaxmlp.optimizers import OPTIMIZERS

RULES = tuple(OPTIMIZERS)
PUBLISHED = (1933.30, 10.81)  # slope and intercept
PUBLISHED_STEPS = 50
RATES = 10 ** (np.arange(-64, 49) / 8)  # from 1e-8 to 1e6, eight for each factor of ten

SETTLED = 10
"""A learning rate is judged by its worst loss in this many last steps. By the very last step alone, one that oscillates
wildly about the line could win by chance."""

INPUTS = ("raw", "standardised")
RATE_OF_MOVIE = 2.6e-6  # where none can be inferred


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit status."""
    return command.run("linear_regression", _experiment, _parser(), arguments)


def _experiment(options, console):
    if options.most_steps < options.steps:
        raise ValueError(f"--most-steps must be at least --steps {options.steps}, got {options.most_steps}")
    lines = [noisy_line(seed).train for seed in range(options.seeds)]
    problems = {inputs: [problem(*line, inputs) for line in lines] for inputs in INPUTS}
    found: dict[str, dict[str, Any]] = {inputs: {} for inputs in INPUTS}
    paths: dict[str, dict[str, np.ndarray]] = {inputs: {} for inputs in INPUTS}
    with command.progress(console) as bar:
        task = bar.add_task("", total=len(INPUTS) * len(RULES))
        for rule in RULES:
            for inputs in INPUTS:
                bar.update(task, description=f"{rule}, {inputs} x")
                found[inputs][rule], paths[inputs][rule] = _follow(rule, problems[inputs], options)
                bar.advance(task)
    conditions = {inputs: [condition_number(p.hessian) for p in problems[inputs]] for inputs in INPUTS}
    published = _published(problems["raw"], options.steps)
    exact = np.array([p.optimum for p in problems["raw"]])
    predictions = inference.predictions(problems["raw"], published["implied_learning_rate"], options.steps)
    results = {
        "learning_rates": RATES,
        "steps": options.steps,
        "most_steps": options.most_steps,
        "target": TARGET,
        "least_squares": exact,
        "least_squares_loss": [p.least for p in problems["raw"]],
        "hessian_eigenvalues": {i: [np.linalg.eigvalsh(p.hessian) for p in problems[i]] for i in INPUTS},
        "condition_numbers": conditions,
        "published_run": published,
        "least_squares_off_in_standard_errors": [inference.standard_errors(p) for p in problems["raw"]],
        "predictions": [prediction._asdict() for prediction in predictions],
        "runs": found,
    }
    first = problems["raw"][0]
    learned = {rule: found["raw"][rule]["lines"][0] for rule in ("sgd", "adam")}
    learned["sgd, x standardised"] = found["standardised"]["sgd"]["lines"][0]
    surfaces = {i: (problems[i][0], paths[i], {r: found[i][r]["learning_rate"] for r in RULES}) for i in INPUTS}
    gaps = {i: {r: found[i][r]["gaps"] for r in RULES} for i in INPUTS}
    pictures = {
        "line": lambda: figures.line(first, PUBLISHED, learned, options.steps),
        "surface": lambda: figures.surface(surfaces, options.steps),
        "gap": lambda: figures.gap(gaps, TARGET),
    }
    rate = published["implied_learning_rate"]
    movie = partial(figures.descent, first, closed_forms(first, RATE_OF_MOVIE if rate is None else rate, options.steps))
    return Outcome(
        results,
        _comparisons(exact, found, conditions, published, options.steps),
        _notes(problems, published, predictions, found, options),
        pictures,
        [_table(found, options), _predicted(predictions, options)],
        movies={"descent": movie},
    )


def _follow(rule, problems, options):
    """The record's entry of a rule, and its path on the first seed with the chosen rate."""
    descent = descend(rule, problems, RATES, options.steps)
    least = np.array([p.least for p in problems])
    last = (descent.losses[:, :, -SETTLED:] / least[:, None]).max(axis=2).mean(axis=1)
    # Rounded, so that ties between rates that all arrive go to the smallest.
    chosen = int(np.argmin(np.where(np.isfinite(last), np.round(last, 6), np.inf)))
    ends = descent.paths[chosen, :, -1]
    # On the first seed, by the rate that arrives soonest; ties go to the smallest.
    steps = arrivals(rule, problems[0], RATES, options.most_steps)
    soonest = int(np.argmin(np.where(steps < 0, options.most_steps + 1, steps)))
    arrived = steps[soonest] >= 0
    entry = {
        "learning_rate": RATES[chosen],
        "at_end_of_grid": chosen in (0, len(RATES) - 1),
        "lines": np.array([raw_line(end, p.scale) for end, p in zip(ends, problems, strict=True)]),
        # At the minimum, rounding may put a loss below the least-squares loss.
        "gaps": np.maximum(descent.losses[chosen] / least[:, None] - 1, 0),
        "steps_to_target": int(steps[soonest]) if arrived else None,
        "learning_rate_to_target": RATES[soonest] if arrived else None,
    }
    return entry, descent.paths[chosen, 0]


def _published(problems, steps):
    """The published run as inferred from its intercept, and how far 50 steps can get."""
    rate = implied_rate(problems, PUBLISHED[1], steps)
    lines = None if rate is None else np.array([closed_form(p, rate, steps) for p in problems])
    through_origin = [float(p.x[:, 0] @ p.y / (p.x[:, 0] @ p.x[:, 0])) for p in problems]
    eigenvalues = np.mean([np.linalg.eigvalsh(p.hessian) for p in problems], axis=0)
    return {
        "implied_learning_rate": rate,
        "lines": lines,
        "slope_through_origin": through_origin,
        "fastest_stable_rate": 2 / eigenvalues[1],
        # With rate 1 / (largest eigenvalue) this share of the way along the slow direction remains.
        "share_left_of_slow_direction": float((1 - eigenvalues[0] / eigenvalues[1]) ** steps),
        "steps_to_target_at_that_rate": float(np.mean([steps_along_slow_direction(p) for p in problems])),
    }


def _comparisons(exact, found, conditions, published, steps):
    slope, intercept = (f"{value:.2f}" if steps == PUBLISHED_STEPS else "-" for value in PUBLISHED)
    rows = [
        Comparison("slope, least squares; published: that of the data", f"{inference.SLOPE:.2f}", exact[:, 0]),
        Comparison("intercept, least squares; published: that of the data", f"{inference.INTERCEPT:.2f}", exact[:, 1]),
    ]
    if published["lines"] is not None:
        settings = f"{steps} steps with x and rate inferred from this pair (no test)"
        rows.append(Comparison(f"slope, {settings}", slope, published["lines"][:, 0]))
        rows.append(Comparison(f"intercept, {settings}", intercept, published["lines"][:, 1]))
    rows.append(Comparison("slope of the least-squares line through (0, 0)", "-", published["slope_through_origin"]))
    for inputs in INPUTS:
        entry = found[inputs]["sgd"]
        text = f"gradient descent, {inputs} x, best rate {entry['learning_rate']:.2g}"
        rows.append(Comparison(f"slope, {text}", "-", entry["lines"][:, 0]))
        rows.append(Comparison(f"intercept, {text}", "-", entry["lines"][:, 1]))
    rows += [Comparison(f"condition number, {i} x", "-", conditions[i], ",.2f") for i in INPUTS]
    return rows


def _predicted(predictions, options):
    seeds = "mean over the seeds" if options.seeds > 1 else "seed 0"
    title = f"Gradient descent on raw x, {options.steps} steps: share of the way that is left, {seeds}"
    heads = ("fast direction\npredicted", "\nfollowed", "slow direction\npredicted", "\nfollowed")
    table = Table("learning rate", *heads, "path and closed form\ndiffer by at most", title=title)
    for row in predictions:
        shares = np.stack([row.predicted, row.followed], axis=1).ravel()
        name = f"{row.learning_rate:.2e}, {row.name}"
        table.add_row(name, *(f"{share:.5f}" for share in shares), f"{row.largest_difference:.1e} of the way")
    return table


def _table(found, options):
    title = (
        f"Every optimizer after {options.steps} steps from (0, 0), and the steps until its loss stays within "
        f"{100 * TARGET:g} % of the least-squares loss, of at most {options.most_steps:,} (seed 0)"
    )
    table = Table("optimizer", "x", "rate", "slope", "intercept", "excess loss", "steps (rate)", title=title)
    for inputs in INPUTS:
        for rule in RULES:
            entry = found[inputs][rule]
            line = [command.with_interval(column, ",.1f", count=False) for column in entry["lines"].T]
            steps = entry["steps_to_target"]
            arrives = "never" if steps is None else f"{steps:,} ({entry['learning_rate_to_target']:.2g})"
            gap = f"{100 * entry['gaps'][:, -1].mean():.3g} %"
            table.add_row(rule, inputs, f"{entry['learning_rate']:.2g}", *line, gap, arrives)
        table.add_section()
    return table


def _notes(problems, published, predictions, found, options):
    raw, scaled = (np.mean([np.linalg.eigvalsh(p.hessian) for p in problems[i]], axis=0) for i in INPUTS)
    notes = [
        f"Raw x: the Hessian's eigenvalues are {raw[1]:,.0f} and {raw[0]:.3f}. The learning rate must be below "
        f"{published['fastest_stable_rate']:.2g}. After {options.steps} steps at half that rate, "
        f"{100 * published['share_left_of_slow_direction']:.2f} % of the way along the slow direction, the intercept, "
        f"remains; it takes {published['steps_to_target_at_that_rate']:,.0f} steps to come within {100 * TARGET:g} % "
        "of the least-squares loss. Until then the slope is that of the best line through the origin, to which the "
        f"first steps lead: {np.mean(published['slope_through_origin']):.2f}.",
    ]
    if options.steps == PUBLISHED_STEPS:
        notes.append(_inferred(published))
    off = np.abs([inference.standard_errors(p) for p in problems["raw"]])
    largest = max(p.largest_difference for p in predictions)
    notes.append(
        "What can fail instead. Least squares misses slope and intercept of the data by at most "
        f"{off.max():.1f} standard errors, the largest of {off.size}. Paths by automatic differentiation differ from "
        f"the closed form, which knows only the Hessian, by at most {largest:.0e} of the way. 1 % below the rate at "
        "which the eigenvalues predict divergence the fast direction shrinks, and 1 % above it grows."
    )
    notes.append(
        f"Standardised x: both eigenvalues are {scaled[0]:.2f}, the condition number is 1, and gradient descent with "
        f"rate 1 / {scaled[0]:.0f} reaches the least-squares line in one step."
    )
    ends = [f"{rule} ({inputs} x)" for inputs in INPUTS for rule in RULES if found[inputs][rule]["at_end_of_grid"]]
    notes.append(
        f"Learning rates: of {len(RATES)} from {RATES[0]:g} to {RATES[-1]:g}, eight for each factor of ten, the one "
        f"whose worst loss in the last {min(SETTLED, options.steps)} of {options.steps} steps is lowest"
        + (", averaged over the seeds" if options.seeds > 1 else "")
        + (f"; at an end of the grid: {', '.join(ends)}." if ends else ".")
    )
    return notes


def _inferred(published):
    """Say what was not published, and what the published pair can and cannot show."""
    x_max = inference.implied_x_max(PUBLISHED[0])
    low, high = inference.possible_intercepts(x_max, PUBLISHED_STEPS)
    rate = published["implied_learning_rate"]
    return (
        "Neither x nor the learning rate was published. A slope of "
        f"{PUBLISHED[0]:.2f} is that of the best line through the origin if x goes up to {x_max:.0f}, so x goes up to "
        f"300 here; an intercept of {PUBLISHED[1]} after {PUBLISHED_STEPS} steps then takes a rate of "
        + (f"{rate:.3g}. " if rate is not None else "no stable size. ")
        + "Two settings fitted to two numbers: that the pair comes out again tests nothing. That there is such a "
        f"rate tests a little: once the slope has settled, the intercept can only lie between {low:.1f} and {high:.1f}."
    )


def _parser():
    parser = command.options(
        "linear_regression",
        "Fit a noisy line by gradient descent and by every optimizer, with x raw and standardised, and compare the "
        "results with the least-squares line and with the published result after 50 steps.",
        seeds=10,
    )
    add = parser.add_argument
    add(
        "--steps",
        type=command.up_to(command.LARGEST),
        default=50,
        least=1,
        metavar="N",
        help="steps of each descent, on all examples at once",
    )
    text = f"most steps to come within {100 * TARGET:g}%% of the least-squares loss"
    add("--most-steps", type=command.up_to(command.LARGEST), default=20_000, least=1, metavar="N", help=text)
    return parser
