"""What competes: rules by name, by reference or from Python, each with the space that its search goes through."""

import dataclasses
import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from jaxmlp._checks import check_choice, shown, takes
from jaxmlp.comparison import references, spaces
from jaxmlp.comparison.recipes import Recipe
from jaxmlp.comparison.references import Origin
from jaxmlp.comparison.spaces import Dimension, log_uniform, one_minus_log_uniform
from jaxmlp.comparison.wording import display
from jaxmlp.optimizers import OPTIMIZERS
from jaxmlp.schedules import SCHEDULES

__docformat__ = "google"
__all__ = [
    "OF_TRAINING",
    "Candidate",
    "default_space",
    "is_ours",
    "load",
    "rate_range",
    "resolve",
    "scheduled",
    "step_size_range",
]

OF_TRAINING = {
    "l2": "strength of the L2 penalty; no compile of its own",
    "initial_scale": "factor on the initial weights; no compile of its own on a CPU",
    "dropout": "rate of every hidden layer; each value is a compile, so a choice",
    "batch_size": "examples per step; each value is a compile, so a choice",
}
"""What can be searched beside a rule's own arguments and weight_decay, which is decoupled where the rule has none."""

_TAKEN = {
    "split",
    "seed",
    "seconds",
    "train_loss",
    "first_nonfinite_step",
    "right",
    "examples_score",
    "hyperparameters",
}
_TAKEN |= {f"{part}_{what}" for part in ("validation", "test") for what in ("loss", "score")}
_EACH_A_COMPILE = ("dropout", "batch_size")


@dataclasses.dataclass(frozen=True)
class Candidate:
    """A rule that competes.

    Example:
        >>> mine = Candidate("mine", lambda learning_rate, beta: None, {"beta": one_minus_log_uniform(1e-3, 0.5)})
        >>> list(mine.full_space())
        ['learning_rate', 'beta']
    """

    name: str
    """In tables, pictures and the record; any printable text of up to 60 characters."""

    factory: Callable[..., Any]
    """Numbers by name -> an optax transformation, with or without extra arguments."""

    space: Mapping[str, Dimension] | None = None
    """What is searched: argument -> dimension. learning_rate has a default and may be left out; None: the defaults."""

    eval_params: Callable[[Any, Any], Any] | None = None
    """(opt_state, params) -> params to evaluate, for averaging rules; the schedule-free rules of optax need none."""

    schedule: str | None = None
    """A name in jaxmlp.schedules.SCHEDULES, whose peak is the learning rate; None for a constant rate."""

    rebuilds: bool = False
    """Whether a schedule builds the rule anew at every step, since its factory takes numbers alone; check finds out."""

    reference: str | None = None
    """What named it on the command line."""

    origin: Origin | None = None
    """Where the factory came from; None: what Python knows of it."""

    def full_space(self) -> dict[str, Dimension]:
        """Return the space to search where several hyperparameters are searched: the declared one, or the defaults."""
        own = default_space(self) if self.space is None else dict(self.space)
        if takes(self.factory, "learning_rate") and "learning_rate" not in own:
            own = {"learning_rate": rate_range(self)} | own
        return own

    def recipe(self, space: Iterable[str], steps: int, max_norm: float | None = None) -> Callable[..., Any]:
        """Return the function that builds the optimizer from a point of the space.

        Args:
            space: the names that are searched, those of training included.
            steps: of the run, for the schedule.
            max_norm: limit on the norm of each unit's incoming weights, kept by a projection; None for no limit.
        """
        decays = "weight_decay" in space and not _has(self.factory, "weight_decay")
        varies = self.schedule not in (None, "constant")
        if not decays and not varies and max_norm is None:
            return self.factory
        schedule, steps = (self.schedule, steps) if varies else (None, 0)
        return Recipe(self.factory, schedule, steps, decays, max_norm, self.rebuilds and varies)

    def of_rule(self, point: Mapping[str, float]) -> dict[str, float]:
        """Return the part of a point that the recipe takes; the rest belongs to training."""
        return {name: value for name, value in point.items() if name not in self.of_training(point)}

    def of_training(self, point: Mapping[str, Any]) -> dict[str, Any]:
        """Return the part of a point that belongs to training: l2, dropout, batch_size and initial_scale."""
        found = {name: value for name, value in point.items() if name in OF_TRAINING}
        return {name: value for name, value in found.items() if not _has(self.factory, name)}

    def describe(self) -> dict[str, Any]:
        """Return what a record says of the candidate, as plain values."""
        origin = self.origin or references.origin_of(self.factory)
        return {"reference": self.reference, **origin._asdict(), "schedule": self.schedule}


def load(reference: str) -> Candidate:
    """Return the candidate that a reference names; it is not checked yet.

    Args:
        reference: a name in jaxmlp.optimizers.OPTIMIZERS, or "dialects.torch.adam", "optax.lion",
            "my_rules.py:sign_momentum" or "my_package.rules:mine", whose object is a factory or a Candidate; with
            "NAME=" before it, under that name.

    Raises:
        ValueError: there is no such thing, or its file raises an exception.
        TypeError: it is neither a factory nor a Candidate.

    Example:
        >>> load("optax.contrib.muon").name, load("optax.adam").name, load("mine=optax.lion").name
        ('muon', 'optax.adam', 'mine')
    """
    given, equals, rest = reference.partition("=")
    found = references.load(rest if equals else reference, "optimizer", OPTIMIZERS)
    if isinstance(found.value, Candidate):
        candidate = dataclasses.replace(found.value, reference=reference, origin=found.origin)
        return dataclasses.replace(candidate, name=given) if equals else candidate
    if not callable(found.value) or (inspect.isclass(found.value) and not hasattr(found.value, "init")):
        raise TypeError(
            f"{reference} is {shown(found.value)}; an optimizer is a function of numbers that returns an optax "
            "transformation, or a jaxmlp.comparison Candidate"
        )
    return Candidate(given if equals else found.name, found.value, reference=reference, origin=found.origin)


def resolve(
    given: Sequence[str | Candidate],
    assignments: Sequence[tuple[str, str, Dimension]] = (),
    schedules: Sequence[str] = (),
) -> dict[str, Candidate]:
    """Return the candidates by name, with their declared spaces, times the schedules.

    Args:
        given: references, or Candidates.
        assignments: (name or reference of a candidate, argument, dimension), as spaces.parse_assignment returns them.
        schedules: names in jaxmlp.schedules.SCHEDULES; every candidate is taken with each. None of them: as given.

    Raises:
        ValueError: two names are equal, a name is unknown, or a space names what its candidate does not take.
        TypeError: one is neither a reference nor a Candidate.

    Example:
        >>> list(resolve(["sgd", "adam"], schedules=["constant", "cosine"]))
        ['sgd', 'sgd (cosine)', 'adam', 'adam (cosine)']
    """
    found: dict[str, Candidate] = {}
    for one in [given] if isinstance(given, str | Candidate) else given:
        if not isinstance(one, str | Candidate):
            raise TypeError(
                "a candidate is a name, a reference or a Candidate, such as Candidate('lion', optax.lion); got "
                f"{shown(one)}"
            )
        candidate = load(one) if isinstance(one, str) else one
        _check_name(candidate.name)
        if display(candidate.name) in map(display, found):
            raise ValueError(
                f"candidates must have different names; two are called {shown(candidate.name)}. Call one of them "
                f"otherwise: other={candidate.reference or candidate.name}"
            )
        found[candidate.name] = candidate
    if not found:
        raise ValueError("there must be at least one optimizer")
    for key, argument, dimension in assignments:
        names = [name for name, c in found.items() if key in (name, c.reference)]
        if not names:
            check_choice("candidate in --space", key, tuple(found))
        for name in names:
            space = dict(found[name].space or {}) | {argument: dimension}
            found[name] = dataclasses.replace(found[name], space=space)
    for candidate in found.values():
        _check_space(candidate)
    return scheduled(found, schedules)


def scheduled(found: Mapping[str, Candidate], schedules: Sequence[str]) -> dict[str, Candidate]:
    """Return every candidate with each schedule; without schedules, as they are.

    Args:
        found: name -> candidate.
        schedules: names in jaxmlp.schedules.SCHEDULES, all different.

    Example:
        >>> adam = {"adam": load("adam")}
        >>> [candidate.schedule for candidate in scheduled(adam, ["constant", "linear"]).values()]
        ['constant', 'linear']
    """
    if not schedules:
        return dict(found)
    for schedule in schedules:
        check_choice("schedule", schedule, SCHEDULES)
    if len(set(schedules)) != len(schedules):
        raise ValueError(f"schedules must be different, got {list(schedules)}")
    made: dict[str, Candidate] = {}
    for name, candidate in found.items():
        if candidate.schedule is not None:
            made[name] = candidate
            continue
        for schedule in schedules:
            called = name if schedule == "constant" else f"{name} ({schedule})"
            made[called] = dataclasses.replace(candidate, name=called, schedule=schedule)
    return made


# Rules whose step is proportional to the gradient need other learning rates than those whose step has unit size.
_PROPORTIONAL = {"sgd", "momentum", "nesterov", "adagrad", "noisy_sgd", "schedule_free_sgd"}
_UNIT = {"rmsprop", "adam", "amsgrad", "adamw", "lion", "nadam", "nadamw", "radam", "yogi", "adamax", "adamaxw", "adan"}
_UNIT |= {"adabelief", "schedule_free_adamw", "ademamix", "adopt", "muon", "sign_sgd", "signum"}
_OURS: dict[str, Dimension] = {
    "momentum": one_minus_log_uniform(0.01, 1.0),
    "decay": one_minus_log_uniform(0.001, 0.5),
    "b1": one_minus_log_uniform(0.01, 0.5),
    "b2": one_minus_log_uniform(1e-4, 0.1),
}


def rate_range(candidate: Candidate) -> Dimension:
    """Return the default range of a candidate's learning rate, which depends on the size of its rule's steps.

    Example:
        >>> [str(rate_range(load(name))) for name in ("sgd", "optax.lion")]
        ['log_uniform(0.001, 10)', 'log_uniform(1e-05, 0.1)']
    """
    low, high = step_size_range(candidate)
    return log_uniform(low, high)


def step_size_range(candidate: Candidate) -> tuple[float, float]:
    """Return the ends of the default range: of unit steps, of steps proportional to the gradient, or of any.

    Example:
        >>> step_size_range(load("mine=optax.sgd"))
        (0.001, 10.0)
    """
    function = getattr(candidate.factory, "func", candidate.factory)  # of a functools.partial
    rule = getattr(function, "__name__", "")
    return (1e-5, 0.1) if rule in _UNIT else (1e-3, 10.0) if rule in _PROPORTIONAL else (1e-5, 10.0)


def default_space(candidate: Candidate) -> dict[str, Dimension]:
    """Return the default space: the learning rate and, of our own rules and dialects, momenta and decay rates.

    Example:
        >>> list(default_space(load("adam"))), list(default_space(load("optax.lion")))
        (['learning_rate', 'b1', 'b2'], ['learning_rate'])
    """
    space = {"learning_rate": rate_range(candidate)} if takes(candidate.factory, "learning_rate") else {}
    if is_ours(candidate):
        space |= {name: dimension for name, dimension in _OURS.items() if _has(candidate.factory, name)}
    return space


def is_ours(candidate: Candidate) -> bool:
    """Return whether a candidate is one of our own rules or dialects, which need no check.

    Example:
        >>> is_ours(load("adam")), is_ours(load("optax.adam"))
        (True, False)
    """
    module = getattr(candidate.factory, "__module__", None) or ""
    return module.startswith(("jaxmlp.optimizers", "jaxmlp.dialects"))


def _check_name(name):
    if not isinstance(name, str) or not name.strip() or not name.isprintable() or len(name) > 60:
        raise ValueError(f"a candidate's name is printable text of 1 to 60 characters, got {shown(name)}")


def _check_space(candidate):
    if not callable(candidate.factory):
        raise TypeError(
            f"the factory of {candidate.name} must be a function of numbers, got {shown(candidate.factory)}"
        )
    space = candidate.full_space()
    if not space:
        raise ValueError(
            f"{candidate.name} takes no learning_rate, so its space must be said: --space "
            f'"{candidate.name}.ARGUMENT=log_uniform(1e-3, 1)", with one of its arguments '
            f"{', '.join(_arguments(candidate.factory)) or '(it has none)'}"
        )
    for name, dimension in space.items():
        if not all(hasattr(dimension, part) for part in ("at", "place")):
            raise TypeError(
                f"the space of {candidate.name}: {name} must be a dimension, e.g. uniform(0, 1), got {shown(dimension)}"
            )
        known = tuple(dict.fromkeys((*_arguments(candidate.factory), *OF_TRAINING, "weight_decay")))
        if not takes(candidate.factory, name):
            check_choice(f"hyperparameter of {candidate.name}", name, known)
        if name in _TAKEN or name.startswith("early_"):
            raise ValueError(
                f"{candidate.name}: a hyperparameter cannot be called {name}, which names a column of the record"
            )
        if name in _EACH_A_COMPILE and not _has(candidate.factory, name):
            _check_values(candidate, name, dimension)
    if candidate.schedule not in (None, "constant") and "learning_rate" not in space:
        raise ValueError(f"{candidate.name} has no learning_rate that a schedule could change; leave out --schedule")


def _check_values(candidate, name, dimension):
    """What decides a program is a choice of values that training takes."""
    values = dimension.values if isinstance(dimension, spaces.Choices) else None
    example = f'--space "{candidate.name}.{name}=choice({"32, 64" if name == "batch_size" else "0, 0.2"})"'
    if values is None:
        raise ValueError(f"every value of {name} is compiled on its own; give a few, as in {example}")
    if name == "batch_size" and any(value != int(value) or value < 1 for value in values):
        raise ValueError(
            f"the values of batch_size must be whole numbers, at least 1, as in {example}; got {dimension}"
        )
    if name == "dropout" and not all(0 <= value < 1 for value in values):
        raise ValueError(f"the values of dropout must be in [0, 1), as in {example}; got {dimension}")


def _has(factory, name):
    """Whether a factory names an argument; one of **kwargs does not count."""
    return name in _arguments(factory)


def _arguments(factory):
    try:
        parameters = inspect.signature(factory).parameters.values()
    except (TypeError, ValueError):
        return ()
    kinds = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    return tuple(parameter.name for parameter in parameters if parameter.kind in kinds)
