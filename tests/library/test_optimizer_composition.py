"""Optimizers as values: what they say, what they refuse, and how they go through optax, jit, vmap and grad."""

import inspect
import re
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.tree_util import Partial
from test_optimizers import OWN_SETTINGS, assert_steps_agree, random_gradients, replay, run

from jaxmlp import apply_updates, optimizers

SETTINGS = {name: {"learning_rate": 0.1} | own for name, own in OWN_SETTINGS.items()}
each_rule = pytest.mark.parametrize("name", SETTINGS)

# The same numbers through another program (an argument in place of a constant, a batch axis): XLA may fuse the ten
# operations of a step differently, and each keeps 6e-8 in float32 and 1.1e-16 in float64.
FLOAT32, FLOAT64 = 1e-6, 1e-14


def make(name, **changes):
    return getattr(optimizers, name)(**SETTINGS[name] | changes)


def gradients(dtype="float32", steps=6):
    return jax.tree.map(lambda g: g[:steps], random_gradients(dtype)["layers"][0])


def forms(tree):
    return jax.tree.map(lambda leaf: (leaf.shape, leaf.dtype), tree)


def test_factories_have_the_argument_names_and_defaults_of_the_contract():
    adam = "learning_rate, b1=0.9, b2=0.999, eps=1e-08, eps_root=0.0"
    expected = {
        "sgd": "learning_rate",
        "momentum": "learning_rate, momentum=0.9",
        "nesterov": "learning_rate, momentum=0.9",
        "adagrad": "learning_rate, initial_accumulator=0.1, eps=1e-07",
        "rmsprop": "learning_rate, decay=0.9, eps=1e-08, initial_scale=0.0",
        "adam": adam,
        "amsgrad": adam,
        "max_norm": "limit",
    }
    for name, written in expected.items():
        arguments = inspect.signature(getattr(optimizers, name)).parameters.values()
        assert ", ".join(str(a.replace(annotation=a.empty)) for a in arguments) == written


@each_rule
def test_state_counts_steps_in_int32_and_keeps_slots_like_the_parameters_in_float32_or_better(name):
    params = {"w": jnp.ones((3, 2)), "empty": jnp.ones((0, 4)), "none": None, "half": jnp.ones((), jnp.bfloat16)}
    state = make(name).init(params)
    assert isinstance(make(name), optax.GradientTransformation)
    adam = ("mu", "nu")
    slots = {"sgd": (), "adagrad": ("accumulator",), "rmsprop": ("nu",), "adam": adam, "amsgrad": (*adam, "nu_max")}
    assert state._fields == ("count", *slots.get(name, ("velocity",)))
    for expected_count in (0, 1, 2):
        assert (state.count.dtype, state.count.shape, int(state.count)) == (jnp.int32, (), expected_count)
        assert all(forms(slot) == forms(params | {"half": jnp.ones(())}) for slot in state[1:])
        updates, state = make(name).update(params, state, params)
    assert forms(updates) == forms(params)
    largest = jnp.asarray(2**31 - 1, jnp.int32)
    assert int(make(name).update(params, state._replace(count=largest))[1].count) == largest


@each_rule
def test_the_leaves_of_an_optimizer_are_its_numbers(name):
    leaves, structure = jax.tree.flatten(make(name))
    assert sorted(leaves) == sorted(SETTINGS[name].values())
    assert structure == jax.tree.structure(make(name, learning_rate=0.7))


@each_rule
def test_new_numbers_compile_nothing(name, compile_log):
    @jax.jit
    def counted_replay(optimizer, grads):
        return replay(optimizer, grads)

    others = [{k: v * scale for k, v in SETTINGS[name].items()} for scale in (1.0, 0.5, 1.05)]
    for numbers in others:
        updates = counted_replay(getattr(optimizers, name)(**numbers), gradients())
    assert compile_log.count("jit(counted_replay)") == 1
    assert_steps_agree(updates, run(getattr(optimizers, name)(**numbers), gradients()), FLOAT32)


def test_a_schedule_is_static_but_for_the_numbers_of_a_partial_and_compiles_once(compile_log):
    def decaying(rate, count):
        return rate / (1 + jnp.asarray(count, float))

    def fixed(count):
        return decaying(0.1, count)

    @jax.jit
    def counted_replay(optimizer, grads):
        return replay(optimizer, grads)

    assert jax.tree.leaves(optimizers.momentum(fixed, 0.3)) == [0.3]
    assert jax.tree.leaves(optimizers.sgd(Partial(decaying, 0.1))) == [0.1]
    for schedules in ([fixed, fixed], [Partial(decaying, 0.4), Partial(decaying, 0.1)]):
        compile_log.clear()
        for schedule in schedules:
            updates = counted_replay(optimizers.sgd(schedule), jnp.ones(3))
        assert compile_log.count("jit(counted_replay)") == 1
        np.testing.assert_allclose(updates, [-0.1, -0.1 / 2, -0.1 / 3], rtol=FLOAT32)


@each_rule
def test_traced_hyperparameters_under_vmap_equal_one_run_each(name, x64):
    grads = gradients("float64")
    points = [{k: v * scale for k, v in SETTINGS[name].items()} for scale in (0.5, 1.05)]
    settings = jax.tree.map(lambda *values: jnp.asarray(values), *points)
    updates = jax.jit(jax.vmap(lambda s: run(getattr(optimizers, name)(**s), grads)))(settings)
    for i, point in enumerate(points):
        expected = run(getattr(optimizers, name)(**point), grads)
        assert_steps_agree(jax.tree.map(lambda u, i=i: u[i], updates), expected, FLOAT64)


@each_rule
def test_the_gradient_of_training_by_each_hyperparameter_is_finite_and_right_where_some_gradients_are_0(name, x64):
    curvature = jnp.asarray([1.0, 0.3, 2.0])  # the last coordinate starts at its minimum, so its gradient is exactly 0
    start = jnp.asarray([1.0, -2.0, 0.0])

    def final_loss(settings, fixed):
        optimizer = getattr(optimizers, name)(**settings, **fixed)

        def step(carry, _):
            params, state = carry
            updates, state = optimizer.update(curvature * params, state, params)
            return (apply_updates(params, updates), state), None

        (params, _), _ = jax.lax.scan(step, (start, optimizer.init(start)), length=4)
        return (curvature * (params - 0.1) ** 2).sum()

    # The other averages start from 0 anyway; with eps 0 as well, the unused branch of adagrad is 0 / 0.
    from_nothing = {"initial_accumulator": 0.0, "eps": 0.0} if name == "adagrad" else {}
    for settings, fixed in ((SETTINGS[name], {}), ({"learning_rate": 0.1}, from_nothing)):
        loss_and_gradient = jax.jit(partial(jax.value_and_grad(final_loss), fixed=fixed))
        gradient = loss_and_gradient(settings)[1]
        for argument, value in settings.items():
            step = 1e-5 * value
            above, below = (loss_and_gradient(settings | {argument: value + d})[0] for d in (step, -step))
            # Central differences: 1e-10 relative from the third derivative, 1e-16 * loss / step from rounding.
            expected = (above - below) / (2 * step)
            assert abs(gradient[argument] - expected) <= 1e-8 * abs(expected) + 1e-15 / step, argument


@each_rule
def test_a_schedule_sees_steps_from_0_and_scales_each_update_from_outside(name, x64):
    rates, grads = jnp.asarray([0.5, 0.1, 2.0, 0.0, 1.0, 3.0]), gradients("float64")
    updates = run(make(name, learning_rate=lambda count: rates[count]), grads)
    unit = run(make(name, learning_rate=1.0), grads)
    expected = jax.tree.map(lambda u: u * rates.reshape((-1,) + (1,) * (u.ndim - 1)), unit)
    assert_steps_agree(updates, expected, FLOAT64)


def test_a_schedule_may_return_a_number_or_an_array_of_another_dtype():
    grads = gradients("bfloat16")
    expected = run(make("momentum", learning_rate=0.125), grads)
    for schedule in (lambda count: 0.125, lambda count: jnp.float32(0.125), lambda count: np.float64(0.125)):
        assert_steps_agree(run(make("momentum", learning_rate=schedule), grads), expected, 0)


@each_rule
def test_chain_passes_the_rule_what_the_clipping_leaves(name):
    grads = gradients()
    chained = replay(optax.chain(optax.clip(0.3), make(name)), grads)
    alone = run(make(name), jax.tree.map(lambda g: jnp.clip(g, -0.3, 0.3), grads))
    assert_steps_agree(chained, alone, FLOAT32)


@each_rule
def test_inject_hyperparams_exposes_every_number_and_obeys_the_learning_rate_in_its_state(name):
    settings = SETTINGS[name]
    injected = optax.inject_hyperparams(getattr(optimizers, name))(**settings)
    g = jax.tree.map(lambda g: g[0], gradients())
    state = injected.init(g)
    assert {k: float(v) for k, v in state.hyperparams.items()} == pytest.approx(settings, rel=1e-7)  # float32
    once, again = injected.update(g, state)[0], make(name).update(g, make(name).init(g))[0]
    state.hyperparams["learning_rate"] = jnp.asarray(0.3)
    tripled = injected.update(g, state)[0]
    for key in g:
        np.testing.assert_allclose(once[key], again[key], rtol=FLOAT32)
        np.testing.assert_allclose(tripled[key], 3 * once[key], rtol=FLOAT32)


@each_rule
def test_multi_transform_and_masked_reach_their_own_leaves_only(name):
    grads = gradients()
    alone = run(make(name), {"w": grads["w"]})["w"]
    rules = {"own": make(name), "plain": optimizers.sgd(0.5)}
    labelled = replay(optax.multi_transform(rules, {"w": "own", "b": "plain"}), grads)
    assert_steps_agree(labelled, {"w": alone, "b": -0.5 * grads["b"]}, FLOAT32)
    masked = replay(optax.masked(make(name), {"w": True, "b": False}), grads)
    assert_steps_agree(masked, {"w": alone, "b": grads["b"]}, FLOAT32)


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float16])
@each_rule
def test_half_precision_leaves_keep_their_dtype_and_stay_near_float32(name, dtype):
    rng = np.random.default_rng(3)
    # Down to 1e-3, where 1e-3 g^2 is far below the smallest float16: the slots must be kept in float32.
    grads = jnp.asarray(rng.choice([-1, 1], (100, 5)) * np.logspace(-3, 0, 5) * rng.uniform(1, 2, (100, 5)), dtype)
    updates = run(getattr(optimizers, name)(0.125), grads)
    assert updates.dtype == dtype
    exact = run(getattr(optimizers, name)(0.125), grads.astype(jnp.float32))
    # Only the update itself is rounded to the narrow dtype, by eps / 2 (subnormals of float16 by 3e-8); the rest is
    # float32, compiled apart.
    eps = float(jnp.finfo(dtype).eps)
    np.testing.assert_allclose(updates.astype(jnp.float32), exact, rtol=0.51 * eps + 1e-5, atol=3e-8)


def test_adam_in_bfloat16_starts_at_the_learning_rate_though_its_b2_rounds_to_1():
    assert jnp.asarray(0.999, jnp.bfloat16) == 1
    g = jnp.asarray([3.0, -0.01], jnp.bfloat16)
    for rule in (optimizers.adam(0.5), optimizers.amsgrad(0.5)):
        updates, _ = rule.update(g, rule.init(g))
        np.testing.assert_array_equal(np.asarray(updates, np.float32), [-0.5, 0.5])  # rounding to 8 bits hides eps


@each_rule
def test_strong_hyperparameters_are_cast_to_each_leaf(name, x64):
    settings = {k: jnp.asarray(v, jnp.float32) for k, v in SETTINGS[name].items()}
    grads = {"double": gradients("float64")["b"], "single": gradients()["b"]}
    updates = run(getattr(optimizers, name)(**settings), grads)
    held = run(getattr(optimizers, name)(**{k: float(v) for k, v in settings.items()}), grads)
    for key, tolerance in (("double", FLOAT64), ("single", FLOAT32)):
        assert updates[key].dtype == grads[key].dtype
        assert_steps_agree(updates[key], held[key], tolerance)


@each_rule
def test_a_number_out_of_its_range_is_named_with_the_range_and_what_was_received(name):
    for argument in SETTINGS[name]:
        high = 1.0 if argument in {"momentum", "decay", "b1", "b2"} else float("inf")
        for bad in (-0.1, high, float("nan"), np.asarray([0.1, -0.1])):
            received = repr(np.asarray(bad).tolist())
            with pytest.raises(ValueError, match=re.escape(f"{argument} must be in [0, {high:g}); got {received}")):
                make(name, **{argument: bad})


@each_rule
def test_a_setting_that_is_no_real_number_is_refused_and_only_the_learning_rate_takes_a_schedule(name):
    for argument in SETTINGS[name]:
        for bad in ("0.1", None, True, 1j):
            with pytest.raises(TypeError, match=f"{argument} must be a real number"):
                make(name, **{argument: bad})
        if argument != "learning_rate":
            with pytest.raises(TypeError, match=f"{argument} must be a number.*only the learning rate"):
                make(name, **{argument: lambda count: 0.5})


@each_rule
def test_parameters_that_are_not_real_floating_point_are_refused_by_name(name):
    for leaf in (jnp.ones(2, jnp.int32), jnp.ones(2, jnp.complex64), np.ones(2, bool)):
        with pytest.raises(TypeError, match=rf"params\['steps'\] must be real floating point.*{leaf.dtype}"):
            make(name).init({"w": jnp.ones(2), "steps": leaf})


@pytest.mark.parametrize("name", [name for name in SETTINGS if name != "sgd"])  # sgd keeps nothing to compare with
@pytest.mark.parametrize("grads", [{"w": jnp.ones(7)}, {"w": jnp.ones(5), "b": jnp.ones(7)}])
def test_gradients_of_another_form_are_refused_with_both_forms(name, grads):
    state = make(name).init({"w": jnp.ones(7), "b": jnp.ones(7)})
    with pytest.raises(TypeError) as error:
        make(name).update(grads, state)
    assert str({"b": (7,), "w": (7,)}) in str(error.value)
    assert str(jax.tree.map(jnp.shape, grads)) in str(error.value)


def projected(limit, params, step):
    """Parameters after one step of -step, then the projection, chained last."""
    optimizer = optax.chain(optimizers.sgd(1.0), optimizers.max_norm(limit))
    updates, _ = optimizer.update(step, optimizer.init(params), params)
    return apply_updates(params, updates), updates


@pytest.mark.parametrize("axes", [(), (3,)], ids=["matrix", "stack"])
def test_max_norm_projects_the_columns_outside_and_leaves_all_else_as_it_is(axes):
    rng = np.random.default_rng(2)
    w = rng.normal(size=(*axes, 5, 4)) * [0.1, 3.0, 0.0, 3.0]  # inside, outside, zero, brought inside by the step
    step = np.where([False, False, False, True], 0.9 * w, 0.01 * w)
    params, steps = ({"w": jnp.asarray(v, jnp.float32), "b": jnp.full(4, b)} for v, b in ((w, 9.0), (step, -1.0)))
    moved, updates = projected(1.5, params, steps)
    inside = [0, 2, 3]
    np.testing.assert_array_equal(updates["w"][..., inside], -steps["w"][..., inside])
    np.testing.assert_array_equal(updates["b"], -steps["b"])
    direction = (w - step)[..., 1]
    expected = 1.5 * direction / np.linalg.norm(direction, axis=-1, keepdims=True)
    # Ten roundings of 6e-8, of which that of w + (w_projected - w) is relative to |w|, up to eight times the limit.
    np.testing.assert_allclose(moved["w"][..., 1], expected, rtol=0, atol=1e-6 * 1.5)
    assert np.all(np.linalg.norm(moved["w"], axis=-2) <= 1.5 * (1 + 1e-6))


@pytest.mark.parametrize("dtype", ["float32", "float64", "bfloat16"])
def test_max_norm_takes_a_limit_that_is_traced_or_of_another_dtype(dtype, x64):
    params = jnp.full((4, 2), 2.0, dtype)  # columns of norm 4
    for limit in (jnp.float32(2.0), jnp.float64(2.0)):
        for project in (projected, jax.jit(projected)):
            moved, _ = project(limit, params, jnp.zeros_like(params))
            np.testing.assert_array_equal(np.asarray(moved, float), 1.0)  # powers of two: nothing is rounded


@pytest.mark.parametrize("axes", [(), (3,)], ids=["matrix", "stack"])
def test_the_gradient_through_max_norm_is_finite_at_a_zero_column(axes):
    params = jnp.broadcast_to(jnp.asarray([[0.0, 3.0], [0.0, 4.0]]), (*axes, 2, 2))
    gradient = jax.grad(lambda p: projected(1.0, p, jnp.zeros_like(p))[0].sum())(params)
    # Inside: 1. Outside, w / |w| with |w| = 5: (1, 1) less its part along (0.6, 0.8), over 5; a few roundings.
    np.testing.assert_allclose(gradient, np.broadcast_to([[1.0, 0.032], [1.0, -0.024]], params.shape), rtol=1e-5)


def test_max_norm_refuses_a_limit_of_0_several_limits_and_a_call_without_parameters():
    with pytest.raises(ValueError, match=r"limit must be in \(0, inf\); got 0"):
        optimizers.max_norm(0)
    with pytest.raises(ValueError, match=r"limit must be one number, got shape \(2,\)"):
        optimizers.max_norm(np.asarray([1.0, 2.0]))
    with pytest.raises(ValueError, match=r"update\(updates, state, params\)"):
        optimizers.max_norm(1.0).update(jnp.ones((2, 2)), optax.EmptyState())


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float16])
def test_apply_updates_adds_in_the_dtype_of_the_parameters(dtype):
    params = {"half": jnp.ones(2, dtype), "full": (jnp.asarray(2.0), None), "empty": jnp.ones((0, 3))}
    updates = {"half": jnp.full(2, 0.5, jnp.float32), "full": (jnp.asarray(-3.0), None), "empty": jnp.ones((0, 3))}
    moved = apply_updates(params, updates)
    assert forms(moved) == forms(params)
    assert [float(leaf.sum()) for leaf in jax.tree.leaves(moved)] == [0.0, -1.0, 3.0]
    with pytest.raises(TypeError, match="structure and shapes of params"):
        apply_updates(params, {"half": updates["half"]})


def test_a_hyperparameter_is_one_number():
    with pytest.raises(ValueError, match=r"learning_rate must be one number, got shape \(3,\)"):
        optimizers.sgd(np.array([0.1, 0.2, 0.3]))
    assert optimizers.sgd(jnp.bfloat16(0.5)).update(jnp.ones(1), optimizers.sgd(0.5).init(jnp.ones(1)))[0] == -0.5
