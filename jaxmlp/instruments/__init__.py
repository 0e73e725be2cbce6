"""Instruments: what training does while it does it, measured inside the compiled program.

Give them to `fit` or `sweep` by names of your own, each with its interval; between its steps nothing of it is computed:

    >>> import jax, jaxmlp
    >>> from jaxmlp import instruments
    >>> xor, net = jaxmlp.datasets.load("xor"), jaxmlp.mlp((2, 8, 2))
    >>> run = jaxmlp.objective(net.apply), net.init(jax.random.key(0)), jaxmlp.optimizers.sgd(0.5), xor.train
    >>> seen = {"gradient": instruments.gradient_norm(), "sharpness": instruments.largest_eigenvalue(every=10)}
    >>> result = jaxmlp.fit(*run, key=jax.random.key(1), epochs=30, batch_size=4, instruments=seen)
    >>> readings = result.history.instruments["sharpness"]
    >>> print(readings.steps, readings.values.shape)
    [ 0 10 20] (3,)

Each takes any loss and any pytree of parameters. The loss must be the mean over the examples of a batch, by their
weights if they have any. Whatever its weight, each counts as one example of the batch, so leave padding out. Costs, in
operations of a step without instruments: next to none for what reads or compares vectors of parameters; one for a
product of every example's gradient with a vector (`inner_product_test`, `alpha`), two for each Hessian-vector product;
three for what needs the gradient of every example, which is computed for a few examples at a time, so that it needs
little memory, but moves more through it than a step does, and takes longer on a CPU than its operations say.

- Step size: loss, learning rate (given and effective), update size and ratio, distance, alpha.
- Gradients: norm, histograms, agreement of examples (norm test, inner product test, orthogonality test), noise
  (signal-to-noise ratio, noise scale, CABS, early stopping).
- Curvature: largest and smallest eigenvalue, spectrum, trace, Takeuchi's criterion, critical batch size, optimal
  learning rate, curvature along the update.

A measurement of your own is an `Instrument` around a function of a step; `example_grads`, `example_losses` and
`hessian_product` give it what the others are made of.
"""

from jaxmlp.instruments.curvature import (
    critical_batch_size,
    hessian_trace,
    optimal_learning_rate,
    tic_diagonal,
    tic_trace,
    update_curvature,
)
from jaxmlp.instruments.eigenvalues import hessian_spectrum, largest_eigenvalue, smallest_eigenvalue
from jaxmlp.instruments.gradients import (
    gradient_norm,
    gradient_norm_by_leaf,
    inner_product_test,
    norm_test,
    orthogonality_test,
)
from jaxmlp.instruments.histograms import gradient_histogram, gradient_histogram_2d
from jaxmlp.instruments.instrument import Instrument, Readings
from jaxmlp.instruments.landing import alpha
from jaxmlp.instruments.noise import (
    cabs_batch_size,
    cabs_learning_rate,
    early_stopping,
    gradient_noise_scale,
    mean_gsnr,
)
from jaxmlp.instruments.products import example_grads, example_losses, hessian_product
from jaxmlp.instruments.step_size import (
    distance,
    distance_by_leaf,
    effective_learning_rate,
    learning_rate,
    loss,
    parameters,
    update_norm,
    update_norm_by_leaf,
    update_ratio,
    update_ratio_by_leaf,
)

__docformat__ = "google"
__all__ = [
    "Instrument",
    "Readings",
    "alpha",
    "cabs_batch_size",
    "cabs_learning_rate",
    "critical_batch_size",
    "distance",
    "distance_by_leaf",
    "early_stopping",
    "effective_learning_rate",
    "example_grads",
    "example_losses",
    "gradient_histogram",
    "gradient_histogram_2d",
    "gradient_noise_scale",
    "gradient_norm",
    "gradient_norm_by_leaf",
    "hessian_product",
    "hessian_spectrum",
    "hessian_trace",
    "inner_product_test",
    "largest_eigenvalue",
    "learning_rate",
    "loss",
    "mean_gsnr",
    "norm_test",
    "optimal_learning_rate",
    "orthogonality_test",
    "parameters",
    "smallest_eigenvalue",
    "tic_diagonal",
    "tic_trace",
    "update_curvature",
    "update_norm",
    "update_norm_by_leaf",
    "update_ratio",
    "update_ratio_by_leaf",
]
