"""MLPClassifier, MLPRegressor and a grid search with scikit-learn's interface, trained by JAX.

Reached by its own name, never by import jaxmlp; it needs the extra `estimators`.

Example:
    >>> from jaxmlp.estimators import MLPClassifier  # instead of: from sklearn.neural_network import MLPClassifier
    >>> model = MLPClassifier(hidden_layer_sizes=(50,), random_state=0)
"""

from jaxmlp._checks import need

need("estimators", "sklearn", "scipy")

from jaxmlp.estimators.classifier import MLPClassifier  # noqa: E402 - the extra is checked first
from jaxmlp.estimators.regressor import MLPRegressor  # noqa: E402
from jaxmlp.estimators.search import SweepSearchCV  # noqa: E402

__docformat__ = "google"
__all__ = ["MLPClassifier", "MLPRegressor", "SweepSearchCV"]
