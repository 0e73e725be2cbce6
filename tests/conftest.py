"""Settings under which every test runs, and the fixtures that several files share."""

import functools
import logging
import os
import re
import signal
from pathlib import Path

import jax
import pytest

# Two CPU devices, so that shard_map has something to map over; must be set before JAX looks for devices.
jax.config.update("jax_num_cpu_devices", int(os.environ.get("JAXMLP_DEVICES", 2)))
jax.config.update("jax_numpy_dtype_promotion", "strict")
jax.config.update("jax_numpy_rank_promotion", "raise")


def pytest_configure(config):
    # A shell starts background jobs with Ctrl-C ignored, which the commands under test would inherit.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    # The inner loop compiles cheaply; the complete run compiles as users do.
    if config.option.markexpr == "not slow":
        jax.config.update("jax_disable_most_optimizations", True)


class CompileLog(logging.Handler):
    """Names of the functions that XLA compiled, from JAX's own log."""

    def __init__(self):
        super().__init__()
        self.names = []

    def emit(self, record):
        found = re.match(r"Finished XLA compilation of (\S+) in", record.getMessage())
        if found:
            self.names.append(found.group(1))


@pytest.fixture
def compile_log():
    """Yield a list that fills with the name of each function as it is compiled."""
    log, logger = CompileLog(), logging.getLogger("jax")
    logger.addHandler(log)
    with jax.log_compiles():
        yield log.names
    logger.removeHandler(log)


@pytest.fixture
def x64():
    """Run the test in float64."""
    with jax.enable_x64(True):
        yield


@pytest.fixture(scope="module")
def unoptimised():
    """Compile without XLA's optimisations, a third cheaper: for tests in which no last digit matters.

    What was compiled so is forgotten afterwards, since later tests may compare bit by bit.
    """
    if jax.config.read("jax_disable_most_optimizations"):
        yield
        return
    jax.config.update("jax_disable_most_optimizations", True)
    yield
    jax.config.update("jax_disable_most_optimizations", False)
    jax.clear_caches()


@pytest.fixture(scope="module")
def rough(unoptimised):
    """Draw with few dots besides: for tests of the plumbing of commands."""
    from matplotlib.figure import Figure

    savefig = Figure.savefig
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Figure, "savefig", functools.partialmethod(_with_few_dots, savefig))
        yield


def _with_few_dots(figure, savefig, path, *, dpi, **frame):
    if frame:  # of a movie, whose size is fixed before
        savefig(figure, path, dpi=dpi, **frame)
        return
    assert dpi == 150  # what the commands ask for
    savefig(figure, path, dpi=30)


@pytest.fixture(scope="module", autouse=True)
def _forget_compiled_programs():
    """Free compiled programs before they fill the memory, or Linux's 65,000 memory maps of a process."""
    yield
    statm = Path("/proc/self/statm")
    if statm.exists() and int(statm.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") > _MEMORY:
        jax.clear_caches()


_MEMORY = 1.3e9  # bytes
_LONG = 8.0  # CPU seconds, fixtures included
_seconds: dict[str, float] = {}


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item):
    before = sum(os.times()[:4])
    result = yield
    if item.get_closest_marker("slow") is None:
        _seconds[item.nodeid] = sum(os.times()[:4]) - before
    return result


def pytest_terminal_summary(terminalreporter):
    """Name the tests that make the inner loop slow."""
    long = {name: seconds for name, seconds in _seconds.items() if seconds > _LONG}
    if long:
        terminalreporter.section(f"tests not marked slow that took more than {_LONG:g} CPU seconds")
    for name, seconds in sorted(long.items(), key=lambda pair: -pair[1]):
        terminalreporter.write_line(f"{seconds:.1f} s  {name}")
