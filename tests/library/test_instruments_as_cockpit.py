"""Instruments beside Cockpit's own figures, which tests/reference/cockpit_figures.py took from Cockpit 1.0.2."""

import json

import cockpit_figures
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxmlp
from jaxmlp import instruments


@pytest.fixture(scope="module")
def step():
    with jax.enable_x64(True):
        layers, x, y = cockpit_figures.network()
        net = jaxmlp.mlp((4, 5, 3), activation="tanh")
        params = tuple(jaxmlp.Layer(w=jnp.asarray(w), b=jnp.asarray(b)) for w, b in layers)
        rule = jaxmlp.optimizers.sgd(cockpit_figures.LEARNING_RATE)
        yield jaxmlp.take_step(jaxmlp.objective(net.apply), params, rule, (jnp.asarray(x), jnp.asarray(y)))


NAMES = {
    "Loss": instruments.loss(),
    "CABS": instruments.cabs_batch_size(),
    "EarlyStopping": instruments.early_stopping(),
    "GradNorm": instruments.gradient_norm_by_leaf(),
    "NormTest": instruments.norm_test(),
    "InnerTest": instruments.inner_product_test(),
    "OrthoTest": instruments.orthogonality_test(),
    "MeanGSNR": instruments.mean_gsnr(),
    "HessMaxEV": instruments.largest_eigenvalue(),
    "HessTrace": instruments.hessian_trace(draws=None),
    "TICDiag": instruments.tic_diagonal(draws=None),
    "TICTrace": instruments.tic_trace(draws=None),
    "GradHist1d": instruments.gradient_histogram(),
    "UpdateSize": instruments.update_norm_by_leaf(),
    "Alpha": instruments.alpha(),
}


@pytest.fixture(scope="module")
def readings(step):
    with jax.enable_x64(True):
        return jax.jit(lambda: {name: one(step, jax.random.key(0)) for name, one in NAMES.items()})()


# Cockpit stops power iteration at a relative change of 1e-3, and adds 1e-7 to the trace that it divides by.
TOLERANCES = {"HessMaxEV": 5e-3, "TICTrace": 1e-7}


@pytest.mark.parametrize("name", NAMES)
def test_the_reading_is_cockpits(name, readings):
    theirs = json.loads(cockpit_figures.FIGURES.read_text(encoding="utf-8"))[name]
    ours = readings[name]
    if isinstance(ours, dict):  # PyTorch has the weights of a layer before its biases
        ours = [ours[f"[{layer}].{leaf}"] for layer in (0, 1) for leaf in "wb"]
    if name == "HessTrace":
        theirs = np.sum(theirs)
    np.testing.assert_allclose(ours, theirs, rtol=TOLERANCES.get(name, 1e-9))
