"""optax's own tests, which its wheel ships, run with our rules in place of optax's."""

import functools
import importlib.util
import re
import unittest
from contextlib import ExitStack, nullcontext
from unittest import mock

import jax
import optax
import pytest
from optax._src import alias, transform

from jaxmlp import optimizers


def in_optax_form(rule, name, built):
    """Our rule under its own signature and optax's name. What ours does not have is an error, so that nothing of
    optax's runs in its place; each one that is made is listed in built."""

    @functools.wraps(rule)
    def factory(*arguments, **settings):
        built.append(name)
        # optax's own rules take extra arguments and ignore them; its containers make others do so by this call.
        return optax.with_extra_args_support(rule(*arguments, **settings))

    factory.__name__ = name
    return factory


def sgd(learning_rate, momentum=None):
    return optimizers.sgd(learning_rate) if momentum is None else optimizers.momentum(learning_rate, momentum)


def scale_by_adam(**settings):
    return optax.chain(optimizers.adam(1.0, **settings), optax.scale(-1.0))


def scale_by_rms(**settings):
    # The test that takes a bias-corrected RMSProp compares our Adam with it: that RMSProp stays optax's.
    if "bias_correction" in settings:
        return _OPTAX_SCALE_BY_RMS(**settings)
    return optax.chain(optimizers.rmsprop(1.0, **settings), optax.scale(-1.0))


_OPTAX_SCALE_BY_RMS = transform.scale_by_rms
_OURS = {
    (alias, "sgd"): sgd,
    (alias, "adagrad"): optimizers.adagrad,
    (alias, "rmsprop"): optimizers.rmsprop,
    (alias, "adam"): optimizers.adam,
    (alias, "amsgrad"): optimizers.amsgrad,
    (transform, "scale_by_adam"): scale_by_adam,
    (transform, "scale_by_rms"): scale_by_rms,
}


def with_ours(built):
    """Put ours in optax's place; built lists each one that is made."""
    stack = ExitStack()
    for (module, name), rule in _OURS.items():
        stack.enter_context(mock.patch.object(module, name, in_optax_form(rule, name, built)))
    return stack


def load(name, built):
    """Import a test module anew: its tables hold the functions that optax had when it was read."""
    spec = importlib.util.find_spec(f"optax._src.{name}")
    if spec is None:
        pytest.skip(f"this optax ships no {name}", allow_module_level=True)
    module = importlib.util.module_from_spec(spec)
    with with_ours(built):
        spec.loader.exec_module(module)
    return module


def exercises_ours(case, name):
    """Whether a test is of one of our rules, with settings that it has: real numbers, RMSProp without momentum."""
    settings = getattr(getattr(case, name), "__x_params_repr__", "")
    if case.__name__ == "TransformTest":
        return name in {"test_apply_every", "test_rms_match_adam", "test_scalers_adam", "test_scalers_rmsprop"}
    rule = re.search(r"opt_name='(\w+)'", settings)
    not_ours = "complex" in settings or "explicit_dtype" in name or ("rmsprop" in settings and "momentum" in settings)
    return rule is not None and rule[1] in {"sgd", "adagrad", "rmsprop", "adam", "amsgrad"} and not not_ours


_BUILT: list[str] = []
_CASES = {
    f"{case.__name__}.{name}": case(name)
    for case in (load("alias_test", _BUILT).AliasTest, load("transform_test", _BUILT).TransformTest)
    for name in unittest.TestLoader().getTestCaseNames(case)
    if exercises_ours(case, name)
}


def test_the_tests_of_our_rules_are_found():
    # alias_test, five rules: 10 of convergence (two surfaces), 5 of extra arguments, 5 of inject_hyperparams, 10 of
    # updates' dtypes, 20 of states' dtypes (four each), 10 of gradient accumulation. transform_test: 4.
    assert len(_CASES) == 64, sorted(_CASES)


@pytest.mark.slow
@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize("name", _CASES)
def test_of_optax_passes_with_ours(name):
    _BUILT.clear()
    result = unittest.TestResult()
    # That one asks for 1e-6, also of float32, where our 1 - b2 is formed of a traced 0.999 and is off by up to 3e-5.
    x64 = jax.enable_x64(True) if name == "TransformTest.test_rms_match_adam" else nullcontext()
    with with_ours(_BUILT), jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"), x64:
        _CASES[name].run(result)
    assert result.testsRun == 1 and not result.skipped
    assert result.wasSuccessful(), "\n".join(text for _, text in result.errors + result.failures)
    assert _BUILT or "scalers" in name  # the tables of test_scalers hold ours since they were read
