"""Frozen parameters: optimisers, norms and clipping leave them alone."""

import copy
import pickle
from functools import partial

import numpy as np
import pytest

import fastrnn as fr
from fastrnn.layers import Composite
from fastrnn.train import (
    SGD,
    Adam,
    AdamW,
    RMSprop,
    Trainer,
    clip_gradient_norm,
    clip_gradient_value,
    gradient_norm,
)
from fastrnn.train.clipping import clip_gradients
from fastrnn.train.training_state import TrainingState

OPTIMIZERS = {
    "sgd": (partial(SGD, learning_rate=0.1, weight_decay=0.1), "SGD", {"lr": 0.1, "weight_decay": 0.1}),
    "momentum": (partial(SGD, learning_rate=0.1, momentum=0.9), "SGD", {"lr": 0.1, "momentum": 0.9}),
    "rmsprop": (partial(RMSprop, learning_rate=0.1), "RMSprop", {"lr": 0.1}),
    "adam": (partial(Adam, learning_rate=0.1, weight_decay=0.1), "Adam", {"lr": 0.1, "weight_decay": 0.1}),
    "adamw": (partial(AdamW, learning_rate=0.1, weight_decay=0.1), "AdamW", {"lr": 0.1, "weight_decay": 0.1}),
}


def make_model(**options):
    given = {"hidden_size": 4, "num_layers": 2, "embedding_size": 3, "seed": 0, "dtype": "float64", **options}
    return fr.LanguageModel(6, **given)


def data():
    return fr.ChunkedText(np.random.default_rng(0).integers(6, size=200), 2, 7)


def changed(model, before):
    return [name for name, value in model.parameters.items() if (value != before[name]).any()]


def test_names_modules_and_patterns_choose_parameters():
    model = make_model()
    assert model.frozen == ()
    model.freeze("output.bias", "embedding")
    assert model.frozen == ("embedding.weight", "output.bias")
    model.freeze("rnn.*_l0")
    assert len(model.frozen) == 6
    model.unfreeze("rnn.weight_*", "output")
    assert model.frozen == ("embedding.weight", "rnn.bias_ih_l0", "rnn.bias_hh_l0")
    model.unfreeze()
    assert model.frozen == ()
    model.freeze()
    assert model.frozen == tuple(model.parameters)


def test_a_part_and_the_whole_see_the_same_frozen_parameters():
    rnn, output = fr.GRU(3, 4, seed=0), fr.Linear(4, 2, seed=0)
    output.freeze("bias")
    whole = Composite(first=rnn, inner=Composite(output=output))
    assert whole.frozen == ("inner.output.bias",)
    whole.freeze("first.weight_hh_l0", "inner.output")
    assert rnn.frozen == ("weight_hh_l0",)
    assert output.frozen == ("weight", "bias")
    output.unfreeze()
    assert whole.frozen == ("first.weight_hh_l0",)


@pytest.mark.parametrize("clone", [copy.deepcopy, lambda model: pickle.loads(pickle.dumps(model))])
def test_copies_keep_what_is_frozen_to_themselves(clone):
    model = make_model()
    model.freeze("output")
    twin = clone(model)
    assert twin.frozen == ("output.weight", "output.bias")
    twin.unfreeze()
    assert model.frozen == ("output.weight", "output.bias")


@pytest.mark.parametrize("method", ["freeze", "unfreeze"])
def test_a_name_of_no_parameter_is_refused_and_changes_nothing(method):
    model = make_model()
    model.freeze("embedding")
    with pytest.raises(ValueError, match=f"^{method}: .*'ouput'; the parameters are embedding.weight, rnn"):
        getattr(model, method)("output", "ouput")
    with pytest.raises(TypeError, match=f"^{method}: expected names of parameters, got list"):
        getattr(model, method)(["output"])
    assert model.frozen == ("embedding.weight",)


@pytest.mark.parametrize("kind", OPTIMIZERS)
def test_steps_are_those_of_pytorch_without_requires_grad_and_after_it_again(kind, torch):
    """Weight, momentum and bias correction of what is frozen stand still, and go on where they were."""
    make, name, options = OPTIMIZERS[kind]
    model = make_model()
    parameters = {
        name: torch.tensor(value.copy(), requires_grad=True) for name, value in model.parameters.items()
    }
    optimizer, theirs = make(model), getattr(torch.optim, name)(parameters.values(), **options)
    random = np.random.default_rng(0)
    for step in range(12):
        if step in (3, 8):
            chosen = ["rnn.*_l0", "output.bias"] if step == 3 else ["embedding.weight"]
            model.unfreeze()
            model.freeze(*chosen)
        model.gradients.flat[...] = random.normal(size=model.num_parameters)
        for name, parameter in parameters.items():
            frozen = name in model.frozen
            parameter.requires_grad_(not frozen)
            parameter.grad = None if frozen else torch.tensor(model.gradients[name].copy())
        optimizer.step()
        theirs.step()
        for name, parameter in parameters.items():
            np.testing.assert_allclose(
                model.parameters[name], parameter.detach().numpy(), rtol=1e-11, atol=1e-13
            )


def test_norm_and_clipping_leave_frozen_gradients_out(torch):
    model = make_model()
    model.freeze("rnn.*_l1", "embedding")
    random = np.random.default_rng(0)
    model.gradients.flat[...] = random.normal(size=model.num_parameters)
    given = {name: value.copy() for name, value in model.gradients.items()}
    free = [name for name in given if name not in model.frozen]
    tensors = [torch.zeros(given[name].shape, dtype=torch.float64, requires_grad=True) for name in free]
    for tensor, name in zip(tensors, free, strict=True):
        tensor.grad = torch.tensor(given[name])
    norm = torch.nn.utils.clip_grad_norm_(tensors, 0.5).item()
    assert gradient_norm(model) == pytest.approx(norm, rel=1e-14)
    assert clip_gradients(model, 0.5, None)[0] == pytest.approx(norm, rel=1e-14)
    assert clip_gradient_norm(model, 0.5) == pytest.approx(norm, rel=1e-14)
    for tensor, name in zip(tensors, free, strict=True):
        np.testing.assert_allclose(model.gradients[name], tensor.grad.numpy(), rtol=1e-12)
    clip_gradient_value(model, 1e-3)
    for name in given:
        if name in model.frozen:
            assert model.gradients[name].tobytes() == given[name].tobytes()
        else:
            assert np.abs(model.gradients[name]).max() <= 1e-3
    model.zero_gradients()
    assert not model.gradients.flat.any()


@pytest.mark.parametrize("sparse", [False, True])
def test_a_frozen_embedding_stands_still_whether_sparse_or_not(sparse):
    model = make_model(sparse_embedding=sparse)
    model.freeze("embedding")
    before = model.state_dict()
    list(Trainer(model, data(), Adam(model), clip_norm=0.1, clip_value=1.0).run(5))
    assert changed(model, before) == [name for name in before if name != "embedding.weight"]
    model.zero_gradients()
    assert not model.gradients.flat.any()


def test_a_trainers_state_brings_back_what_was_frozen_and_goes_on_to_the_same_bits():
    one = make_model()
    one.freeze("rnn.*_l0")
    trainer = Trainer(one, data())
    list(trainer.run(4))
    one.unfreeze("rnn.bias*")
    list(trainer.run(8))
    state, other = trainer.state(), make_model(seed=1)
    assert state.values["frozen"] == ["rnn.weight_ih_l0", "rnn.weight_hh_l0"]
    other.load_state_dict(one.state_dict())
    other.freeze("output")
    second = Trainer(other, data())
    second.restore(TrainingState(dict(state.values), dict(state.arrays)))
    assert other.frozen == one.frozen
    for each in (trainer, second):
        list(each.run(12))
        each.model.unfreeze()
        list(each.run(16))
    assert one.parameters.flat.tobytes() == other.parameters.flat.tobytes()
    assert trainer.state().values.get("frozen") is None


@pytest.mark.parametrize("frozen", ["output", ["ouput.bias"], [["output.bias"]], 3])
def test_a_state_with_other_frozen_names_is_refused(frozen):
    trainer = Trainer(make_model(), data())
    state = trainer.state()
    state.values["frozen"] = frozen
    with pytest.raises(ValueError, match="training state: "):
        trainer.restore(state)
    assert trainer.model.frozen == ()


@pytest.mark.parametrize(
    "counts",
    [np.full(11, 2), np.zeros(3, np.int64), np.zeros(11), np.full(11, -1)],
    ids=["too many", "too few parameters", "floats", "negative"],
)
def test_counts_of_skipped_steps_that_cannot_be_are_refused(counts):
    optimizer = Adam(make_model())
    assert len(optimizer.module.parameters) == 11
    state = {**optimizer.state_dict(), "steps": 1, "skipped": counts}
    with pytest.raises(ValueError, match="optimizer state skipped: expected"):
        optimizer.load_state_dict(state)
    assert optimizer.steps == 0


def test_training_with_everything_frozen_is_refused():
    model = make_model()
    trainer = Trainer(model, data())
    model.freeze()
    with pytest.raises(ValueError, match=r"model: all parameters .* are frozen; type model.unfreeze\(\)"):
        next(trainer.run(1))
    assert trainer.step == 0
    model.unfreeze("output.bias")
    before = model.state_dict()
    next(trainer.run(1))
    assert changed(model, before) == ["output.bias"]
