"""The experiment and its command line."""

import time
from collections.abc import Sequence
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from rich.table import Table

import jaxmlp
from experiments.common import command
from experiments.common.command import Outcome
from experiments.hypergradient import figures, tuning
from experiments.hypergradient.tuning import TENTHS, Hyper, Problem
from jaxmlp.comparison import verdicts

RATES = np.log(np.geomspace(1e-3, 10, 25))
LOGITS = np.linspace(-2, 4, 9)
START = Hyper(jnp.float32(np.log(0.01)), jnp.float32(0.0))


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit status."""
    return command.run("hypergradient", _experiment, _parser(), arguments)


def problem_of(epochs: int) -> Problem:
    """Return 64-32-10 on the digits, the last 297 training examples being kept for validation."""
    digits = jaxmlp.datasets.load("digits")
    x, y = digits.train
    net = jaxmlp.mlp((64, 32, 10), activation="tanh")  # smooth: its gradient through training has no kinks
    return Problem(net, (x[:-297], y[:-297]), (x[-297:], y[-297:]), digits.test, epochs, 64)


def _experiment(options, console):
    problem = problem_of(options.epochs)
    with command.progress(console, "parts") as bar:
        task = bar.add_task("truth", total=6)

        def part(name):
            bar.update(task, advance=1, description=name)

        two_epochs = problem._replace(epochs=2)
        errors = [tuning.truth(two_epochs, point) for point in (START, _per_layer(START))]
        part("cost of a gradient")
        cost = max(1, round(_cost(problem)))  # whole runs, so that the search is the same on another day
        runs = max(2, round(2 * options.steps * cost))  # two keys a step
        part(f"two numbers, by gradient and by {runs} runs")
        tuned, losses, path = tuning.descend(problem, START, options.steps, 0.3)
        searched, tried = tuning.search(problem, runs, cosine=False)
        part("surface")
        keys = jax.random.split(jax.random.key(7), 2)
        grid = np.stack([axis.ravel() for axis in np.meshgrid(RATES, LOGITS, indexing="ij")]).astype(np.float32)
        heights = tuning.surface(problem, Hyper(*map(jnp.asarray, grid)), keys).reshape(len(RATES), len(LOGITS))
        line = Hyper(jnp.asarray(RATES, jnp.float32), jnp.zeros(len(RATES), jnp.float32))
        truncated = problem._replace(epochs=1)
        slopes, short_slopes = (tuning.slopes(one, line, keys[0]) for one in (problem, truncated))
        short, long = (tuning.surface(one, line, keys) for one in (truncated, problem))
        part("learning rate and momentum per layer and tenth")
        many = _per_layer(tuned)
        learnt, _, _ = tuning.descend(problem, many, options.steps, 0.1)
        cosine, _ = tuning.search(problem, 2 * runs, cosine=True)  # as much as both descents
        part("fresh seeds")
        fresh = jax.random.split(jax.random.key(3000), options.seeds)
        candidates = {
            "learnt per layer": (learnt, False),
            "cosine, searched": (cosine, True),
            "constant, by gradient": (tuned, False),
            "constant, searched": (searched, False),
        }
        scored = {name: tuning.scores(problem, hyper, fresh, falls) for name, (hyper, falls) in candidates.items()}
    pairs = {
        "test accuracy": verdicts.all_pairs({name: runs for name, (runs, _) in scored.items()}, margin=0.002),
        "test loss": verdicts.all_pairs({name: runs for name, (_, runs) in scored.items()}, higher_is_better=False),
    }
    columns = "", "rate", "momentum", "test accuracy (%)", "test loss (nats)"
    table = Table(*columns, title=f"{options.seeds} fresh seeds")
    for name, (hyper, _) in candidates.items():
        shown = _range(np.exp(np.asarray(hyper.log_rate)), ".3g"), _range(jax.nn.sigmoid(hyper.logit), ".3f")
        accuracy, loss = scored[name]
        ends = command.with_interval(100 * accuracy.scores), command.with_interval(loss.scores, ".4f")
        table.add_row(name, *shown, *ends)
    steep = np.abs(slopes)
    results = {
        "gradient_errors": {"two numbers": errors[0], "per layer and tenth": errors[1]},
        "cost_of_a_gradient": cost,
        "steps": options.steps,
        "runs_of_the_search": runs,
        "losses": losses,
        "accuracy": {name: runs.scores for name, (runs, _) in scored.items()},
        "loss": {name: runs.scores for name, (_, runs) in scored.items()},
        "pairs": {score: [pair._asdict() for pair in found] for score, found in pairs.items()},
        "surface": {"log_rates": RATES, "logits": LOGITS, "losses": heights},
        "slopes_at_momentum_half": {"all epochs": slopes, "one epoch": short_slopes},
        "best_rate": {"one epoch": np.exp(RATES[np.nanargmin(short)]), "all epochs": np.exp(RATES[np.nanargmin(long)])},
        "schedule": {"learning_rate": np.exp(learnt.log_rate), "momentum": jax.nn.sigmoid(learnt.logit)},
        "chosen": {name: hyper._asdict() for name, (hyper, _) in candidates.items()},
    }
    notes = [
        f"The gradient through {two_epochs.steps} steps differs from differences in float64 by "
        f"{errors[0]:.1e} by two numbers, and by {errors[1]:.1e} by {4 * TENTHS}.",
        f"A gradient costs about {cost} runs; {options.steps} steps on two keys cost as much as {runs} runs.",
        f"Truncation: at momentum 1/2 the best rate is {results['best_rate']['one epoch']:.3g} after one epoch, "
        f"{results['best_rate']['all epochs']:.3g} after {options.epochs}; the gradient through one epoch has another "
        f"sign than that through all at {np.sum(np.sign(slopes) != np.sign(short_slopes))} of {len(RATES)} rates.",
        f"Chaos: the largest slope by the logarithm of the rate is {np.nanmax(steep):.1e}, at rate "
        f"{np.exp(RATES[np.nanargmax(steep)]):.3g}; at rates up to 1 {np.nanmax(steep[RATES <= 1e-6]):.1e}. Steps are "
        "cut to length 1.",
        *(_sentence(score, pair) for score, found in pairs.items() for pair in found),
    ]
    pictures = {
        "surface": partial(figures.surface, RATES, LOGITS, heights, path, tried, tuned),
        "schedule": partial(figures.schedule, learnt, cosine),
        "limits": partial(figures.limits, RATES, long, short, slopes, options.epochs),
    }
    return Outcome(results, notes=notes, pictures=pictures, tables=[table])


def _sentence(score, pair):
    words = {"better": "better than", "worse": "worse than", "equal": "equal to", "undecided": "not told apart from"}
    unit, factor, digits = (" points", 100, 2) if score == "test accuracy" else (" nats", 1, 4)
    mean, low, high = (f"{factor * value:+.{digits}f}" for value in (pair.difference, pair.low, pair.high))
    return f"{score.capitalize()}: {pair.a} is {words[pair.verdict]} {pair.b}: {mean}{unit} [{low}, {high}]."


def _per_layer(hyper):
    return Hyper(*(jnp.full((TENTHS, 2), one) for one in hyper))


def _range(values, form):
    low, high = np.min(values), np.max(values)
    return f"{low:{form}}" if low == high else f"{low:{form}} to {high:{form}}"


def _cost(problem):
    """Return the time of a gradient through a run in runs."""
    key = jax.random.key(0)
    forward = jax.jit(lambda hyper: tuning.loss_after(problem, hyper, key))
    programs = forward, jax.jit(jax.value_and_grad(lambda hyper: tuning.loss_after(problem, hyper, key)))
    return _least(programs[1]) / _least(programs[0])


def _least(program):
    seconds = []
    for _ in range(6):  # the first compiles
        started = time.perf_counter()
        jax.block_until_ready(program(START))
        seconds.append(time.perf_counter() - started)
    return min(seconds[1:])


def _parser():
    parser = command.options(
        "hypergradient",
        "Tune learning rate and momentum, then both per layer and tenth of training, by the gradient "
        "through whole runs, beside a random search of equal cost.",
        seeds=10,
    )
    add = parser.add_argument
    add("--epochs", type=int, default=5, least=2, metavar="N", help="passes over the training examples of each run")
    add("--steps", type=int, default=30, least=1, metavar="N", help="steps of tuning by gradients")
    return parser
