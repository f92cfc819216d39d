"""Models with ``fit`` are estimators of scikit-learn: its own checks, its pipelines, searches and splits."""

import pickle
import warnings

import numpy as np
import pytest

import fastrnn as fr

LENGTH = "a row is a sequence: its length is not a number of features"
EXPECTED = {
    "check_n_features_in": LENGTH,
    "check_n_features_in_after_fitting": LENGTH,
    "check_estimators_partial_fit_n_features": LENGTH,
    "check_classifiers_train": LENGTH,
    "check_regressors_train": LENGTH,
}
TINY = {"hidden_size": 12, "epochs": 15, "learning_rate": 0.02, "random_state": 0, "bidirectional": False}
WORDS = ["lili", "mimi", "nini", "kiki", "titi", "lulu", "mumu", "nunu", "kuku", "tutu"]
SMALL = {"hidden_size": 8, "epochs": 12, "learning_rate": 0.03, "random_state": 0}


def words(copies=4):
    return WORDS * copies, ["i" if "i" in word else "u" for word in WORDS] * copies


def classifier(**settings):
    return fr.models.SequenceClassifier(**{**SMALL, **settings})


@pytest.fixture
def checks(sklearn):
    from sklearn.utils.estimator_checks import estimator_checks_generator

    def run(model):
        """Return the checks that fail, those that are skipped, and how many pass."""
        failed, skipped, passed = {}, {}, 0
        with warnings.catch_warnings():
            # The class is usable without scikit-learn, so it cannot inherit from its base class; and the
            # checks call deprecated functions of NumPy.
            warnings.simplefilter("ignore")
            for estimator, check in estimator_checks_generator(model, legacy=True):
                name = check.func.__name__
                try:
                    check(estimator)
                    passed += 1
                except pytest.skip.Exception as error:
                    skipped[name] = str(error)
                except Exception as error:
                    if type(error).__name__ == "SkipTest":
                        skipped[name] = str(error)
                    else:
                        failed[name] = f"{type(error).__name__}: {error}"
        return failed, skipped, passed

    return run


def test_the_classifier_passes_the_checks_of_scikit_learn_that_apply_to_sequences(checks):
    failed, skipped, passed = checks(fr.models.SequenceClassifier(**TINY))
    assert {name: text for name, text in failed.items() if name not in EXPECTED} == {}
    assert failed.keys() == EXPECTED.keys() - {"check_regressors_train"}  # else they are no longer expected
    assert all("array_api" in name or "decision_function" in name for name in skipped)
    assert passed > 40


def test_the_regressor_passes_the_checks_of_scikit_learn_that_apply_to_sequences(checks):
    failed, skipped, passed = checks(fr.models.SequenceRegressor(**{**TINY, "epochs": 2}))
    assert {name: text for name, text in failed.items() if name not in EXPECTED} == {}
    assert failed.keys() == EXPECTED.keys() - {"check_classifiers_train"}
    assert all("array_api" in name for name in skipped)
    assert passed > 35


def test_echo_state_models_of_sequences_pass_the_checks_of_scikit_learn_that_apply(checks):
    for kind, other in (("Classifier", "check_regressors_train"), ("Regressor", "check_classifiers_train")):
        model = getattr(fr.models, f"EchoState{kind}")(hidden_size=12, density=1.0, random_state=0)
        failed, skipped, passed = checks(model)
        assert {name: text for name, text in failed.items() if name not in EXPECTED} == {}
        assert failed.keys() == EXPECTED.keys() - {other}
        assert all("array_api" in name for name in skipped)
        assert passed > 40


STEPS = "rows are steps in time: their order counts, and one column may be left out"
EXPECTED_OF_SERIES = {
    "check_methods_sample_order_invariance": STEPS,
    "check_methods_subset_invariance": STEPS,
    "check_fit1d": STEPS,
    "check_fit2d_predict1d": "the message says how many columns are expected, in our words",
    "check_n_features_in_after_fitting": "the message says how many columns are expected, in our words",
    "check_regressors_train": "a list of lists is several series",
}


def test_the_echo_state_network_passes_the_checks_of_scikit_learn_that_apply_to_series(checks):
    failed, skipped, passed = checks(fr.models.EchoStateNetwork(hidden_size=12, density=1.0, random_state=0))
    assert {name: text for name, text in failed.items() if name not in EXPECTED_OF_SERIES} == {}
    assert failed.keys() == EXPECTED_OF_SERIES.keys()
    assert all("array_api" in name for name in skipped)
    assert passed > 40


def test_a_grid_search_chooses_the_leak_rate_of_a_reservoir(sklearn):
    from sklearn.base import clone
    from sklearn.model_selection import GridSearchCV, TimeSeriesSplit

    random = np.random.default_rng(0)
    x = random.normal(size=400)
    y = np.convolve(x, 0.9 ** np.arange(40))[:400]
    model = fr.models.EchoStateNetwork(hidden_size=10, input_scaling=0.05, washout=20, random_state=0)
    search = GridSearchCV(model, {"spectral_radius": [0.01, 0.9]}, cv=TimeSeriesSplit(3)).fit(x[:, None], y)
    assert search.best_params_ == {"spectral_radius": 0.9}
    assert clone(search.best_estimator_).get_params() == search.best_estimator_.get_params()


def test_a_pipeline_prepares_sequences_for_a_model(sklearn):
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import FunctionTransformer

    X, y = words()
    lower = FunctionTransformer(lambda rows: [row.lower() for row in rows])
    pipeline = make_pipeline(lower, classifier()).fit([row.upper() for row in X], y)
    assert pipeline.predict(["KIKI", "tutu"]).tolist() == ["i", "u"]
    assert pipeline.predict_proba(["KIKI"]).shape == (1, 2)
    assert pipeline.score(X, y) == 1.0
    pipeline.set_params(sequenceclassifier__epochs=2)
    assert pipeline.get_params()["sequenceclassifier"].epochs == 2


def test_a_grid_search_finds_the_settings_that_can_learn(sklearn):
    from sklearn.model_selection import GridSearchCV

    X, y = words()
    search = GridSearchCV(classifier(), {"learning_rate": [1e-9, 0.03], "cell": ["gru"]}, cv=2).fit(X, y)
    assert search.best_params_ == {"learning_rate": 0.03, "cell": "gru"}
    assert search.best_estimator_.predict(["kiki"]).tolist() == ["i"]
    assert search.predict(["tutu"]).tolist() == ["u"]


def test_cross_validation_is_the_same_in_processes_and_in_one(sklearn):
    from sklearn.model_selection import StratifiedKFold, cross_val_score

    X, y = words(2)
    splits = StratifiedKFold(2, shuffle=True, random_state=0)
    alone = cross_val_score(classifier(epochs=3), X, y, cv=splits)
    assert cross_val_score(classifier(epochs=3), X, y, cv=splits, n_jobs=2).tolist() == alone.tolist()


def test_a_clone_has_the_settings_and_nothing_learned(sklearn):
    from sklearn.base import clone, is_classifier
    from sklearn.exceptions import NotFittedError
    from sklearn.utils.validation import check_is_fitted

    model = classifier(cell_options={"layer_norm": True}).fit(*words(1))
    copy = clone(model)
    assert copy.get_params() == model.get_params()
    assert is_classifier(copy)
    check_is_fitted(model)
    with pytest.raises(NotFittedError):
        check_is_fitted(copy)
    with pytest.raises(NotFittedError, match="call fit before predict"):
        copy.predict(WORDS)


def test_a_pickled_model_predicts_the_same_bits():
    model = classifier(epochs=2).fit(*words(1))
    copy = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(copy.predict_proba(WORDS), model.predict_proba(WORDS))
    assert pickle.loads(pickle.dumps(classifier())).get_params() == classifier().get_params()


def test_columns_of_pandas_are_sequences_and_targets(pandas):
    X, y = words()
    table = pandas.DataFrame({"word": X, "vowel": y}).sample(frac=1.0, random_state=0)
    model = classifier().fit(table["word"], table["vowel"])
    plain = classifier().fit(table["word"].tolist(), table["vowel"].tolist())
    expected = plain.predict_proba(X)
    np.testing.assert_array_equal(model.predict_proba(pandas.Series(X)), expected)
    assert model.score(table["word"], table["vowel"]) == 1.0


def test_a_categorical_column_and_arrays_in_a_column_are_read(pandas):
    random = np.random.default_rng(0)
    sounds = [random.normal(size=(int(random.integers(2, 6)), 3)) for _ in range(8)]
    table = pandas.DataFrame({"sound": sounds, "who": pandas.Categorical(["a", "b"] * 4)})
    model = classifier(epochs=2).fit(table["sound"], table["who"])
    assert model.classes_.tolist() == ["a", "b"]
    assert model.n_features_in_ == 3


def test_columns_of_0_and_1_are_several_labels(pandas):
    X, _ = words()
    flags = pandas.DataFrame({"i": [int("i" in x) for x in X], "k": [int("k" in x) for x in X]})
    model = classifier(epochs=25).fit(X, flags)
    assert model.multilabel_
    assert model.predict(["kiki", "lulu"]).tolist() == [[1, 1], [0, 0]]


def test_a_column_vector_of_targets_is_read_with_the_warning_of_scikit_learn(sklearn):
    from sklearn.exceptions import DataConversionWarning

    X, y = words(1)
    with pytest.warns(DataConversionWarning, match="A column-vector y was passed"):
        model = classifier(epochs=2).fit(X, np.array(y)[:, None])
    assert model.predict(X).tolist() == classifier(epochs=2).fit(X, y).predict(X).tolist()
