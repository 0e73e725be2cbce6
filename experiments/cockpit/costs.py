"""Every instrument beside Cockpit's list: lines of code, error against the closed form, cost at three intervals."""

import inspect
import time
from typing import Any

import jax
import numpy as np
from rich.table import Table

import jaxmlp
from experiments.cockpit import quadratic
from experiments.common import command
from experiments.common.command import Outcome
from jaxmlp import instruments

IN_COCKPIT = {
    "loss": "Loss",
    "parameters": "Parameters",
    "distance": "Distance",
    "update_norm": "UpdateSize",
    "gradient_norm": "GradNorm",
    "alpha": "Alpha",
    "cabs_batch_size": "CABS",
    "early_stopping": "EarlyStopping",
    "gradient_histogram": "GradHist1d",
    "gradient_histogram_2d": "GradHist2d",
    "norm_test": "NormTest",
    "inner_product_test": "InnerTest",
    "orthogonality_test": "OrthoTest",
    "largest_eigenvalue": "HessMaxEV",
    "hessian_trace": "HessTrace",
    "tic_diagonal": "TICDiag",
    "tic_trace": "TICTrace",
    "mean_gsnr": "MeanGSNR",
}
INTERVALS = (1, 10, 100)
REPEATS = 5


def outcome(options: Any, console: Any) -> Outcome:
    """Measure all instruments."""
    names = sorted(set(instruments.__all__) - {"Instrument", "Readings"}, key=lambda n: (n not in IN_COCKPIT, n))
    errors = _errors(names)
    dataset = jaxmlp.datasets.load(options.problem, data_dir=options.data_dir, mirror=options.mirror)
    train = tuple(part[: options.examples] for part in dataset.train)
    plain, rows = _seconds(train, options, {}), {}
    with command.progress(console, "instruments") as bar:
        task = bar.add_task("", total=len(names))
        for name in names:
            bar.update(task, description=name)
            shares = []
            for every in INTERVALS:
                with_it = _seconds(train, options, {name: getattr(instruments, name)(every=every)})
                shares.append(with_it / plain - 1)
            rows[name] = {
                "cockpit": IN_COCKPIT.get(name),
                "lines": lines(name),
                "error": errors[name],
                "cost": dict(zip(map(str, INTERVALS), shares, strict=True)),
            }
            bar.advance(task)
    table = Table("instrument", "Cockpit", "lines", "relative error", *(f"cost at {n}" for n in INTERVALS))
    for name, row in rows.items():
        cells = [f"{100 * share:.1f} %" for share in row["cost"].values()]
        table.add_row(name, row["cockpit"] or "-", str(row["lines"]), f"{row['error']:.1e}", *cells)
    note = (
        f"Cost: share of a run of {options.epochs} epochs without instruments, {1e3 * plain:.0f} ms, least of "
        f"{REPEATS} (784-128-64-10, sgd, batch size {options.batch_size}). Error: on the quadratic in float64; of the "
        f"random estimates, that of the mean of {quadratic.DRAWS:,} draws. Cockpit's Time is the one that is no "
        "function of a step; it is what is measured here."
    )
    return Outcome({"instruments": rows, "seconds_without": plain}, notes=[note], tables=[table])


def lines(name: str) -> int:
    """Return the number of lines of the function that measures, without its factory."""
    measure = getattr(instruments, name)().measure
    return len([line for line in inspect.getsource(measure).splitlines() if line.strip()])


def _errors(names):
    with jax.enable_x64(True):
        step, expected = quadratic.step(), quadratic.expected()
        exact = {name: e.instrument for name, e in expected.items() if not e.random or name.startswith("tic")}
        key = jax.random.key(0)
        found = jax.jit(lambda: {name: instrument(step, key) for name, instrument in exact.items()})()
        keys = jax.random.split(key, quadratic.DRAWS)
        for name in set(names) - set(exact):
            instrument = expected[name].instrument
            found[name] = jax.jit(jax.vmap(lambda key, i=instrument: i(step, key)))(keys).mean()
        return {name: _error(found[name], expected[name].value) for name in names}


def _error(found, expected):
    pairs = zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True)
    return max(float(np.max(np.abs(np.asarray(a) - b)) / np.max(np.abs(b))) for a, b in pairs)


def _seconds(train, options, chosen):
    net = jaxmlp.mlp((train[0].shape[1], 128, 64, 10))
    loss_fn, params = jaxmlp.objective(net.apply), net.init(jax.random.key(0))
    settings = {"key": jax.random.key(1), "epochs": options.epochs, "batch_size": options.batch_size}
    rule, seconds = jaxmlp.optimizers.sgd(0.1), []
    for _ in range(REPEATS + 1):  # the first compiles
        started = time.perf_counter()
        jax.block_until_ready(jaxmlp.fit(loss_fn, params, rule, train, **settings, instruments=chosen))
        seconds.append(time.perf_counter() - started)
    return min(seconds[1:])
