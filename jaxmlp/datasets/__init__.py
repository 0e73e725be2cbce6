"""Named data sets as NumPy arrays: images from disk or the network, digits, logic gates, a noisy line."""

from jaxmlp.datasets.catalog import NAMES, load
from jaxmlp.datasets.errors import DatasetUnavailableError
from jaxmlp.datasets.synthetic import logic_gate, noisy_line

__all__ = ["NAMES", "DatasetUnavailableError", "load", "logic_gate", "noisy_line"]
