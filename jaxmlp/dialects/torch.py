"""The rules as PyTorch's torch.optim defines them (2.13), with its defaults.

PyTorch adds eps to a root, never under it, and its AMSGrad keeps the largest raw second moment. torch.optim also has
weight_decay (add a penalty to the loss), lr_decay (use a schedule), maximize (negate the loss), and the centred RMSprop
and RMSprop with momentum, which are other rules. They are not here.
"""

import jax.numpy as jnp
import optax

from jaxmlp import optimizers
from jaxmlp._checks import in_range
from jaxmlp._rule import AMSGradRawState, Scalar, Schedule, nonzero, safe_sqrt, transformation
from jaxmlp.optimizers import AdaGradState, MomentumState, RMSPropState

__docformat__ = "google"
__all__ = ["AMSGradRawState", "adagrad", "adam", "amsgrad", "momentum", "nesterov", "rmsprop", "sgd"]


def sgd(learning_rate: Scalar | Schedule = 1e-3) -> optax.GradientTransformation:
    """Descend along the gradient, as torch.optim.SGD does: optimizers.sgd with PyTorch's default.

        update = -learning_rate * g

    Args:
        learning_rate: per step, >= 0; a number, a traced array, or a schedule (step count from 0 -> number).

    Raises:
        ValueError: the learning rate is out of its range.

    Example:
        >>> import jaxmlp
        >>> optimizer = jaxmlp.dialects.torch.sgd()
        >>> updates, state = optimizer.update(2.0, optimizer.init(0.0))
        >>> print(f"{updates:.4f}")
        -0.0020

    Source:
        torch/optim/sgd.py.
    """
    return optimizers.sgd(learning_rate)


def momentum(
    learning_rate: Scalar | Schedule = 1e-3, momentum: Scalar = 0.0, dampening: Scalar = 0.0
) -> optax.GradientTransformation:
    """Descend along a decaying sum of the gradients, as torch.optim.SGD(momentum=...) does.

        velocity = momentum * velocity + share * g, with share = 1 in the first step and 1 - dampening afterwards
        update = -learning_rate * velocity

    Args:
        learning_rate: per step, >= 0; a number, a traced array, or a schedule (step count from 0 -> number).
        momentum: fraction of the velocity kept per step, in [0, 1). PyTorch's default, 0, is sgd for every dampening.
        dampening: fraction removed from every gradient after the first, >= 0.

    Raises:
        ValueError: a hyperparameter is out of its range.

    Differs from:
        optimizers.momentum, which has no dampening and is the same function at dampening 0; Keras and scikit-learn,
        which keep the learning rate inside the velocity.

    Example:
        >>> import jaxmlp
        >>> optimizer = jaxmlp.dialects.torch.momentum(0.5, momentum=0.5, dampening=0.5)
        >>> updates, state = optimizer.update(1.0, optimizer.init(0.0))
        >>> updates, state = optimizer.update(1.0, state)
        >>> print(updates)
        -0.5

    Source:
        torch/optim/sgd.py, _single_tensor_sgd.
    """
    numbers = {"learning_rate": learning_rate, "momentum": momentum, "dampening": dampening}
    return transformation(_momentum_rule, MomentumState, **numbers)


def _momentum_rule(g, t, velocity, *, learning_rate, momentum, dampening):
    # PyTorch starts its buffer with the undampened first gradient, and has no buffer if momentum is 0.
    share = jnp.where((t == 1) | (momentum == 0), 1, 1 - dampening)
    velocity = momentum * velocity + share * g
    update = -learning_rate * velocity
    return update, velocity


def nesterov(learning_rate: Scalar | Schedule = 1e-3, *, momentum: Scalar) -> optax.GradientTransformation:
    """Descend along the velocity one step ahead, as torch.optim.SGD(nesterov=True) does: optimizers.nesterov.

        velocity = momentum * velocity + g
        update = -learning_rate * (g + momentum * velocity)

    Args:
        learning_rate: per step, >= 0; a number, a traced array, or a schedule (step count from 0 -> number).
        momentum: fraction of the velocity kept per step, in (0, 1). It is required: PyTorch's default is 0, which
            PyTorch rejects if nesterov=True.

    Raises:
        ValueError: a hyperparameter is out of its range.

    Example:
        >>> import jaxmlp
        >>> optimizer = jaxmlp.dialects.torch.nesterov(0.5, momentum=0.5)
        >>> updates, state = optimizer.update(1.0, optimizer.init(0.0))
        >>> print(updates)
        -0.75

    Source:
        torch/optim/sgd.py.
    """
    in_range("momentum", momentum, 0, 1, open_low=True)
    return optimizers.nesterov(learning_rate, momentum)


def adagrad(
    learning_rate: Scalar | Schedule = 1e-2, initial_accumulator: Scalar = 0.0, eps: Scalar = 1e-10
) -> optax.GradientTransformation:
    """Divide each gradient by the root of the sum of its squares, as torch.optim.Adagrad does.

        accumulator = accumulator + g^2
        update = -learning_rate * g / (sqrt(accumulator) + eps)

    Args:
        learning_rate: per step, >= 0; a number, a traced array, or a schedule (step count from 0 -> number).
        initial_accumulator: start of the accumulator, >= 0.
        eps: added to the root, >= 0. At 0, a gradient that has been 0 from the start gives NaN in PyTorch, and 0 here.

    Raises:
        ValueError: a hyperparameter is out of its range.

    Differs from:
        optimizers.adagrad and Keras, where eps is under the root and the accumulator starts from 0.1.

    Example:
        >>> import jaxmlp
        >>> optimizer = jaxmlp.dialects.torch.adagrad(0.5)
        >>> updates, state = optimizer.update(1e-3, optimizer.init(0.0))
        >>> print(f"{updates:.4f}")
        -0.5000

    Source:
        torch/optim/adagrad.py; Duchi, Hazan and Singer (2011), figure 1.
    """
    numbers = {"learning_rate": learning_rate, "initial_accumulator": initial_accumulator, "eps": eps}
    return transformation(_adagrad_rule, AdaGradState, {"accumulator": "initial_accumulator"}, **numbers)


def _adagrad_rule(g, t, accumulator, *, learning_rate, eps):
    accumulator = accumulator + g**2
    update = -learning_rate * g / nonzero(safe_sqrt(accumulator) + eps)
    return update, accumulator


def rmsprop(
    learning_rate: Scalar | Schedule = 1e-2, decay: Scalar = 0.99, eps: Scalar = 1e-8
) -> optax.GradientTransformation:
    """Divide each gradient by the root of a moving average of its squares, as torch.optim.RMSprop does.

        nu = decay * nu + (1 - decay) * g^2
        update = -learning_rate * g / (sqrt(nu) + eps)

    Args:
        learning_rate: per step, >= 0; a number, a traced array, or a schedule (step count from 0 -> number).
        decay: fraction of the average kept per step, in [0, 1); PyTorch calls it alpha.
        eps: added to the root, >= 0.

    Raises:
        ValueError: a hyperparameter is out of its range.

    Differs from:
        optimizers.rmsprop and Keras, where eps is under the root and decay is 0.9.

    Example:
        >>> import jaxmlp
        >>> optimizer = jaxmlp.dialects.torch.rmsprop(1.0, decay=0.9)  # optimizers.rmsprop: -0.00001
        >>> updates, state = optimizer.update(1e-6, optimizer.init(0.0))
        >>> print(f"{updates:.4f}")
        -3.0653

    Source:
        torch/optim/rmsprop.py.
    """
    return transformation(_rmsprop_rule, RMSPropState, learning_rate=learning_rate, decay=decay, eps=eps)


def _rmsprop_rule(g, t, nu, *, learning_rate, decay, eps):
    nu = decay * nu + (1 - decay) * g**2
    update = -learning_rate * g / nonzero(safe_sqrt(nu) + eps)
    return update, nu


def adam(
    learning_rate: Scalar | Schedule = 1e-3, b1: Scalar = 0.9, b2: Scalar = 0.999, eps: Scalar = 1e-8
) -> optax.GradientTransformation:
    """Run Adam as torch.optim.Adam does: optimizers.adam with eps_root = 0.

        mu = b1 * mu + (1 - b1) * g
        nu = b2 * nu + (1 - b2) * g^2
        mu_hat = mu / (1 - b1^t)
        nu_hat = nu / (1 - b2^t)
        update = -learning_rate * mu_hat / (sqrt(nu_hat) + eps)

    Args:
        learning_rate: per step, >= 0; a number, a traced array, or a schedule (step count from 0 -> number).
        b1: fraction of mu kept per step, in [0, 1).
        b2: fraction of nu kept per step, in [0, 1).
        eps: added to the root, >= 0.

    Raises:
        ValueError: a hyperparameter is out of its range.

    Differs from:
        Keras and scikit-learn, which add eps before the correction ("eps hat").

    Example:
        >>> import jaxmlp
        >>> optimizer = jaxmlp.dialects.torch.adam()
        >>> updates, state = optimizer.update(2.0, optimizer.init(0.0))
        >>> print(f"{updates:.4f}")
        -0.0010

    Source:
        torch/optim/adam.py; Kingma and Ba (2015), algorithm 1.
    """
    return optimizers.adam(learning_rate, b1, b2, eps)


def amsgrad(
    learning_rate: Scalar | Schedule = 1e-3, b1: Scalar = 0.9, b2: Scalar = 0.999, eps: Scalar = 1e-8
) -> optax.GradientTransformation:
    """Run Adam with the largest raw second moment so far, corrected afterwards, as torch.optim.Adam(amsgrad=True) does.

        mu = b1 * mu + (1 - b1) * g
        nu = b2 * nu + (1 - b2) * g^2
        nu_max = max(nu_max, nu)
        mu_hat = mu / (1 - b1^t)
        nu_hat = nu_max / (1 - b2^t)
        update = -learning_rate * mu_hat / (sqrt(nu_hat) + eps)

    Args:
        learning_rate: per step, >= 0; a number, a traced array, or a schedule (step count from 0 -> number).
        b1: fraction of mu kept per step, in [0, 1).
        b2: fraction of nu kept per step, in [0, 1).
        eps: added to the root, >= 0.

    Raises:
        ValueError: a hyperparameter is out of its range.

    Differs from:
        optimizers.amsgrad, which takes the maximum of the corrected moment; Keras, which corrects after adding eps.

    Example:
        >>> import jaxmlp
        >>> optimizer = jaxmlp.dialects.torch.amsgrad(1.0)
        >>> updates, state = optimizer.update(1.0, optimizer.init(0.0))
        >>> updates, state = optimizer.update(0.1, state)
        >>> print(f"{updates:.4f}")
        -0.7408

    Source:
        torch/optim/adam.py, _single_tensor_adam.
    """
    return transformation(_amsgrad_rule, AMSGradRawState, learning_rate=learning_rate, b1=b1, b2=b2, eps=eps)


def _amsgrad_rule(g, t, mu, nu, nu_max, *, learning_rate, b1, b2, eps):
    mu = b1 * mu + (1 - b1) * g
    nu = b2 * nu + (1 - b2) * g**2
    nu_max = jnp.maximum(nu_max, nu)
    mu_hat = mu / (1 - b1**t)
    nu_hat = nu_max / (1 - b2**t)
    update = -learning_rate * mu_hat / nonzero(safe_sqrt(nu_hat) + eps)
    return update, mu, nu, nu_max
