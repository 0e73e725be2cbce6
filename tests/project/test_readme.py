"""The README's example runs as it stands there, and its map names rooms that exist."""

import contextlib
import io
import re
from pathlib import Path

import numpy as np

README = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")


def test_the_example_runs_and_learns():
    (code,) = re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(compile(code, "README.md", "exec"), {})
    accuracies = np.array(re.findall(r"0\.\d+", printed.getvalue()), float)
    # One run and two more; the best networks of this size reach 0.97 to 0.98 on digits.
    assert accuracies.shape == (3,) and accuracies.min() > 0.93


def test_every_path_of_the_layout_exists():
    root = Path(__file__).parents[2]
    paths = re.findall(r"^\| `(.*?)` \|", README.split("## Layout")[1], flags=re.MULTILINE)
    assert len(paths) == 8
    assert all((root / path).is_dir() for path in paths)
