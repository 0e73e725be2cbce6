"""The process of one system, which is asked turn by turn: requests and answers are lines of JSON."""

import contextlib
import importlib
import json
import os
import sys
import time
import traceback
from pathlib import Path
from typing import Any

import numpy as np

from experiments.common.peers.settings import Settings, glorot
from experiments.throughput import rules
from experiments.throughput.cases import RATES, SEEDS, STEPPED, SYSTEMS

STEPS = 100  # of a rule, in one turn


def main() -> None:
    """Answer the requests on standard input until it ends; the first one says what is to be measured."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # whatever a library prints goes elsewhere
    work: Any = None
    for line in sys.stdin:
        request = json.loads(line)
        try:
            if work is None:
                work, answer = _begun(**request)
            else:
                answer = getattr(work, request.pop("do"))(**request)
        except Exception as error:  # whatever a library raises is reported, and the others are measured
            traceback.print_exc()
            answer = {"error": f"{type(error).__name__}: {error}".splitlines()[0][:300]}
        answers.write(json.dumps(answer) + "\n")
        answers.flush()


def _begun(kind, **given):
    started = time.perf_counter()
    if kind == "rules":
        work: Any = Rules(**given)
    elif kind == "profile":
        from experiments.throughput.profile import Profile

        work = Profile(Settings(**given["settings"]), *_examples(given["folder"]))
    else:
        work = {"network": Network, "sweep": Sweep}[kind](**given)
    return work, {"ready": time.perf_counter() - started}


class Network:
    """Epochs of training."""

    def __init__(self, name: str, folder: str, settings: dict[str, Any], epochs: int):
        """Load the examples and import the system."""
        self.system, self.settings, self.epochs = SYSTEMS[name], Settings(**settings), epochs
        self.module = importlib.import_module(f"experiments.common.peers.{self.system.module}")
        self.x, self.y = _examples(folder)
        self.trainer = self.module.Trainer(self.settings, self.x, self.y, **self.system.options, **self.further())
        self.layers = glorot(self.settings, 0)
        self._threads = contextlib.ExitStack()

    def further(self) -> dict[str, Any]:
        """Return further options of the trainer."""
        return {}

    def first(self) -> dict[str, Any]:
        """Train for the first time, which compiles; then choose the number of threads; then check the loss."""
        first, second = (Network.turn(self, 0)["seconds"] for _ in range(2))
        threads = self._choose_threads()
        self.trainer.reset(self.layers, 0)
        loss = self.trainer.train(1, shuffle=False)
        return {"first": first, "compiling": max(0.0, first - second), "threads": threads, "loss": loss}

    def turn(self, seed: int) -> dict[str, float]:
        """Train from the first weights."""
        self.trainer.reset(self.layers, seed)
        started = time.perf_counter()
        loss = self.trainer.train(self.epochs)
        return {"seconds": time.perf_counter() - started, "loss": loss}

    def memory(self) -> dict[str, float | None]:
        """Return the largest memory so far, in bytes, of the process and of the device."""
        return {"process": _peak_of_process(), "device": _peak_of_device()}

    def _choose_threads(self):
        """Take one thread where that is faster than all."""
        everything = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        if not self.system.threads or everything == 1:
            return None
        taken = {}
        for count in (1, everything):
            self._set_threads(count)
            taken[count] = min(Network.turn(self, 0)["seconds"] for _ in range(2))
        best = min(taken, key=lambda count: taken[count])
        self._set_threads(best)
        return best

    def _set_threads(self, count):
        if self.system.threads == "torch":
            importlib.import_module("torch").set_num_threads(count)
            return
        from threadpoolctl import threadpool_limits

        self._threads.close()
        self._threads.enter_context(threadpool_limits(count))


class Sweep(Network):
    """All runs of a sweep: by what the system has for it, else one after another."""

    def further(self) -> dict[str, Any]:
        """Let another learning rate compile nothing."""
        return {"adjustable": True} if self.system.kind == "loop" else {}

    def first(self) -> dict[str, Any]:
        """Train one run and, where the system sweeps by itself, one epoch of its sweep."""
        found = super().first()
        if hasattr(self.module, "sweep"):
            self.module.sweep(self.settings, self.x, self.y, RATES[:2], 1, self.epochs)
            found["threads"] = None  # it decides itself
        return found

    def turn(self, seed: int) -> dict[str, float]:
        """Train all runs; the loss is that of the best rate, on average over its seeds."""
        del seed
        started = time.perf_counter()
        if hasattr(self.module, "sweep"):
            losses = self.module.sweep(self.settings, self.x, self.y, RATES, SEEDS, self.epochs)
        else:
            losses = np.array([[self._run(rate, seed) for seed in range(SEEDS)] for rate in RATES])
        return {"seconds": time.perf_counter() - started, "loss": float(losses.mean(axis=1).min())}

    def _run(self, rate, seed):
        self.trainer.reset(glorot(self.settings, seed), seed, float(rate))
        return self.trainer.train(self.epochs)


class Rules:
    """Steps of each rule alone."""

    def __init__(self, name: str):
        """Draw parameters and gradients, and build the rules."""
        self.start = glorot(STEPPED, 0)
        self.starts = rules.starts(name, self.start, rules.gradients(self.start))

    def first(self) -> dict[str, Any]:
        """Take the steps of each rule once, which compiles; return how far the parameters moved, on average."""
        return {"moved": {rule: self._distance(start) for rule, start in self.starts.items()}}

    def turn(self, seed: int) -> dict[str, Any]:
        """Return seconds per step by rule."""
        del seed
        found = {}
        for rule, start in self.starts.items():
            take, _ = start()
            take(1)
            started = time.perf_counter()
            take(STEPS)
            found[rule] = (time.perf_counter() - started) / STEPS
        return {"seconds": found}

    def _distance(self, start):
        take, read = start()
        take(STEPS)
        moved = [np.abs(np.asarray(w) - v).mean() for (w, _), (v, _) in zip(read(), self.start, strict=True)]
        return float(np.mean(moved))


def _examples(folder):
    return np.load(Path(folder) / "x.npy"), np.load(Path(folder) / "y.npy")


def _peak_of_process():
    with contextlib.suppress(OSError):
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmHWM"):
                return 1024.0 * int(line.split()[1])
    with contextlib.suppress(ImportError):
        import resource

        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return float(peak if sys.platform == "darwin" else 1024 * peak)
    return None


def _peak_of_device():
    if "jax" in sys.modules:
        stats = sys.modules["jax"].local_devices()[0].memory_stats() or {}
        return stats.get("peak_bytes_in_use")
    torch = sys.modules.get("torch")
    return float(torch.cuda.max_memory_allocated()) if torch is not None and torch.cuda.is_available() else None
