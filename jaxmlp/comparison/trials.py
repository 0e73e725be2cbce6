"""Which optimizers can compete: python -m jaxmlp.comparison check optax.lion my_rules.py:mine, or whole modules."""

import importlib
import inspect
import logging
import warnings
from collections.abc import Callable, Sequence
from typing import NamedTuple

from rich.console import Console
from rich.markup import escape
from rich.table import Column, Table

from jaxmlp.comparison import candidates, console, spaces

__docformat__ = "google"
__all__ = ["Trial", "factories", "parser", "run", "trial"]


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
        found = candidates.checked(candidates.resolve([loaded], own))
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
