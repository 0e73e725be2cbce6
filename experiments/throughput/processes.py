"""The processes that train, as seen from the one that asks them."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any


class FailedError(Exception):
    """A system could not do what it was asked to; says why."""


class Worker:
    """A process that measures one thing, started with nothing compiled."""

    def __init__(self, folder: str, platform: str, request: dict[str, Any]):
        """Start the process and let it load what it needs.

        Args:
            folder: for temporary files.
            platform: jax.default_backend().
            request: what is measured, as worker.main takes it.

        Raises:
            FailedError: it could not.
        """
        self._errors = tempfile.TemporaryFile("w+", dir=folder)  # noqa: SIM115 - it is open as long as the process runs
        code = "from experiments.throughput.worker import main; main()"
        self._process = subprocess.Popen(
            [sys.executable, "-c", code],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
            cwd=Path(__file__).parents[2],  # where the package experiments is found
            env=_environment(folder, platform),
            start_new_session=True,  # Ctrl-C reaches the command alone, which then ends the process
        )
        try:
            self.ready = float(self._asked(request)["ready"])
        except BaseException:
            self.close()
            raise

    def ask(self, do: str, **arguments: Any) -> dict[str, Any]:
        """Let it do something, and return its answer.

        Raises:
            FailedError: it could not.
        """
        return self._asked({"do": do, **arguments})

    def close(self) -> None:
        """End the process, and those that it has started."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            assert self._process.stdin is not None and self._process.stdout is not None
            self._process.stdin.close()
            self._process.stdout.close()
            self._process.wait(10)
        if hasattr(os, "killpg"):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
        self._process.kill()
        self._process.wait()
        self._errors.close()

    def _asked(self, request):
        assert self._process.stdin is not None and self._process.stdout is not None
        try:
            self._process.stdin.write(json.dumps(request) + "\n")
            self._process.stdin.flush()
            line = self._process.stdout.readline()
        except BrokenPipeError:
            line = ""
        if not line:
            self._errors.seek(0)
            last = (self._errors.read().strip().splitlines() or ["no message"])[-1]
            raise FailedError(f"its process ended: {last[:300]}")
        answer = json.loads(line)
        if "error" in answer:
            raise FailedError(answer["error"])
        return answer


class Here:
    """Work of this process, which is asked like that of a Worker."""

    ready = 0.0
    """Seconds that it took to start."""

    def __init__(self, work: Any):
        """Take the work: an object with a method for each question."""
        self._work = work

    def ask(self, do: str, **arguments: Any) -> dict[str, Any]:
        """Let it do something, and return its answer."""
        return getattr(self._work, do)(**arguments)

    def close(self) -> None:
        """Do nothing, as there is no process to end."""


def _environment(folder, platform):
    """The environment of the process: nothing compiled before, and one precision and shared memory on accelerators."""
    found = {name: value for name, value in os.environ.items() if name != "JAX_COMPILATION_CACHE_DIR"}
    found |= {"KERAS_BACKEND": "jax", "TORCHINDUCTOR_CACHE_DIR": folder, "XLA_PYTHON_CLIENT_PREALLOCATE": "false"}
    # JAX rounds the factors of products to fewer digits on some accelerators, where PyTorch does not.
    return found if platform == "cpu" else found | {"JAX_DEFAULT_MATMUL_PRECISION": "highest"}
