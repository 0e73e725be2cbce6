"""fit and sweep are lowered for accelerators that are not there: nothing in them belongs to the CPU."""

import re

import jax
import jax.export
import jax.numpy as jnp
import numpy as np
import pytest

import jaxmlp

PLATFORMS = ("cuda", "rocm", "tpu")
NET = jaxmlp.mlp((64, 16, 10), dropout=0.2)
LOSS = jaxmlp.objective(NET.apply, l2=1e-4, l1=1e-5, class_weight=np.linspace(0.5, 1.0, 10))
X, Y = jax.ShapeDtypeStruct((50, 64), jnp.float32), jax.ShapeDtypeStruct((50,), jnp.int32)
WEIGHT = jax.ShapeDtypeStruct((50,), jnp.float32)
OPTIONS = {
    "epochs": 3,
    "batch_size": 16,
    "metrics": {"accuracy": jaxmlp.accuracy(NET.apply), "largest": jaxmlp.largest_weights},
    "augment": jaxmlp.augment.distort((8, 8), rotation=10.0, zoom=0.1, shear=0.1, shift=1.0, elastic=8.0),
    "step_metrics": {"norms": jaxmlp.gradient_norms},
    "keep_best": True,
    "patience": 2,
}


def schedule(learning_rate):
    return jaxmlp.optimizers.adam(jaxmlp.schedules.warmup_cosine(learning_rate, 2, 9))


def trained(train, rule, loss_fn=LOSS, **more):
    key = jax.random.key(0)
    options = {"validation": (train[0], train[1]), **OPTIONS, **more}
    return jaxmlp.fit(loss_fn, NET.init(key), rule, train, key=key, **options).params


def swept(train):
    keys = jax.random.split(jax.random.key(0), 3)
    options = {"validation": (train[0], train[1]), **OPTIONS, "history_only": True}
    return jaxmlp.sweep(LOSS, NET.init, schedule, {"learning_rate": [0.01, 0.1]}, train, keys=keys, **options).history


def assert_exported(function, *arguments):
    text = jax.export.export(jax.jit(function), platforms=PLATFORMS)(*arguments).mlir_module()
    assert "stablehlo.while" in text and not re.search(r"callback|[x<]f64>|custom_call @(?!Sharding)", text)


@pytest.mark.parametrize("weighted", [False, True])
def test_fit_with_every_option_is_lowered_for_accelerators(weighted):
    train = (X, Y, WEIGHT) if weighted else (X, Y)
    assert_exported(lambda *train: trained(train, jaxmlp.optimizers.amsgrad(0.1)), *train)


@pytest.mark.parametrize("name", jaxmlp.optimizers.OPTIMIZERS)
def test_every_rule_is_lowered_for_accelerators(name):
    rule, key = jaxmlp.optimizers.get(name)(0.1), jax.random.key(0)

    def plain(*train):
        return jaxmlp.fit(LOSS, NET.init(key), rule, train, key=key, epochs=3, batch_size=16).params

    assert_exported(plain, X, Y)


def test_validation_in_pieces_is_lowered_for_accelerators():
    loss_fn = jaxmlp.objective(NET.apply)
    assert_exported(lambda *train: trained(train, jaxmlp.optimizers.sgd(0.1), loss_fn, eval_batch_size=20), X, Y)


@pytest.mark.slow
def test_the_vectorised_sweep_with_every_option_is_lowered_for_accelerators():
    assert_exported(lambda *train: swept(train), X, Y)
