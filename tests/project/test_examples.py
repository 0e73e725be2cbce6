"""Every public name has a docstring of one form, with an example that runs as it stands there."""

import ast
import dataclasses
import doctest
import importlib
import inspect
import pkgutil
import re
import sys
import textwrap
from types import ModuleType

import jax
import pytest

import jaxmlp
import jaxmlp.comparison
import jaxmlp.estimators

SECTIONS = ("Args", "Attributes", "Returns", "Yields", "Raises", "Differs from", "Example", "Source")
OTHER_NAMES = ("Arguments", "Parameters", "Return", "Yield", "Raise", "Examples", "Usage", "Sources", "References")


def public_modules() -> list[ModuleType]:
    """Return jaxmlp, jaxmlp.estimators and the modules that __all__ names, and all of jaxmlp.comparison."""
    for info in pkgutil.iter_modules(jaxmlp.comparison.__path__, "jaxmlp.comparison."):
        importlib.import_module(info.name)
    waiting = [value for name, value in vars(jaxmlp.comparison).items() if not name.startswith("_")]
    waiting, found = [jaxmlp, jaxmlp.comparison, jaxmlp.estimators, *waiting], set()
    while waiting:
        module = waiting.pop()
        if inspect.ismodule(module) and module.__name__.startswith("jaxmlp") and module not in found:
            found.add(module)
            waiting += [getattr(module, name) for name in getattr(module, "__all__", ())]
    return sorted(found, key=lambda module: module.__name__)


def public_objects() -> dict[str, object]:
    """Return the public functions and classes, each once and by the name of its own module."""
    values = [getattr(module, name) for module in MODULES for name in getattr(module, "__all__", ())]
    found = {f"{v.__module__}.{v.__qualname__}": v for v in values if inspect.isfunction(v) or inspect.isclass(v)}
    return {name: found[name] for name in sorted(found) if name.startswith("jaxmlp.")}


def methods(cls: type) -> dict[str, object]:
    """Return the public methods and properties that the class itself defines."""
    own = {name: getattr(value, "fget", None) or value for name, value in vars(cls).items() if not name.startswith("_")}
    return {name: value for name, value in own.items() if inspect.isfunction(value)}


def is_result(cls: type) -> bool:
    """Return whether users get instances of cls rather than make them: a record of fields, an error or a protocol."""
    is_record = issubclass(cls, tuple) or dataclasses.is_dataclass(cls)
    return is_record or issubclass(cls, BaseException) or getattr(cls, "_is_protocol", False)


MODULES = public_modules()
OBJECTS = public_objects()
WITH_EXAMPLE = {name: value for name, value in OBJECTS.items() if not (inspect.isclass(value) and is_result(value))}
METHODS = {
    f"{name}.{method}": value
    for name, cls in OBJECTS.items()
    if inspect.isclass(cls)
    for method, value in methods(cls).items()
}
DOCUMENTED = {module.__name__: module for module in MODULES} | OBJECTS | METHODS
SLOW = {  # examples that train, or compile more than one program
    "jaxmlp",
    "jaxmlp.augment.chain",
    "jaxmlp.augment.distort",
    "jaxmlp.checkpoint.load",
    "jaxmlp.comparison.comparing.compare",
    "jaxmlp.comparison.comparing.train",
    "jaxmlp.comparison.comparing.write_report",
    "jaxmlp.comparison.problems.loading.check",
    "jaxmlp.comparison.protocol.execute",
    "jaxmlp.comparison.study.Study",
    "jaxmlp.estimators.classifier.MLPClassifier",
    "jaxmlp.estimators.regressor.MLPRegressor",
    "jaxmlp.estimators.search.SweepSearchCV",
    "jaxmlp.instruments",
    "jaxmlp.instruments.curvature.critical_batch_size",
    "jaxmlp.instruments.curvature.tic_diagonal",
    "jaxmlp.instruments.eigenvalues.hessian_spectrum",
    "jaxmlp.instruments.gradients.norm_test",
    "jaxmlp.instruments.histograms.gradient_histogram_2d",
    "jaxmlp.objectives.dead_units",
    "jaxmlp.training.loop.fit",
    "jaxmlp.training.sweeps.sweep",
}
EXAMPLES = [
    pytest.param(name, marks=[pytest.mark.slow] * (name in SLOW))
    for name, value in DOCUMENTED.items()
    if ">>>" in (inspect.getdoc(value) or "")
]


def test_the_public_modules_are_found():
    names = {module.__name__ for module in MODULES}
    libraries = {f"jaxmlp.dialects.{library}" for library in ("keras", "sklearn", "textbook", "torch")}
    rooms = {
        "activations",
        "augment",
        "checkpoint",
        "data",
        "datasets",
        "instruments",
        "losses",
        "network",
        "objectives",
        "optimizers",
    }
    assert (
        libraries | {f"jaxmlp.{room}" for room in rooms} | {"jaxmlp.training", "jaxmlp.comparison", "jaxmlp.estimators"}
        <= names
    )
    assert {"jaxmlp.training.loop.fit", "jaxmlp.optimizers.adam", "jaxmlp.dialects.torch.adam"} <= set(WITH_EXAMPLE)


@pytest.mark.parametrize("module", MODULES, ids=lambda module: module.__name__)
def test_a_module_lists_its_public_names_and_the_form_of_its_docstrings(module):
    assert hasattr(module, "__all__"), "no __all__"
    assert module.__docformat__ == "google"  # which pdoc does not inherit from the package
    assert len(set(module.__all__)) == len(module.__all__)
    for name in module.__all__:
        assert hasattr(module, name) and not name.startswith("_")
    # What a module defines without an underscore is public, unless it is an alias of a type or a constant.
    for name, value in vars(module).items():
        if (inspect.isfunction(value) or inspect.isclass(value)) and value.__module__ == module.__name__:
            assert name in module.__all__ or name.startswith("_"), f"{name} is missing in __all__"


@pytest.mark.parametrize("name", WITH_EXAMPLE)
def test_every_public_name_has_an_example(name):
    text = inspect.getdoc(WITH_EXAMPLE[name]) or ""
    assert re.search(r"^Example:\n    >>> ", text, flags=re.MULTILINE), "no section Example: with an example below it"


@pytest.mark.parametrize("name", EXAMPLES)
def test_an_example_runs_and_prints_what_it_says(name):
    value = DOCUMENTED[name]
    module = value if inspect.ismodule(value) else sys.modules[value.__module__]
    example = doctest.DocTestParser().get_doctest(inspect.getdoc(value), dict(vars(module)), name, module.__file__, 0)
    printed = []
    # With JAX's own settings, under which users run it; the other tests are stricter.
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        result = doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE).run(example, out=printed.append)
    assert result.failed == 0, "".join(printed)
    assert result.attempted > 0 or "# doctest: +SKIP" in example.docstring  # such as one that would end the process


@pytest.mark.parametrize("name", DOCUMENTED)
def test_a_docstring_has_the_one_form(name):
    text = inspect.getdoc(DOCUMENTED[name]) or ""
    first = text.partition("\n\n")[0]
    assert re.match(r"[A-Z`].*[.:]$", first, flags=re.DOTALL), "the first paragraph is not a sentence"
    headings = re.findall(r"^([A-Z][A-Za-z ]*):(.*)(\n.*)?", text, flags=re.MULTILINE)
    found = [heading for heading, _, _ in headings if heading in (*SECTIONS, *OTHER_NAMES)]
    assert not set(found) & set(OTHER_NAMES), f"sections are called {', '.join(SECTIONS)}"
    assert found == sorted(set(found), key=SECTIONS.index), "sections repeat or are in another order"
    for heading, same_line, next_line in headings:
        if heading in SECTIONS:
            assert not same_line.strip(), f"{heading}: is not followed by a line of its own"
            assert re.match(r"\n    \S", next_line), f"{heading}: is not followed by an indented block"
    # Markdown would take a line that begins like this for a quotation, a list or a heading.
    assert not re.search(r"^ *(>(?!>>)|[*+] |#)", text, flags=re.MULTILINE), "a line begins with >, *, + or #"
    # Tools find sections by their headings at the margin: an indented one is part of the text above it.
    assert not re.search(rf"^ +({'|'.join(SECTIONS[1:])}):", text, flags=re.MULTILINE), "a heading is indented"


@pytest.mark.parametrize("name", [name for name, value in (OBJECTS | METHODS).items() if inspect.isfunction(value)])
def test_arguments_are_described_by_their_names(name):
    function = (OBJECTS | METHODS)[name]
    block = re.search(r"^Args:\n((?:    .*\n?|\n)*)", inspect.getdoc(function) or "", flags=re.MULTILINE)
    if block:
        described = re.findall(r"^    (\w+): ", block.group(1), flags=re.MULTILINE)
        assert described == [name for name in inspect.signature(function).parameters if name != "self"]


@pytest.mark.parametrize("name", [name for name, value in OBJECTS.items() if inspect.isclass(value)])
def test_fields_are_documented_where_tools_find_it(name):
    """A field has a string below it; without one, documentation says "Alias for field number 0"."""
    (cls,) = ast.parse(textwrap.dedent(inspect.getsource(OBJECTS[name]))).body
    for node, below in zip(cls.body, [*cls.body[1:], None], strict=True):
        if isinstance(node, ast.AnnAssign) and not (field := ast.unparse(node.target)).startswith("_"):
            text = isinstance(below, ast.Expr) and isinstance(below.value, ast.Constant) and below.value.value
            assert isinstance(text, str), f"{field} has no string below it"
