"""Instruments of the third column, curvature: eigenvalues of the Hessian of the batch's loss, by its products alone."""

import jax
import jax.numpy as jnp

from jaxmlp._checks import check_count
from jaxmlp.instruments._trees import flat, norm
from jaxmlp.instruments.instrument import Instrument
from jaxmlp.instruments.products import hessian_product

__docformat__ = "google"
__all__ = ["hessian_spectrum", "largest_eigenvalue", "smallest_eigenvalue"]


def largest_eigenvalue(every: int = 1, iterations: int = 20) -> Instrument:
    """Estimate the largest eigenvalue of the Hessian, the sharpness, by Lanczos' method.

        q_1 random, |q_1| = 1
        w = H q_i - a_i q_i - b_(i-1) q_(i-1), a_i = q_i . H q_i, b_i = |w|, q_(i+1) = w / b_i
        reading = largest eigenvalue of the tridiagonal matrix of the a_i and b_i

    Each q is orthogonalised against all before it. The estimate is from below. It costs iterations Hessian-vector
    products, and memory for as many vectors of parameters.

    Args:
        every: interval in steps, >= 1.
        iterations: of Lanczos' method, >= 1; no more than parameters are done.

    Returns:
        An instrument whose reading is a scalar; it needs a key.

    Differs from:
        power iteration, as in Cockpit, which finds the eigenvalue of largest absolute value and takes more products to
        the same error.

    Example:
        >>> import jaxmlp
        >>> def loss_fn(w, x, y, *, key=None):
        ...     return (x * w**2).sum(axis=1).mean() / 2
        >>> batch = jnp.array([[1.0, -5.0, 3.0]]), None
        >>> step = jaxmlp.take_step(loss_fn, jnp.ones(3), jaxmlp.optimizers.sgd(0.1), batch)
        >>> print(f"{largest_eigenvalue()(step, jax.random.key(0)):.4f}")
        3.0000

    Source:
        Golub and Van Loan (2013), "Matrix computations", algorithm 10.1.1, with full reorthogonalisation (10.3.1).
    """
    return Instrument(_largest_eigenvalue, every, (("iterations", check_count("iterations", iterations)),))


def _largest_eigenvalue(step, key, iterations):
    return jnp.max(_lanczos(step, key, iterations)[0])


def smallest_eigenvalue(every: int = 1, iterations: int = 20) -> Instrument:
    """Estimate the smallest eigenvalue of the Hessian by Lanczos' method; negative at a saddle.

    Args:
        every: interval in steps, >= 1.
        iterations: as for largest_eigenvalue.

    Returns:
        An instrument whose reading is a scalar; it needs a key.

    Example:
        >>> import jaxmlp
        >>> def loss_fn(w, x, y, *, key=None):
        ...     return (x * w**2).sum(axis=1).mean() / 2
        >>> batch = jnp.array([[1.0, -5.0, 3.0]]), None
        >>> step = jaxmlp.take_step(loss_fn, jnp.ones(3), jaxmlp.optimizers.sgd(0.1), batch)
        >>> print(f"{smallest_eigenvalue()(step, jax.random.key(0)):.4f}")
        -5.0000

    Source:
        As for largest_eigenvalue.
    """
    return Instrument(_smallest_eigenvalue, every, (("iterations", check_count("iterations", iterations)),))


def _smallest_eigenvalue(step, key, iterations):
    return jnp.min(_lanczos(step, key, iterations)[0])


def hessian_spectrum(every: int = 1, iterations: int = 20) -> Instrument:
    """Estimate the density of the Hessian's eigenvalues by stochastic Lanczos quadrature.

        sum over k of weight_k f(node_k) has the mean tr f(H) / parameters, for polynomials f of degree < 2 iterations

    Args:
        every: interval in steps, >= 1.
        iterations: of Lanczos' method, >= 1.

    Returns:
        An instrument whose reading is {"nodes": (iterations,), "weights": (iterations,)}; the weights sum to 1. It
        needs a key.

    Example:
        >>> import jaxmlp
        >>> def loss_fn(w, x, y, *, key=None):
        ...     return (x * w**2).sum(axis=1).mean() / 2
        >>> batch = jnp.array([[1.0, 1.0, 3.0]]), None
        >>> step = jaxmlp.take_step(loss_fn, jnp.ones(3), jaxmlp.optimizers.sgd(0.1), batch)
        >>> reading = hessian_spectrum(iterations=2)(step, jax.random.key(0))
        >>> print([f"{node:.3f}" for node in reading["nodes"]], f"{reading['weights'].sum():.3f}")
        ['1.000', '3.000'] 1.000

    Source:
        Ghorbani, Krishnan and Xiao (2019), "An investigation into neural net optimization via Hessian eigenvalue
        density", algorithm 1.
    """
    return Instrument(_hessian_spectrum, every, (("iterations", check_count("iterations", iterations)),))


def _hessian_spectrum(step, key, iterations):
    nodes, vectors = _lanczos(step, key, iterations)
    return {"nodes": nodes, "weights": vectors[0] ** 2}


def _lanczos(step, key, iterations):
    """Return eigenvalues and eigenvectors, in columns, of the tridiagonal matrix."""
    product, start = hessian_product(step), flat(step.params)
    count = min(iterations, start.size)

    def iterate(carry, row):
        basis, q = carry
        basis = basis.at[row].set(q)
        w = product(q)
        a, length = q @ w, norm(w)
        for _ in range(2):  # once leaves what rounding puts back
            w = w - (basis @ w) @ basis
        b = norm(w)
        # Where the q span an invariant subspace, what remains is rounding: the zero vector ends the process.
        b = jnp.where(b > 10 * jnp.finfo(b.dtype).eps * length, b, 0)
        return (basis, jnp.where(b > 0, w / jnp.where(b > 0, b, 1), 0)), (a, b, jnp.any(q != 0))

    q = jax.random.normal(key, start.shape, start.dtype)
    carry = jnp.zeros((count, start.size), start.dtype), q / jnp.linalg.norm(q)
    _, (a, b, valid) = jax.lax.scan(iterate, carry, jnp.arange(count))
    a = jnp.where(valid, a, a[0])  # rows after the end: inside the spectrum, apart from the rest, of weight 0
    return jnp.linalg.eigh(jnp.diag(a) + jnp.diag(b[:-1], 1) + jnp.diag(b[:-1], -1))
