"""What the estimators have beyond scikit-learn's, what they refuse, and what they compile."""

import pickle

import jax
import numpy as np
import optax
import pytest
import scipy.sparse
from sklearn import neural_network
from sklearn.datasets import load_digits, load_iris
from sklearn.preprocessing import scale

import jaxmlp
from jaxmlp.estimators import MLPClassifier, MLPRegressor
from jaxmlp.estimators.examples import Csr, bucket, dense_rows, on_device, padded_batch, padded_rows

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

X, Y = load_iris(return_X_y=True)
X = scale(X)
SMALL = {"hidden_layer_sizes": (8,), "max_iter": 5, "random_state": 0}


def test_a_second_fit_compiles_nothing_whatever_the_numbers(compile_log):
    MLPClassifier(**SMALL).fit(X, Y)
    compile_log.clear()
    other = {"alpha": 0.1, "learning_rate_init": 0.02, "beta_1": 0.8, "tol": 0.0, "max_iter": 9, "random_state": 7}
    MLPClassifier(**SMALL | other, verbose=False, shuffle=False).fit(X[:140], Y[:140], np.ones(140)).predict(X)
    MLPClassifier(**SMALL).partial_fit(X[:149], Y[:149], classes=range(3)).partial_fit(X[:130], Y[:130])
    assert compile_log == []


def test_a_thousand_numbers_of_examples_are_a_handful_of_programs(compile_log):
    small, large = (20, 100, 3), (784, 100, 10)
    assert {(padded_rows(n, 20), padded_batch("auto", n, small)) for n in range(1, 1001)} == {(1024, 200)}
    shapes = {(padded_rows(n, 784), padded_batch("auto", n, large)) for n in range(1, 1001)}
    assert sorted(shapes) == [(1024, 32), (1024, 100), (1024, 200)]
    assert len({padded_rows(n, 784) for n in range(50_000, 51_000)}) == 1
    for n in range(1, 20_000):
        assert n <= padded_rows(n, 20) <= max(1024, 2 * n)
        assert min(n, 200) <= padded_batch("auto", n, large) <= max(32, 4 * n)
        assert n <= padded_rows(n, None) <= max(256, 2 * n) and bucket(bucket(n)) == bucket(n)
    order = np.random.RandomState(0).permutation(150)
    for n in range(20, 151, 5):
        MLPClassifier(**SMALL, solver="sgd").fit(X[order[:n]], Y[order[:n]])
    assert compile_log.count("jit(run_epochs)") == 1


def test_numbers_of_features_share_a_program(compile_log):
    x = np.c_[X, X**2, X**3, X**4]
    settings = {**SMALL, "hidden_layer_sizes": (6,), "dtype": "float64"}
    for features in (1, 4, 16):
        MLPClassifier(**settings).fit(x[:, :features], Y)
    assert compile_log.count("jit(run_epochs)") == 1
    # A rule of the user's may look at the whole matrix of weights, and a function of the user's at the whole batch.
    rule = MLPClassifier(**settings, solver=optax.sgd(0.1)).fit(X, Y)
    augmented = MLPClassifier(**settings, augment=_four_columns).fit(X, Y)
    assert rule.coefs_[0].shape == augmented.coefs_[0].shape == (4, 6)


def _four_columns(key, x):
    assert x.shape[1] == 4
    return x


def test_predicting_compiles_nothing(compile_log):
    model = MLPClassifier(**SMALL).fit(X, Y)
    compile_log.clear()
    for n in (1, 2, 77):
        assert model.predict(X[:n]).shape == (n,)
    assert compile_log == []


@pytest.mark.parametrize(
    ("form", "solver"),
    [
        (scipy.sparse.csc_matrix, "adam"),
        pytest.param(scipy.sparse.csr_array, "adam", marks=pytest.mark.slow),
        pytest.param(scipy.sparse.csr_matrix, "lbfgs", marks=pytest.mark.slow),
    ],
)
def test_sparse_input_gives_what_dense_input_gives(form, solver):
    x, y = load_digits(return_X_y=True)
    x, y = x[:250] / 16, y[:250]
    settings = {**SMALL, "solver": solver, "early_stopping": True, "dtype": "float64"}
    dense, sparse = MLPClassifier(**settings).fit(x, y), MLPClassifier(**settings).fit(form(x), y)
    # Equal sums in another order.
    np.testing.assert_allclose(sparse.loss_, dense.loss_, rtol=1e-9)
    np.testing.assert_allclose(sparse.predict_proba(form(x)), dense.predict_proba(x), rtol=1e-6)


def test_a_sparse_matrix_stays_sparse_on_the_device():
    x = scipy.sparse.random(1000, 5000, density=1e-3, random_state=0, format="csr")
    examples = on_device(x, np.zeros((1000, 1)), None, np.dtype(np.float32))
    assert isinstance(examples.x, Csr)
    assert sum(a.nbytes for a in jax.tree.leaves(examples)) < 0.1 * 4 * x.shape[0] * x.shape[1]
    rows = np.array([3, 999, 3, 0])
    np.testing.assert_allclose(dense_rows(examples.x, rows), x[rows].toarray(), rtol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("solver", ["momentum", "nesterov", "adagrad", "rmsprop", "amsgrad"])
def test_every_rule_trains(solver):
    model = MLPClassifier(**SMALL | {"max_iter": 60}, solver=solver, learning_rate_init=0.01, batch_size=30).fit(X, Y)
    assert model.loss_ < model.loss_curve_[0] and model.score(X, Y) > 0.8


def test_an_optimizer_of_the_users_is_used_as_it_is():
    by_name = MLPClassifier(**SMALL, solver="rmsprop", learning_rate_init=0.01).fit(X, Y)
    given = MLPClassifier(**SMALL, solver=jaxmlp.optimizers.rmsprop(0.01)).fit(X, Y)
    np.testing.assert_array_equal(given.loss_curve_, by_name.loss_curve_)


@pytest.mark.slow
def test_dropout_augmentation_penalty_initializer_and_schedules_take_effect():
    plain = MLPClassifier(**SMALL).fit(X, Y)
    for change in (
        {"dropout": 0.5},
        {"augment": _noise},
        {"l1": 1.0},
        {"initializer": "he_normal"},
        {"schedule": "cosine"},
        {"schedule": "linear"},
        {"schedule": _falling},
        {"activation": "gelu"},
    ):
        first, second = (MLPClassifier(**{**SMALL, **change}).fit(X, Y) for _ in range(2))
        assert first.loss_curve_ != plain.loss_curve_, change
        np.testing.assert_array_equal(first.loss_curve_, second.loss_curve_)
        assert first.predict(X).shape == (150,)


def _noise(key, x):
    return x + jax.random.normal(key, x.shape, x.dtype)


def _falling(count):
    return 0.01 / (1.0 + jax.numpy.float32(count))


def test_a_schedule_that_ends_at_zero_ends_training():
    one_step = {**SMALL, "batch_size": 150, "solver": "sgd", "momentum": 0.0, "dtype": "float64", "max_iter": 2}
    half = MLPClassifier(**one_step, schedule="linear").fit(X, Y)  # rates 1 and 1/2 of the first
    first = MLPClassifier(**one_step | {"max_iter": 1}).fit(X, Y)
    then = first.set_params(warm_start=True, learning_rate_init=0.0005).fit(X, Y)
    np.testing.assert_allclose(half.coefs_[0], then.coefs_[0], rtol=1e-12)


def test_early_stopping_by_loss_keeps_the_epoch_of_lowest_loss():
    settings = {"early_stopping": "loss", "max_iter": 300, "learning_rate_init": 0.05, "validation_fraction": 0.3}
    model = MLPClassifier(**SMALL | settings).fit(X, Y)
    lowest = int(np.argmin(model.validation_loss_curve_))
    assert model.n_iter_ - 1 - lowest > 0 and model.n_iter_ < 300
    shorter = MLPClassifier(**SMALL | settings | {"max_iter": lowest + 1}).fit(X, Y)
    np.testing.assert_allclose(model.coefs_[0], shorter.coefs_[0], rtol=1e-6)


@pytest.mark.slow
def test_restarts_keep_the_best_run():
    settings = {**SMALL, "early_stopping": True, "n_restarts": 4, "learning_rate_init": 0.01, "max_iter": 15}
    model = MLPClassifier(**settings).fit(X, Y)
    again = MLPClassifier(**settings).fit(X, Y)
    np.testing.assert_array_equal(model.coefs_[0], again.coefs_[0])
    runs = MLPRegressor(**SMALL, n_restarts=5, tol=0.0).fit(X, Y)
    seeds = np.random.RandomState(0).randint(2**31 - 1, size=5)
    losses = [MLPRegressor(**SMALL | {"random_state": int(seed)}, tol=0.0).fit(X, Y).loss_ for seed in seeds]
    np.testing.assert_allclose(runs.loss_, min(losses), rtol=1e-6)


def test_verbose_prints_a_line_per_epoch(capsys):
    MLPClassifier(**SMALL, verbose=True, early_stopping=True).fit(X, Y)
    MLPRegressor(**SMALL, verbose=1, solver="lbfgs").fit(X, Y)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 10 and "validation score" in lines[0] and "Iteration 5: loss" in lines[9]


def test_an_interrupt_keeps_what_was_learned(monkeypatch):
    from jaxmlp.estimators import solvers

    calls, run = [], solvers.run_epochs

    def interrupted(*arguments):
        if len(calls) == 2:
            raise KeyboardInterrupt
        calls.append(1)
        return run(*arguments)

    monkeypatch.setattr(solvers, "run_epochs", interrupted)
    with pytest.warns(UserWarning, match="interrupted"):
        model = MLPClassifier(**SMALL | {"max_iter": 500}, n_iter_no_change=np.inf).fit(X, Y)
    assert 0 < model.n_iter_ < 500 and model.predict(X).shape == (150,)


def test_a_pickle_holds_no_arrays_of_a_device():
    model = MLPClassifier(**SMALL).fit(X, Y)
    assert b"jaxlib" not in pickle.dumps(model)
    again = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(again.partial_fit(X, Y).coefs_[0], model.partial_fit(X, Y).coefs_[0])


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"alpha": -1.0}, r"alpha must be in \[0, inf\); got -1.0"),
        ({"tol": float("nan")}, "tol"),
        ({"learning_rate_init": 0}, "learning_rate_init"),
        ({"momentum": 1.1}, "momentum"),
        ({"solver": "admm"}, "unknown solver 'admm'"),
        ({"activation": "relux"}, "Did you mean 'relu'"),
        ({"hidden_layer_sizes": (5, 0)}, "hidden_layer_sizes"),
        ({"early_stopping": "score"}, "early_stopping"),
        ({"dtype": "float16"}, "dtype"),
        ({"solver": "lbfgs", "dropout": 0.5}, "dropout needs mini-batches"),
        ({"learning_rate": "cosine"}, "learning_rate"),
        ({"schedule": "cosin"}, "Did you mean 'cosine'"),
        ({"n_iter_no_change": 0}, "n_iter_no_change"),
        ({"early_stopping": True, "validation_fraction": 0.001}, "validation_fraction"),
        ({"n_restarts": 0}, "n_restarts"),
        ({"device": "tpu:3"}, "no device 'tpu:3' here; there are \"cpu:0\""),
    ],
)
def test_a_parameter_that_is_not_allowed_is_named(parameters, message):
    with pytest.raises(ValueError, match=message):
        MLPClassifier(**parameters).fit(X, Y)


@pytest.mark.parametrize(
    "parameters", [{"shuffle": 1}, {"max_iter": 1.5}, {"alpha": "1"}, {"augment": 3}, {"device": 0}]
)
def test_a_parameter_of_the_wrong_type_is_named(parameters):
    with pytest.raises(TypeError, match=next(iter(parameters))):
        MLPClassifier(**parameters).fit(X, Y)


def test_calls_that_make_no_sense_are_refused():
    with pytest.raises(TypeError, match="instance of scikit-learn's MLPClassifier, got MLPRegressor"):
        MLPClassifier.from_sklearn(neural_network.MLPRegressor())
    with pytest.raises(ValueError, match="needs classes"):
        MLPClassifier().partial_fit(X, Y)
    with pytest.raises(ValueError, match="early_stopping"):
        MLPClassifier(early_stopping=True).partial_fit(X, Y, classes=range(3))
    with pytest.raises(ValueError, match="y has"):
        MLPClassifier(**SMALL, warm_start=True).fit(X, Y).fit(X[:100], Y[:100])
    with pytest.raises(ValueError, match=r"layers of the first call, \(4, 8, 3\).* are now of \(4, 9, 3\)"):
        MLPClassifier(**SMALL, warm_start=True).fit(X, Y).set_params(hidden_layer_sizes=(9,)).fit(X, Y)
    with pytest.raises(ValueError, match="not finite"):
        MLPRegressor(**SMALL, solver="sgd", learning_rate_init=1e10).fit(X, Y)
    with pytest.raises(ValueError, match="targets >= 0"):
        MLPRegressor(loss="poisson").fit(X, -Y)
    with pytest.warns(UserWarning, match="batch_size is 200"):
        MLPClassifier(**SMALL, batch_size=200).fit(X, Y)
