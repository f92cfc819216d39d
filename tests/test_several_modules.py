"""Several modules in one optimiser, one gradient norm and one clipping, as PyTorch's lists of parameters."""

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

KINDS = {
    "sgd": (SGD, "SGD", {}),
    "momentum": (partial(SGD, momentum=0.9), "SGD", {"momentum": 0.9}),
    "rmsprop": (RMSprop, "RMSprop", {}),
    "adam": (Adam, "Adam", {}),
    "adamw": (AdamW, "AdamW", {}),
}
ALL_KINDS = pytest.mark.parametrize("kind", KINDS)


def make_modules(seed=0):
    return [fr.GRU(3, 4, dtype="float64", seed=seed), fr.Linear(4, 2, dtype="float64", seed=seed)]


def fill_gradients(modules, step):
    random = np.random.default_rng(step)
    for module in modules:
        module.gradients.flat[...] = random.normal(size=module.num_parameters)


def flat(modules):
    return np.concatenate([module.parameters.flat for module in modules])


@ALL_KINDS
def test_steps_are_those_of_one_optimizer_each_and_of_pytorch(kind, torch):
    make, name, options = KINDS[kind]
    together, alone = make_modules(), make_modules()
    optimizer, others = make(together, 0.05), [make(module, 0.05) for module in alone]
    tensors = [torch.tensor(np.array(module.parameters.flat), requires_grad=True) for module in together]
    groups = [{"params": [tensor]} for tensor in tensors]
    theirs = getattr(torch.optim, name)(groups, lr=0.05, **options)
    for step in range(6):
        fill_gradients(together, step)
        fill_gradients(alone, step)
        for tensor, module in zip(tensors, together, strict=True):
            tensor.grad = torch.tensor(module.gradients.flat.copy())
        optimizer.step(gradient_scale=0.5)
        for other in others:
            other.step(gradient_scale=0.5)
        for tensor in tensors:
            tensor.grad *= 0.5
        theirs.step()
    assert flat(together).tobytes() == flat(alone).tobytes()
    np.testing.assert_allclose(
        flat(together),
        np.concatenate([tensor.detach().numpy() for tensor in tensors]),
        rtol=1e-12,
        atol=1e-14,
    )
    assert optimizer.steps == 6


def test_any_iterable_will_do_and_dtypes_may_differ():
    modules = [fr.Linear(2, 2, seed=0), fr.Linear(2, 2, dtype="float64", seed=0)]
    optimizer = SGD(iter(modules), 1.0)
    assert optimizer.modules == tuple(modules)
    before = [module.parameters.flat.copy() for module in modules]
    for module in modules:
        module.gradients.flat[...] = 1.0
    optimizer.step()
    for module, old in zip(modules, before, strict=True):
        assert (module.parameters.flat == old - 1).all()
    with pytest.raises(AttributeError, match="this optimizer trains several; use its modules"):
        _ = optimizer.module
    assert SGD(modules[0]).module is SGD([modules[0]]).module is modules[0]


@ALL_KINDS
def test_the_state_carries_a_training_on_to_the_same_bits(kind):
    make = KINDS[kind][0]
    first, second = make_modules(), make_modules(seed=1)
    one, two = make(first, 0.05), make(second, 0.05)
    for step in range(10):
        if step == 2:
            first[1].freeze("bias")
        if step == 5:
            first[1].unfreeze()
            for module, other in zip(first, second, strict=True):
                other.load_state_dict(module.state_dict())
            two.load_state_dict(one.state_dict())
        for modules, optimizer in ((first, one), (second, two)):
            fill_gradients(modules, step)
            if step >= 5 or optimizer is one:
                optimizer.step()
    assert flat(first).tobytes() == flat(second).tobytes()


def test_a_state_of_other_modules_changes_nothing():
    modules = make_modules()
    fill_gradients(modules, 0)
    optimizer = Adam(modules)
    optimizer.step()
    names = ["0.first", "0.second", "1.first", "1.second", "steps"]
    assert sorted(optimizer.state_dict()) == names
    other = Adam(make_modules()[::-1])
    with pytest.raises(ValueError, match=r"optimizer state 0.first: expected float64 \[10\], got float64"):
        other.load_state_dict(optimizer.state_dict())
    with pytest.raises(ValueError, match=r"optimizer state: expected .*'0\.first'"):
        other.load_state_dict(Adam(modules[0]).state_dict())
    assert other.steps == 0
    assert not any(moment.any() for moment in other.moments.values())


def test_norm_and_clipping_are_those_of_all_modules_together(torch):
    modules = make_modules()
    fill_gradients(modules, 0)
    tensors = [torch.zeros(module.num_parameters, dtype=torch.float64) for module in modules]
    for tensor, module in zip(tensors, modules, strict=True):
        tensor.grad = torch.tensor(module.gradients.flat.copy())
    norm = torch.nn.utils.clip_grad_norm_(tensors, 0.7).item()
    assert gradient_norm(modules) == pytest.approx(norm, rel=1e-14)
    assert clip_gradients(modules, 0.7, None) == pytest.approx((norm, 0.7 / (norm + 1e-6)), rel=1e-14)
    assert clip_gradient_norm(iter(modules), 0.7) == pytest.approx(norm, rel=1e-14)
    for tensor, module in zip(tensors, modules, strict=True):
        np.testing.assert_allclose(module.gradients.flat, tensor.grad.numpy(), rtol=1e-12)
    clip_gradient_value(modules, 1e-3)
    assert max(np.abs(module.gradients.flat).max() for module in modules) == 1e-3


LAYER = fr.Linear(2, 2, seed=0)
WHOLE = Composite(inner=Composite(first=LAYER, second=fr.Linear(2, 2, seed=1)))


@pytest.mark.parametrize(
    ("modules", "error", "message"),
    [
        ([LAYER, LAYER], ValueError, r"module: expected each parameter once, but module\[1\] \(Linear\)"),
        ([LAYER, fr.Linear(1, 1), WHOLE], ValueError, r"module\[2\] \(Composite\) shares .* module\[0\]"),
        ([], ValueError, "module: expected at least one module, got none"),
        ([LAYER, 3], TypeError, r"module\[1\]: expected a module, got int"),
        (3, TypeError, "module: expected a module or several, got int"),
        ("abc", TypeError, "module: expected a module or several, got str"),
        (LAYER.parameters, TypeError, "got Parameters; pass the module itself, not its parameters"),
        ([LAYER.parameters["bias"]], TypeError, r"module\[0\]: expected a module, got an array"),
    ],
    ids=["twice", "a part", "none", "a number among", "a number", "text", "parameters", "an array"],
)
@pytest.mark.parametrize(
    "use",
    [SGD, Adam, gradient_norm, partial(clip_gradient_norm, limit=1.0)],
    ids=["sgd", "adam", "norm", "clip"],
)
def test_what_is_no_module_and_what_is_there_twice_are_refused(use, modules, error, message):
    with pytest.raises(error, match=message):
        use(modules)


def make_model(seed=0):
    return fr.LanguageModel(5, hidden_size=4, num_layers=1, embedding_size=3, seed=seed)


def data():
    return fr.ChunkedText(np.random.default_rng(0).integers(5, size=200), 2, 7)


def test_a_trainer_refuses_the_optimizer_of_another_model():
    model, other = make_model(), make_model()
    for optimizer in (Adam(other), SGD([model, other]), Adam([model.rnn, other.output])):
        with pytest.raises(ValueError, match=r"^optimizer: expected one of this trainer's model, .*\(model,"):
            Trainer(model, data(), optimizer)


def test_a_trainer_with_an_optimizer_of_parts_trains_and_clips_these():
    model = make_model()
    parts = [model.embedding, model.output]
    before = model.state_dict()
    record = next(Trainer(model, data(), Adam(parts), clip_norm=0.1).run(1))
    assert record.gradient_norm == pytest.approx(gradient_norm(parts), rel=1e-6)
    unchanged = [name for name, value in model.parameters.items() if (value == before[name]).all()]
    assert unchanged == [name for name in before if name.startswith("rnn.")]


def test_training_all_parts_is_training_the_whole():
    one, two = make_model(), make_model()
    for model, modules in ((one, one), (two, [two.output, two.rnn, two.embedding])):
        list(Trainer(model, data(), AdamW(modules), clip_value=0.01).run(10))
    assert one.parameters.flat.tobytes() == two.parameters.flat.tobytes()
