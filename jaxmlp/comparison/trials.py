"""Which optimizers can compete: one step on a small network before anything is trained, or alone as a command.

python -m jaxmlp.comparison check optax.lion my_rules.py:mine, or --module optax.
"""

import dataclasses
import importlib
import inspect
import logging
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import jax
import numpy as np
from rich.console import Console
from rich.markup import escape
from rich.table import Column, Table

import jaxmlp
from jaxmlp._checks import shown
from jaxmlp.comparison import candidates, console, spaces
from jaxmlp.comparison.candidates import Candidate
from jaxmlp.comparison.recipes import ScheduleFreeParams
from jaxmlp.comparison.spaces import Dimension

__docformat__ = "google"
__all__ = ["Trial", "check", "checked", "factories", "parser", "run", "trial"]


def check(candidate: Candidate, space: Mapping[str, Dimension]) -> Candidate:
    """Try one step of the candidate on a small network, at the middle of its space.

    Args:
        candidate: to check.
        space: what will be searched.

    Returns:
        The candidate; with its evaluation point where that is known.

    Raises:
        ValueError: it cannot be built or take the step, or the step is not finite; says what to do.

    Example:
        >>> lion = candidates.load("optax.lion")
        >>> check(lion, lion.full_space()).eval_params is None
        True
    """
    known = candidate.reference in (None, candidate.name)
    what = candidate.name if known else f"{candidate.name} ({candidate.reference})"
    point = {name: dimension.at(0.5) for name, dimension in space.items()}
    at = ", ".join(f"{name} {value:g}" for name, value in point.items())
    try:
        found, numbers = _one_step(candidate, point)
    except Exception as error:  # whatever a stranger's code raises
        varies = candidate.schedule not in (None, "constant")
        if varies and not candidate.rebuilds:
            return check(dataclasses.replace(candidate, rebuilds=True), space)
        text = str(error).partition("\n")[0]
        raise ValueError(
            f"{what} cannot take a step at {at}: {type(error).__name__}: {text}. It must be a function of numbers that "
            "returns an optax transformation; name the numbers to search by --space, and give all others a default"
        ) from error
    if not all(bool(np.all(np.isfinite(leaf))) for leaf in numbers):
        raise ValueError(
            f"{what} makes a step that is not finite at the middle of its space ({at}); narrow the space, as in "
            f'--space "{candidate.name}.learning_rate=log_uniform(1e-5, 0.1)"'
        )
    return found


def checked(found: Mapping[str, Candidate]) -> dict[str, Candidate]:
    """Return the candidates, those that are not our own rules checked by one step.

    Args:
        found: name -> candidate.

    Raises:
        ValueError: as check.

    Example:
        >>> list(checked(candidates.resolve(["sgd", "optax.lion"])))
        ['sgd', 'lion']
    """
    return {name: one if candidates.is_ours(one) else check(one, one.full_space()) for name, one in found.items()}


class Trial(NamedTuple):
    """What became of one reference."""

    reference: str
    """As it was given."""

    runs: bool
    """Whether a step of it is finite."""

    message: str
    """What is searched by default, or why it cannot compete."""


def trial(reference: str, assignments: Sequence[tuple[str, str, spaces.Dimension]] = ()) -> Trial:
    """Try one optimizer for a step on a small network.

    Args:
        reference: as for candidates.load.
        assignments: as for candidates.resolve; those of other candidates are left out.

    Example:
        >>> trial("optax.polyak_sgd").message[:40]
        'polyak_sgd takes no learning_rate, so it'
    """
    try:
        loaded = candidates.load(reference)
        own = [each for each in assignments if each[0] in (reference, loaded.name)]
        found = checked(candidates.resolve([loaded], own))
    except (ValueError, TypeError) as error:
        return Trial(reference, False, str(error))
    [candidate] = found.values()
    space = ", ".join(f"{name} {dimension}" for name, dimension in candidate.full_space().items())
    return Trial(reference, True, space + ("; evaluated at its average" if candidate.eval_params else ""))


def factories(module: str) -> list[str]:
    """Return references to all public functions of a module that take a learning rate or say that they return a rule.

    Args:
        module: to import, e.g. "optax" or "my_package.rules".

    Raises:
        ValueError: it cannot be imported.

    Example:
        >>> "optax.adam" in factories("optax")
        True
    """
    try:
        loaded = importlib.import_module(module)
    except Exception as error:
        raise ValueError(f"the module {module} cannot be imported: {error}") from error
    between = "." if module.split(".")[0] in ("optax", "jaxmlp") else ":"
    public = {name: value for name, value in vars(loaded).items() if not name.startswith("_") and callable(value)}
    return [f"{module}{between}{name}" for name, value in sorted(public.items()) if _may_be_a_factory(value)]


def parser() -> console.Parser:
    """Build the parser of the command.

    Example:
        >>> parser().parse(["optax.lion"]).references
        ['optax.lion']
    """
    found = console.Parser(
        "python -m jaxmlp.comparison check",
        "Try optimizers for one step on a small network, without training anything: which can compete, and why others "
        "cannot.",
    )
    found.add_argument(
        "references", nargs="*", default=[], metavar="NAME", help="names or references, as --optimizers takes them"
    )
    found.add_argument(
        "--module",
        nargs="+",
        default=[],
        metavar="MODULE",
        help="every function of a module that takes a learning_rate or says that it returns a rule",
    )
    found.add_argument(
        "--space",
        nargs="+",
        default=[],
        metavar="NAME.ARGUMENT=DIMENSION",
        help="what is searched, as for a comparison",
    )
    return found


def run(words: Sequence[str], screen: Console) -> int:
    """Run the command, and return its exit status: 2 if an optimizer that was named cannot compete.

    Args:
        words: its arguments.
        screen: to print on.

    Example:
        >>> run(["optax.lion"], Console(quiet=True))
        0
    """
    given = parser().parse(words)
    assignments = [spaces.parse_assignment(text) for text in given.space]
    wanted = [*given.references, *(reference for module in given.module for reference in factories(module))]
    if not wanted:
        raise ValueError("check takes references, or --module MODULE; --help lists the options")
    table = Table(Column("optimizer", no_wrap=True), "", "space, or reason")
    found = []
    logging.getLogger("absl").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for reference in wanted:
            found.append(trial(reference, assignments))
            table.add_row(*map(escape, (reference, "runs" if found[-1].runs else "refused", found[-1].message)))
    screen.print(table)
    screen.print(f"{sum(each.runs for each in found)} of {len(found)} can compete.", highlight=False)
    named = set(given.references)
    return 2 if any(not each.runs for each in found if each.reference in named) else 0


def _may_be_a_factory(value: Callable[..., object]) -> bool:
    try:
        signature = inspect.signature(value)
    except (TypeError, ValueError):
        return False
    makes_a_rule = "GradientTransformation" in str(signature.return_annotation)
    return not inspect.isclass(value) and ("learning_rate" in signature.parameters or makes_a_rule)


def _one_step(candidate, point):
    """The candidate with its evaluation point, and the numbers after a step at a point of its space."""
    net = jaxmlp.mlp((3, 4, 2))
    params = net.init(jax.random.key(0))
    x = np.random.default_rng(0).normal(size=(8, 3)).astype(np.float32)
    examples = (x, (x[:, 0] > 0).astype(np.int32))
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        optimizer = candidate.recipe(point, steps=10)(**candidate.of_rule(point))
        if not (hasattr(optimizer, "init") and hasattr(optimizer, "update")):
            raise TypeError(f"it returned {shown(optimizer)}, not an optax transformation (init, update)")
        eval_params = candidate.eval_params
        if eval_params is None and ScheduleFreeParams.serves(jax.eval_shape(optimizer.init, params)):
            eval_params = ScheduleFreeParams()
        result = jaxmlp.fit(
            jaxmlp.objective(net.apply),
            params,
            optimizer,
            examples,
            key=jax.random.key(0),
            epochs=1,
            batch_size=8,
            validation=examples,
            eval_params=eval_params,
        )
    numbers = [*jax.tree.leaves(result.params), result.history.validation_loss]
    return dataclasses.replace(candidate, eval_params=eval_params), numbers
