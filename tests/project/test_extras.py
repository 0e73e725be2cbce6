"""The core needs five packages and what those need; anything else that is missing is named with its extra."""

import importlib.metadata
import re
import subprocess
import sys
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import jaxmlp
from jaxmlp import _checks

CORE = ("jax", "jaxlib", "optax", "numpy", "safetensors")

# What is not blocked is used: training, and a checkpoint. Then every way to what an extra brings.
CODE = """
import sys, tempfile

class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in BLOCKED:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Blocker())
import importlib.metadata

version = importlib.metadata.version
def missing(name):
    if name == "jaxmlp":
        raise importlib.metadata.PackageNotFoundError(name)
    return version(name)
importlib.metadata.version = missing
import jax, jaxmlp

assert jaxmlp.__version__ == "0+unknown"  # as in a clone that is not installed
xor, net = jaxmlp.datasets.load("xor"), jaxmlp.mlp((2, 4, 2))
loss_fn, params, sgd = jaxmlp.objective(net.apply), net.init(jax.random.key(0)), jaxmlp.optimizers.sgd(0.1)
fitted = jaxmlp.fit(loss_fn, params, sgd, xor.train, key=jax.random.key(1), epochs=1, batch_size=4)
folder = tempfile.mkdtemp()
jaxmlp.save(f"{folder}/params.safetensors", fitted.params)
assert jaxmlp.load(f"{folder}/params.safetensors")[0][0].w.shape == (2, 4)

def attempt(name, call):
    try:
        call()
        print(name, "works")
    except ModuleNotFoundError as error:
        print(name, type(error.__cause__).__name__, error)

attempt("digits", lambda: jaxmlp.datasets.load("digits"))
attempt("mnist", lambda: jaxmlp.datasets.load("mnist", data_dir=folder))
attempt("titanic", lambda: jaxmlp.datasets.load("titanic", data_dir=folder))
attempt("titanic_table", lambda: jaxmlp.datasets.titanic_table(data_dir=folder))
attempt("comparison", lambda: __import__("jaxmlp.comparison"))
attempt("statistics", lambda: __import__("jaxmlp.comparison.statistics"))
attempt("estimators", lambda: __import__("jaxmlp.estimators"))
attempt("line", lambda: jaxmlp.datasets.load("noisy_line"))
"""


def needed_by(names):
    """Return the distributions that these need, directly or not, and themselves."""
    found, waiting = set(), [canonicalize_name(name) for name in names]
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            requirements = map(Requirement, importlib.metadata.requires(name) or [])
            waiting += [
                canonicalize_name(r.name) for r in requirements if not r.marker or r.marker.evaluate({"extra": ""})
            ]
    return found


def test_the_core_alone_trains_and_saves_and_names_the_extra_of_all_else():
    core = needed_by(CORE)
    blocked = {
        module
        for module, distributions in importlib.metadata.packages_distributions().items()
        if not core & {canonicalize_name(name) for name in distributions} and module != "jaxmlp"
    }
    assert {"sklearn", "tensorflow_datasets", "array_record", "PIL", "matplotlib", "rich", "threadpoolctl"} <= blocked
    code = f"BLOCKED = {blocked!r}\n{CODE}"
    # jaxmlp is found in the folder above it, wherever the tests run from.
    root = Path(_checks.__file__).parents[1]
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=root, check=False)
    assert done.returncode == 0, done.stderr
    hint = r"ModuleNotFoundError No module named '{}'; to fix this, install it with pip install 'jaxmlp\[{}\]'"
    expected = [
        "digits " + hint.format("sklearn", "data"),
        "mnist " + hint.format("tensorflow_datasets", "data"),
        "titanic " + hint.format("sklearn", "data"),
        "titanic_table " + hint.format("tensorflow_datasets", "data"),
        "comparison " + hint.format("matplotlib", "comparison"),
        "statistics " + hint.format("matplotlib", "comparison"),
        "estimators " + hint.format("sklearn", "estimators"),
        "line works",
    ]
    lines = done.stdout.splitlines()
    assert len(lines) == len(expected), done.stdout
    for line, pattern in zip(lines, expected, strict=True):
        assert re.fullmatch(pattern, line), line


@pytest.mark.parametrize("module", ["tensorflow_datasets", "array_record", "importlib_resources", "PIL"])
def test_whatever_reading_a_prepared_directory_needs_is_asked_for_first(module, monkeypatch, tmp_path):
    from jaxmlp.datasets import tfds_directory

    monkeypatch.setitem(sys.modules, module, None)
    for call in (
        lambda: tfds_directory.read(tmp_path),
        lambda: tfds_directory.read_columns(tmp_path, ("a",)),
        lambda: tfds_directory.prepare("mnist", None, tmp_path),
        lambda: tfds_directory.registered_files("mnist"),
    ):
        with pytest.raises(ModuleNotFoundError, match=rf"{module}.*pip install 'jaxmlp\[data\]'$") as caught:
            call()
        assert isinstance(caught.value.__cause__, ModuleNotFoundError)


def test_the_version_is_that_of_the_installed_package():
    try:
        expected = importlib.metadata.version("jaxmlp")
    except importlib.metadata.PackageNotFoundError:
        pytest.skip("jaxmlp runs from a clone here")
    assert jaxmlp.__version__ == expected


def test_what_is_there_is_not_imported_by_asking():
    _checks.need("data", "this")  # which prints when it is imported
    assert "this" not in sys.modules
