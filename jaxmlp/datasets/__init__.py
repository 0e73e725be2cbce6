"""Named data sets as NumPy arrays: images and passengers from disk or network, digits, logic gates, a noisy line."""

from jaxmlp.datasets.catalog import NAMES, load
from jaxmlp.datasets.errors import DatasetUnavailableError
from jaxmlp.datasets.synthetic import logic_gate, noisy_line
from jaxmlp.datasets.titanic import titanic_table

__all__ = ["NAMES", "DatasetUnavailableError", "load", "logic_gate", "noisy_line", "titanic_table"]
