"""A problem's data: loaded, divided into three parts, and checked with its network before anything is trained."""

from pathlib import Path

import jax
import numpy as np

import jaxmlp
from jaxmlp._checks import shown, takes
from jaxmlp.comparison.problems.problem import Problem, ProblemData
from jaxmlp.comparison.scores import Measure
from jaxmlp.data import Dataset

__docformat__ = "google"
__all__ = ["check", "load", "resplit"]

_TEST_SEED = 0  # of the test set, where the data have none


def load(problem: Problem, *, data_dir: Path | None = None, mirror: str | None = None) -> ProblemData:
    """Load a problem's data, its training set split into a training and a validation part.

    Args:
        problem: the task.
        data_dir: data set directory, as for jaxmlp.datasets.load.
        mirror: where to fetch a missing data set from, as for jaxmlp.datasets.load.

    Returns:
        The three parts. The split is the same at every call.

    Raises:
        ValueError: the data are not examples, or too few.
        jaxmlp.datasets.DatasetUnavailableError: the data set is neither on disk nor can it be fetched.

    Example:
        >>> from jaxmlp.comparison import problems
        >>> [len(y) for x, y in load(problems.get("digits"))]
        [1150, 287, 360]
    """
    data = problem.data
    if isinstance(data, str):
        data = jaxmlp.datasets.load(data, data_dir=data_dir, mirror=mirror)
    elif callable(data):
        places = {"data_dir": data_dir, "mirror": mirror}
        data = data(**{name: place for name, place in places.items() if takes(data, name)})
    parts = [_examples(problem, part) for part in _parts(problem, data)]
    if len(parts) == 1:
        parts = list(_divided(problem, parts[0], _share(problem, parts[0]), _TEST_SEED, "test"))
    if len(parts) == 2:
        train, validation = _divided(problem, parts[0], _held_out(problem, _count(parts[0])), 0, "validation")
        return ProblemData(train, validation, parts[1])
    return ProblemData(*parts)


def resplit(problem: Problem, data: ProblemData, number: int) -> ProblemData:
    """Divide the training and validation parts anew.

    Args:
        problem: the task.
        data: as load returns it, which is split 0.
        number: of the split, >= 0; equal numbers give equal splits.

    Example:
        >>> from jaxmlp.comparison import problems
        >>> digits = problems.get("digits")
        >>> data = load(digits)
        >>> other = resplit(digits, data, 1)
        >>> len(other.validation[1]), bool((other.validation[1] == data.validation[1]).all())
        (287, False)
    """
    if number == 0:
        return data
    whole = jax.tree.map(lambda *parts: np.concatenate(parts), data.train, data.validation)
    train, validation = _divided(problem, whole, _count(data.validation), number, "validation")
    return ProblemData(train, validation, data.test)


def check(problem: Problem, data: ProblemData) -> None:
    """Raise a ValueError if network, loss and score cannot work with the data: they are tried on a few examples.

    Args:
        problem: the task.
        data: its three parts.

    Raises:
        ValueError: says what is wrong, and how to mend it.

    Example:
        >>> from jaxmlp.comparison import problems
        >>> digits = problems.get("digits")
        >>> check(digits, load(digits))
    """
    count = _count(data.train)
    if problem.batch_size > count:
        raise ValueError(
            f"batch_size must be at most the {count} training examples of {problem.name}, got {problem.batch_size}"
        )
    network = problem.build(data)
    loss_fn, score = jaxmlp.objective(network.apply, problem.loss), problem.scored_by
    x, y = jax.tree.map(lambda a: a[:2], data.train)
    params = _tried(problem, "the network", lambda: network.init(jax.random.key(0)))
    outputs = _tried(problem, "the network", lambda: network.apply(params, x))
    _tried(problem, "the loss", lambda: [loss_fn.check(params, *part) for part in data])
    loss = _tried(problem, "the loss", lambda: loss_fn(params, x, y, key=jax.random.key(0)))
    if np.shape(loss) != ():
        raise ValueError(f"the loss of {problem.name} must be a scalar, got an array {np.shape(loss)}; take its mean")
    if not np.isfinite(loss):
        raise ValueError(
            f"the loss of {problem.name} is {float(loss)} before any training; scale the inputs and targets to about 1"
        )
    for part in data:
        # Of outputs 0, so that the values of all targets are checked without a whole evaluation.
        whole = jax.eval_shape(network.apply, params, part[0])
        zeros = jax.tree.map(lambda a: np.zeros(a.shape, a.dtype), whole)
        found = _tried(problem, "the score", lambda zeros=zeros, y=part[1]: score.function(zeros, y))
        shape = getattr(found, "shape", None)
        if shape not in ((), (_count(part),)):
            raise ValueError(
                f"the score {score.name} of {problem.name} must be a scalar or one value for each of {_count(part)} "
                f"examples, got {shown(found) if shape is None else f'an array {shape}'}"
            )
    del outputs
    _tried(problem, "the score", lambda: Measure(score, network.apply)(params, x, y))


def _tried(problem, what, call):
    try:
        return call()
    except Exception as error:  # whatever a user's function raises
        text = str(error).strip().partition("\n")[0]
        raise ValueError(
            f"{what} of {problem.name} does not fit its data: {text if isinstance(error, ValueError) else ''}"
            f"{'' if isinstance(error, ValueError) else f'{type(error).__name__}: {text}'}"
        ) from error


def _parts(problem, data):
    """The data as a list of one, two or three pairs (x, y)."""
    if isinstance(data, Dataset):
        return [data.train, data.test]
    if isinstance(data, tuple | list) and len(data) in (2, 3):
        if all(isinstance(part, tuple | list) and len(part) == 2 for part in data):
            return list(data)
        if len(data) == 2:
            return [data]
    raise ValueError(
        f"the data of {problem.name} must be (x, y), (train, test) or (train, validation, test), each of the last two "
        f"made of pairs (x, y); got {shown(data)}"
    )


def _examples(problem, part):
    """The pair as NumPy arrays, checked."""
    x, y = (jax.tree.map(_plain, values) for values in part)
    leaves = jax.tree.leaves((x, y))
    counts = {len(leaf) if leaf.ndim else 0 for leaf in leaves}
    if len(counts) != 1 or 0 in counts:
        shapes = ", ".join(str(leaf.shape) for leaf in leaves) or "nothing"
        raise ValueError(f"the arrays of {problem.name} must have one first axis, the examples; got {shapes}")
    for leaf in leaves:
        if leaf.dtype.kind not in "fiub":
            raise ValueError(
                f"the data of {problem.name} must be numbers, got {leaf.dtype}; for a table with text there is --csv"
            )
        if leaf.dtype.kind == "f" and not np.isfinite(leaf).all():
            raise ValueError(
                f"the data of {problem.name} hold NaN or infinity; fill missing values first, e.g. with "
                "jaxmlp.data.fill_missing"
            )
    return x, y


def _plain(values):
    values = np.asarray(values)
    return values.astype({"float64": np.float32, "int64": np.int32}.get(values.dtype.name, values.dtype), copy=False)


def _count(part):
    return len(jax.tree.leaves(part)[0])


def _share(problem, part):
    return max(1, _count(part) // 5)


def _held_out(problem, count):
    return problem.validation_count or max(1, count // 5)


def _divided(problem, part, held_out, seed, name):
    """Hold out some examples at random, as jaxmlp.data.split does, of pytrees too."""
    count = _count(part)
    if not 1 <= held_out < count:
        raise ValueError(f"the {name} part of {problem.name} cannot have {held_out} of its {count} examples")
    chosen = np.zeros(count, bool)
    chosen[np.random.default_rng(seed).choice(count, held_out, replace=False)] = True
    return jax.tree.map(lambda a: a[~chosen], part), jax.tree.map(lambda a: a[chosen], part)
