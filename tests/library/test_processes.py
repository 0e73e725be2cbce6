"""One run over several processes on one machine: the numbers of one process, and what happens when one is killed.

JAXMLP_PROCESSES=4 python -m pytest -s tests/library/test_processes.py for more of them, and for the kill.
"""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxmlp

ROOT = Path(__file__).parents[2]
COUNT = int(os.environ.get("JAXMLP_PROCESSES", 2))
SETTINGS = {"epochs": 50, "batch_size": 16, "keep_best": True}  # 200 steps


def problem():
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(64, 6)), rng.integers(0, 3, 64)
    net = jaxmlp.mlp((6, 8, 3), dropout=0.2, dtype=jnp.float64)
    start = jaxmlp.objective(net.apply), net.init(jax.random.key(0)), jaxmlp.optimizers.adam(0.01), (x, y)
    return start, {"key": jax.random.key(1), "validation": (x[:21], y[:21]), **SETTINGS}


def main(port: str, count: str, index: str, path: str, pause: str) -> None:
    """Run one process, the way the page of jaxmlp.training shows it."""
    jax.config.update("jax_enable_x64", True)
    jax.config.update("jax_disable_most_optimizations", True)
    limits = {"heartbeat_timeout_seconds": 10, "shutdown_timeout_seconds": 5}
    jax.distributed.initialize(f"localhost:{port}", int(count), int(index), **limits)

    def on_epoch(epoch, losses, metrics):
        print(epoch, flush=True)
        time.sleep(float(pause))

    start, settings = problem()
    with jax.set_mesh(jax.make_mesh((jax.device_count(),), ("data",), axis_types=(jax.sharding.AxisType.Auto,))):
        result = jaxmlp.fit(*start, **settings, on_epoch=on_epoch, checkpoint=path, every=5)
    print(json.dumps([np.asarray(leaf).tolist() for leaf in jax.tree.leaves(numbers(result))]), flush=True)


def numbers(result):
    return result.params, result.history, result.best


def started(path: Path, pause: float = 0.0) -> list[subprocess.Popen[str]]:
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
    environment = {k: v for k, v in os.environ.items() if k != "XLA_FLAGS"} | {"JAX_PLATFORMS": "cpu"}
    environment["PYTHONPATH"] = str(ROOT)
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, "env": environment}
    words = [[sys.executable, __file__, str(port), str(COUNT), str(n), str(path), str(pause)] for n in range(COUNT)]
    return [subprocess.Popen(command, **pipes) for command in words]


def results(processes: list[subprocess.Popen[str]]) -> list[list]:
    found = [process.communicate(timeout=120) for process in processes]
    assert [process.returncode for process in processes] == [0] * len(processes), found
    return [json.loads(printed.splitlines()[-1]) for printed, _ in found]


def assert_as_one(found: list[list]) -> None:
    start, settings = problem()
    alone = jax.tree.leaves(numbers(jaxmlp.fit(*start, **settings)))
    for process in found:
        for left, right in zip(process, alone, strict=True):
            np.testing.assert_allclose(left, right, rtol=1e-12, atol=1e-12)  # 200 steps, summed in another order


@pytest.mark.slow
def test_processes_train_as_one_does(tmp_path, x64, unoptimised):
    assert_as_one(results(started(tmp_path / "run")))


@pytest.mark.slow
@pytest.mark.skipif("JAXMLP_PROCESSES" not in os.environ, reason="JAXMLP_PROCESSES is not set")
def test_processes_end_when_one_is_killed_and_go_on_together(tmp_path, x64, unoptimised):
    *others, killed = started(tmp_path / "run", pause=0.05)
    assert killed.stdout
    assert any(line.strip() == "6" for line in killed.stdout)
    killed.send_signal(signal.SIGKILL)
    began = time.monotonic()
    told = []
    for other in others:
        _, errors = other.communicate(timeout=60)
        told.append("cannot go on, most likely because another one has ended" in errors)
        # The first says why, and JAX ends those that wait for one that has not died.
        assert other.returncode != 0 and (told[-1] or "most likely indicates that another task died" in errors), errors
    assert any(told)
    seconds = time.monotonic() - began
    killed.communicate()
    print(f"the others ended within {seconds:.1f} s of the kill, {sum(told)} of {len(told)} with an error of fit")
    assert seconds < 30
    assert_as_one(results(started(tmp_path / "run")))


if __name__ == "__main__":
    main(*sys.argv[1:])
