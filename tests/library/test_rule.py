"""The skeleton of the rules: the example in its docstring, its state, and what makes two optimizers one program."""

import doctest
import pickle

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from replays import replay, run, run_each

from jaxmlp import _rule, dialects, optimizers


@pytest.fixture(scope="module")
def lion():
    """The rule that the module's docstring writes, after running the docstring."""
    test = doctest.DocTestParser().get_doctest(_rule.__doc__, {"__name__": __name__}, "_rule", None, None)
    runner = doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE)
    runner.run(test, clear_globs=False)
    assert runner.summarize(verbose=False) == (0, len(test.examples))
    return test.globs["lion"]


def gradients(dtype):
    rng = np.random.default_rng(0)
    return {
        "w": rng.normal(size=(50, 4, 3)).astype(dtype),
        "layers": (rng.normal(size=50).astype(dtype), None),
    }


def test_the_rule_of_the_docstring_has_ten_lines_and_is_that_of_optax(lion, x64):
    written = [line for line in _rule.__doc__.split("itself a pytree")[0].splitlines() if line[4:8] in (">>> ", "... ")]
    assert len([line for line in written if "import" not in line]) <= 10
    grads = gradients("float64")
    updates = run(lion(0.1, b1=0.8, b2=0.95), grads)
    with jax.numpy_dtype_promotion("standard"):
        expected = jax.jit(lambda g: replay(optax.lion(0.1, 0.8, 0.95, weight_decay=0.0), g))(grads)
    # A sign times the learning rate: nothing is rounded.
    jax.tree.map(np.testing.assert_array_equal, updates, expected)


def test_the_rule_of_the_docstring_composes_like_any_other(lion):
    half, grads = gradients("bfloat16"), gradients("float32")
    assert run_each({"half": lion(0.125)}, half)["half"]["w"].dtype == half["w"].dtype
    labels = {"w": "lion", "layers": ("lion", None)}

    @jax.jit
    def arranged(grads):
        optimizers = (
            lion(0.125),
            optax.chain(optax.scale(4.0), lion(0.125)),
            optax.inject_hyperparams(lion)(learning_rate=0.125),
            lion(lambda count: jnp.where(count < 100, 0.125, 0.0)),
            optax.multi_transform({"lion": lion(0.125)}, labels),
        )
        return [replay(optimizer, grads) for optimizer in optimizers]

    alone, *others = arranged(grads)
    for other in others:
        jax.tree.map(np.testing.assert_array_equal, other, alone)  # signs times the learning rate


def test_two_learning_rates_of_a_new_rule_compile_once(lion, compile_log):
    @jax.jit
    def counted_replay(optimizer, grads):
        return replay(optimizer, grads)

    for rate in (0.1, 0.2):
        counted_replay(lion(rate), gradients("float32"))
    assert compile_log.count("jit(counted_replay)") == 1


def test_slots_start_from_0_or_from_the_number_that_start_names():
    params = {"w": jnp.ones((2, 3), jnp.bfloat16), "b": jnp.ones(3)}
    state = optimizers.rmsprop(0.1, initial_scale=0.5).init(params)
    assert state._fields == ("count", "nu")
    for slot, shape in ((state.nu["w"], (2, 3)), (state.nu["b"], (3,))):
        np.testing.assert_array_equal(slot, np.full(shape, 0.5, np.float32))
        assert slot.dtype == jnp.float32
    assert all(not leaf.any() for leaf in jax.tree.leaves(optimizers.amsgrad(0.1).init(params)))


def test_optimizers_of_one_rule_have_equal_structures_and_those_of_two_rules_do_not():
    factories = [*optimizers.OPTIMIZERS.values(), dialects.torch.amsgrad, dialects.keras.amsgrad, dialects.keras.adam]
    structures = [jax.tree.structure(factory(0.1)) for factory in factories]
    assert structures == [jax.tree.structure(factory(0.2)) for factory in factories]
    assert len(set(structures)) == len(structures)


def test_an_optimizer_can_be_pickled():
    optimizer = optimizers.adam(0.1, b1=0.8)
    restored = pickle.loads(pickle.dumps(optimizer))
    assert jax.tree.structure(restored) == jax.tree.structure(optimizer)
    grads = gradients("float32")
    jax.tree.map(np.testing.assert_array_equal, run(restored, grads), run(optimizer, grads))


def test_a_rule_may_do_without_a_learning_rate():
    def rule(g, t, *, eps):
        return (g / (jnp.abs(g) + eps),)

    optimizer = _rule.transformation(rule, optimizers.SGDState, eps=1.0)
    updates, state = optimizer.update(jnp.asarray([1.0, -3.0]), optimizer.init(jnp.zeros(2)))
    np.testing.assert_array_equal(updates, [0.5, -0.75])
    assert int(state.count) == 1
