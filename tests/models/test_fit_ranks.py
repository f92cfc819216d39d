"""``fit`` on several ranks: the bits of one process with as many shards, for every model and loss."""

import numpy as np
import pytest

from fastrnn.models.base.batch_gradients import BatchGradients
from fastrnn.train.distributed import OneProcess
from fit_cases import CASES, new_model
from thread_ranks import run_ranks

EVERY = pytest.mark.parametrize("name", CASES)


def flat(model):
    return model.network_.parameters.flat.copy()


def history_of(model):
    return {name: values for name, values in model.history_.items() if name != "seconds"}


def predictions_of(model, X):
    return model.predict(3) if hasattr(model, "one_step_predictions") else model.predict(X)


def assert_equal_models(one, other, X):
    np.testing.assert_array_equal(flat(one), flat(other))
    np.testing.assert_equal(history_of(one), history_of(other))
    np.testing.assert_equal(predictions_of(one, X), predictions_of(other, X))


@EVERY
def test_the_bits_depend_on_the_shards_and_not_on_the_ranks(name):
    def fit(ranks):
        model, X, y = new_model(name, early_stopping=True)
        return model.fit(X, y, validation=(X, y), ranks=ranks)

    [alone] = run_ranks(1, fit, shards=4)
    X = CASES[name][2]
    for count in (2, 4):
        for model in run_ranks(count, fit, shards=4):
            assert_equal_models(model, alone, X)
            assert model.history_["validation_score"]


@EVERY
@pytest.mark.parametrize("shards", [2, 3, 30])
def test_the_shards_have_the_gradients_and_the_loss_of_the_batch(name, shards):
    model, X, y = new_model(
        name, dtype="float64", epochs=1, dropout=0.0, unknown_alpha=0.0, cell_options=None,
        **({"noise": 0.0, "time_mask": 0, "feature_mask": 0} if name == "transcripts" else {}),
    )  # fmt: skip
    network, examples = model.fit(X, y).network_, model._examples(X, y)
    rows = np.arange(len(examples))
    found = []
    for ranks in (OneProcess(), OneProcess(shards=shards)):
        loss = BatchGradients(network, examples, ranks).compute(rows, 7.0)
        found.append((loss, network.gradients.flat.copy()))
    (whole, expected), (summed, gradients) = found
    assert np.abs(expected).max() > 1e-4
    np.testing.assert_allclose(gradients, expected, rtol=1e-9, atol=1e-12)
    assert summed.mean == pytest.approx(whole.mean, rel=1e-12)
    assert summed.weight == pytest.approx(whole.weight, rel=1e-12)
