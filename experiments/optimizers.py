"""Which optimizer, at which learning rate, is better, and is the difference real?

Starts jaxmlp.comparison. Takes 5 min. Run: python -m experiments.optimizers --help
"""

from experiments.common.command import start
from jaxmlp.comparison.command import main

if __name__ == "__main__":
    start(main)
