"""The rules as scikit-learn's MLPClassifier and MLPRegressor define them (1.9), with the defaults of those estimators.

scikit-learn has four: solver="sgd" with momentum 0, with momentum, with nesterovs_momentum, and solver="adam". The
last three are the same functions as Keras's, with other defaults. Its learning_rate="invscaling" and "adaptive" change
the learning rate once an epoch: use a schedule.
"""

import optax

from jaxmlp import optimizers
from jaxmlp._rule import Scalar, Schedule
from jaxmlp.dialects import keras

__docformat__ = "google"
__all__ = ["adam", "momentum", "nesterov", "sgd"]


def sgd(learning_rate: Scalar | Schedule = 1e-3) -> optax.GradientTransformation:
    """Descend along the gradient, as solver="sgd", momentum=0 does: optimizers.sgd.

        update = -learning_rate * g

    Args:
        learning_rate: per step, >= 0; a number, a traced array, or a schedule (step count from 0 -> number).

    Raises:
        ValueError: the learning rate is out of its range.

    Example:
        >>> import jaxmlp
        >>> optimizer = jaxmlp.dialects.sklearn.sgd()
        >>> updates, state = optimizer.update(2.0, optimizer.init(0.0))
        >>> print(f"{updates:.4f}")
        -0.0020

    Source:
        sklearn/neural_network/_stochastic_optimizers.py, SGDOptimizer.
    """
    return optimizers.sgd(learning_rate)


def momentum(learning_rate: Scalar | Schedule = 1e-3, momentum: Scalar = 0.9) -> optax.GradientTransformation:
    """Descend along past steps, as solver="sgd", nesterovs_momentum=False does: dialects.keras.momentum.

        velocity = momentum * velocity - learning_rate * g
        update = velocity

    Args:
        learning_rate: per step, >= 0; a number, a traced array, or a schedule (step count from 0 -> number).
        momentum: fraction of the velocity kept per step, in [0, 1).

    Raises:
        ValueError: a hyperparameter is out of its range.

    Differs from:
        optimizers.momentum and PyTorch, whose learning rate is outside the velocity.

    Example:
        >>> import jaxmlp
        >>> optimizer = jaxmlp.dialects.sklearn.momentum(0.5, momentum=0.5)
        >>> updates, state = optimizer.update(1.0, optimizer.init(0.0))
        >>> updates, state = optimizer.update(1.0, state)
        >>> print(updates)
        -0.75

    Source:
        sklearn/neural_network/_stochastic_optimizers.py, SGDOptimizer.
    """
    return keras.momentum(learning_rate, momentum)


def nesterov(learning_rate: Scalar | Schedule = 1e-3, momentum: Scalar = 0.9) -> optax.GradientTransformation:
    """Descend along the velocity one step ahead, as solver="sgd" does by default: dialects.keras.nesterov.

        velocity = momentum * velocity - learning_rate * g
        update = momentum * velocity - learning_rate * g

    Args:
        learning_rate: per step, >= 0; a number, a traced array, or a schedule (step count from 0 -> number).
        momentum: fraction of the velocity kept per step, in [0, 1).

    Raises:
        ValueError: a hyperparameter is out of its range.

    Differs from:
        optimizers.nesterov and PyTorch, whose learning rate is outside the velocity.

    Example:
        >>> import jaxmlp
        >>> optimizer = jaxmlp.dialects.sklearn.nesterov(0.5, momentum=0.5)
        >>> updates, state = optimizer.update(1.0, optimizer.init(0.0))
        >>> print(updates)
        -0.75

    Source:
        sklearn/neural_network/_stochastic_optimizers.py, SGDOptimizer.
    """
    return keras.nesterov(learning_rate, momentum)


def adam(
    learning_rate: Scalar | Schedule = 1e-3, b1: Scalar = 0.9, b2: Scalar = 0.999, eps: Scalar = 1e-8
) -> optax.GradientTransformation:
    """Run Adam with eps added before the correction ("eps hat"), as solver="adam" does: dialects.keras.adam.

        mu = b1 * mu + (1 - b1) * g
        nu = b2 * nu + (1 - b2) * g^2
        alpha = learning_rate * sqrt(1 - b2^t) / (1 - b1^t)
        update = -alpha * mu / (sqrt(nu) + eps)

    Args:
        learning_rate: per step, >= 0; a number, a traced array, or a schedule (step count from 0 -> number).
        b1: fraction of mu kept per step, in [0, 1).
        b2: fraction of nu kept per step, in [0, 1).
        eps: added to the root of the raw second moment, >= 0.

    Raises:
        ValueError: a hyperparameter is out of its range.

    Differs from:
        optimizers.adam and PyTorch, whose eps is added after the correction; Keras, whose eps is 1e-7.

    Example:
        >>> import jaxmlp
        >>> optimizer = jaxmlp.dialects.sklearn.adam(1.0)
        >>> updates, state = optimizer.update(1e-6, optimizer.init(0.0))
        >>> print(f"{updates:.4f}")
        -0.7597

    Source:
        sklearn/neural_network/_stochastic_optimizers.py, AdamOptimizer.
    """
    return keras.adam(learning_rate, b1, b2, eps)
