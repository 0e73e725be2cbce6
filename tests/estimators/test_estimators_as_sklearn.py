"""The estimators train as scikit-learn's own: same random numbers, same losses, same stops."""

import warnings

import jax
import numpy as np
import pytest
from scipy.special import logit
from sklearn import neural_network
from sklearn.datasets import load_breast_cancer, load_diabetes, load_iris, make_multilabel_classification
from sklearn.exceptions import ConvergenceWarning
from sklearn.preprocessing import scale

from jaxmlp.estimators import MLPClassifier, MLPRegressor, lbfgs
from jaxmlp.estimators.examples import on_device
from jaxmlp.estimators.parameters import numbers_of, plan_of
from jaxmlp.estimators.solvers import computing, layers

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

SLOW = pytest.mark.slow  # every case compiles a program of its own
IRIS, CANCER, DIABETES = (f(return_X_y=True) for f in (load_iris, load_breast_cancer, load_diabetes))
CLASSES = scale(IRIS[0]), np.array(["setosa", "versicolor", "virginica"])[IRIS[1]]
TWO = scale(CANCER[0])[:150, :4], CANCER[1][:150]
LABELS = make_multilabel_classification(150, 4, n_classes=3, random_state=0)
NUMBERS = scale(DIABETES[0])[:150, :4], scale(DIABETES[1])[:150]
SEVERAL = NUMBERS[0], np.c_[NUMBERS[1], 2 * NUMBERS[1] + NUMBERS[0][:, 0]]
COUNTS = NUMBERS[0], np.round(np.exp(NUMBERS[1]))
WEIGHTS = np.random.RandomState(3).uniform(0, 2, 150)


def pair(name, **parameters):
    """Return our estimator and scikit-learn's."""
    ours = {"MLPClassifier": MLPClassifier, "MLPRegressor": MLPRegressor}[name]
    known = getattr(neural_network, name)().get_params()
    theirs = {key: value for key, value in parameters.items() if key in known}
    return ours(**parameters), getattr(neural_network, name)(**theirs)


@pytest.mark.parametrize(
    ("name", "data", "parameters"),
    [
        ("MLPClassifier", CLASSES, {}),
        pytest.param("MLPClassifier", CLASSES, {"solver": "sgd", "learning_rate_init": 0.1}, marks=SLOW),
        ("MLPClassifier", TWO, {"solver": "sgd", "nesterovs_momentum": False, "activation": "tanh"}),
        pytest.param("MLPClassifier", TWO, {"activation": "logistic", "alpha": 0.1}, marks=SLOW),
        ("MLPClassifier", LABELS, {"shuffle": False, "activation": "identity"}),
        pytest.param("MLPRegressor", NUMBERS, {"solver": "sgd", "momentum": 0.0}, marks=SLOW),
        ("MLPRegressor", SEVERAL, {"alpha": 1.0}),
        ("MLPRegressor", COUNTS, {"loss": "poisson"}),
    ],
)
@pytest.mark.parametrize("weights", [None, WEIGHTS], ids=["", "weighted"])
def test_a_run_follows_scikit_learn_from_equal_random_state(name, data, parameters, weights):
    # 2 epochs of 4 steps, of which the last has 22 of 64 padded rows.
    settings = {"hidden_layer_sizes": (8,), "batch_size": 32, "max_iter": 2, "random_state": 1, "dtype": "float64"}
    (x, y), (ours, theirs) = data, pair(name, **settings, **parameters)
    x, y, weights = x[:118], y[:118], None if weights is None else weights[:118]
    for model in (ours, theirs):
        model.fit(x, y, sample_weight=weights)
    # float64 on both sides; eight steps of rounding, of which softplus and the clipped logarithm are the largest part.
    np.testing.assert_allclose(ours.loss_curve_, theirs.loss_curve_, rtol=1e-10)
    for a, b in zip(ours.coefs_ + ours.intercepts_, theirs.coefs_ + theirs.intercepts_, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(ours.predict(x) == theirs.predict(x) if name == "MLPClassifier" else 1, 1)
    for attribute in ("n_iter_", "t_", "n_layers_", "n_outputs_", "out_activation_", "n_features_in_"):
        assert getattr(ours, attribute) == getattr(theirs, attribute), attribute


@pytest.mark.parametrize("solver", ["sgd", "adam"])
def test_one_epoch_of_float32_follows_scikit_learn_to_five_digits(solver):
    ours, theirs = pair("MLPClassifier", solver=solver, batch_size=10, max_iter=1, random_state=0)
    for model in (ours, theirs):
        model.fit(*CLASSES)
    np.testing.assert_allclose(ours.loss_, theirs.loss_, rtol=1e-5)
    for a, b in zip(ours.coefs_, theirs.coefs_, strict=True):
        np.testing.assert_allclose(np.linalg.norm(a - b) / np.linalg.norm(b), 0, atol=1e-5)


@pytest.mark.parametrize(
    ("name", "data", "parameters"),
    [
        pytest.param("MLPClassifier", CLASSES, {"tol": 0.01, "n_iter_no_change": 3}, marks=SLOW),
        ("MLPClassifier", CLASSES, {"early_stopping": True, "n_iter_no_change": 4}),
        pytest.param(
            "MLPClassifier",
            TWO,
            {"early_stopping": True, "validation_fraction": 0.3, "n_iter_no_change": 4},
            marks=SLOW,
        ),
        ("MLPClassifier", CLASSES, {"solver": "sgd", "learning_rate": "adaptive", "n_iter_no_change": 1, "tol": 0.05}),
        pytest.param(
            "MLPClassifier",
            CLASSES,
            {"solver": "sgd", "learning_rate": "invscaling", "learning_rate_init": 0.5},
            marks=SLOW,
        ),
        pytest.param("MLPRegressor", NUMBERS, {"early_stopping": True, "n_iter_no_change": 4}, marks=SLOW),
        ("MLPRegressor", SEVERAL, {"early_stopping": True, "n_iter_no_change": 4}),
    ],
)
def test_training_stops_where_scikit_learn_stops(name, data, parameters):
    ours, theirs = pair(name, hidden_layer_sizes=(8,), max_iter=150, random_state=1, dtype="float64", **parameters)
    for model in (ours, theirs):
        model.fit(*data)
    assert ours.n_iter_ == theirs.n_iter_ and ours.t_ == theirs.t_
    np.testing.assert_allclose(ours.loss_curve_, theirs.loss_curve_, rtol=1e-9)
    if ours.early_stopping:
        np.testing.assert_allclose(ours.validation_scores_, theirs.validation_scores_, rtol=1e-9)
        np.testing.assert_allclose(ours.best_validation_score_, theirs.best_validation_score_, rtol=1e-9)
        assert ours.best_loss_ is None and len(ours.validation_loss_curve_) == ours.n_iter_
    else:
        np.testing.assert_allclose(ours.best_loss_, theirs.best_loss_, rtol=1e-9)
        assert ours.validation_scores_ is None and ours.best_validation_score_ is None
    for a, b in zip(ours.coefs_, theirs.coefs_, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("solver", ["sgd", "adam"])
def test_partial_fit_and_warm_start_continue_as_scikit_learn_does(solver):
    settings = {"solver": solver, "hidden_layer_sizes": (8,), "random_state": 1, "dtype": "float64"}
    ours, theirs = pair("MLPClassifier", **settings, max_iter=3)
    for model in (ours, theirs):
        for part in (slice(0, 60), slice(60, 61), slice(61, 150)):
            model.partial_fit(CLASSES[0][part], CLASSES[1][part], classes=np.unique(CLASSES[1]))
        # With warm_start from the beginning, scikit-learn refuses a part in which a class is missing.
        model.set_params(warm_start=True).fit(*CLASSES).fit(*CLASSES)
    assert (ours.n_iter_, ours.t_, len(ours.loss_curve_)) == (3, theirs.t_, 9)
    np.testing.assert_allclose(ours.loss_curve_, theirs.loss_curve_, rtol=1e-10)


def test_a_shared_random_state_is_left_as_scikit_learn_leaves_it():
    states = [np.random.RandomState(5) for _ in range(2)]
    for model, state in zip(pair("MLPClassifier", max_iter=200, tol=0.1, n_iter_no_change=2), states, strict=True):
        model.set_params(random_state=state).fit(*CLASSES)
        assert model.n_iter_ < 64  # fewer epochs than are drawn at a time
    assert states[0].randint(10**9) == states[1].randint(10**9)


@pytest.mark.parametrize(
    ("name", "data"),
    [("MLPClassifier", CLASSES), ("MLPClassifier", TWO), ("MLPClassifier", LABELS), ("MLPRegressor", SEVERAL)],
)
def test_equal_weights_give_equal_loss_and_gradient(name, data):
    """One step of plain descent from known weights shows scikit-learn's gradient: w - w' = g."""
    settings = {"solver": "sgd", "momentum": 0.0, "learning_rate_init": 1.0, "batch_size": 150, "max_iter": 1}
    ours, theirs = pair(name, hidden_layer_sizes=(8,), alpha=0.5, random_state=1, dtype="float64", **settings)
    ours.set_params(solver="lbfgs", max_iter=1, max_fun=1).fit(*data)
    start = [w.copy() for w in ours.coefs_], [b.copy() for b in ours.intercepts_]
    theirs.set_params(warm_start=True).fit(*data)
    theirs.coefs_, theirs.intercepts_ = ([a.copy() for a in arrays] for arrays in start)
    theirs.fit(*data)
    y = ours._validated(*data, False, False)[1]
    sizes = (4, 8, y.shape[1])
    dtype = np.dtype(np.float64)
    with computing(dtype, None):
        plan, numbers = plan_of(ours, sizes, ours._loss_name(), 150), numbers_of(ours, dtype, 150, 150)
        examples = on_device(data[0], y, None, dtype)
        loss, grads = jax.device_get(lbfgs.loss_and_gradient(plan, numbers, layers(*start, dtype), examples))
    np.testing.assert_allclose(loss, theirs.loss_, rtol=1e-12)
    for layer, w, b, new_w, new_b in zip(grads, *start, theirs.coefs_, theirs.intercepts_, strict=True):
        np.testing.assert_allclose(layer.w, w - new_w, rtol=1e-9, atol=1e-12)
        np.testing.assert_allclose(layer.b, b - new_b, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize(("name", "data"), [("MLPClassifier", CLASSES), ("MLPRegressor", NUMBERS)])
def test_lbfgs_ends_as_low_as_scipy_does(name, data):
    ours, theirs = pair(name, solver="lbfgs", hidden_layer_sizes=(5,), alpha=1.0, max_iter=2000, random_state=1)
    for model in (ours, theirs):
        model.fit(*data)
    # Another line search may end in another minimum; from one start, with this much penalty, it is the same one.
    assert ours.loss_ < theirs.loss_ * 1.01
    assert not hasattr(ours, "partial_fit") and 1 < ours.n_iter_ < 2000


@pytest.mark.parametrize(
    ("name", "data"),
    [("MLPClassifier", CLASSES), ("MLPClassifier", TWO), ("MLPClassifier", LABELS), ("MLPRegressor", SEVERAL)],
)
def test_weights_move_both_ways(name, data):
    x, y = data
    ours, theirs = pair(name, hidden_layer_sizes=(8, 5), activation="tanh", max_iter=5, random_state=2)
    predict = "predict" if name == "MLPRegressor" else "predict_proba"
    ours.fit(x, y)
    theirs.fit(x, y)
    np.testing.assert_allclose(getattr(ours.to_sklearn(), predict)(x), getattr(ours, predict)(x), atol=1e-6)
    back = type(ours).from_sklearn(theirs)
    np.testing.assert_allclose(getattr(back, predict)(x), getattr(theirs, predict)(x), atol=1e-6)
    np.testing.assert_array_equal(back.predict(x), theirs.predict(x))
    np.testing.assert_array_equal(ours.to_sklearn().predict(x), ours.predict(x))
    for model in (back, ours.to_sklearn()):  # and both learn on
        assert model.partial_fit(x, y).t_ == 6 * len(x)
    assert np.isfinite(logit(np.clip(back.score(x, y), 0.01, 0.99)))
    with pytest.raises(ValueError, match="'gelu'"):
        type(ours)(activation="gelu").to_sklearn()


def test_reaching_max_iter_warns():
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        MLPClassifier(max_iter=1, random_state=0).fit(*CLASSES)
    assert [w.category for w in caught] == [ConvergenceWarning]
    assert caught[0].filename == __file__
