"""Frames and arrays of other libraries as input, and files of other libraries as output."""

import numpy as np
import pytest
import scipy.sparse
from sklearn.base import clone
from sklearn.compose import make_column_transformer
from sklearn.datasets import load_iris
from sklearn.impute import SimpleImputer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from jaxmlp.estimators import MLPClassifier, MLPRegressor

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

X, Y = load_iris(return_X_y=True)
NAMES = np.array(["setosa", "versicolor", "virginica"])[Y]
SMALL = {"hidden_layer_sizes": (8,), "max_iter": 20, "random_state": 0, "learning_rate_init": 0.01}


@pytest.fixture(scope="module")
def fitted():
    return MLPClassifier(**SMALL).fit(X, NAMES)


def test_column_names_are_kept_and_checked(fitted):
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(X, columns=list("abcd"))
    model = MLPClassifier(**SMALL).fit(frame, pandas.Series(NAMES, dtype="category"))
    assert list(model.feature_names_in_) == list("abcd")
    np.testing.assert_array_equal(model.predict_proba(frame), fitted.predict_proba(X))
    with pytest.raises(ValueError, match="feature names"):
        model.predict(frame[["b", "a", "c", "d"]])
    with pytest.warns(UserWarning, match="does not have valid feature names"):
        model.predict(X)


def test_missing_values_are_refused_and_imputed_in_a_pipeline():
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(X, columns=list("abcd"))
    frame.loc[3, "b"] = None
    with pytest.raises(ValueError, match="Input X contains NaN"):
        MLPClassifier(**SMALL).fit(frame, NAMES)
    frame["kind"] = np.where(X[:, 0] > 5, "long", "short")
    with pytest.raises(ValueError, match="could not convert string to float"):
        MLPClassifier(**SMALL).fit(frame.drop(columns="b"), NAMES)
    columns = make_column_transformer(
        (make_pipeline(SimpleImputer(), StandardScaler()), list("abcd")), (OneHotEncoder(), ["kind"])
    )
    pipeline = make_pipeline(columns, MLPClassifier(**SMALL)).fit(frame, NAMES)
    assert pipeline.score(frame, NAMES) > 0.7 and pipeline[-1].n_features_in_ == 6


def test_a_step_before_may_hand_over_frames():
    pandas = pytest.importorskip("pandas")
    pipeline = make_pipeline(StandardScaler(), MLPRegressor(**SMALL)).set_output(transform="pandas")
    pipeline.fit(pandas.DataFrame(X[:, :3], columns=list("abc")), X[:, 3])
    assert list(pipeline[-1].feature_names_in_) == list("abc")


def test_polars_frames_are_taken(fitted):
    polars = pytest.importorskip("polars")
    frame = polars.DataFrame(X, schema=list("abcd"))
    model = MLPClassifier(**SMALL).fit(frame, polars.Series(NAMES))
    assert list(model.feature_names_in_) == list("abcd")
    np.testing.assert_array_equal(model.predict(frame), fitted.predict(X))


@pytest.mark.parametrize("library", ["jax.numpy", "array_api_strict", "torch"])
def test_arrays_of_other_libraries_are_taken(library, fitted):
    make = pytest.importorskip(library).asarray
    model = MLPClassifier(**SMALL).fit(make(X), make(Y))
    # The arrays of JAX are float32, and so are weights and predictions then.
    np.testing.assert_allclose(model.predict_proba(make(X)), fitted.predict_proba(X), atol=1e-5)


def test_skops_keeps_an_estimator(fitted):
    skops = pytest.importorskip("skops.io")
    data = skops.dumps(fitted)
    own = skops.get_untrusted_types(data=data)
    assert own == ["jaxmlp.estimators.classifier.MLPClassifier"]
    np.testing.assert_array_equal(skops.loads(data, trusted=own).predict(X), fitted.predict(X))


class Wider(MLPClassifier):
    """A subclass with a parameter of its own, which hides all others but two."""

    def __init__(self, extra=1, alpha=0.01):
        super().__init__((8,), alpha=alpha, max_iter=2)
        self.extra = extra


def test_a_subclass_may_have_parameters_of_its_own():
    model = clone(Wider(extra=3))
    assert model.get_params() == {"alpha": 0.01, "extra": 3}
    assert model.fit(X, Y).coefs_[0].shape[1] == 8


def test_sparse_labels_are_predicted_as_sparse_labels():
    labels = scipy.sparse.csr_matrix(np.c_[Y > 0, Y > 1].astype(int))
    model = MLPClassifier(**SMALL).fit(X, labels)
    predicted = model.predict(X)
    assert scipy.sparse.issparse(predicted) and predicted.shape == labels.shape
    assert 0 <= model.score(X, labels) <= 1


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"augment": "flip"}, "augment must be a function"),
        ({"beta_1": 1.0}, r"beta_1 must be in \[0, 1\)"),
        ({"verbose": "yes"}, "verbose must be True or False"),
        ({"dropout": "x"}, "dropout must be a real number"),
        ({"dtype": "flot32"}, "dtype must be"),
        ({"activation": np.tanh}, "activation must be a function of JAX arrays"),
        ({"batch_size": "Auto"}, "Did you mean 'auto'"),
        ({"alpha": "1"}, "alpha must be a real number"),
    ],
)
def test_wrong_parameters_are_value_errors_that_name_them(parameters, message):
    with pytest.raises(ValueError, match=message):
        MLPClassifier(**parameters).fit(X, Y)


def test_negative_weights_are_refused():
    with pytest.raises(ValueError, match="sample_weight must be at least 0, got -1"):
        MLPClassifier().fit(X, Y, sample_weight=-np.ones(len(Y)))
