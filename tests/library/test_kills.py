"""Runs that are killed at random moments and started again end with the bits of a run that was left alone.

A few in the suite; JAXMLP_KILLS=50 python -m pytest -s tests/library/test_kills.py for more.
"""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
KILLS = int(os.environ.get("JAXMLP_KILLS", 3))
EPOCHS = 40
PROGRAM = """
import sys
import jax, jax.numpy as jnp, numpy as np
import jaxmlp
jax.config.update("jax_compilation_cache_dir", sys.argv[2])
jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
rng = np.random.default_rng(0)
x, y = rng.normal(size=(4000, 64)).astype(np.float32), rng.integers(0, 10, 4000)
net = jaxmlp.mlp((64, 128, 10), dropout=0.2)
result = jaxmlp.fit(
    jaxmlp.objective(net.apply), net.init(jax.random.key(0)), jaxmlp.optimizers.adam(0.01), (x, y),
    key=jax.random.key(1), epochs=int(sys.argv[3]), batch_size=16, validation=(x[:500], y[:500]), keep_best=True,
    on_epoch=lambda epoch, *_: print(epoch, flush=True), checkpoint=sys.argv[1], every=1,
)
digest = sum(float(jnp.sum(jnp.abs(leaf.astype(jnp.float32)))) for leaf in jax.tree.leaves(result.params))
print("end", digest, result.history.train_loss.tolist(), int(result.best.epoch), flush=True)
"""


def start(folder: Path, name: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", PROGRAM, str(folder / name), str(folder / "cache"), str(EPOCHS)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, cwd=ROOT)


@pytest.mark.slow
def test_killed_runs_end_with_the_bits_of_a_run_left_alone(tmp_path):
    alone, _ = start(tmp_path, "alone").communicate()
    draw, lost, kills, rounds = random.Random(0), [], 0, 0
    while kills < KILLS:
        printed, rounds, ended = [], rounds + 1, False
        while not ended:
            process = start(tmp_path, f"killed-{rounds}")
            assert process.stdout
            first = process.stdout.readline().split()
            if printed and first[0] != "end":
                lost.append(printed[-1] + 1 - int(first[0]))
            printed += [int(first[0])] if first[0] != "end" else []
            time.sleep(draw.uniform(0, 1.0))
            if kills < KILLS:
                process.send_signal(draw.choice([signal.SIGKILL, signal.SIGTERM, signal.SIGINT]))
                kills += 1
            rest, _ = process.communicate()
            lines = ([" ".join(first)] if first else []) + rest.splitlines()
            ended = any(line.startswith("end") for line in lines)
            printed += [int(line) for line in rest.splitlines() if line.isdigit()]
        assert lines[-1].split() == alone.splitlines()[-1].split()
    print(f"{kills} kills in {rounds} runs, epochs done again after each: {lost}")
    assert max(lost, default=0) <= 1  # an epoch may be known and not yet written
