"""Forward and backward pass of a multilayer perceptron, derived by hand, in float64 NumPy.

This is the second opinion on the gradients: nothing here differentiates automatically, and nothing is
shared with the library. Layers l = 1..L, examples i = 1..n, entries j of a layer's input and k of its output:

    h_1     = x * m_1                   m_l: dropout factors of layer l's input (all ones without dropout)
    z_l     = h_l w_l + b_l             that is z_l[i,k] = sum_j h_l[i,j] w_l[j,k] + b_l[k]
    h_{l+1} = act(z_l) * m_{l+1}
    outputs = z_L                       the last layer is linear
    loss    = data loss(outputs, y) + l1 sum |w| + l2 sum w^2

Let delta_l = dloss/dz_l, an (n, fan_out) array that holds the mean's 1/n from the start. By the chain rule:

    delta_L                             the data loss's own derivative, written out below for each loss
    dloss/dw_l[j,k] = sum_i delta_l[i,k] dz_l[i,k]/dw_l[j,k] = sum_i h_l[i,j] delta_l[i,k]
    dloss/db_l[k]   = sum_i delta_l[i,k]                        because dz_l[i,k]/db_l[k] = 1
    dloss/dh_l[i,j] = sum_k delta_l[i,k] w_l[j,k]               z_l[i,:] sees h_l[i,j] in every entry k
    dh_{l+1}/dz_l   = act'(z_l) * m_{l+1}                       entry by entry, so the Jacobian is diagonal

and in matrix form, which is the code:

    dw_l    = h_l^T delta_l             plus l1 sign(w_l) + 2 l2 w_l from the penalties
    db_l    = sum of delta_l over the batch
    delta_l = (delta_{l+1} w_{l+1}^T) * m_{l+1} * act'(z_l)
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from scipy.special import erf

Array = np.ndarray
Params = Sequence[tuple[Array, Array]]  # (w, b) per layer: w (fan_in, fan_out), b (fan_out,)
Masks = Sequence[Array | None] | None


def loss_and_grads(
    params: Params,
    x: Array,
    y: Array,
    *,
    activation: str,
    loss: str,
    l1: float = 0.0,
    l2: float = 0.0,
    masks: Masks = None,
) -> tuple[float, tuple[tuple[Array, Array], ...]]:
    """Compute the penalised loss of an MLP and its gradient by the delta recursion.

    Args:
        params: one pair (w, b) per layer, w (fan_in, fan_out), b (fan_out,).
        x: inputs, (n, features).
        y: targets, as the loss takes them.
        activation, loss: a key of ACTIVATIONS, for the hidden layers, and one of LOSSES.
        l1, l2: factors of sum |w| and of sum w^2 (no 1/2), >= 0.
        masks: one entry per layer input: None, or factors 0 or 1/(1 - rate) of that input's shape.

    Returns:
        (loss, grads): a number (nats for the cross-entropies), and one pair (dw, db) per layer.
    """
    params, masks = _float64(params), _factors(masks, len(params))
    hs, slopes, outputs = _forward(params, x, activation, masks)
    data_loss, delta = LOSSES[loss](outputs, y)  # delta_L
    penalty, penalty_dws = penalties(params, l1, l2)

    grads = []
    for layer in reversed(range(len(params))):
        w, _ = params[layer]
        grads.append((hs[layer].T @ delta + penalty_dws[layer], delta.sum(axis=0)))
        if layer > 0:  # below the first layer are the data, which nothing trains
            delta = (delta @ w.T) * masks[layer] * slopes[layer - 1]
    return data_loss + penalty, tuple(reversed(grads))


def forward(params: Params, x: Array, *, activation: str, masks: Masks = None) -> Array:
    """Compute the outputs (n, n_outputs) of an MLP: logits or regression values. Arguments as above."""
    _, _, outputs = _forward(_float64(params), x, activation, _factors(masks, len(params)))
    return outputs


def penalties(params: Params, l1: float, l2: float) -> tuple[float, list[Array]]:
    """Compute l1 sum |w| + l2 sum w^2, and its derivative by each w; biases are never penalised.

    |w| has no derivative at 0; np.sign takes the middle of its subgradients [-1, 1], which is 0.
    """
    ws = [w for w, _ in _float64(params)]
    value = sum(l1 * np.abs(w).sum() + l2 * np.square(w).sum() for w in ws)
    return float(value), [l1 * np.sign(w) + 2 * l2 * w for w in ws]


def central_differences(f: Callable[[Any], float], arrays: Any, eps: float = 1e-5) -> Any:
    """Differentiate a scalar function numerically, one entry at a time.

    Along one entry, Taylor's theorem gives

        (f(a + eps) - f(a - eps)) / (2 eps) = f'(a) + eps^2 f'''/6 + ...

    The even terms cancel, so the truncation error is eps^2 |f'''| / 6. Each of the two values of f is itself
    wrong by about machine_eps |f|, which the division turns into machine_eps |f| / eps. The sum

        error(eps) = eps^2 |f'''| / 6 + machine_eps |f| / eps

    is least where its derivative eps |f'''| / 3 - machine_eps |f| / eps^2 is 0:

        eps = (3 machine_eps |f| / |f'''|)^(1/3),   error = (3/2) machine_eps |f| / eps.

    For |f| = |f'''| = 1 in float64 (machine_eps 2.2e-16): eps = 9e-6, hence the default, and error 4e-11.
    The error is absolute, not relative to f'. At a kink the result is the mean of both one-sided slopes.

    Args:
        f: takes a tree like arrays, returns a scalar; it must compute in float64.
        arrays: nested lists or tuples (named ones too) of arrays, e.g. params.
        eps: step, > 0, in the unit of the entries.

    Returns:
        A tree of float64 arrays with the layout of arrays.
    """
    point = _map_tree(lambda leaf: np.array(leaf, dtype=np.float64), arrays)  # own copies, moved in place

    def slopes(leaf: Array) -> Array:
        result = np.empty_like(leaf)
        for index in np.ndindex(leaf.shape):
            centre = leaf[index]
            leaf[index] = above = centre + eps
            f_above = float(f(point))
            leaf[index] = below = centre - eps
            f_below = float(f(point))
            leaf[index] = centre
            result[index] = (f_above - f_below) / (above - below)  # not 2 eps: above and below are rounded
        return result

    return _map_tree(slopes, point)


# --- Activations: z -> (act(z), act'(z)), entry by entry ----------------------------------------------------


def relu(z: Array) -> tuple[Array, Array]:
    """max(z, 0); the derivative at the kink is 0."""
    return np.maximum(z, 0.0), np.where(z > 0, 1.0, 0.0)


def leaky_relu(z: Array) -> tuple[Array, Array]:
    """z above 0, 0.01 z below; the derivative at the kink is 1."""
    slope = np.where(z >= 0, 1.0, 0.01)
    return slope * z, slope


def sigmoid(z: Array) -> tuple[Array, Array]:
    """s = 1 / (1 + e^-z), with s' = s(z) s(-z) = e / (1 + e)^2 for e = e^-|z|."""
    e = np.exp(-np.abs(z))  # never overflows; s (1 - s) instead would cancel for large z
    return np.where(z >= 0, 1.0, e) / (1 + e), e / (1 + e) ** 2


def tanh(z: Array) -> tuple[Array, Array]:
    """tanh z = 2 s(2z) - 1, hence tanh' = 4 s'(2z); this is 1 - tanh^2 without its cancellation."""
    _, slope = sigmoid(2 * z)
    return np.tanh(z), 4 * slope


def identity(z: Array) -> tuple[Array, Array]:
    """z, with derivative 1."""
    return z, np.ones_like(z)


def step(z: Array) -> tuple[Array, Array]:
    """1 from 0 on, 0 below; the derivative is taken as 0 everywhere, the jump included."""
    return np.where(z >= 0, 1.0, 0.0), np.zeros_like(z)


def gelu(z: Array) -> tuple[Array, Array]:
    """z Phi(z), exact: Phi = (1 + erf(z / sqrt 2)) / 2, and Phi' = phi, the normal density."""
    cumulative = (1 + erf(z / np.sqrt(2))) / 2
    density = np.exp(-np.square(z) / 2) / np.sqrt(2 * np.pi)
    return z * cumulative, cumulative + z * density


def gelu_tanh(z: Array) -> tuple[Array, Array]:
    """z (1 + tanh u) / 2 with u = sqrt(2/pi) (z + 0.044715 z^3); and (1 + tanh u) / 2 = s(2u)."""
    two_u = np.sqrt(8 / np.pi) * (z + 0.044715 * z**3)
    two_du = np.sqrt(8 / np.pi) * (1 + 3 * 0.044715 * z**2)
    s, slope = sigmoid(two_u)
    return z * s, s + z * slope * two_du


def elu(z: Array) -> tuple[Array, Array]:
    """z above 0, e^z - 1 below (alpha 1); both derivatives, 1 and e^z, are 1 at 0."""
    below = np.minimum(z, 0.0)  # np.where evaluates both branches: e^z must not overflow in the unused one
    return np.where(z > 0, z, np.expm1(below)), np.exp(below)


def softplus(z: Array) -> tuple[Array, Array]:
    """log(1 + e^z) = max(z, 0) + log(1 + e^-|z|), with derivative s(z)."""
    return np.maximum(z, 0.0) + np.log1p(np.exp(-np.abs(z))), sigmoid(z)[0]


def silu(z: Array) -> tuple[Array, Array]:
    """z s(z), with derivative s + z s'."""
    s, slope = sigmoid(z)
    return z * s, s + z * slope


# --- Losses: (outputs z, targets t) -> (loss, dloss/dz) -----------------------------------------------------
#
# The derivative is (prediction - target), up to the mean's factor, for the pairs
#     softmax output with softmax_cross_entropy:    softmax(z) - t
#     sigmoid output with binary_cross_entropy:     sigmoid(z) - t
#     identity output with mean_squared_error:      2 (z - t), the 2 because there is no 1/2
# In these pairs the loss is the negative log-likelihood whose canonical link the output inverts, and the
# output's derivative cancels. mean_absolute_error is no such pair: only the sign of z - t is left.


def softmax_cross_entropy(outputs: Array, targets: Array) -> tuple[float, Array]:
    """Mean over the batch of -sum_k t_k log p_k, with p = softmax(z).

    log p_k = z_k - log sum_c e^{z_c}, so d log p_k / dz_j = [k = j] - p_j, and because sum_k t_k = 1,
    dloss/dz_j = sum_k t_k p_j - t_j = p_j - t_j per example.

    Args:
        outputs: logits, (n, k).
        targets: integer labels (n,), or one-hot or soft distributions (n, k), whose rows sum to 1.
    """
    n, k = outputs.shape
    t = np.eye(k)[np.asarray(targets)] if np.ndim(targets) == 1 else _targets_like(outputs, targets)
    shifted = outputs - outputs.max(axis=1, keepdims=True)  # p is unchanged and no exponential exceeds 1
    log_p = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    return float(-(t * log_p).sum() / n), (np.exp(log_p) - t) / n


def binary_cross_entropy(outputs: Array, targets: Array) -> tuple[float, Array]:
    """Mean over batch and outputs of -t log s(z) - (1 - t) log(1 - s(z)), z logits, t in [0, 1].

    -log s(z) = softplus(-z) and -log(1 - s(z)) = softplus(z), whose derivatives are -s(-z) and s(z).
    Their weighted sum is s(z) - t; left unsimplified it keeps its digits where s(z) rounds to t = 1.
    """
    t = _targets_like(outputs, targets)
    (if_one, minus_slope_one), (if_zero, slope_zero) = softplus(-outputs), softplus(outputs)
    value = np.mean(t * if_one + (1 - t) * if_zero)
    return float(value), ((1 - t) * slope_zero - t * minus_slope_one) / outputs.size


def mean_squared_error(outputs: Array, targets: Array) -> tuple[float, Array]:
    """Mean over batch and outputs of (z - t)^2, without 1/2."""
    error = outputs - _targets_like(outputs, targets)
    return float(np.mean(error**2)), 2 * error / outputs.size


def mean_absolute_error(outputs: Array, targets: Array) -> tuple[float, Array]:
    """Mean over batch and outputs of |z - t|; the derivative at 0 is 0."""
    error = outputs - _targets_like(outputs, targets)
    return float(np.mean(np.abs(error))), np.sign(error) / outputs.size


ACTIVATIONS = {
    act.__name__: act for act in (relu, leaky_relu, sigmoid, tanh, identity, step, gelu, gelu_tanh, elu, softplus, silu)
}
LOSSES = {
    loss.__name__: loss
    for loss in (softmax_cross_entropy, binary_cross_entropy, mean_squared_error, mean_absolute_error)
}

# --- Helpers ------------------------------------------------------------------------------------------------


def _forward(params: Params, x: Array, activation: str, masks: list) -> tuple[list, list, Array]:
    """Return what the backward pass needs: h of every layer, act'(z) of the hidden ones, and z_L."""
    hs, slopes = [np.asarray(x, dtype=np.float64) * masks[0]], []
    for (w, b), mask in zip(params[:-1], masks[1:], strict=True):
        a, slope = ACTIVATIONS[activation](hs[-1] @ w + b)
        hs.append(a * mask)
        slopes.append(slope)
    w, b = params[-1]
    return hs, slopes, hs[-1] @ w + b


def _float64(params: Params) -> Params:
    return [(np.asarray(w, dtype=np.float64), np.asarray(b, dtype=np.float64)) for w, b in params]


def _factors(masks: Masks, n_layers: int) -> list[Array | float]:
    masks = [None] * n_layers if masks is None else masks
    return [1.0 if mask is None else np.asarray(mask, dtype=np.float64) for mask in masks]


def _targets_like(outputs: Array, targets: Array) -> Array:
    """Give targets (n,) the shape (n, 1) of their outputs; NumPy would broadcast the pair to (n, n)."""
    targets = np.asarray(targets, dtype=np.float64)
    if outputs.shape == (*targets.shape, 1):
        return targets[:, None]
    if targets.shape != outputs.shape:
        raise ValueError(f"targets {targets.shape} do not fit outputs {outputs.shape}")
    return targets


def _map_tree(f: Callable[[Any], Any], tree: Any) -> Any:
    if not isinstance(tree, list | tuple):
        return f(tree)
    children = [_map_tree(f, child) for child in tree]
    return tree._make(children) if hasattr(tree, "_make") else type(tree)(children)
