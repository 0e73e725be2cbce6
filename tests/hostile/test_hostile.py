"""Whatever a public callable is given: a documented result, an error of ours that explains itself, a listed exception.

The quick part is in every run; the long one is python -m pytest -m hostile tests/hostile, which prints what it called.
"""

import inspect
import logging
import operator
import os
import re
import traceback
import warnings

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hostile_calls import EXEMPT, NOT_YET, ROOT, calls, public_callables
from hostile_values import drawn, picked
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from jaxmlp._checks import shown

# What may be raised besides a ValueError or TypeError of ours, and why.
LISTED = {
    OSError: "a path at which nothing can be read or written, which the functions that take paths document",
}
NO_PYTREE = "sorting pytree dictionary keys"  # JAX's own message where the keys of a dict cannot be sorted
PROGRAMS = {"_run", "_compiled_factory", "_compiled_piece"}  # what fit and sweep compile
RECEIVED = re.compile(r"\bgot\b|\bgives\b|\brounds\b|unknown|\bhas\b|\bis\b|\bhave\b|differ|contains|in \[")
EXPECTED = re.compile(
    r"must|needs?\b|takes?\b|known|give|at least|at most|\bin [\[(]|convert|fill|cast|leave|enable|load a copy|instead"
)
EXAMPLES = int(os.environ.get("JAXMLP_HOSTILE_EXAMPLES", "200"))  # per callable, in the long part


def test_every_public_callable_is_called_or_exempt(tmp_path):
    """A function without a hostile call, or a class that is not known to be only returned, is not covered."""
    called = {id(call.function) for call in calls(tmp_path).values()}
    public = public_callables()
    uncovered = [n for n, thing in public.items() if id(thing) not in called and n.rpartition(".")[2] not in EXEMPT]
    assert uncovered == []
    assert set(EXEMPT) <= {name.rpartition(".")[2] for name in public}, "an exemption without its class"
    assert NOT_YET and all((ROOT / name.removeprefix("jaxmlp.")).is_dir() for name in ["jaxmlp.comparison"])


def test_every_argument_of_them_is_replaced_or_kept(tmp_path):
    """A new argument that no good call names is not covered."""
    named = {}
    for call in calls(tmp_path).values():
        named.setdefault(id(call.function), (call.function, set()))[1].update(call.good)
    uncovered = [
        (function, each.name)
        for function, names in named.values()
        for each in inspect.signature(function).parameters.values()
        if each.name not in names and each.kind not in (each.VAR_KEYWORD, each.VAR_POSITIONAL)
    ]
    assert uncovered == []


def test_a_few_hostile_calls_of_everything(tmp_path, monkeypatch, counted):
    # From the pool alone: made-up arrays take longer to draw, and to compile for.
    _attack_all(tmp_path, monkeypatch, counted, values=picked, examples=5, derandomize=True)


@pytest.mark.hostile
def test_thousands_of_hostile_calls(tmp_path, monkeypatch, counted):
    _attack_all(tmp_path, monkeypatch, counted, values=drawn, examples=EXAMPLES, derandomize=False)


def _attack_all(folder, monkeypatch, counted, **how):
    monkeypatch.chdir(folder)
    wrong = []
    for name, call in calls(folder).items():
        _attack(name, call, counted[name], wrong, **how)
    assert not wrong, f"{len(wrong)} calls\n\n" + "\n\n".join(wrong)


def _attack(name, call, count, wrong, *, values, examples, derandomize):
    replaceable = sorted(set(call.good) - set(call.keep))
    # Not shrunk: every wrong verdict of a run is shown, once for each place that it comes from.
    how = {"deadline": None, "database": None, "suppress_health_check": list(HealthCheck), "phases": [Phase.generate]}

    @settings(max_examples=examples, derandomize=derandomize, **how)
    @given(st.lists(st.sampled_from(replaceable), min_size=1, max_size=2, unique=True), st.data())
    def attack(names, drawing):
        hostile = {each: drawing.draw(values, each) for each in names}
        try:
            count[_verdict(call, hostile)] += 1
        except AssertionError as error:
            count["wrong"] += 1
            wrong.append(f"{name}: {error}")

    attack()


def _verdict(call, hostile):
    """Call it and say what came of it; raise an AssertionError for what is not allowed."""
    if _takes_days(hostile.get("epochs")):
        return "not waited for"
    with Compiled() as programs, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a user is not stopped by JAX's warnings about odd arguments
        try:
            result = call(call.good | hostile)
        except (ValueError, TypeError) as error:
            if NO_PYTREE in str(error):
                return "listed exception"
            _check_error(call, hostile, error, programs)
            return "refused"
        except tuple(LISTED):
            return "listed exception"
        except Exception as error:
            last = "".join(traceback.format_exception(error)[-3:])
            raise AssertionError(f"{_said(hostile)} raised {type(error).__name__}: {last}") from None
    if not call.nan and all(map(_finite, hostile.values())):
        assert not _broken(result), f"{_said(hostile)} gave NaN"
    return "accepted"


def _takes_days(epochs):
    try:
        return operator.index(epochs) in range(1000, 2**31)
    except Exception:  # of a stranger
        return False


def _said(hostile):
    """The arguments as text; one of them may raise when it is printed."""
    return "{" + ", ".join(f"{name!r}: {shown(value)}" for name, value in hostile.items()) + "}"


def _check_error(call, hostile, error, programs):
    message, what = str(error), f"{_said(hostile)} raised {type(error).__name__}: {error!s:.400}"
    frames = traceback.extract_tb(error.__traceback__)
    assert str(ROOT) in frames[-1].filename, f"{what}\n  from below, {frames[-1].filename}:{frames[-1].lineno}"
    words = [*call.good, *call.names]  # where two arguments do not fit each other, the message may be of either
    assert any(re.search(rf"\b{re.escape(word)}\b", message) for word in words), f"{what}\n  names no argument"
    assert RECEIVED.search(message), f"{what}\n  does not say what was received"
    assert EXPECTED.search(message), f"{what}\n  does not say what is expected"
    assert not PROGRAMS & set(programs), f"{what}\n  after {programs} were compiled"
    assert len(message) < 1500, f"a message of {len(message)} characters: {what}"


class Compiled(logging.Handler):
    """Collect the names of the programs that are compiled meanwhile."""

    def __enter__(self):
        self.names = []
        self.logging = jax.log_compiles()
        self.logging.__enter__()
        self.jax = logging.getLogger("jax")
        self.propagate, self.jax.propagate = self.jax.propagate, False  # nobody else needs to read it
        self.jax.addHandler(self)
        return self.names

    def __exit__(self, *error):
        self.jax.removeHandler(self)
        self.jax.propagate = self.propagate
        self.logging.__exit__(*error)

    def emit(self, record):
        found = re.match(r"Finished XLA compilation of (?:jit\()?(\w+)", record.getMessage())
        if found:
            self.names.append(found.group(1))


def _finite(value):
    try:
        return bool(np.all(np.abs(np.asarray(value, float)) < 1e15))
    except Exception:
        return isinstance(value, str)


def _broken(result):
    leaves = [leaf for leaf in jax.tree.leaves(result) if hasattr(leaf, "dtype")]
    return any(
        (np if isinstance(leaf, np.ndarray) else jnp).isnan(leaf).any()
        for leaf in leaves
        if jnp.issubdtype(leaf.dtype, jnp.floating)
    )
