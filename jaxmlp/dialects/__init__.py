"""The classic rules as other libraries and textbooks mean them: our argument names, their defaults and algebra.

"Adam" or "RMSProp" names a different function in each library. Each file here is one of them, needs no library but
JAX, and is compared with the real one by `python -m experiments.conformance`. README.md, beside this file, shows the
equations and who differs where. The plain factories of jaxmlp.optimizers keep optax's meaning.
"""

from jaxmlp.dialects import keras, sklearn, textbook, torch

__all__ = ["keras", "sklearn", "textbook", "torch"]
