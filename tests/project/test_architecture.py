"""The floors of the house: imports go downward only, and the library stays light."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import jaxmlp

ROOT = Path(jaxmlp.__file__).parent
FLOORS = {
    **dict.fromkeys(("_checks", "_arrays", "_files"), 0),
    **dict.fromkeys(("activations", "losses", "schedules", "_rule", "checkpoint", "augment", "data"), 1),
    **dict.fromkeys(("optimizers", "network", "metrics", "datasets"), 2),
    **dict.fromkeys(("dialects", "objectives", "instruments"), 3),
    "training": 4,
    **dict.fromkeys(("estimators", "comparison"), 5),
    "__init__": 6,
}
HEAVY = {"matplotlib", "rich", "scipy", "sklearn", "threadpoolctl"}  # for the rooms of floor 5 alone
FILES = sorted(ROOT.rglob("*.py"))


def room(path: Path) -> str:
    return path.relative_to(ROOT).parts[0].removesuffix(".py")


def imported_modules(path: Path) -> list[str]:
    nodes = ast.walk(ast.parse(path.read_text(encoding="utf-8")))
    return [module for node in nodes for module in imported_by(node)]


def imported_by(node: ast.AST) -> list[str]:
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if isinstance(node, ast.ImportFrom):
        assert node.level == 0, "relative imports are not used here"
        return [f"{node.module}.{alias.name}" for alias in node.names]
    return []


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_room_imports_only_rooms_of_lower_floors(path):
    own = room(path)
    for module in imported_modules(path):
        if module.startswith("jaxmlp."):
            other = module.split(".")[1]
            assert other == own or FLOORS[other] < FLOORS[own], f"{own} imports {other}"


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_the_library_never_imports_what_only_experiments_need(path):
    never = {"experiments", "tensorflow", "torch", "keras"} | (HEAVY if FLOORS[room(path)] < 5 else set())
    top_level = ast.parse(path.read_text(encoding="utf-8")).body
    assert not {module.split(".")[0] for module in imported_modules(path)} & (never - {"sklearn"})
    assert not {module.split(".")[0] for node in top_level for module in imported_by(node)} & never


def test_importing_the_library_loads_neither_heavy_nor_foreign_modules():
    code = "import jaxmlp, sys; print(' '.join(sys.modules))"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert not {"tensorflow", "tensorflow_datasets", "matplotlib", "sklearn", "rich", "scipy.stats"} & set(loaded)
    assert "jaxmlp.training" in loaded and not {"jaxmlp.comparison", "jaxmlp.estimators"} & set(loaded)


def test_all_public_names_are_there_and_documented():
    for name in jaxmlp.__all__:
        assert getattr(jaxmlp, name).__doc__, f"jaxmlp.{name} has no docstring"
