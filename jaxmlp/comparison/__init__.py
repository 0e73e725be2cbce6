"""The comparison of optimizers: tune on a validation part, freeze the choice, rerun on fresh seeds, test once."""

from jaxmlp._checks import need

need("comparison", "matplotlib", "rich", "scipy", "threadpoolctl")
