"""Commands over jaxmlp: python -m experiments lists them, python -m experiments.NAME runs one."""

import os
import signal
import sys


def _leave(number, frame):
    """Exit on Ctrl-C during the imports of a command, which take seconds, with one line as later on."""
    print("interrupted; nothing was started", file=sys.stderr, flush=True)
    os._exit(130)


def _report_missing(kind, error, trace):
    """Name the extra to install, in one line, where a package that the commands need is missing."""
    if not issubclass(kind, ModuleNotFoundError) or str(error.name).startswith(("experiments", "jaxmlp")):
        sys.__excepthook__(kind, error, trace)
        return
    hint = "" if "jaxmlp[" in str(error) else "; to fix this, run pip install -e '.[comparison]'"
    print(f"error: {error}{hint}", file=sys.stderr, flush=True)
    os._exit(2)


# While python -m looks for a command in this package; jaxmlp.comparison.console.start then takes over.
if sys.argv[0] == "-m":
    sys.excepthook = _report_missing
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _leave)
