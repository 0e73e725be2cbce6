"""The rules as scikit-learn's MLPClassifier and MLPRegressor mean them (1.9), with those estimators' defaults.

scikit-learn has four: solver="sgd" with momentum 0, with momentum, with nesterovs_momentum, and solver="adam". The
last three are the same functions as Keras's, with other defaults. Its learning_rate="invscaling" and "adaptive" act
once an epoch: give a schedule.
"""

import optax

from jaxmlp import optimizers
from jaxmlp.dialects import keras
from jaxmlp.optimizers import Scalar, Schedule


def sgd(learning_rate: Scalar | Schedule = 1e-3) -> optax.GradientTransformation:
    """Descend along the gradient, as solver="sgd", momentum=0 does: optimizers.sgd.

    update = -learning_rate * g

    Args:
        learning_rate: per step, >= 0; a number, a traced array, or a schedule (step from 0 -> number).

    Returns: an optax.GradientTransformation.
    Raises: ValueError where a hyperparameter is out of its range.

    Source: sklearn/neural_network/_stochastic_optimizers.py, SGDOptimizer.
    """
    return optimizers.sgd(learning_rate)


def momentum(learning_rate: Scalar | Schedule = 1e-3, momentum: Scalar = 0.9) -> optax.GradientTransformation:
    """Descend along past steps, as solver="sgd", nesterovs_momentum=False does: dialects.keras.momentum.

    velocity = momentum * velocity - learning_rate * g
    update = velocity

    Args:
        learning_rate: per step, >= 0; a number, a traced array, or a schedule (step from 0 -> number).
        momentum: share of the velocity kept per step, in [0, 1).

    Returns: an optax.GradientTransformation.
    Raises: ValueError where a hyperparameter is out of its range.

    Differs from: optimizers.momentum and PyTorch, whose learning rate is outside the velocity.

    Source: sklearn/neural_network/_stochastic_optimizers.py, SGDOptimizer.
    """
    return keras.momentum(learning_rate, momentum)


def nesterov(learning_rate: Scalar | Schedule = 1e-3, momentum: Scalar = 0.9) -> optax.GradientTransformation:
    """Descend along the velocity one step ahead, as solver="sgd" does by default: dialects.keras.nesterov.

    velocity = momentum * velocity - learning_rate * g
    update = momentum * velocity - learning_rate * g

    Args:
        learning_rate: per step, >= 0; a number, a traced array, or a schedule (step from 0 -> number).
        momentum: share of the velocity kept per step, in [0, 1).

    Returns: an optax.GradientTransformation.
    Raises: ValueError where a hyperparameter is out of its range.

    Differs from: optimizers.nesterov and PyTorch, whose learning rate is outside the velocity.

    Source: sklearn/neural_network/_stochastic_optimizers.py, SGDOptimizer.
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
        learning_rate: per step, >= 0; a number, a traced array, or a schedule (step from 0 -> number).
        b1: share of mu kept per step, in [0, 1).
        b2: share of nu kept per step, in [0, 1).
        eps: added to the root of the raw second moment, >= 0.

    Returns: an optax.GradientTransformation.
    Raises: ValueError where a hyperparameter is out of its range.

    Differs from: optimizers.adam and PyTorch, whose eps is added after the correction; Keras's eps is 1e-7.

    Source: sklearn/neural_network/_stochastic_optimizers.py, AdamOptimizer.
    """
    return keras.adam(learning_rate, b1, b2, eps)
