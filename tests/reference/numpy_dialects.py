"""The rules of other libraries and textbooks in closed form, in float64 NumPy: the oracle for jaxmlp.dialects.

The library carries a state from step to step; here every step is a sum over all gradients so far, so that the two
share no line. Every rule is a function

    rule(grads, rates, **settings) -> updates

    grads: (T, ...), the gradients g_1, ..., g_T of successive steps.
    rates: (T,), the learning rate of each step.
    updates: (T, ...), to be added to the parameters.

In the equations sum_k is over k = 1, ..., t. DIALECTS says which rule each dialect's name means; what a dialect
shares with optax is the oracle of numpy_rules.
"""

import numpy as np
import numpy_rules


def momentum_dampened(grads, rates, momentum, dampening):
    """velocity_t = sum_k momentum^(t-k) * share_k * g_k, share_1 = 1 and share_k = 1 - dampening for k > 1
    update_t = -learning_rate_t * velocity_t
    """
    share = np.full(len(grads), 1 - dampening)
    share[0] = 1
    velocity = _decaying_sum(grads * _column(share, grads), momentum)
    return -_column(rates, grads) * velocity


def momentum_rate_inside(grads, rates, momentum):
    """velocity_t = -sum_k momentum^(t-k) * learning_rate_k * g_k
    update_t = velocity_t
    """
    return -_decaying_sum(_column(rates, grads) * grads, momentum)


def nesterov_rate_inside(grads, rates, momentum):
    """velocity_t = -sum_k momentum^(t-k) * learning_rate_k * g_k
    update_t = momentum * velocity_t - learning_rate_t * g_t
    """
    velocity = momentum_rate_inside(grads, rates, momentum)
    return momentum * velocity - _column(rates, grads) * grads


def momentum_average(grads, rates, momentum):
    """velocity_t = (1 - momentum) * sum_k momentum^(t-k) * g_k
    update_t = -learning_rate_t * velocity_t
    """
    velocity = _average(grads, momentum)
    return -_column(rates, grads) * velocity


def adagrad_eps_outside(grads, rates, initial_accumulator, eps):
    """accumulator_t = initial_accumulator + sum_k g_k^2
    update_t = -learning_rate_t * g_t / (sqrt(accumulator_t) + eps)
    """
    accumulator = initial_accumulator + np.cumsum(grads**2, axis=0)
    return -_column(rates, grads) * grads / (np.sqrt(accumulator) + eps)


def rmsprop_eps_outside(grads, rates, decay, eps):
    """nu_t = (1 - decay) * sum_k decay^(t-k) * g_k^2
    update_t = -learning_rate_t * g_t / (sqrt(nu_t) + eps)
    """
    nu = _average(grads**2, decay)
    return -_column(rates, grads) * grads / (np.sqrt(nu) + eps)


def adam_eps_hat(grads, rates, b1, b2, eps):
    """mu_t = (1 - b1) * sum_k b1^(t-k) * g_k
    nu_t = (1 - b2) * sum_k b2^(t-k) * g_k^2
    alpha_t = learning_rate_t * sqrt(1 - b2^t) / (1 - b1^t)
    update_t = -alpha_t * mu_t / (sqrt(nu_t) + eps)
    """
    mu, nu = _average(grads, b1), _average(grads**2, b2)
    alpha = rates * np.sqrt(_correction(grads, b2)) / _correction(grads, b1)
    return -_column(alpha, grads) * mu / (np.sqrt(nu) + eps)


def amsgrad_eps_hat(grads, rates, b1, b2, eps):
    """As adam_eps_hat, with nu_max_t = max over k <= t of nu_k in place of nu_t."""
    mu, nu = _average(grads, b1), _average(grads**2, b2)
    nu_max = np.maximum.accumulate(nu)
    alpha = rates * np.sqrt(_correction(grads, b2)) / _correction(grads, b1)
    return -_column(alpha, grads) * mu / (np.sqrt(nu_max) + eps)


def amsgrad_raw_maximum(grads, rates, b1, b2, eps):
    """mu_t, nu_t as in adam_eps_hat, nu_max_t = max over k <= t of nu_k
    mu_hat_t = mu_t / (1 - b1^t)
    nu_hat_t = nu_max_t / (1 - b2^t)
    update_t = -learning_rate_t * mu_hat_t / (sqrt(nu_hat_t) + eps)
    """
    mu, nu = _average(grads, b1), _average(grads**2, b2)
    nu_max = np.maximum.accumulate(nu)
    mu_hat = mu / _column(_correction(grads, b1), grads)
    nu_hat = nu_max / _column(_correction(grads, b2), grads)
    return -_column(rates, grads) * mu_hat / (np.sqrt(nu_hat) + eps)


def amsgrad_uncorrected(grads, rates, b1, b2, eps):
    """mu_t, nu_max_t as in amsgrad_eps_hat
    update_t = -learning_rate_t * mu_t / (sqrt(nu_max_t) + eps)
    """
    mu, nu = _average(grads, b1), _average(grads**2, b2)
    nu_max = np.maximum.accumulate(nu)
    return -_column(rates, grads) * mu / (np.sqrt(nu_max) + eps)


def as_optax(name):
    """The rule as optax means it, from numpy_rules."""

    def rule(grads, rates, **settings):
        return np.stack(getattr(numpy_rules, name)(list(grads), lambda t: rates[t], **settings))

    return rule


# (library, rule) -> the oracle. textbook.nesterov takes its gradients itself: test_training_extra_args.py.
DIALECTS = {
    ("torch", "sgd"): as_optax("sgd"),
    ("torch", "momentum"): momentum_dampened,
    ("torch", "nesterov"): as_optax("nesterov"),
    ("torch", "adagrad"): adagrad_eps_outside,
    ("torch", "rmsprop"): rmsprop_eps_outside,
    ("torch", "adam"): as_optax("adam"),
    ("torch", "amsgrad"): amsgrad_raw_maximum,
    ("keras", "sgd"): as_optax("sgd"),
    ("keras", "momentum"): momentum_rate_inside,
    ("keras", "nesterov"): nesterov_rate_inside,
    ("keras", "adagrad"): as_optax("adagrad"),
    ("keras", "rmsprop"): as_optax("rmsprop"),
    ("keras", "adam"): adam_eps_hat,
    ("keras", "amsgrad"): amsgrad_eps_hat,
    ("sklearn", "sgd"): as_optax("sgd"),
    ("sklearn", "momentum"): momentum_rate_inside,
    ("sklearn", "nesterov"): nesterov_rate_inside,
    ("sklearn", "adam"): adam_eps_hat,
    ("textbook", "sgd"): as_optax("sgd"),
    ("textbook", "momentum"): momentum_average,
    ("textbook", "adagrad"): as_optax("adagrad"),
    ("textbook", "rmsprop"): as_optax("rmsprop"),
    ("textbook", "adam"): as_optax("adam"),
    ("textbook", "amsgrad"): amsgrad_uncorrected,
}


def _decaying_sum(values, decay):
    """The sum over k <= t of decay^(t-k) values_k, for every t."""
    age = np.arange(len(values))[:, None] - np.arange(len(values))
    weights = np.where(age >= 0, float(decay) ** np.maximum(age, 0), 0.0)
    return np.tensordot(weights, values, axes=1)


def _average(values, decay):
    return (1 - decay) * _decaying_sum(values, decay)


def _correction(grads, decay):
    """1 - decay^t for t = 1, ..., T."""
    return 1 - decay ** np.arange(1.0, len(grads) + 1)


def _column(per_step, grads):
    return np.reshape(per_step, (-1,) + (1,) * (grads.ndim - 1))
