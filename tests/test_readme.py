"""The README's example runs as it stands there, and its map names rooms that exist."""

import contextlib
import io
import re
from pathlib import Path

import numpy as np

README = (Path(__file__).parent.parent / "README.md").read_text(encoding="utf-8")


def test_the_example_runs_and_learns():
    (code,) = re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(compile(code, "README.md", "exec"), {})
    accuracies = np.array(re.findall(r"0\.\d+", printed.getvalue()), float)
    # One run and two more; the best networks of this size reach 0.97 to 0.98 on digits.
    assert accuracies.shape == (3,) and accuracies.min() > 0.93


def test_every_room_of_the_map_exists_and_every_room_is_on_the_map():
    root = Path(__file__).parent.parent
    named = re.findall(r"^\| (`.*?) \|", README.split("## The rooms")[1], flags=re.MULTILINE)
    files = set()
    for cell in named:
        paths = re.findall(r"`(.*?)`", cell)
        files |= {paths[0], *(str(Path(paths[0]).parent / Path(path).name) for path in paths[1:])}
    assert all((root / file).exists() for file in files)
    rooms = {
        str(p.relative_to(root)) for folder in ("jaxmlp", "experiments") for p in (root / folder).glob("[a-z]*.py")
    }
    assert rooms <= files, f"not on the map: {sorted(rooms - files)}"
