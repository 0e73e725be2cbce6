"""Every instrument beside Cockpit's list: lines of code, error against the closed form, cost at three intervals."""

import inspect
import statistics
import time
from typing import Any

import jax
import numpy as np
from jax.extend.core import jaxprs_in_params
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
STEPS = 200
"""Steps of a run, of which an interval of 100 measures two."""
TURNS, SECONDS = (1, 11), 1.5
"""How often runs with and without an instrument take turns, at least and at most; no more after these seconds."""


def outcome(options: Any, console: Any) -> Outcome:
    """Measure all instruments."""
    chosen = sorted(names(), key=lambda name: name not in IN_COCKPIT)
    dataset = jaxmlp.datasets.load(options.problem, data_dir=options.data_dir, mirror=options.mirror)
    epochs = 4
    train = tuple(part[: STEPS // epochs * options.batch_size] for part in dataset.train)
    run, rows, seconds = _Run(train, epochs, options.batch_size), {}, []
    with command.progress(console, "instruments") as bar:
        task = bar.add_task("errors", total=len(chosen))
        errors = _errors(chosen)
        for name in chosen:
            bar.update(task, description=name)
            costs = {}
            for every in INTERVALS:
                shares, alone = run.shares({name: getattr(instruments, name)(every=every)})
                seconds += alone
                low, middle, high = np.quantile(shares, (0.25, 0.5, 0.75))
                costs[str(every)] = {"share": middle, "quartiles": (low, high), "turns": len(shares)}
            rows[name] = {
                "cockpit": IN_COCKPIT.get(name),
                "lines": lines(name),
                "error": errors[name],
                "operations": run.operations(getattr(instruments, name)()),
                "cost": costs,
            }
            bar.advance(task)
    table = Table("instrument", "Cockpit", "lines", "error", "operations", *(f"cost at {n}" for n in INTERVALS))
    for name, row in rows.items():
        cells = [_percent(cost) for cost in row["cost"].values()]
        operations = f"{100 * row['operations']:.3g} %"
        table.add_row(name, row["cockpit"] or "-", str(row["lines"]), f"{row['error']:.0e}", operations, *cells)
    plain = statistics.median(seconds)
    note = (
        f"Cost: time of a run of {STEPS} steps with the instrument beside one without, {1e3 * plain:.0f} ms, in turns; "
        "median of the shares, with half the distance of their quartiles (784-128-64-10, sgd, batch size "
        f"{options.batch_size}). Operations: additions, multiplications and elementary functions of one measurement "
        "beside those of a step. Error: relative, on the quadratic in float64; of the random estimates, that of the "
        f"mean of {quadratic.DRAWS:,} draws. Cockpit's Time is the one that is no function of a step; it is what is "
        "measured here."
    )
    fields = {"instruments": rows, "seconds_without": plain, "steps": STEPS}
    return Outcome(fields, notes=[note], tables=[table])


def _percent(cost):
    low, high = cost["quartiles"]
    digits = 1 if cost["share"] < 0.995 else 0
    return f"{100 * cost['share']:.{digits}f} ± {50 * (high - low):.{digits}f} %"


def names() -> list[str]:
    """Return the names of all instruments."""
    found = {name: inspect.signature(getattr(instruments, name)).parameters for name in instruments.__all__}
    return sorted(name for name, parameters in found.items() if "every" in parameters and name != "Instrument")


def lines(name: str) -> int:
    """Return the number of lines of the function that measures, without its factory."""
    measure = getattr(instruments, name)().measure
    return len([line for line in inspect.getsource(measure).splitlines() if line.strip()])


def _errors(names):
    with jax.enable_x64(True):
        step, expected = quadratic.step(), quadratic.expected()
        exact = {name: e.instrument for name, e in expected.items() if not e.random}
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


class _Run:
    """A run that instruments are timed in."""

    def __init__(self, train, epochs, batch_size):
        self.net, self.rule = jaxmlp.mlp((train[0].shape[1], 128, 64, 10)), jaxmlp.optimizers.sgd(0.1)
        self.loss_fn, self.params = jaxmlp.objective(self.net.apply), self.net.init(jax.random.key(0))
        self.train, self.batch = jax.device_put(train), tuple(part[:batch_size] for part in train)
        self.settings = {"key": jax.random.key(1), "epochs": epochs, "batch_size": batch_size}

    def seconds(self, chosen):
        started = time.perf_counter()
        result = jaxmlp.fit(self.loss_fn, self.params, self.rule, self.train, **self.settings, instruments=chosen)
        jax.block_until_ready(result)
        return time.perf_counter() - started

    def shares(self, chosen):
        """Return the additional time as shares of that without, and the seconds without."""
        for one in ({}, chosen):
            self.seconds(one)  # compiles
        shares, alone, started = [], [], time.perf_counter()
        while len(shares) < TURNS[0] or (len(shares) < TURNS[1] and time.perf_counter() - started < SECONDS):
            # In changing order: what comes second may find a warmer machine.
            order = ({}, chosen) if len(shares) % 2 else (chosen, {})
            taken = [self.seconds(one) for one in order]
            plain, with_it = taken if order[0] == {} else reversed(taken)
            shares.append(with_it / plain - 1)
            alone.append(plain)
        return shares, alone

    def operations(self, instrument):
        """Return the operations of a measurement as a share of those of a step."""

        def step(params):
            return jaxmlp.take_step(self.loss_fn, params, self.rule, self.batch)

        plain, with_it = (
            operations(jax.make_jaxpr(function)(self.params).jaxpr)
            for function in (
                lambda params: step(params).updates,
                lambda params: (step(params).updates, instrument(step(params), jax.random.key(0))),
            )
        )
        return (with_it - 2 * plain) / plain


def operations(jaxpr: Any) -> int:
    """Count the elementary operations of a program: a product of matrices as its multiplications and additions."""
    total = 0
    for equation in jaxpr.eqns:
        inner = [operations(part) for part in jaxprs_in_params(equation.params)]
        sizes = [variable.aval.size for variable in equation.outvars if hasattr(variable.aval, "size")]
        if inner:
            total += equation.params.get("length", 1) * max(inner)
        elif equation.primitive.name == "dot_general":
            (contracted, _), _ = equation.params["dimension_numbers"]
            shape = equation.invars[0].aval.shape
            total += 2 * sizes[0] * int(np.prod([shape[axis] for axis in contracted]))
        elif equation.primitive.name.startswith("reduce_"):
            total += equation.invars[0].aval.size
        else:
            total += sum(sizes)
    return total
