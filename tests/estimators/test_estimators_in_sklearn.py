"""The estimators in scikit-learn's own tools: its checks, pipelines, searches, routing and files."""

import os
import subprocess
import sys

import jax
import joblib
import numpy as np
import pytest
import sklearn
from sklearn import neural_network
from sklearn.base import clone, is_classifier, is_regressor
from sklearn.compose import ColumnTransformer, TransformedTargetRegressor
from sklearn.datasets import load_iris
from sklearn.model_selection import GridSearchCV, cross_val_score, cross_validate
from sklearn.multioutput import ClassifierChain
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler, StandardScaler
from sklearn.utils import get_tags
from sklearn.utils.estimator_checks import check_estimator

from jaxmlp.estimators import MLPClassifier, MLPRegressor, SweepSearchCV

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

X, Y = load_iris(return_X_y=True)
SMALL = {"hidden_layer_sizes": (8,), "max_iter": 20, "random_state": 0, "learning_rate_init": 0.01}
# With its default learning rate "sgd" learns too little in 30 epochs, scikit-learn's own too. Some checks ask for more
# digits than float32 has.
SGD = {"solver": "sgd", "learning_rate_init": 0.1, "max_iter": 30, "dtype": "float64"}
SLOW = pytest.mark.slow
VARIANTS = [
    MLPClassifier(max_iter=30),
    MLPRegressor(max_iter=30),
    pytest.param(MLPClassifier(**SGD), marks=SLOW),
    pytest.param(MLPRegressor(**SGD | {"learning_rate_init": 0.001}), marks=SLOW),  # targets in the hundreds
    pytest.param(MLPClassifier(solver="lbfgs", max_iter=30), marks=SLOW),
    pytest.param(MLPRegressor(solver="lbfgs", max_iter=30), marks=SLOW),
    pytest.param(MLPClassifier(early_stopping=True, max_iter=30), marks=SLOW),
    pytest.param(MLPRegressor(early_stopping=True, max_iter=30), marks=SLOW),
]
REFUSED, CHOSEN, TOO_FEW = (
    "partial_fit refuses early_stopping",
    "which examples validate does not depend on their weights",
    "of ten examples, a tenth cannot validate",
)
FAIL_WITH_EARLY_STOPPING = {
    "check_estimators_partial_fit_n_features": REFUSED,
    "check_fit_score_takes_y": REFUSED,
    "check_n_features_in_after_fitting": REFUSED,
    "check_sample_weight_equivalence_on_dense_data": CHOSEN,
    "check_sample_weight_equivalence_on_sparse_data": CHOSEN,
    "check_estimators_nan_inf": TOO_FEW,
    "check_fit2d_1feature": TOO_FEW,
}
OF_ONE_CLASS = {"MLPClassifier": "check_classifiers_one_label", "MLPRegressor": "check_regressors_no_decision_function"}


def expected_to_fail(estimator):
    if not estimator.early_stopping:
        return {}
    return {**FAIL_WITH_EARLY_STOPPING, OF_ONE_CLASS[type(estimator).__name__]: TOO_FEW}


@pytest.mark.parametrize("estimator", VARIANTS, ids=repr)
@pytest.mark.filterwarnings("ignore")
@pytest.mark.usefixtures("unoptimised")
def test_scikit_learns_checks_pass(estimator):
    expected = expected_to_fail(estimator)
    results = check_estimator(estimator, expected_failed_checks=expected, on_skip=None, on_fail=None)
    assert not {one["check_name"]: one["exception"] for one in results if one["status"] == "failed"}
    assert {one["check_name"] for one in results if one["status"] == "xfail"} == expected.keys()
    assert sum(one["status"] == "passed" for one in results) > 50


@pytest.mark.slow
@pytest.mark.parametrize("cls", [neural_network.MLPClassifier, neural_network.MLPRegressor])
@pytest.mark.filterwarnings("ignore")
def test_scikit_learns_own_fail_the_checks_that_ours_fail(cls):
    estimator = cls(early_stopping=True, max_iter=30)
    results = check_estimator(estimator, on_skip=None, on_fail=None)
    failed = {one["check_name"] for one in results if one["status"] == "failed"}
    # This check trains scikit-learn's own classifier by "lbfgs", which has no early stopping.
    assert expected_to_fail(estimator).keys() - failed <= {"check_sample_weight_equivalence_on_dense_data"}


def test_in_a_pipeline_behind_columns_with_names():
    columns = ColumnTransformer([("first", StandardScaler(), [0, 1]), ("rest", MinMaxScaler(), [2, 3])])
    pipeline = make_pipeline(columns, MLPClassifier(**SMALL | {"max_iter": 300}))
    assert pipeline.fit(X, Y).score(X, Y) > 0.9
    assert "MLPClassifier" in pipeline._repr_html_()
    assert list(pipeline[:-1].get_feature_names_out()) == ["first__x0", "first__x1", "rest__x2", "rest__x3"]


def test_clone_and_set_output_and_tags():
    model = MLPClassifier(**SMALL, dropout=0.1, schedule="cosine", solver="rmsprop")
    assert clone(model).get_params() == model.get_params()
    assert is_classifier(model) and is_regressor(MLPRegressor())
    tags = get_tags(model)
    assert tags.input_tags.sparse and tags.classifier_tags.multi_label and tags.target_tags.required
    make_pipeline(StandardScaler(), model).set_output(transform="default").fit(X, Y)
    TransformedTargetRegressor(MLPRegressor(**SMALL), transformer=StandardScaler()).fit(X, X[:, 0])
    assert ClassifierChain(MLPClassifier(**SMALL)).fit(X, X[:, :2] > 3).predict(X).shape == (150, 2)


def test_joblib_keeps_an_estimator(tmp_path):
    model = MLPClassifier(**SMALL).fit(X, Y)
    joblib.dump(model, tmp_path / "model")
    again = joblib.load(tmp_path / "model")
    np.testing.assert_array_equal(again.predict_proba(X), model.predict_proba(X))


def test_sample_weights_are_routed():
    weights = np.where(Y == 2, 0.0, 1.0)
    with sklearn.config_context(enable_metadata_routing=True):
        model = MLPClassifier(**SMALL | {"max_iter": 60}).set_fit_request(sample_weight=True)
        model.set_score_request(sample_weight=True)
        scaler = StandardScaler().set_fit_request(sample_weight=False)
        found = cross_validate(
            make_pipeline(scaler, model), X, Y, params={"sample_weight": weights}, return_estimator=True
        )
    assert not any((one.predict(X) == 2).any() for one in found["estimator"])
    assert found["test_score"].mean() > 0.9  # of the two classes that have weight


@pytest.mark.slow
def test_cross_validation_in_processes():
    found = cross_val_score(MLPClassifier(**SMALL), X, Y, cv=2, n_jobs=2)
    np.testing.assert_allclose(found, cross_val_score(MLPClassifier(**SMALL), X, Y, cv=2))


@pytest.fixture
def compiled_in_threads(compile_log):
    """Yield the log of what is compiled in any thread; that of compile_log is of the main one."""
    jax.config.update("jax_log_compiles", True)
    yield compile_log
    jax.config.update("jax_log_compiles", False)


def test_a_sweep_finds_what_grid_search_finds(compiled_in_threads):
    grid = {"alpha": [1e-4, 1.0], "learning_rate_init": [1e-3, 1e-2], "beta_1": [0.8, 0.9]}
    model = MLPClassifier(**SMALL | {"hidden_layer_sizes": (9,)}, tol=1e-3)
    sweep = SweepSearchCV(model, grid, 3, return_train_score=True).fit(X, Y)
    # All points of all folds, and the refit on more examples, which are padded to the same number.
    assert compiled_in_threads.count("jit(run_epochs)") == 1
    search = GridSearchCV(model, grid, cv=3, return_train_score=True).fit(X, Y)
    assert compiled_in_threads.count("jit(run_epochs)") == 1
    assert sweep.best_params_ == search.best_params_ and sweep.best_score_ == search.best_score_
    assert vars(sweep).keys() == vars(search).keys()
    for name, values in search.cv_results_.items():
        if "time" not in name:
            np.testing.assert_array_equal(sweep.cv_results_[name], values)
    np.testing.assert_array_equal(sweep.predict(X), search.predict(X))


def test_a_sweep_of_a_pipeline_with_several_scores():
    search = SweepSearchCV(
        make_pipeline(StandardScaler(), MLPRegressor(**SMALL)),
        [{"mlpregressor__alpha": [0.1, 1.0]}, {"mlpregressor__learning_rate_init": [0.1]}],
        cv=2,
        scoring=["r2", "neg_mean_absolute_error"],
        refit="r2",
        n_jobs=2,
    ).fit(X[:, :3], X[:, 3])
    assert search.cv_results_["mean_test_r2"].shape == (3,) and search.best_estimator_.predict(X[:, :3]).shape == (150,)
    assert clone(search).get_params()["cv"] == 2


@pytest.mark.slow
def test_the_persistent_cache_helps_the_next_process(tmp_path):
    code = (
        "import jax, logging\n"
        "logging.getLogger('jax._src.compiler').setLevel(logging.DEBUG)\n"
        "logging.basicConfig(level=logging.DEBUG)\n"
        "from jaxmlp.estimators import MLPClassifier\n"
        "MLPClassifier((7,), max_iter=2).fit([[0.0], [1.0]] * 20, [0, 1] * 20)\n"
    )
    environment = {"JAX_COMPILATION_CACHE_DIR": str(tmp_path), "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0"}
    hits = []
    for _ in range(2):
        done = subprocess.run(
            [sys.executable, "-c", code], env=_environment() | environment, capture_output=True, text=True, check=True
        )
        hits.append(done.stderr.count("Persistent compilation cache hit for 'jit_run_epochs'"))
    assert hits == [0, 1]


def _environment():
    return dict(os.environ) | {"PYTHONPATH": os.pathsep.join(sys.path)}
