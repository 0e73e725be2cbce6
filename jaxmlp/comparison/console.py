"""The frame of a command: its options, errors in one line, a progress bar, compiled programs kept on disk.

A command has a main function that returns an exit status: 0 for success, 2 for something the user can fix, 130 after
Ctrl-C. It calls guarded, and start runs it as the program:

    def main(arguments=None):
        parser = Parser("python -m my_command", "Does something.")
        return guarded(lambda console: run(parser.parse(arguments), console))

    if __name__ == "__main__":
        start(main)
"""

import argparse
import io
import math
import os
import signal
import sys
import threading
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

import jax
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from jaxmlp._checks import check_choice, one_number
from jaxmlp.comparison.store import UNFINISHED
from jaxmlp.datasets import DatasetUnavailableError
from jaxmlp.datasets.cache import user_folder

__docformat__ = "google"
__all__ = [
    "Parser",
    "add_data_options",
    "guarded",
    "keep_compiled",
    "kept_runs",
    "left_after_interrupt",
    "progress",
    "start",
]

INTERRUPTED = 130
"""Exit status after Ctrl-C, as shells have it."""


class Parser(argparse.ArgumentParser):
    """Parse a command line; a mistake in it is a ValueError, which guarded reports in one line.

    --help shows every default in one form, "(default: 5)", and nothing where there is none.

    Example:
        >>> parser = Parser("python -m my_command", "Trains something.")
        >>> _ = parser.add_argument("--epochs", type=int, default=5, least=1, help="passes over the training set")
        >>> parser.parse(["--epochs", "3"]).epochs
        3
        >>> parser.parse(["--epochs", "0"])
        Traceback (most recent call last):
        ValueError: --epochs must be at least 1, got 0
    """

    def __init__(self, prog: str, description: str):
        """Start a command line without options of its own.

        Args:
            prog: how the command is called, e.g. "python -m experiments.titanic".
            description: for --help.
        """
        self._limits: dict[str, _Limits] = {}
        super().__init__(prog=prog, description=description)

    def add_argument(
        self,
        *flags: str,
        least: float | None = None,
        most: float = math.inf,
        above: float | None = None,
        choices: Collection[str] | None = None,
        **settings: Any,
    ) -> argparse.Action:
        """Add an option. If it takes several values, the limits apply to each.

        Args:
            flags: its names, e.g. "--epochs".
            least: the smallest value allowed.
            most: the largest value allowed.
            above: the value must be greater than this, and finite in JAX's default floating dtype.
            choices: the names allowed; the error suggests the nearest one.
            settings: as for argparse.ArgumentParser.add_argument.
        """
        default = settings.get("default")
        if default not in (None, [], argparse.SUPPRESS):
            shown = " ".join(map(str, default)) if isinstance(default, list | tuple) else str(default)
            settings["help"] += f" (default: {shown})".replace("%", "%%")
        action = super().add_argument(*flags, **settings)
        self._limits[action.dest] = _Limits(flags[-1], least, most, above, choices)
        return action

    def parse(self, arguments: Sequence[str] | None = None) -> argparse.Namespace:
        """Parse the command line and check every value against its limits.

        Args:
            arguments: the words after the command's name; None: those of sys.argv.

        Raises:
            ValueError: an option is unknown, incomplete or out of range.
        """
        options = self.parse_args(arguments)
        for name, limits in self._limits.items():
            given = getattr(options, name, None)
            for value in given if isinstance(given, list | tuple) else [given]:
                if value is not None:
                    limits.check(value)
        return options

    def error(self, message: str) -> NoReturn:
        """Raise a ValueError in place of argparse's usage text and exit."""
        raise ValueError(f"{message}; --help lists the options")


class _Limits(NamedTuple):
    """The values that an option takes."""

    flag: str
    least: float | None
    most: float
    above: float | None
    choices: Collection[str] | None

    def check(self, value):
        """Raise a ValueError unless value is allowed."""
        if self.least is not None and not self.least <= value < math.inf:
            raise ValueError(f"{self.flag} must be at least {self.least:g}, got {value}")
        if isinstance(value, int) and value > self.most:
            raise ValueError(f"{self.flag} must be at most {self.most:,}, got {value}")
        if self.above is not None and not self.above < value < math.inf:
            raise ValueError(f"{self.flag} must be > {self.above:g} and finite, got {value:g}")
        if self.above is not None:
            one_number(self.flag, value, self.above, open_low=True)
        if self.choices is not None:
            check_choice(f"value of {self.flag}", str(value), self.choices)


def add_data_options(parser: Parser) -> None:
    """Add --data-dir and --mirror, for commands that read a data set from disk or the network.

    Example:
        >>> parser = Parser("python -m my_command", "Trains something.")
        >>> add_data_options(parser)
        >>> parser.parse(["--data-dir", "data"]).data_dir.name
        'data'
    """
    parser.add_argument(
        "--data-dir",
        type=Path,
        metavar="DIR",
        help="data set directory (default: $TFDS_DATA_DIR, else ~/tensorflow_datasets)",
    )
    parser.add_argument(
        "--mirror",
        metavar="URL",
        help="address to fetch missing data sets from (default: $JAXMLP_MIRROR, else the official addresses)",
    )


def guarded(body: Callable[[Console], int]) -> int:
    """Call body with a console for its output, and return its exit status.

    An error that the user can fix (ValueError, OSError) and Ctrl-C are one line on stderr, with status 2 and 130. Any
    other exception is a defect and keeps its traceback. The message of a KeyboardInterrupt says what is left of the
    run; see left_after_interrupt.

    Args:
        body: console -> exit status.

    Example:
        >>> guarded(lambda console: 0)
        0
        >>> guarded(lambda console: int("many"))  # prints "error: invalid literal for int() ..." on stderr
        2
    """
    console, errors = Console(), Console(stderr=True)
    if not console.is_terminal:  # a file or a pipe, which takes lines of any length
        console = Console(width=120)
    try:
        return body(console)
    except (ValueError, OSError) as error:
        about_data = isinstance(error, ValueError | DatasetUnavailableError)
        hint = "" if about_data else "; to fix this, choose another folder with --output"
        errors.print(f"error: {error}{hint}", style="red", markup=False, highlight=False, soft_wrap=True)
        return 2
    except KeyboardInterrupt as stop:
        message = f"interrupted; {stop.args[0] if stop.args else 'no record was written'}"
        errors.print(message, style="yellow", markup=False, highlight=False, soft_wrap=True)
        return INTERRUPTED


def kept_runs(output: Path) -> bool:
    """Return whether an output folder holds finished runs of a command that has not finished.

    Example:
        >>> kept_runs(Path("no such folder"))
        False
    """
    return any((output / UNFINISHED).glob("*.npz"))


def left_after_interrupt(output: Path) -> str:
    """Say what an interrupted command has left in its output folder.

    Example:
        >>> left_after_interrupt(Path("no such folder"))
        'no record was written'
    """
    if kept_runs(output):
        return "finished runs are kept; to continue, repeat the command with --resume"
    return "no record was written"


def progress(console: Console, unit: str = "runs") -> Progress:
    """Build a progress bar with counts and times, shown on terminals only.

    Args:
        console: to draw it on.
        unit: what is counted.

    Example:
        >>> with progress(Console()) as bar:
        ...     task = bar.add_task("training", total=3)
        ...     bar.advance(task)
    """
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn(unit))
    times = (TimeElapsedColumn(), TimeRemainingColumn())
    return Progress(*columns, *times, console=console, transient=True, disable=not console.is_terminal)


def start(main: Callable[[], int]) -> NoReturn:
    """Run main as the program, compiled programs kept on disk, and exit with its status.

    Example:
        >>> start(lambda: 0)  # doctest: +SKIP
    """
    keep_compiled()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # what a terminal cannot encode is ?, and no error after hours of work
    sys.unraisablehook = _interrupt_again
    if callable(signal.getsignal(signal.SIGINT)):  # not ignored, as it is for a job in the background
        signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        status = main()
    except KeyboardInterrupt:
        print("interrupted; nothing was started", file=sys.stderr)
        status = INTERRUPTED
    if status == INTERRUPTED:
        # Runs in other threads cannot be stopped, and an ordinary exit would wait for them.
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)
    sys.exit(status)


def _interrupt_again(unraisable):
    """Repeat a Ctrl-C that came during a callback of the garbage collector (JAX has one), which drops exceptions."""
    if issubclass(unraisable.exc_type, KeyboardInterrupt):
        # A signal, which also wakes a main thread that waits.
        threading.Timer(0.01, signal.pthread_kill, (threading.main_thread().ident, signal.SIGINT)).start()
    else:
        sys.__unraisablehook__(unraisable)


def keep_compiled() -> None:
    """Let JAX keep compiled programs in the user's cache folder, so that a second run of a command compiles nothing.

    A folder that the user set by JAX_COMPILATION_CACHE_DIR takes precedence; without a writable cache folder nothing
    is kept. Commands call this; importing a module never does.

    Example:
        >>> keep_compiled()  # doctest: +SKIP
    """
    folder = user_folder()
    if "JAX_COMPILATION_CACHE_DIR" in os.environ or folder is None:
        return
    try:
        (folder / "xla").mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError:
        return
    jax.config.update("jax_compilation_cache_dir", str(folder / "xla"))
    # By default only programs that took a second or more are kept; here even short ones come by the dozen.
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)
