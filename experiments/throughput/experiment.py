"""The experiment and its command line."""

import os
import tempfile
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import jax
import numpy as np

import jaxmlp
from experiments.common import command
from experiments.common.command import Outcome
from experiments.throughput import cases, figures, report, rules
from experiments.throughput.machine import Machine
from experiments.throughput.processes import FailedError, Here, Worker
from jaxmlp.comparison import record

PAUSE = 0.25  # seconds between two systems: threads wait for more work for a while, and take the next one's time
PROBLEMS = ("mnist", "synthetic")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit status."""
    return command.run("throughput", _experiment, _parser(), arguments)


def _experiment(options, console):
    networks = [name for name in options.cases if name in cases.NETWORKS]
    if options.profile and not networks:
        raise ValueError(f"--profile needs a network among --cases, one of {', '.join(cases.NETWORKS)}")
    largest = max([cases.NETWORKS[name].batch_size for name in networks], default=cases.SWEPT.batch_size)
    if options.examples < largest:
        raise ValueError(
            f"--examples must be at least {largest}, a batch of the largest network, got {options.examples}"
        )
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")  # the systems share an accelerator's memory
    platform = jax.default_backend()
    (x, y), source = _examples(options)
    chosen = [cases.OURS, *(name for name in options.systems if name != cases.OURS)]
    absent = {name: reason for name in chosen if (reason := cases.absent(name))}
    chosen = [name for name in chosen if name not in absent]
    found = {"examples": len(x), "source": source, "epochs": options.epochs, "platform": platform, "absent": absent}
    found |= {"cases": {}, "profile": {}}
    with tempfile.TemporaryDirectory() as folder, command.progress(console, "turns") as bar:
        np.save(Path(folder) / "x.npy", x)
        np.save(Path(folder) / "y.npy", y)
        begin = partial(Worker, folder, platform)
        measured = {name: _requests(name, chosen, folder, options) for name in options.cases}
        if options.profile:
            profile = {"kind": "profile", "folder": folder}
            measured = {"profile": {n: {**profile, "settings": cases.NETWORKS[n]._asdict()} for n in networks}}
        task = bar.add_task("", total=sum(len(requests) for requests in measured.values()) * (1 + options.turns))
        for name, requests in measured.items():
            turns = options.sweep_turns if name == "sweep" else options.turns

            def step(system, name=name):
                bar.update(task, advance=1, description=f"{name}: {system}")

            machine = Here(Machine(platform, 4.0 * cases.parameters(_settings(name))))
            answers = _in_turns({} if options.profile else {"machine": machine}, begin, requests, turns, step)
            found |= {"profile": answers} if options.profile else {"cases": {**found["cases"], name: answers}}
    summary = report.summary(found)
    tables = report.tables(found, summary)
    pictures = {"throughput": partial(figures.throughput, found, summary)} if found["cases"] else {}
    notes = report.notes(found, summary)
    text = report.markdown(tables, notes)
    return Outcome(
        {"options": vars(options), **found, "summary": summary},
        notes=notes,
        pictures=pictures,
        tables=[table.rich() for table in tables],
        recorded=lambda: record.save_text(options.output / "table.md", text),
        status=int(bool(summary["disagreeing"])),
    )


def _examples(options):
    """Return the training examples and where they come from."""
    if options.problem == "mnist":
        try:
            x, y = jaxmlp.datasets.load("mnist", data_dir=options.data_dir, mirror=options.mirror).train
            return (x[: options.examples], y[: options.examples]), "MNIST"
        except jaxmlp.datasets.DatasetUnavailableError as error:
            source = f"synthetic images of MNIST's shape, since MNIST is not there ({error})"
    else:
        source = "synthetic images of MNIST's shape"
    generator = np.random.default_rng(0)
    y = generator.integers(0, 10, options.examples).astype(np.int32)
    noise = generator.uniform(size=(options.examples, 784)).astype(np.float32)
    return ((generator.uniform(size=(10, 784)).astype(np.float32)[y] + noise) / 2, y), source


def _settings(name):
    return cases.NETWORKS.get(name, cases.STEPPED if name == "rules" else cases.SWEPT)


def _requests(name, chosen, folder, options):
    """Return what each process of a case is asked first, by name of the system."""
    if name == "rules":
        return {n: {"kind": name, "name": n} for n in chosen if n in rules.NAMES}
    given = {"folder": folder, "settings": _settings(name)._asdict(), "epochs": options.epochs}
    return {n: {"kind": "sweep" if name == "sweep" else "network", "name": n, **given} for n in chosen}


def _in_turns(here, begin, requests, turns, step):
    """Start the processes and ask them in turns, and what is here; a system that fails is left out, with the reason."""
    workers, failed = dict(here), {}
    found: dict[str, Any] = {name: {"ready": 0.0, "turns": []} for name in here}
    try:
        for name, request in requests.items():
            step(name)
            try:
                workers[name] = begin(request)
                found[name] = {"ready": workers[name].ready, "turns": [], **workers[name].ask("first")}
            except FailedError as error:
                failed[name] = str(error)
        order = list(workers)
        for turn in range(turns):
            for name in order:
                step(name)
                if name not in failed:
                    time.sleep(PAUSE)
                    try:
                        found[name]["turns"].append(workers[name].ask("turn", seed=turn + 1))
                    except FailedError as error:
                        failed[name] = str(error)
            order.reverse()
        for name, request in requests.items():
            if name not in failed and request["kind"] in ("network", "sweep"):
                found[name]["memory"] = workers[name].ask("memory")
    finally:
        for worker in workers.values():
            worker.close()
    if cases.OURS in failed or not set(requests) - set(failed):
        raise RuntimeError(f"nothing to compare with: {failed}")
    return {"systems": {name: row for name, row in found.items() if name not in failed}, "failed": failed}


def _parser():
    parser = command.options(
        "throughput",
        "Time jaxmlp's fit, sweep and update rules beside NumPy written by hand, a JAX step loop with optax, and "
        "scikit-learn, PyTorch, Keras, Flax NNX and Equinox as far as they are installed, in turns, and beside the "
        "machine's own rates. Each trains from the same weights in a process of its own.",
        data=True,
    )
    add = parser.add_argument
    count = {"type": command.up_to(command.LARGEST), "least": 1, "metavar": "N"}
    add("--cases", nargs="+", choices=cases.CASES, default=cases.CASES, metavar="CASE", help="what is measured")
    every = tuple(cases.SYSTEMS)
    add("--systems", nargs="+", choices=every, default=every, metavar="NAME", help="who trains; jaxmlp always does")
    add("--turns", **count, default=7, help="times that each system is measured")
    add("--sweep-turns", **count, default=3, help="the same for the sweep, 48 runs by each system")
    add("--epochs", **count, default=1, help="epochs in each turn")
    add(
        "--problem", choices=PROBLEMS, default="mnist", help="images to train on, mnist or synthetic ones of that shape"
    )
    add("--examples", **{**count, "type": command.up_to(60_000)}, default=60_000, help="how many of them")
    add("--profile", action="store_true", help="time fit without its parts instead, to say where an epoch goes")
    return parser
