"""Networks on images: digits, MNIST and Fashion-MNIST, most of them as published elsewhere."""

import jax
import jax.numpy as jnp
import numpy as np

import jaxmlp
from jaxmlp.comparison.problems.problem import SMALL_NORMAL, Problem
from jaxmlp.comparison.scores import Score

__docformat__ = "google"
__all__ = ["PROBLEMS"]


def _images_as_targets(data_dir=None, mirror=None):
    """MNIST, each image its own target."""
    mnist = jaxmlp.datasets.load("mnist", data_dir=data_dir, mirror=mirror)
    return tuple((x, x) for x, _ in (mnist.train, mnist.test))


def _squared_errors(outputs, targets):
    return jnp.mean((jax.nn.sigmoid(outputs) - targets) ** 2, axis=-1)


def _mean_image(targets):
    """The squared error of the mean image."""
    return float(np.var(targets, axis=0).mean())


_RECONSTRUCTION = Score("squared error", _squared_errors, higher_is_better=False, chance=_mean_image)
_DEEPOBS_DIFFERENCES = (
    "the validation part is 10,000 training images; the last, partial batch is trained on, while DeepOBS drops it"
)
PROBLEMS: tuple[Problem, ...] = (
    Problem(
        name="digits",
        data="digits",
        layer_sizes=(64, 64, 10),
        batch_size=32,
        validation_count=287,
        coarse_epochs=4,
        epochs=40,
        targets=(0.95, 0.97),
        source="scikit-learn's copy of the UCI handwritten digits; our own settings",
    ),
    Problem(
        name="mnist",
        data="mnist",
        layer_sizes=(784, 128, 10),
        batch_size=128,
        validation_count=10_000,
        coarse_epochs=2,
        epochs=10,
        targets=(0.97, 0.98),
        source="the usual first MNIST network; our own settings",
    ),
    Problem(
        name="fashion_mnist",
        data="fashion_mnist",
        layer_sizes=(784, 128, 10),
        batch_size=128,
        validation_count=10_000,
        coarse_epochs=2,
        epochs=10,
        targets=(0.87, 0.88),
        source="the settings of mnist on Fashion-MNIST",
    ),
    Problem(
        name="deepobs_mnist_mlp",
        data="mnist",
        layer_sizes=(784, 1000, 500, 100, 10),
        batch_size=128,
        validation_count=10_000,
        coarse_epochs=5,
        epochs=100,
        targets=(0.97, 0.98),
        initializer=SMALL_NORMAL,
        source="DeepOBS (Schneider, Balles and Hennig, ICLR 2019), problem mnist_mlp",
        differences=_DEEPOBS_DIFFERENCES,
    ),
    Problem(
        name="deepobs_fmnist_mlp",
        data="fashion_mnist",
        layer_sizes=(784, 1000, 500, 100, 10),
        batch_size=128,
        validation_count=10_000,
        coarse_epochs=5,
        epochs=100,
        targets=(0.88, 0.89),
        initializer=SMALL_NORMAL,
        source="DeepOBS (Schneider, Balles and Hennig, ICLR 2019), problem fmnist_mlp",
        differences=_DEEPOBS_DIFFERENCES,
    ),
    Problem(
        name="algoperf_mnist",
        data="mnist",
        layer_sizes=(784, 128, 10),
        batch_size=128,
        validation_count=10_000,
        coarse_epochs=3,
        epochs=20,
        targets=(0.97,),
        activation="sigmoid",
        initializer="lecun_normal",
        keep_validation=True,
        source="AlgoPerf (Dahl et al. 2023), its MNIST development workload: 97 % on validation and test",
        differences="measured after every epoch rather than every 10 seconds; batch size 128 is our choice",
    ),
    Problem(
        name="dropout2014_3x1024",
        data="mnist",
        layer_sizes=(784, 1024, 1024, 1024, 10),
        batch_size=100,
        validation_count=10_000,
        coarse_epochs=3,
        epochs=50,
        targets=(0.98, 0.985),
        dropout=(0.2, 0.5, 0.5, 0.5),
        max_norm=2.0,
        source="Srivastava et al. (2014), table 2: 1.06 % test error after about 1,000,000 updates",
        differences="50 epochs (30,000 updates) by default; max-norm limit 2 and a constant learning rate are our "
        "choice",
    ),
    Problem(
        name="deepobs_mnist_logreg",
        data="mnist",
        layer_sizes=(784, 10),
        batch_size=128,
        validation_count=10_000,
        coarse_epochs=5,
        epochs=50,
        targets=(0.92,),
        initializer="zeros",
        source="DeepOBS (Schneider, Balles and Hennig, ICLR 2019), problem mnist_logreg",
        differences=_DEEPOBS_DIFFERENCES,
    ),
    Problem(
        name="deepobs_fmnist_logreg",
        data="fashion_mnist",
        layer_sizes=(784, 10),
        batch_size=128,
        validation_count=10_000,
        coarse_epochs=5,
        epochs=50,
        targets=(0.84,),
        initializer="zeros",
        source="DeepOBS (Schneider, Balles and Hennig, ICLR 2019), problem fmnist_logreg",
        differences=_DEEPOBS_DIFFERENCES,
    ),
    Problem(
        name="mnist_autoencoder",
        data=_images_as_targets,
        layer_sizes=(784, 128, 32, 128, 784),
        batch_size=128,
        validation_count=10_000,
        coarse_epochs=2,
        epochs=10,
        loss="binary_cross_entropy",
        score=_RECONSTRUCTION,
        source="MNIST through 32 numbers; our own settings",
    ),
)
"""Every problem of this room."""
