"""The fault script runs, and finds nothing lost or wrong; its long run is python -m tests.faults."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
def test_a_few_faults_lose_nothing():
    words = ["--kills", "6", "--writers", "save", "record", "--moments", "random", "damage", "--damage", "3"]
    done = subprocess.run([sys.executable, "-m", "tests.faults", *words], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0 and done.stderr == "", done.stdout + done.stderr
    assert done.stdout.splitlines()[-1].endswith(" outcomes, 0 lost or wrong")
