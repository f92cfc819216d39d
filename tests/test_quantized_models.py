"""Models with ``fit`` quantized to bfloat16 and int8: results beside those of float32, copies, files."""

import copy
import pickle

import numpy as np
import pytest

from kernel_cases import with_threads
from precision_model_cases import CASES, NARROW, fitted, numbers, quantized


@pytest.mark.parametrize("precision", NARROW)
@pytest.mark.parametrize("name", CASES)
def test_a_quantized_model_says_nearly_the_same_of_unseen_data(name, precision):
    model, margin = quantized(name, precision), CASES[name].margin
    wide, narrow = numbers(name, fitted(name)), numbers(name, model)
    difference = np.abs(wide - narrow).max()
    assert 0 < difference <= (margin if precision == "int8" else margin / 2)
    assert (model.network_.precision, model.quantized) == (precision, True)
    assert (fitted(name).network_.precision, fitted(name).quantized) == ("float32", False)


@pytest.mark.parametrize("precision", NARROW)
@pytest.mark.parametrize("name", CASES)
def test_what_a_quantized_model_says_of_a_sequence_does_not_depend_on_its_batch_or_threads(name, precision):
    model = copy.copy(quantized(name, precision))
    found = {size: numbers(name, model.set_params(batch_size=size)).tobytes() for size in (1, 7, 32)}
    assert found[1] == found[7] == found[32]
    assert with_threads(2, lambda: numbers(name, model)).tobytes() == found[32]


@pytest.mark.parametrize("precision", NARROW)
@pytest.mark.parametrize("name", CASES)
def test_copies_pickles_and_files_of_a_quantized_model_have_the_same_bits(name, precision, tmp_path):
    model = quantized(name, precision)
    model.save(tmp_path / "m.safetensors")
    for twin in (
        copy.deepcopy(model),
        pickle.loads(pickle.dumps(model)),
        type(model).load(tmp_path / "m.safetensors"),
    ):
        assert (twin.network_.precision, twin.quantized) == (precision, True)
        assert twin.get_params() == model.get_params()
        assert numbers(name, twin).tobytes() == numbers(name, model).tobytes()


@pytest.mark.parametrize("name", CASES)
def test_the_file_of_a_quantized_model_is_smaller_than_that_of_the_model_it_was_made_of(name, tmp_path):
    def size(model):
        model.save(tmp_path / "m.safetensors")
        content = (tmp_path / "m.safetensors").read_bytes()
        return len(content) - 8 - int.from_bytes(content[:8], "little")  # of the tensors alone

    sizes = [size(fitted(name)), size(quantized(name, "bfloat16")), size(quantized(name, "int8"))]
    assert sizes[0] > 1.5 * sizes[1] > 1.5 * sizes[2]


@pytest.mark.parametrize("precision", NARROW)
def test_a_quantized_model_is_not_trained_and_the_message_says_what_is(precision):
    for name in ("classifier", "translator", "generator of texts"):
        model, kind = quantized(name, precision), CASES[name].kind.__name__
        before = model.network_.parameters.flat.tobytes()
        for method in ("fit", "partial_fit"):
            message = rf"quantized: {kind} is for inference; call {method} of .*{kind}\(\*\*model.get_params"
            with pytest.raises(ValueError, match=message):
                getattr(model, method)(*CASES[name].training)
        assert model.network_.parameters.flat.tobytes() == before
        assert not type(model)(**model.get_params()).__sklearn_is_fitted__()


@pytest.mark.parametrize("precision", NARROW)
def test_a_quantized_generator_draws_the_same_sequences_alone_and_with_others(precision):
    model = quantized("generator of texts", precision)
    drawn = model.generate(["back", "front"], count=3, random_state=0)
    assert model.generate(["back"], count=3, random_state=0) == drawn[:3]
    assert model.predict(["front"]) == model.predict(["back", "front"])[1:]
    assert all(isinstance(word, str) and word for word in drawn)


@pytest.mark.parametrize("precision", NARROW)
def test_a_quantized_forecaster_runs_in_closed_loop_alone_and_with_others(precision):
    model, (unseen, _) = quantized("forecaster", precision), CASES["forecaster"].unseen
    one = model.predict(6, history=unseen)
    assert [*map(np.ndarray.tobytes, model.predict(6, history=[unseen[:40], unseen]))][1] == one.tobytes()
    bands = model.predict(6, history=unseen, quantiles=(0.1, 0.9), paths=50)
    assert (bands[0.1] <= bands[0.9]).all()
    wide = fitted("forecaster").predict(6, history=unseen)
    assert np.abs(one - wide).max() < 2.0


@pytest.mark.parametrize("precision", NARROW)
@pytest.mark.parametrize("name", ["translator", "feeding translator"])
def test_the_searches_of_a_quantized_translator_do_not_depend_on_other_sources(name, precision):
    model, (X, _) = copy.copy(quantized(name, precision)), CASES[name].unseen[:10]
    for beam in (1, 4):
        together = model.set_params(beam_size=beam).predict(X)
        assert [model.predict([text])[0] for text in X[:8]] == together[:8]
        assert model.sample(X[:3], random_state=0) == model.sample(X[:8], random_state=0)[:3]


@pytest.mark.parametrize("precision", NARROW)
def test_decoders_of_quantized_models_find_what_those_of_float32_find(precision):
    for name in ("transcriber", "CRF", "tagger", "classifier", "translator"):
        (X, y), wide = CASES[name].unseen, fitted(name)
        found, wanted = [[*map(list, model.predict(X))] for model in (quantized(name, precision), wide)]
        same = np.mean([one == other for one, other in zip(found, wanted, strict=True)])
        assert same >= 0.9, name
    X, y = CASES["transcriber"].unseen
    assert len(quantized("transcriber", precision).align(X[:2], y[:2])) == 2
