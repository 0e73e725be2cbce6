"""The classic rules as other libraries and textbooks define them: our argument names, their defaults and equations.

"Adam" or "RMSProp" is a different function in each library. Each module here follows one of them, needs no library but
JAX, and is compared with the real library by `python -m experiments.conformance`. README.md in this folder shows the
equations and where the libraries differ. The factories of jaxmlp.optimizers follow optax.
"""

from jaxmlp.dialects import keras, sklearn, textbook, torch

__docformat__ = "google"
__all__ = ["keras", "sklearn", "textbook", "torch"]
