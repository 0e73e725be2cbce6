"""What competes: rules by reference, checked before anything is trained, with the spaces of their search."""

import hashlib
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import jaxmlp
from jaxmlp.comparison import recipes, trials
from jaxmlp.comparison.candidates import Candidate, load, resolve
from jaxmlp.comparison.spaces import choice, log_uniform, one_minus_log_uniform, parse_assignment, uniform

RULES = """
from typing import NamedTuple
import jax, jax.numpy as jnp, optax
from jaxmlp.comparison import Candidate, one_minus_log_uniform
import beside_the_rules

def plain(learning_rate, beta=0.9):
    return optax.sgd(learning_rate, beta)

declared = Candidate("declared", plain, {"beta": one_minus_log_uniform(1e-3, 0.5)})
def only_numbers(learning_rate):
    factor = -jnp.sqrt(learning_rate)
    return optax.stateless(lambda updates, params: jax.tree.map(lambda g: factor * g, updates))

explodes = lambda learning_rate: optax.scale(float("nan"))
raises = lambda learning_rate: 1 / 0
no_rule = lambda learning_rate: "hello"
number = 3
"""


@pytest.fixture(scope="module")
def rules(tmp_path_factory):
    folder = tmp_path_factory.mktemp("rules")
    (folder / "beside_the_rules.py").write_text("x = 1\n")
    (folder / "my_rules.py").write_text(RULES)
    return folder / "my_rules.py"


@pytest.fixture(scope="module", autouse=True)
def quick_compiles(unoptimised):
    """Most tests here compile one step."""


def test_names_references_and_files_are_loaded_and_say_where_they_come_from(rules):
    adam = load("adam")
    assert (adam.name, adam.factory) == ("adam", jaxmlp.optimizers.adam)
    assert load("dialects.torch.rmsprop").factory is jaxmlp.dialects.torch.rmsprop
    lion, muon = load("optax.lion"), load("optax.contrib.muon")
    assert (lion.name, muon.name, load("optax.adam").name) == ("lion", "muon", "optax.adam")
    assert lion.factory is optax.lion and muon.factory is optax.contrib.muon
    assert lion.describe() == {
        "reference": "optax.lion",
        "module": "optax",
        "version": optax.__version__,
        "sha256": None,
        "schedule": None,
    }
    mine = load(f"{rules}:plain")
    assert mine.name == "plain" and mine.describe()["sha256"] == hashlib.sha256(rules.read_bytes()).hexdigest()
    assert load(f"other={rules}:plain").name == "other"
    declared = load(f"{rules}:declared")
    assert declared.name == "declared" and set(declared.full_space()) == {"learning_rate", "beta"}
    assert declared.reference == f"{rules}:declared" and load("jaxmlp.optimizers:sgd").name == "sgd"


def test_an_edited_file_is_loaded_again(tmp_path):
    path = tmp_path / "rules.py"
    path.write_text("import optax\nmine = optax.sgd\n")
    assert load(f"{path}:mine").factory is optax.sgd
    path.write_text("import optax\nmine = optax.lion\n")
    assert load(f"{path}:mine").factory is optax.lion


@pytest.mark.parametrize(
    ("reference", "message"),
    [
        ("adm", "unknown optimizer 'adm'; known: adagrad, adam"),
        ("optax.lio", "optax has no 'lio'; did you mean 'lion'?"),
        ("dialects.torc.adam", "jaxmlp.dialects has no 'torc'"),
        ("nowhere.py:mine", "there is no file nowhere.py"),
        ("nowhere_at_all:mine", "cannot be imported: ModuleNotFoundError"),
        ("{rules}:plane", "has no 'plane'; did you mean 'plain'?"),
        ("{rules}:number", "is 3; an optimizer is a function"),
        ("bad.py:mine", r"bad.py raises ZeroDivisionError: division by zero (line 2)"),
        ("syntax.py:mine", "syntax.py raises SyntaxError"),
    ],
)
def test_what_cannot_be_loaded_is_refused_with_the_way_out(rules, tmp_path, monkeypatch, reference, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "bad.py").write_text("x = 0\n1 / x\n")
    (tmp_path / "syntax.py").write_text("def mine(:\n")
    with pytest.raises((ValueError, TypeError)) as error:
        load(reference.format(rules=rules))
    assert message in str(error.value)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("raises", "cannot take a step at learning_rate 0.01: ZeroDivisionError: division by zero"),
        ("no_rule", "it returned 'hello', not an optax transformation"),
        ("explodes", "is not finite at the middle of its space (learning_rate 0.01)"),
    ],
)
def test_a_rule_is_tried_for_one_step_before_anything_is_trained(rules, name, message):
    with pytest.raises(ValueError) as error:
        trials.checked(resolve([f"{rules}:{name}"]))
    assert message in str(error.value) and "--space" in str(error.value)


@pytest.mark.parametrize(
    ("space", "message"),
    [
        ("plain.gamma=uniform(0, 1)", "unknown hyperparameter of plain 'gamma'; known: batch_size, beta"),
        ("plan.beta=uniform(0, 1)", "Did you mean 'plain'?"),
        ("plain.batch_size=uniform(16, 64)", "every value of batch_size is compiled on its own"),
        ("plain.dropout=uniform(0, 0.5)", "choice(0, 0.2)"),
        ("plain.dropout=choice(0, 1)", "must be in [0, 1)"),
        ("plain.batch_size=choice(0.5)", "must be whole numbers"),
    ],
)
def test_a_space_names_what_the_rule_or_training_takes(rules, space, message):
    with pytest.raises(ValueError) as error:
        resolve([f"{rules}:plain"], [parse_assignment(space)])
    assert message in str(error.value)


def test_a_space_may_name_the_reference_and_keeps_the_learning_rate():
    [muon] = resolve(["optax.contrib.muon"], [("optax.contrib.muon", "beta", uniform(0, 1))]).values()
    assert set(muon.full_space()) == {"learning_rate", "beta"}
    [adam] = resolve(["adam"], [("adam", "learning_rate", log_uniform(1e-4, 1e-2))]).values()
    assert adam.full_space() == {"learning_rate": log_uniform(1e-4, 1e-2)}


def test_names_are_different_as_they_are_shown():
    for given in (["adam", "adam"], ["adam", "Adam=optax.adam"]):
        with pytest.raises(ValueError, match="must have different names"):
            resolve(given)
    for name in ("", "x" * 61, "a\nb"):
        with pytest.raises(ValueError, match="printable text"):
            resolve([Candidate(name, optax.sgd)])
    with pytest.raises(ValueError, match="cannot be called seed"):
        resolve([Candidate("a", lambda learning_rate, seed: optax.sgd(learning_rate), {"seed": uniform(0, 1)})])
    with pytest.raises(ValueError, match="takes no learning_rate"):
        resolve(["optax.polyak_sgd"])


def test_schedules_multiply_the_candidates_and_end_where_they_should():
    found = resolve(["sgd", "optax.lion"], schedules=["constant", "cosine"])
    assert list(found) == ["sgd", "sgd (cosine)", "lion", "lion (cosine)"]
    assert found["sgd"].recipe(["learning_rate"], 10) is jaxmlp.optimizers.sgd
    rule = found["sgd (cosine)"].recipe(["learning_rate"], 10)(learning_rate=0.5)
    steps, state = [], rule.init(jnp.zeros(1))
    for _ in range(11):
        update, state = rule.update(jnp.ones(1), state)
        steps.append(-update.item())
    np.testing.assert_allclose(steps, 0.25 * (1 + np.cos(np.pi * np.arange(11) / 10)), atol=1e-6)  # float32


def test_a_rule_that_takes_numbers_alone_gets_its_schedule_all_the_same(rules):
    [found] = trials.checked(resolve([f"{rules}:only_numbers"], schedules=["linear"])).values()
    assert found.rebuilds
    rule = found.recipe(["learning_rate"], 4)(learning_rate=1.0)
    update, state = rule.update(jnp.ones(1), rule.init(jnp.ones(1)))
    update, _ = rule.update(jnp.ones(1), state)
    np.testing.assert_allclose(update, -np.sqrt(0.75), rtol=1e-6)  # the rate of the second of four steps


def test_schedule_free_rules_are_evaluated_at_their_average():
    [found] = trials.checked(resolve(["optax.contrib.schedule_free_adamw"])).values()
    assert found.eval_params == recipes.ScheduleFreeParams()
    rule, params = optax.contrib.schedule_free_sgd(0.5), {"w": jnp.ones(2)}
    state = rule.init(params)
    for _ in range(3):
        updates, state = rule.update({"w": jnp.ones(2)}, state, params)
        params = optax.apply_updates(params, updates)
    chained = ((), state)
    with jax.numpy_dtype_promotion("standard"):
        expected = optax.contrib.schedule_free_eval_params(state, params)
    assert found.eval_params is not None
    np.testing.assert_array_equal(found.eval_params(chained, params)["w"], expected["w"])
    assert trials.checked(resolve(["optax.lion"]))["lion"].eval_params is None


def test_weight_decay_is_decoupled_where_the_rule_has_none():
    decayed = Candidate("adam", jaxmlp.optimizers.adam, {"weight_decay": log_uniform(1e-4, 0.1)})
    rule = decayed.recipe(decayed.full_space(), 10)(learning_rate=0.5, weight_decay=0.1)
    params: Any = {"w": jnp.full((1, 2), 3.0), "b": jnp.full(2, 3.0)}
    plain = jaxmlp.optimizers.adam(0.5)
    grads = {"w": jnp.full((1, 2), 0.3), "b": jnp.full(2, 0.3)}
    update: Any = rule.update(grads, rule.init(params), params)[0]
    without: Any = plain.update(grads, plain.init(params), params)[0]
    np.testing.assert_allclose(update["w"] - without["w"], -0.5 * 0.1 * params["w"], rtol=1e-6)
    np.testing.assert_array_equal(update["b"], without["b"])
    lion = Candidate("lion", optax.lion, {"weight_decay": log_uniform(1e-4, 0.1)})
    assert lion.recipe(lion.full_space(), 10) is optax.lion


def test_what_belongs_to_training_is_told_from_what_the_rule_takes():
    candidate = Candidate("a", lambda learning_rate, l2: optax.sgd(learning_rate), {"l2": uniform(0, 1)})
    assert candidate.of_rule({"learning_rate": 1.0, "l2": 0.1}) == {"learning_rate": 1.0, "l2": 0.1}
    sgd = Candidate("sgd", optax.sgd, {"l2": log_uniform(1e-5, 1e-2), "batch_size": choice(16, 32)})
    point = {"learning_rate": 1.0, "l2": 0.1, "batch_size": 16.0}
    assert (sgd.of_rule(point), sgd.of_training(point)) == ({"learning_rate": 1.0}, {"l2": 0.1, "batch_size": 16.0})


def test_our_own_rules_and_dialects_have_default_spaces():
    for name in ("momentum", "dialects.keras.nesterov"):
        assert load(name).full_space()["momentum"] == one_minus_log_uniform(0.01, 1.0)
    assert set(load("dialects.torch.adam").full_space()) == {"learning_rate", "b1", "b2"}
    assert set(load("optax.adam").full_space()) == {"learning_rate"}
