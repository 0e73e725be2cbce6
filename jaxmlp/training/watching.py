"""Who watches a run, and where it is kept: on_epoch, its checkpoint, and what must be equal to go on with it."""

import datetime
import hashlib
import os
import zlib
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxmlp import checkpoint
from jaxmlp._arrays import is_concrete
from jaxmlp._checks import check_count, check_path, is_function, shown
from jaxmlp.training.forms import OnEpoch
from jaxmlp.training.partition import partition
from jaxmlp.training.results import FitResult
from jaxmlp.training.rows import local

TRACED = (
    "on_epoch and checkpoint cut a run into pieces in Python, which jit, vmap, grad and shard_map cannot; leave them "
    "out inside these"
)
_EVERY = datetime.timedelta(minutes=1)
_FORMAT = 1


class Interrupted(KeyboardInterrupt):
    """Ctrl-C during fit with on_epoch or checkpoint."""

    def __init__(self, path: Path | None, result: FitResult | None, epochs: int):
        way = f"call fit again with checkpoint={str(path)!r} to go on" if path else "its result so far is error.result"
        super().__init__(f"interrupted after {epochs} epoch{'s' * (epochs != 1)} of this run; {way}")
        self.result = result
        """The FitResult up to the last epoch that is known to have ended, None before the first."""


class Watch(NamedTuple):
    """Who is told of epochs, and where the run is kept."""

    on_epoch: OnEpoch | None
    path: Path | None
    every: int | datetime.timedelta

    def epochs_left(self, done: int, epochs: int) -> int:
        """Return how many epochs there are until the end, or until the next checkpoint at a number of epochs."""
        left = epochs - done
        return min(left, self.every - done % self.every) if self.path and isinstance(self.every, int) else left

    def is_due(self, done: int, ended: bool, inside: bool, seconds: float) -> bool:
        """Return whether the run is to be kept now, so many seconds after the last time; inside an epoch or not."""
        if self.path is None or ended:
            return self.path is not None
        if isinstance(self.every, int):
            return not inside and done % self.every == 0
        return seconds >= self.every.total_seconds()

    def kept(self) -> "Kept | None":
        """Return what the file holds, None if there is none; raise a ValueError if it is not of a run."""
        if self.path is None or not self.path.exists():
            return None
        tree, metadata = checkpoint.load(self.path)
        if metadata.get("run") != _FORMAT:
            raise ValueError(f"{self.path} is not the checkpoint of a run of fit; give another path, or remove it")
        partial = tuple(tree.get(name) for name in ("carry", "by_step", "readings"))
        return Kept(self.path, tree["state"], tree["reports"], metadata, False, partial)

    def save(self, now: Any, settings: dict[str, Any], epochs: int) -> None:
        """Keep the progress of a run of so many epochs."""
        progress = {"done": now.done, "stopped": now.stopped, "epochs": epochs}
        tree = {"state": now.state, "reports": joined(now.reports)}
        if now.partial is not None:
            partial = now.partial
            tree |= {"carry": partial.carry, "by_step": joined(partial.by_step), "readings": joined(partial.readings)}
            progress |= {"steps": partial.steps, "examples": partial.examples}
        if self.path is not None and jax.process_index() == 0:
            checkpoint.save(self.path, local(tree), {"run": _FORMAT, "settings": settings, **progress})


def watch_of(on_epoch: Any, path: Any, every: Any, arguments: Any) -> Watch | None:
    """Return the Watch that these arguments of fit ask for, None if they ask for none."""
    if every is not None:
        if isinstance(every, datetime.timedelta):
            if every < datetime.timedelta(0):
                raise ValueError(f"every must not be negative, got {every!r}")
        elif isinstance(every, float):
            raise TypeError(f"every must be a number of epochs or a datetime.timedelta(seconds={every:g}), got {every}")
        else:
            every = check_count("every", every)
        if path is None:
            raise ValueError("every says how often the checkpoint is written; give checkpoint=path too")
    if on_epoch is None and path is None:
        return None
    if on_epoch is not None and not is_function(on_epoch):
        raise TypeError(f"on_epoch must be a function (epoch, losses, metrics), got {shown(on_epoch)}")
    path = None if path is None else check_path("checkpoint", path)
    if path is not None and path.is_dir():
        raise IsADirectoryError(f"checkpoint must be the path of a file, and {path} is a folder")
    if path is not None and path.exists() and not path.is_file():
        raise ValueError(f"checkpoint must be the path of a regular file, and {path} is none")
    if not all(is_concrete(leaf) for leaf in jax.tree.leaves(arguments)):
        raise ValueError(TRACED)
    return Watch(on_epoch, path, _EVERY if every is None else every)


class Kept(NamedTuple):
    """What a checkpoint holds of a run."""

    path: Path
    state: Any  # with the containers that load returns
    reports: Any
    metadata: dict[str, Any]
    nothing_given: bool = False  # whether fit was called without params
    partial: tuple[Any, ...] = (None, None, None)  # of an epoch of a stream: what steps carry, reported and measured

    @property
    def done(self) -> int:
        """The number of epochs done or skipped."""
        return self.metadata["done"]

    def has_stopped(self, epochs: int) -> bool:
        """Return whether on_epoch ended the run, and no more epochs are wanted now than were then."""
        return self.metadata["stopped"] and epochs <= self.metadata["epochs"]

    def checked(self, settings: dict[str, Any], epochs: int) -> dict[str, Any]:
        """Return the settings of the run; raise a ValueError if a run with those given is not the one that was kept."""
        before = self.metadata["settings"]
        unknown = {name for name, value in settings.items() if value is None}
        if self.nothing_given:
            unknown |= {"params"}
        if before["jax"] != settings["jax"]:  # another version writes a program otherwise
            unknown |= {"jax", "program"}
        for name in settings:
            if name not in unknown and before[name] not in (None, settings[name]):
                what = _WORDS.get(name, f"{name}={before[name]}, not {settings[name]}")
                hint = "call fit with the arguments of that run, give another path, or remove the file"
                raise ValueError(f"{self.path} keeps a run with {what}; {hint}")
        if epochs < self.done:
            hint = "give at least as many, or another path"
            raise ValueError(f"{self.path} keeps {self.done} epochs of the run, more than epochs={epochs}; {hint}")
        return settings | {name: before[name] for name in unknown - {"jax", "program"}}

    def restored(self, state_like: Any, reports_like: Any, axes: int | None = 1) -> tuple[Any, Any]:
        """Return state and reports with the containers of those given; so many axes of reports may differ."""
        state = in_form(self.path, self.state, state_like)
        return state, (in_form(self.path, self.reports, reports_like, axes),) if self.done else ()


_WORDS = {
    "keep_best": "another keep_best or patience",
    "program": "another network, loss, optimizer, metric, instrument, augmentation or step",
    "numbers": "other hyperparameters",
    "train": "other training examples",
    "validation": "other validation examples",
    "params": "other initial params",
    "key": "another key",
    "state": "another state to begin with",
}


def joined(reports: tuple[Any, ...]) -> Any:
    """Return the reports of several pieces as those of one."""
    return jax.tree.map(lambda *parts: np.concatenate(parts), *reports) if reports else ()


def fingerprint(task: Any, start: Any, train: Any, validation: Any, settings: dict[str, Any], text: Any) -> dict:
    """Return what must be equal for a run to go on, as JSON; None where nothing can be said.

    Args:
        task: of training.
        start: (params, key) or a TrainState.
        train: the training examples.
        validation: the validation examples, or None.
        settings: the keyword arguments of run that decide numbers.
        text: the program, as it is given to the compiler; None on several devices, whose number may change.
    """
    given = start.key if hasattr(start, "key") else start[1]
    # A callback is written as an address, which differs from process to process.
    program = None if text is None or "callback" in text else hashlib.sha256(text.encode()).hexdigest()[:32]
    return {
        **settings,
        "numbers": _sum(partition(task)[0]),
        "train": _sum(train),
        "validation": _sum(validation),
        "params": _sum(start.params if hasattr(start, "params") else start[0]),
        "key": _sum(given),
        "state": _sum(start) if hasattr(start, "opt_state") else "none",
        "program": program,
        "jax": jax.__version__,
    }


def _sum(tree):
    """Return a checksum of all leaves, None if there are none."""
    checksum = 0
    for leaf in jax.tree.leaves(tree):
        if hasattr(leaf, "dtype") and jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
            leaf = jax.random.key_data(leaf)
        dtype = jax.dtypes.canonicalize_dtype(jnp.result_type(leaf))
        checksum = zlib.crc32(f"{dtype} {np.shape(leaf)}".encode(), checksum)
        if getattr(leaf, "is_fully_addressable", True):
            host = np.ascontiguousarray(np.asarray(leaf).astype(dtype, copy=False))
            checksum = zlib.crc32(host.reshape(-1).view(np.uint8).data, checksum)
    return f"{checksum:08x}"


def in_form(path: str | os.PathLike[str], tree: Any, like: Any, axes: int | None = 0) -> Any:
    """Return tree with the containers of like; raise a ValueError if shapes differ after so many axes, None for all."""
    leaves, (wanted, structure) = jax.tree.leaves(tree), jax.tree.flatten(like)
    forms = [
        [(() if axes is None else jnp.shape(leaf)[axes:], jnp.result_type(leaf)) for leaf in each]
        for each in (leaves, wanted)
    ]
    if forms[0] != forms[1]:
        raise ValueError(
            f"{path} keeps a run with {_WORDS['program']}; give another path, or call fit as it was called"
        )
    return structure.unflatten(leaves)


def as_numbers(report: Any) -> tuple[dict[str, float], dict[str, Any]]:
    """Return the losses and the metrics of one epoch as Python numbers, arrays where they are no scalars."""
    train_loss, validation_loss, measured, *_ = report
    losses = {"train_loss": train_loss}
    if validation_loss is not None:
        losses["validation_loss"] = validation_loss
    return jax.tree.map(lambda value: value.item() if value.ndim == 0 else value, (losses, measured))
