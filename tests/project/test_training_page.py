"""The page of jaxmlp.training: its examples run, one after the other."""

import re
from pathlib import Path

import pytest

import jaxmlp.training

PAGE = Path(jaxmlp.training.__file__).with_name("README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```python\n(.*?)```", PAGE, flags=re.DOTALL)


@pytest.mark.slow
def test_every_line_of_the_page_runs(tmp_path, monkeypatch, capsys, unoptimised):
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    for block in BLOCKS:
        if "jax.distributed" not in block:  # tests/library/test_processes.py runs those lines
            exec(compile(block, "README.md", "exec"), names)
    (shown,) = re.findall(r"```\n(epoch 0.*?)```", PAGE, flags=re.DOTALL)
    words = [line.split(",")[0].split()[:3] for line in shown.splitlines()]
    assert [line.split(",")[0].split()[:3] for line in capsys.readouterr().out.splitlines()] == words
    assert {"run.safetensors", "stream.safetensors"} <= {path.name for path in tmp_path.iterdir()}


def test_the_page_names_tests_that_exist():
    names = re.findall(r"`(?:tests/library/)?(test_\w+\.py)`", PAGE)
    folder = Path(__file__).parents[1] / "library"
    assert len(names) >= 6 and all((folder / name).exists() for name in names)
