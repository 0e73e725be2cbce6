"""The reader's page is true, and docstring, code and oracle of a rule state the same equations."""

import ast
import importlib
import inspect
import io
import re
import textwrap
import tokenize
from pathlib import Path

import jax.numpy as jnp
import numpy_dialects
import numpy_rules
import optax
import pytest

import jaxmlp
from jaxmlp import dialects, optimizers

PAGE = (Path(jaxmlp.__file__).parent / "dialects" / "README.md").read_text(encoding="utf-8")
RULES = ("sgd", "momentum", "nesterov", "adagrad", "rmsprop", "adam", "amsgrad")
MODULES = (optimizers, dialects.torch, dialects.keras, dialects.sklearn, dialects.textbook)
SECTIONS = dict(re.findall(r"^### (.+?)\n(.*?)(?=^### |\Z)", PAGE, flags=re.MULTILINE | re.DOTALL))
WRITTEN_OUT = [(m, name) for m in MODULES for name in RULES if hasattr(m, f"_{name}_rule")]
# Equations that say something in words: adagrad's "and 0 where", a share that differs by step, a look-ahead point.
IN_WORDS = [(optimizers, "adagrad"), (dialects.torch, "momentum"), (dialects.textbook, "nesterov")]


def equations(function):
    """The lines of a docstring that define something: `name = ...`, indented or not."""
    lines = map(str.strip, function.__doc__.splitlines())
    return [line for line in lines if re.match(r"[a-z_]\w*\ = ", line)]


def symbols(text):
    # An equation's remark in words, after a comma, is not part of it.
    return set(re.findall(r"[a-z]\w*", re.sub(r", (and|with) .*", "", text)))


def names(source):
    tokens = tokenize.generate_tokens(io.StringIO(textwrap.dedent(source)).readline)
    return {token.string for token in tokens if token.type == tokenize.NAME}


@pytest.mark.parametrize("section", SECTIONS)
def test_each_section_shows_its_rule_as_it_stands_in_the_source(section):
    text = SECTIONS[section]
    module_name, name = re.search(r"`jaxmlp\.([\w.]+)\.(\w+)`", text).groups()
    module = importlib.import_module(f"jaxmlp.{module_name}")
    shown = re.search(r"```text\n(.*?)```", text, flags=re.DOTALL)[1]
    assert textwrap.indent(shown, "    ") in inspect.cleandoc(getattr(module, name).__doc__)
    code = re.search(r"```python\n(.*?)```", text, flags=re.DOTALL)[1]
    functions = code.split("\n\n\n")
    assert functions[-1] == inspect.getsource(getattr(module, f"_{name}_rule"))
    for function in functions:
        found = re.match(r"def (\w+)\(", function)[1]
        assert function.rstrip() == inspect.getsource(getattr(module, found)).rstrip()
    assert len(code.splitlines()) <= 20


def test_the_page_shows_the_body_of_a_factory_as_it_stands_in_the_source():
    shown = re.search(r"`jaxmlp\.optimizers\.(\w+)`:\n\n```python\n(return .*?)```", PAGE, flags=re.DOTALL)
    assert inspect.getsource(getattr(optimizers, shown[1])).endswith(textwrap.indent(shown[2], "    "))


def test_every_rule_that_is_written_out_has_a_section():
    shown = {re.search(r"`jaxmlp\.([\w.]+\.\w+)`", text)[1] for text in SECTIONS.values()}
    assert shown == {f"{module.__name__.removeprefix('jaxmlp.')}.{name}" for module, name in WRITTEN_OUT}


def last_update(optimizer, grads):
    params = jnp.asarray(0.0)
    state = optimizer.init(params)
    for g in grads:
        extra = {}
        if isinstance(optimizer, optax.GradientTransformationExtraArgs):
            extra = {"grad_fn": lambda _, g=g: jnp.asarray(g)}
        updates, state = optimizer.update(jnp.asarray(g), state, params, **extra)
        params = params + updates
    return float(updates)


def drop(count):
    return jnp.where(count < 50, 0.1, 0.01)


ARGUMENTS = {
    "rate 1": {"learning_rate": 1.0},
    "rate 1, decay 0.9": {"learning_rate": 1.0, "decay": 0.9},
    "momentum 0.9, rate 0.1": {"learning_rate": 0.1, "momentum": 0.9},
    "momentum 0.9, rate 0.1, from step 51 on 0.01": {"learning_rate": drop, "momentum": 0.9},
}
PROBES = re.findall(r"^\| (\w+): (.+?) \| (.+?) \| (\d+) \| (.+) \|$", PAGE, flags=re.MULTILINE)


@pytest.mark.parametrize(("rule", "arguments", "grads", "step", "cells"), PROBES)
def test_each_number_of_the_table_is_what_the_rule_gives(rule, arguments, grads, step, cells, x64):
    first, _, then = grads.replace(" at every step", "").partition(", then ")
    gradients = [float(first)] + [float(then or first)] * (int(step) - 1)
    for module, cell in zip(MODULES, cells.split(" | "), strict=True):
        assert hasattr(module, rule) == (cell != "-")
        if cell != "-":
            update = last_update(getattr(module, rule)(**ARGUMENTS[arguments]), gradients)
            assert update == pytest.approx(float(cell), rel=0, abs=5e-12)  # eleven decimals are written down


def test_the_table_has_every_probe():
    assert [row[0] for row in PROBES] == ["momentum", "rmsprop", "adam", "adagrad", "amsgrad", "amsgrad", "nesterov"]


@pytest.mark.parametrize("rule", RULES)
def test_the_defaults_that_the_page_names_are_those_of_the_code(rule):
    row = re.search(rf"^\| {rule} \| (.+) \|$", PAGE, flags=re.MULTILINE)[1].split(" | ")
    names = {"rate": "learning_rate", "start": "initial_accumulator"}
    for module, cell in zip(MODULES, row, strict=True):
        assert hasattr(module, rule) == (cell != "-")
        for name, value in re.findall(r"\b(rate|start|eps|decay|momentum) (\d[\d.e-]*)", cell):
            parameters = inspect.signature(getattr(module, rule)).parameters
            assert parameters[names.get(name, name)].default == float(value), (module.__name__, name)


def test_the_first_example_runs():
    first, *lines = re.search(r"```python\n(import jaxmlp\n.*?)```", PAGE, flags=re.DOTALL)[1].split("\n")
    assert first == "import jaxmlp" and len(lines) > 5
    for line in filter(None, lines):
        assert isinstance(eval(line, {"jaxmlp": jaxmlp}), optax.GradientTransformation), line


def test_the_page_counts_the_tests_of_optax_as_their_own_test_does():
    source = (Path(__file__).parent / "test_optax_own_tests.py").read_text(encoding="utf-8")
    asserted = re.search(r"assert len\(_CASES\) == (\d+)", source)[1]
    assert f"{asserted} of optax's own tests pass" in PAGE


@pytest.mark.parametrize(("module", "name"), WRITTEN_OUT)
def test_code_and_docstring_of_a_rule_use_the_same_symbols(module, name):
    lines = equations(getattr(module, name))
    assert lines and lines[-1].startswith("update = ")
    spoken = set().union(*map(symbols, lines)) - {"update", "gradient", "at", "params"}
    used = names(inspect.getsource(getattr(module, f"_{name}_rule")))
    if name == "nesterov" and module is dialects.textbook:
        used |= names(inspect.getsource(module._look_ahead))
    used |= {symbol.removeprefix("safe_") for symbol in used} | ({"max"} if "maximum" in used else set())
    assert spoken <= used, spoken - used


@pytest.mark.parametrize(("module", "name"), [case for case in WRITTEN_OUT if case not in IN_WORDS])
def test_the_code_of_a_rule_is_the_equations_of_its_docstring_line_by_line(module, name):
    written = [line.replace("^", "**") for line in equations(getattr(module, name))]
    code = inspect.getsource(getattr(module, f"_{name}_rule"))
    for called, meant in (("jnp.maximum", "max"), ("jnp.sqrt", "sqrt"), ("safe_sqrt", "sqrt"), ("nonzero", "")):
        code = code.replace(called, meant)
    *assignments, _ = ast.parse(code).body[0].body
    assert [ast.unparse(line) for line in assignments] == [ast.unparse(ast.parse(line)) for line in written]


@pytest.mark.parametrize("name", RULES)
def test_the_oracle_of_a_rule_states_the_same_equations(name):
    assert equations(getattr(numpy_rules, name)) == equations(getattr(optimizers, name))


@pytest.mark.parametrize("rule", [rule for rule in set(numpy_dialects.DIALECTS.values()) if rule.__name__ != "rule"])
def test_the_oracle_of_a_dialect_uses_the_symbols_of_the_dialect(rule):
    library, name = next(key for key, value in numpy_dialects.DIALECTS.items() if value is rule)
    spoken = set().union(*map(symbols, equations(getattr(getattr(dialects, library), name))))
    # In closed form a state is indexed by its step: velocity_t.
    stated = {re.sub("_[tk]$", "", symbol) for symbol in symbols(rule.__doc__)}
    # Over all steps at once: grads for g, rates for learning_rate, accumulate for max.
    spoken -= {"update", "g", "t", "sqrt", "max", "learning_rate"}
    assert spoken <= names(inspect.getsource(rule)) | stated


@pytest.mark.parametrize(("module", "name"), WRITTEN_OUT)
def test_every_rule_is_at_most_20_lines_in_one_skeleton(module, name):
    functions = {node.name: node for node in ast.parse(inspect.getsource(module)).body if hasattr(node, "name")}
    factory, rule = functions[name], functions[f"_{name}_rule"]
    assert length_of(factory) + length_of(rule) <= 20
    build = next(node for node in ast.walk(factory) if isinstance(node, ast.Call))
    assert (build.func.id, build.args[0].id) == ("transformation", f"_{name}_rule")
    state_type = getattr(module, build.args[1].id)
    slots = state_type._fields[1:]
    assert tuple(argument.arg for argument in rule.args.args) == ("g", "t", *slots)
    returned = rule.body[-1].value.elts
    assert tuple(value.id for value in returned) == ("update", *slots)


def length_of(function):
    """Lines of a function, signature included, docstring aside."""
    first = function.body[0]
    documented = isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant)
    docstring = first.end_lineno - first.lineno + 1 if documented else 0
    return function.end_lineno - function.lineno + 1 - docstring
