"""The frame of a command: its options, errors and interrupts in one line, exit statuses, and the compile cache."""

import io
import signal
import sys
import time

import jax
import pytest

from jaxmlp.comparison import console, store
from jaxmlp.datasets import DatasetUnavailableError


@pytest.fixture
def parser():
    parser = console.Parser("python -m my_command", "Trains something.")
    add = parser.add_argument
    add("--epochs", type=int, default=5, least=1, help="passes")
    add("--rates", type=float, nargs="+", default=[0.1, 0.5], above=0, help="learning rates")
    add("--name", choices=("adam", "sgd"), help="rule")
    add("--share", type=float, default=0.5, help="of 100%%")
    add("--fast", action="store_true", help="fewer steps")
    return parser


def test_help_shows_each_default_once_and_none_where_there_is_none(parser, capsys):
    with pytest.raises(SystemExit, match="0"):
        parser.parse(["--help"])
    text = " ".join(capsys.readouterr().out.split())
    assert "passes (default: 5)" in text and "learning rates (default: 0.1 0.5)" in text
    assert "of 100% (default: 0.5)" in text
    assert text.count("default") == 3 and "None" not in text and "False" not in text


def test_values_within_the_limits_are_taken(parser):
    options = parser.parse(["--epochs", "1", "--rates", "1e-9", "2", "--name", "sgd"])
    assert (options.epochs, options.rates, options.name, options.fast) == (1, [1e-9, 2.0], "sgd", False)
    assert parser.parse([]).name is None


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--epochs", "0"], "--epochs must be at least 1, got 0"),
        (["--epochs", "many"], "argument --epochs: invalid int value: 'many'; --help lists the options"),
        (["--epochs"], "argument --epochs: expected one argument"),
        (["--rates", "0.1", "0"], "--rates must be > 0 and finite, got 0"),
        (["--rates", "nan"], "--rates must be > 0 and finite, got nan"),
        (["--rates", "inf"], "--rates must be > 0 and finite, got inf"),
        (["--name", "adm"], "unknown value of --name 'adm'; known: adam, sgd. Did you mean 'adam'?"),
        (["--speed", "3"], "unrecognized arguments: --speed 3; --help lists the options"),
    ],
)
def test_a_mistake_is_a_value_error(parser, words, message):
    with pytest.raises(ValueError) as caught:
        parser.parse(words)
    assert message in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (ValueError("--epochs must be at least 1, got 0"), "error: --epochs must be at least 1, got 0"),
        (ValueError("[bold]a[/bold]"), "error: [bold]a[/bold]"),
        (
            OSError(28, "No space left"),
            "error: [Errno 28] No space left; to fix this, choose another folder with --output",
        ),
        (DatasetUnavailableError("no mnist"), "error: no mnist"),
    ],
)
def test_an_error_that_the_user_can_fix_is_one_line_with_status_2(error, line, capsys):
    def body(screen):
        raise error

    assert console.guarded(body) == 2
    assert capsys.readouterr().err == line + "\n"


@pytest.mark.parametrize("message", [(), ("finished runs are kept",)])
def test_an_interrupt_is_one_line_with_status_130(message, capsys):
    def body(screen):
        raise KeyboardInterrupt(*message)

    assert console.guarded(body) == 130
    assert capsys.readouterr().err == f"interrupted; {message[0] if message else 'no record was written'}\n"


def test_a_defect_keeps_its_traceback_and_a_result_its_status():
    def body(screen):
        raise RuntimeError("defect")

    with pytest.raises(RuntimeError, match="defect"):
        console.guarded(body)
    assert console.guarded(lambda screen: 1) == 1


def test_kept_runs_are_mentioned_after_an_interrupt(tmp_path):
    assert console.left_after_interrupt(tmp_path) == "no record was written"
    kept = store.RunStore(tmp_path / store.UNFINISHED, {}, resume=False)
    assert console.left_after_interrupt(tmp_path) == "no record was written"
    kept.cached("run", dict)
    assert "repeat the command with --resume" in console.left_after_interrupt(tmp_path)


@pytest.fixture
def process(monkeypatch):
    """Put back what start changes in the process, and raise an error where it would end at once."""

    def leave(status):
        raise RuntimeError(f"left with {status}")

    monkeypatch.setattr(console, "keep_compiled", lambda: None)
    monkeypatch.setattr(sys, "unraisablehook", sys.unraisablehook)
    monkeypatch.setattr(console.os, "_exit", leave)
    before = signal.getsignal(signal.SIGINT)
    yield
    signal.signal(signal.SIGINT, before)


def test_start_exits_with_the_status_and_at_once_after_an_interrupt(process, capsys):
    with pytest.raises(SystemExit, match="2"):
        console.start(lambda: 2)

    with pytest.raises(RuntimeError, match="left with 130"):
        console.start(lambda: 130)
    with pytest.raises(RuntimeError, match="left with 130"):
        console.start(lambda: signal.raise_signal(signal.SIGINT))
    assert capsys.readouterr().err == "interrupted; nothing was started\n"


def test_a_character_that_the_terminal_lacks_ends_no_command(process, monkeypatch):
    terminal = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(terminal, "ascii", write_through=True))
    with pytest.raises(SystemExit, match="0"):
        console.start(lambda: console.guarded(lambda output: output.print("97.1 ± 0.1") or 0))
    assert terminal.getvalue() == b"97.1 ? 0.1\n"


def test_an_interrupt_that_a_callback_drops_is_repeated(process, capsys):
    class Dropping:
        def __del__(self):
            raise KeyboardInterrupt

    def body(screen):
        Dropping().__str__()  # deleted at once
        time.sleep(10)

    started = time.monotonic()
    with pytest.raises(RuntimeError, match="left with 130"):
        console.start(lambda: console.guarded(body))
    assert time.monotonic() - started < 5  # it does not sleep to the end
    assert capsys.readouterr().err == "interrupted; no record was written\n"


SETTINGS = (
    "jax_compilation_cache_dir",
    "jax_persistent_cache_min_compile_time_secs",
    "jax_persistent_cache_min_entry_size_bytes",
)


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """A cache folder of the test's own; JAX's settings are put back."""
    before = {name: getattr(jax.config, name) for name in SETTINGS}
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.delenv("JAX_COMPILATION_CACHE_DIR", raising=False)
    yield tmp_path
    for name, value in before.items():
        jax.config.update(name, value)


def test_compiled_programs_are_kept_in_the_users_cache(cache):
    console.keep_compiled()
    folder = cache / "jaxmlp" / "xla"
    assert folder.is_dir() and folder.stat().st_mode & 0o777 == 0o700
    assert [getattr(jax.config, name) for name in SETTINGS] == [str(folder), 0.0, -1]


def test_a_cache_folder_of_the_users_choice_is_left_alone(cache, monkeypatch):
    before = [getattr(jax.config, name) for name in SETTINGS]
    monkeypatch.setenv("JAX_COMPILATION_CACHE_DIR", str(cache / "own"))
    console.keep_compiled()
    assert [getattr(jax.config, name) for name in SETTINGS] == before and list(cache.iterdir()) == []


def test_without_a_writable_cache_nothing_is_kept_and_nothing_fails(cache):
    (cache / "jaxmlp").write_text("in the way")
    before = [getattr(jax.config, name) for name in SETTINGS]
    console.keep_compiled()
    assert [getattr(jax.config, name) for name in SETTINGS] == before
