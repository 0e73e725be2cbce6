"""Optimizers as values: what they say, what they refuse, and how they go through optax, jit, vmap and grad."""

import functools
import inspect
import re

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.tree_util import Partial
from replays import OWN_SETTINGS, assert_steps_agree, random_gradients, replay, run_each

from jaxmlp import apply_updates, optimizers

SETTINGS = {name: {"learning_rate": 0.1} | own for name, own in OWN_SETTINGS.items()}
each_rule = pytest.mark.parametrize("name", SETTINGS)

# The same numbers through another program (an argument in place of a constant, a batch axis): XLA may fuse the ten
# operations of a step differently, and each keeps 6e-8 in float32 and 1.1e-16 in float64.
FLOAT32, FLOAT64 = 1e-6, 1e-14


def make(name, **changes):
    return getattr(optimizers, name)(**SETTINGS[name] | changes)


def make_all(numbers=SETTINGS, **changes):
    """One optimizer of each rule, by name."""
    return {name: getattr(optimizers, name)(**settings | changes) for name, settings in numbers.items()}


def gradients(dtype="float32", steps=6):
    return jax.tree.map(lambda g: g[:steps], random_gradients(dtype)["layers"][0])


@functools.cache
def plain_runs(dtype="float32"):
    """Updates of those gradients by each rule alone."""
    return run_each(make_all(), gradients(dtype))


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


@functools.cache
def first_states():
    """Of each rule, the states before three steps, the last updates, and the count after the largest one."""
    params = {
        "w": np.ones((3, 2), "f"),
        "empty": np.ones((0, 4), "f"),
        "none": None,
        "half": jnp.ones((), jnp.bfloat16),
    }

    @jax.jit
    def steps(rules, params):
        answers = {}
        for name, rule in rules.items():
            states = [rule.init(params)]
            for _ in range(3):
                updates, state = rule.update(params, states[-1], params)
                states.append(state)
            largest = states[0]._replace(count=jnp.asarray(2**31 - 1, jnp.int32))
            answers[name] = states[:3], updates, rule.update(params, largest, params)[1].count
        return answers

    return params, steps(make_all(), params)


@each_rule
def test_state_counts_steps_in_int32_and_keeps_slots_like_the_parameters_in_float32_or_better(name):
    assert isinstance(make(name), optax.GradientTransformation)
    params, answers = first_states()
    states, updates, largest = answers[name]
    adam = ("mu", "nu")
    slots = {"sgd": (), "adagrad": ("accumulator",), "rmsprop": ("nu",), "adam": adam, "amsgrad": (*adam, "nu_max")}
    for expected_count, state in enumerate(states):
        assert state._fields == ("count", *slots.get(name, ("velocity",)))
        assert (state.count.dtype, state.count.shape, int(state.count)) == (jnp.int32, (), expected_count)
        assert all(forms(slot) == forms(params | {"half": np.ones((), "f")}) for slot in state[1:])
    assert forms(updates) == forms(params)
    assert largest == 2**31 - 1


@each_rule
def test_the_leaves_of_an_optimizer_are_its_numbers(name):
    leaves, structure = jax.tree.flatten(make(name))
    assert sorted(leaves) == sorted(SETTINGS[name].values())
    assert structure == jax.tree.structure(make(name, learning_rate=0.7))


@pytest.mark.slow
def test_new_numbers_compile_nothing(compile_log):
    @jax.jit
    def counted_run(rules, grads):
        return {name: replay(rule, grads) for name, rule in rules.items()}

    for scale in (1.0, 0.5, 1.05):
        numbers = {name: {k: v * scale for k, v in settings.items()} for name, settings in SETTINGS.items()}
        updates = counted_run(make_all(numbers), gradients())
    assert compile_log.count("jit(counted_run)") == 1
    assert_steps_agree(updates, run_each(make_all(numbers), gradients()), FLOAT32)


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
            updates = counted_replay(optimizers.sgd(schedule), np.ones(3, np.float32))
        assert compile_log.count("jit(counted_replay)") == 1
        np.testing.assert_allclose(updates, [-0.1, -0.1 / 2, -0.1 / 3], rtol=FLOAT32)


@pytest.mark.slow
def test_traced_hyperparameters_under_vmap_equal_one_run_each(x64):
    grads = gradients("float64")
    points = [
        {name: {k: v * scale for k, v in settings.items()} for name, settings in SETTINGS.items()}
        for scale in (0.5, 1.05)
    ]
    settings = jax.tree.map(lambda *values: np.asarray(values), *points)
    updates = jax.jit(jax.vmap(lambda numbers: run_each(make_all(numbers), grads)))(settings)
    for i, point in enumerate(points):
        expected = run_each(make_all(point), grads)
        assert_steps_agree(jax.tree.map(lambda u, i=i: u[i], jax.device_get(updates)), expected, FLOAT64)


@pytest.mark.slow
@pytest.mark.parametrize("which", ["own settings", "from nothing"])
def test_the_gradient_of_training_by_each_hyperparameter_is_finite_and_right_where_some_gradients_are_0(which, x64):
    curvature = np.asarray([1.0, 0.3, 2.0])  # the last coordinate starts at its minimum, so its gradient is exactly 0
    start = np.asarray([1.0, -2.0, 0.0])
    # The other averages start from 0 anyway; with eps 0 as well, the unused branch of adagrad is 0 / 0.
    fixed = {"adagrad": {"initial_accumulator": 0.0, "eps": 0.0}} if which == "from nothing" else {}

    def final_loss(optimizer):
        def step(carry, _):
            params, state = carry
            updates, state = optimizer.update(curvature * params, state, params)
            return (apply_updates(params, updates), state), None

        (params, _), _ = jax.lax.scan(step, (jnp.asarray(start), optimizer.init(start)), length=4)
        return (curvature * (params - 0.1) ** 2).sum()

    @jax.jit
    @functools.partial(jax.value_and_grad, has_aux=True)  # the sum of all rules' losses has the gradients of each
    def losses_and_gradients(numbers):
        losses = {
            name: final_loss(getattr(optimizers, name)(**settings, **fixed.get(name, {})))
            for name, settings in numbers.items()
        }
        return sum(losses.values()), losses

    numbers = SETTINGS if which == "own settings" else {name: {"learning_rate": 0.1} for name in SETTINGS}
    gradient = losses_and_gradients(numbers)[1]
    for name, settings in numbers.items():
        for argument, value in settings.items():
            step = 1e-5 * value
            above, below = (
                losses_and_gradients(numbers | {name: settings | {argument: value + d}})[0][1][name]
                for d in (step, -step)
            )
            # Central differences: 1e-10 relative from the third derivative, 1e-16 * loss / step from rounding.
            expected = (above - below) / (2 * step)
            allowed = 1e-8 * abs(expected) + 1e-15 / step
            assert abs(gradient[name][argument] - expected) <= allowed, (name, argument)


@pytest.mark.slow
def test_a_schedule_sees_steps_from_0_and_scales_each_update_from_outside(x64):
    rates, grads = np.asarray([0.5, 0.1, 2.0, 0.0, 1.0, 3.0]), gradients("float64")
    updates = run_each(make_all(learning_rate=lambda count: jnp.asarray(rates)[count]), grads)
    unit = jax.device_get(run_each(make_all(learning_rate=1.0), grads))
    expected = jax.tree.map(lambda u: u * rates.reshape((-1,) + (1,) * (u.ndim - 1)), unit)
    assert_steps_agree(updates, expected, FLOAT64)


@pytest.mark.slow
def test_a_schedule_may_return_a_number_or_an_array_of_another_dtype():
    schedules = [lambda count: 0.125, lambda count: jnp.float32(0.125), lambda count: np.float64(0.125)]
    rules = {str(i): make("momentum", learning_rate=rate) for i, rate in enumerate([0.125, *schedules])}
    updates = run_each(rules, gradients("bfloat16"))
    expected = updates["0"]
    assert_steps_agree(updates, dict.fromkeys(updates, expected), 0)


@jax.jit
def through_optax(grads):
    """Each rule after a clipping, in both containers that divide the leaves, and after the same clipping by hand."""
    updates = {}
    for name, rule in make_all().items():
        labelled = optax.multi_transform({"own": rule, "plain": optimizers.sgd(0.5)}, {"w": "own", "b": "plain"})
        masked = optax.masked(rule, {"w": True, "b": False})
        arranged = {"chained": optax.chain(optax.clip(0.3), rule), "labelled": labelled, "masked": masked}
        updates[name] = {how: replay(optimizer, grads) for how, optimizer in arranged.items()}
        updates[name]["clipped"] = replay(rule, jax.tree.map(lambda g: jnp.clip(g, -0.3, 0.3), grads))
    return updates


@functools.cache
def runs_through_optax():
    return jax.device_get(through_optax(gradients()))


@pytest.mark.slow
@each_rule
def test_chain_passes_the_rule_what_the_clipping_leaves(name):
    updates = runs_through_optax()[name]
    assert_steps_agree(updates["chained"], updates["clipped"], FLOAT32)


@pytest.mark.slow
@each_rule
def test_multi_transform_and_masked_reach_their_own_leaves_only(name):
    updates, grads, alone = runs_through_optax()[name], gradients(), plain_runs()[name]["w"]
    assert_steps_agree(updates["labelled"], {"w": alone, "b": np.float32(-0.5) * grads["b"]}, FLOAT32)
    assert_steps_agree(updates["masked"], {"w": alone, "b": grads["b"]}, FLOAT32)


@pytest.mark.slow
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


@pytest.mark.slow
@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float16])
def test_half_precision_leaves_keep_their_dtype_and_stay_near_float32(dtype):
    rng = np.random.default_rng(3)
    # Down to 1e-3, where 1e-3 g^2 is far below the smallest float16: the slots must be kept in float32.
    grads = rng.choice([-1, 1], (100, 5)) * np.logspace(-3, 0, 5) * rng.uniform(1, 2, (100, 5))
    rules, grads = {name: getattr(optimizers, name)(0.125) for name in SETTINGS}, grads.astype(dtype)
    updates, exact = (jax.device_get(run_each(rules, g)) for g in (grads, grads.astype(np.float32)))
    # Only the update itself is rounded to the narrow dtype, by eps / 2 (subnormals of float16 by 3e-8); the rest is
    # float32, compiled apart.
    rtol = 0.51 * float(jnp.finfo(dtype).eps) + 1e-5
    for name in SETTINGS:
        assert updates[name].dtype == dtype
        np.testing.assert_allclose(updates[name].astype(np.float32), exact[name], rtol=rtol, atol=3e-8, err_msg=name)


def test_adam_in_bfloat16_starts_at_the_learning_rate_though_its_b2_rounds_to_1():
    assert jnp.asarray(0.999, jnp.bfloat16) == 1
    grads = np.asarray([[3.0, -0.01]], jnp.bfloat16)
    runs = run_each({"adam": optimizers.adam(0.5), "amsgrad": optimizers.amsgrad(0.5)}, grads)
    for (updates,) in jax.device_get(runs).values():
        np.testing.assert_array_equal(np.asarray(updates, np.float32), [-0.5, 0.5])  # rounding to 8 bits hides eps


@pytest.mark.slow
def test_strong_hyperparameters_are_cast_to_each_leaf(x64):
    strong = {name: {k: np.float32(v) for k, v in settings.items()} for name, settings in SETTINGS.items()}
    grads = {"double": gradients("float64")["b"], "single": gradients()["b"]}
    updates = jax.device_get(run_each(make_all(jax.tree.map(jnp.asarray, strong)), grads))
    held = jax.device_get(run_each(make_all(jax.tree.map(float, strong)), grads))
    for name in SETTINGS:
        for key, tolerance in (("double", FLOAT64), ("single", FLOAT32)):
            assert updates[name][key].dtype == grads[key].dtype, name
            assert_steps_agree({name: updates[name][key]}, {name: held[name][key]}, tolerance)


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
            with pytest.raises(TypeError, match=f"{argument} must be (a real number|real, got complex)"):
                make(name, **{argument: bad})
        if argument != "learning_rate":
            with pytest.raises(TypeError, match=f"{argument} must be a number.*only the learning rate"):
                make(name, **{argument: lambda count: 0.5})


@each_rule
def test_parameters_that_are_not_real_floating_point_are_refused_by_name(name):
    for leaf in (jnp.ones(2, jnp.int32), jnp.ones(2, jnp.complex64), np.ones(2, bool)):
        with pytest.raises(TypeError, match=rf"params\['steps'\] must be real(, got| floating point).*{leaf.dtype}"):
            make(name).init({"w": jnp.ones(2), "steps": leaf})


@pytest.mark.parametrize("name", [name for name in SETTINGS if name != "sgd"])  # sgd keeps nothing to compare with
@pytest.mark.parametrize("grads", [{"w": jnp.ones(7)}, {"w": jnp.ones(5), "b": jnp.ones(7)}])
def test_gradients_of_another_form_are_refused_with_both_forms(name, grads):
    state = make(name).init({"w": jnp.ones(7), "b": jnp.ones(7)})
    with pytest.raises(TypeError) as error:
        make(name).update(grads, state)
    assert str({"b": (7,), "w": (7,)}) in str(error.value)
    assert str(jax.tree.map(jnp.shape, grads)) in str(error.value)


@jax.jit
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
    params, steps = ({"w": v.astype("f"), "b": np.full(4, b, "f")} for v, b in ((w, 9.0), (step, -1.0)))
    moved, updates = jax.device_get(projected(1.5, params, steps))
    inside = [0, 2, 3]
    np.testing.assert_array_equal(updates["w"][..., inside], -steps["w"][..., inside])
    np.testing.assert_array_equal(updates["b"], -steps["b"])
    direction = (w - step)[..., 1]
    expected = 1.5 * direction / np.linalg.norm(direction, axis=-1, keepdims=True)
    # Ten roundings of 6e-8, of which that of w + (w_projected - w) is relative to |w|, up to eight times the limit.
    np.testing.assert_allclose(moved["w"][..., 1], expected, rtol=0, atol=1e-6 * 1.5)
    assert np.all(np.linalg.norm(moved["w"], axis=-2) <= 1.5 * (1 + 1e-6))


@pytest.mark.slow
@pytest.mark.parametrize("dtype", ["float32", "float64", "bfloat16"])
def test_max_norm_takes_a_limit_that_is_traced_or_of_another_dtype(dtype, x64):
    params, nothing = np.full((4, 2), 2.0, dtype), np.zeros((4, 2), dtype)  # columns of norm 4
    limits = jnp.float32(2.0), jnp.float64(2.0)
    in_closures = jax.jit(lambda p: [projected.__wrapped__(limit, p, nothing)[0] for limit in limits])
    for moved in (*in_closures(params), *(projected(limit, params, nothing)[0] for limit in limits)):
        np.testing.assert_array_equal(np.asarray(moved, float), 1.0)  # powers of two: nothing is rounded


@pytest.mark.parametrize("axes", [(), (3,)], ids=["matrix", "stack"])
def test_the_gradient_through_max_norm_is_finite_at_a_zero_column(axes):
    params = np.broadcast_to(np.asarray([[0.0, 3.0], [0.0, 4.0]], np.float32), (*axes, 2, 2))
    gradient = jax.jit(jax.grad(lambda p: projected(1.0, p, jnp.zeros_like(p))[0].sum()))(params)
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
    with pytest.raises(TypeError, match=r"params must be arrays or numbers; got range\(0, 3\)"):
        apply_updates(range(3), np.ones(3))


def test_a_hyperparameter_is_one_number():
    with pytest.raises(ValueError, match=r"learning_rate must be one number, got shape \(3,\)"):
        optimizers.sgd(np.array([0.1, 0.2, 0.3]))
    assert optimizers.sgd(jnp.bfloat16(0.5)).update(jnp.ones(1), optimizers.sgd(0.5).init(jnp.ones(1)))[0] == -0.5
