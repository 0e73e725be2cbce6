"""Commands over jaxmlp: python -m experiments lists them, python -m experiments.NAME runs one."""

import os
import sys


def _report(kind, error, trace):
    """Report Ctrl-C during the imports of a command, which take seconds, as it is reported later on: in one line."""
    if not issubclass(kind, KeyboardInterrupt):
        return sys.__excepthook__(kind, error, trace)
    print("interrupted; nothing was started", file=sys.stderr, flush=True)
    os._exit(130)


if sys.argv[0] == "-m":  # while python -m looks for a command in this package
    sys.excepthook = _report
