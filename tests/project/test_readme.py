"""The README's example prints what the README shows, its paths exist, and it stays short."""

import contextlib
import io
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")


@pytest.mark.slow
def test_the_example_prints_what_is_shown():
    code, shown = re.findall(r"```python\n(.*?)```\n\n```\n(.*?)```", README, flags=re.DOTALL)[0]
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(compile(code, "README.md", "exec"), {})
    (got,), (said,) = (re.findall(r"0\.\d+", text) for text in (printed.getvalue(), shown))
    # 360 test images: another processor or version of JAX rounds differently, which may flip a few of them.
    assert abs(float(got) - float(said)) < 0.015
    assert len([line for line in code.splitlines() if line]) == 12


def test_the_readme_is_short():
    assert len(README.split()) <= 900


def test_every_path_of_the_layout_exists():
    paths = re.findall(r"^\| `(.*?)` \|", README.split("## Layout")[1], flags=re.MULTILINE)
    assert len(paths) == 7
    assert all((ROOT / path).is_dir() for path in paths)


def test_every_relative_link_leads_somewhere():
    pages = [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "experiments/README.md")]
    for page in pages:
        links = re.findall(r"\]\((?!https?:|#)([^)#]+)", page.read_text(encoding="utf-8"))
        assert all((page.parent / link).exists() for link in links), page
