"""Commands over jaxmlp: python -m experiments lists them, python -m experiments.NAME runs one."""

import os
import signal
import sys


def _leave(number, frame):
    """Exit on Ctrl-C during the imports of a command, which take seconds, with one line as later on."""
    print("interrupted; nothing was started", file=sys.stderr, flush=True)
    os._exit(130)


# While python -m looks for a command in this package; jaxmlp.comparison.console.start then takes over.
if sys.argv[0] == "-m" and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
    signal.signal(signal.SIGINT, _leave)
