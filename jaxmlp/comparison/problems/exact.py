"""Problems whose right answers are known: noisy quadratics, on which a search can be checked.

A point c in the eigenbasis of the Hessian H, with eigenvalues h and noise e ~ N(0, s^2) of each step, has the gradient
h (c - e). Gradient descent with momentum is then linear in each direction,

    v' = m v + h (c - e)
    c' = c - a v'

so that the second moments of (c, v) follow exactly from those of the step before, and with them the expected loss
1/2 sum h E[c^2] after any number of steps, at any learning rate a and momentum m:

    M' = A M A^T + s^2 B B^T,   A = [[1 - a h, -a m], [h, m]],   B = [a h, -h]

Without momentum this is E[c_t^2] = (1 - a h)^(2t) c_0^2 + (a h s)^2 (1 - (1 - a h)^(2t)) / (1 - (1 - a h)^2). Without
noise and after many steps the best learning rate is 2 / (h_min + h_max) and, with momentum,
4 / (sqrt(h_min) + sqrt(h_max))^2 at m = ((sqrt(k) - 1) / (sqrt(k) + 1))^2, k = h_max / h_min.
"""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np

from jaxmlp._checks import check_count
from jaxmlp.comparison.problems.problem import Problem, ProblemData
from jaxmlp.comparison.scores import Score

__docformat__ = "google"
__all__ = ["PROBLEMS", "QUADRATIC", "VALLEY", "Quadratic"]


@dataclasses.dataclass(frozen=True)
class Quadratic:
    """A quadratic loss whose gradient is noisy in training and exact when it is measured.

        loss = 1/2 (params - noise)^T H (params - noise),   H = R diag(eigenvalues) R^T

    As the function `apply` of a network it returns the loss of each example. The noise is drawn from the step's key,
    anew for each example, and left out where there is no key; the examples themselves say nothing.

    Example:
        >>> valley = Quadratic((1.0, 25.0), noise=0.0)
        >>> round(valley.expected_loss(0.05, steps=1), 4)
        1.0024

    Source:
        Zhang et al. (2019), "Which algorithmic choices matter at which batch sizes? Insights from a noisy quadratic
        model"; Polyak (1964), "Some methods of speeding up the convergence of iteration methods".
    """

    eigenvalues: tuple[float, ...]
    """Of the Hessian, > 0."""

    noise: float
    """Standard deviation of the noise of one example in each direction."""

    rotation_seed: int = 42
    """Of the random rotation R from the eigenbasis to the parameters."""

    def init(self, key: jax.Array) -> jax.Array:
        """Return the start, 1 in every coordinate."""
        del key
        return jnp.ones(len(self.eigenvalues))

    def apply(self, params: jax.Array, x: jax.Array, *, key: jax.Array | None = None) -> jax.Array:
        """Return the loss of each example, (n,)."""
        points = jnp.broadcast_to(params, (x.shape[0], *params.shape))
        if key is not None:
            points = points - self.noise * jax.random.normal(key, points.shape, points.dtype)
        turned = points @ jnp.asarray(self.rotation, points.dtype)
        return 0.5 * jnp.sum(turned**2 * jnp.asarray(self.eigenvalues, points.dtype)[None, :], axis=1)

    @property
    def rotation(self) -> np.ndarray:
        """R, whose columns are the eigenvectors."""
        size = len(self.eigenvalues)
        normal = np.random.default_rng(self.rotation_seed).normal(size=(size, size))
        q, r = np.linalg.qr(normal)
        return q * np.sign(np.diag(r))

    def expected_loss(self, learning_rate: float, momentum: float = 0.0, *, steps: int, batch_size: int = 1) -> float:
        """Return the expected loss after gradient descent, exactly.

        Args:
            learning_rate: per step, > 0.
            momentum: of jaxmlp.optimizers.momentum, in [0, 1); 0 is sgd.
            steps: taken, >= 1.
            batch_size: examples per step, by which the variance of the noise is divided, >= 1.

        Returns:
            The loss, without the noise; infinite where it is beyond all numbers.
        """
        check_count("steps", steps)
        check_count("batch_size", batch_size)
        h, a, m = np.array(self.eigenvalues), learning_rate, momentum
        start = self.rotation.T @ np.ones(len(h))
        variance = self.noise**2 / batch_size
        cc, cv, vv = start**2, np.zeros(len(h)), np.zeros(len(h))
        with np.errstate(over="ignore", invalid="ignore"):
            for _ in range(steps):
                # The rows of A; the noise is the same in both.
                c, v = (1 - a * h, -a * m), (h, np.full(len(h), m))
                cc, cv, vv = (
                    p[0] * q[0] * cc + (p[0] * q[1] + p[1] * q[0]) * cv + p[1] * q[1] * vv
                    for p, q in ((c, c), (c, v), (v, v))
                )
                cc, cv, vv = cc + variance * (a * h) ** 2, cv - variance * a * h**2, vv + variance * h**2
            loss = float(0.5 * np.sum(h * cc))
        return loss if np.isfinite(loss) else np.inf


def _loss(outputs, targets):
    return jnp.mean(outputs)


def _data(count):
    """Examples that say nothing: only how many there are in an epoch matters."""
    train, one = (np.zeros((count, 1), np.float32), np.zeros((1, 1), np.float32))
    return ProblemData((train, train), (one, one), (one, one))


def _problem(name, quadratic, *, steps, batch_size, epochs, coarse_epochs, targets, source):
    start = quadratic.rotation.T @ np.ones(len(quadratic.eigenvalues))
    at_start = float(0.5 * np.sum(np.array(quadratic.eigenvalues) * start**2))
    return Problem(
        name=name,
        data=_data(steps * batch_size),
        network=(quadratic.init, quadratic.apply),
        batch_size=batch_size,
        epochs=epochs,
        coarse_epochs=coarse_epochs,
        targets=targets,
        loss=_loss,
        # No better than the start is no better than chance.
        score=Score("loss", _loss, higher_is_better=False, chance=at_start),
        keep_validation=True,
        source=source,
    )


QUADRATIC = Quadratic(tuple(float(f"{h:.4g}") for h in np.logspace(-2, 0, 20)), noise=1.0)
"""That of the problem noisy_quadratic: 20 eigenvalues from 0.01 to 1, evenly spaced on a logarithmic axis."""

VALLEY = Quadratic((1.0, 25.0), noise=0.03)
"""That of the problem noisy_valley: two eigenvalues, 1 and 25."""

PROBLEMS: tuple[Problem, ...] = (
    _problem(
        "noisy_quadratic",
        QUADRATIC,
        steps=50,
        batch_size=10,
        epochs=20,
        coarse_epochs=5,
        targets=(0.1,),
        source="20 parameters, eigenvalues from 0.01 to 1, fresh noise in every step, after the noisy quadratic model "
        "of Zhang et al. (2019); measured without noise; the expected loss is known exactly, see problems.exact",
    ),
    _problem(
        "noisy_valley",
        VALLEY,
        steps=20,
        batch_size=1,
        epochs=10,
        coarse_epochs=2,
        targets=(0.01,),
        source="2 parameters, eigenvalues 1 and 25, fresh noise in every step; measured without noise; the expected "
        "loss is known exactly, see problems.exact",
    ),
)
"""Every problem of this room."""
