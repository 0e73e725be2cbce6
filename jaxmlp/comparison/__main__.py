"""Runs the comparison from the command line: python -m jaxmlp.comparison --help."""

from jaxmlp.comparison.command import main
from jaxmlp.comparison.console import start

if __name__ == "__main__":
    start(main)
