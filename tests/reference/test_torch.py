"""The reference against PyTorch: whole networks with packed sequences, losses, optimisers, clipping."""

import numpy as np
import pytest

from fastrnn import reference
from fastrnn.reference import Rows
from recurrent_cases import GATES

T, N, D, H, LAYERS = 9, 5, 4, 6, 2

MODULES = {
    "elman-tanh": ("elman", "RNN", {"nonlinearity": "tanh"}),
    "elman-relu": ("elman", "RNN", {"nonlinearity": "relu"}),
    "gru": ("gru", "GRU", {}),
    "lstm": ("lstm", "LSTM", {}),
}


def parameter_names(layer, direction):
    suffix = f"_l{layer}" + ("_reverse" if direction else "")
    return [name + suffix for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")]


def weights_of(module, directions):
    """Return the module's parameters, layer by layer and direction by direction."""
    values = {name: p.detach().numpy() for name, p in module.named_parameters()}
    return [
        [tuple(values.get(name) for name in parameter_names(layer, d)) for d in range(directions)]
        for layer in range(LAYERS)
    ]


def close(ours, theirs, dtype):
    theirs = np.asarray(theirs.detach())
    assert ours.dtype == theirs.dtype == dtype
    tolerance = 1e-11 if dtype == "float64" else 1e-5
    np.testing.assert_allclose(ours, theirs, rtol=tolerance, atol=tolerance * max(1.0, np.abs(theirs).max()))


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("bias", [True, False], ids=["bias", "no-bias"])
@pytest.mark.parametrize("ragged", [False, True], ids=["full", "packed"])
@pytest.mark.parametrize("directions", [1, 2])
@pytest.mark.parametrize("name", MODULES)
def test_stacked_layers(torch, name, directions, ragged, bias, dtype):
    cell, class_name, options = MODULES[name]
    torch.manual_seed(3)
    module = getattr(torch.nn, class_name)(
        D, H, LAYERS, bias=bias, bidirectional=directions == 2, dtype=getattr(torch, dtype), **options
    )
    random = np.random.default_rng(5)
    x = random.normal(size=(T, N, D)).astype(dtype)
    lengths = np.array([3, 9, 1, 7, 9]) if ragged else None
    count = 2 if cell == "lstm" else 1
    state = random.normal(size=(count, LAYERS * directions, N, H)).astype(dtype)
    dy = random.normal(size=(T, N, directions * H)).astype(dtype)
    dstate = random.normal(size=state.shape).astype(dtype)

    leaves = [torch.tensor(a, requires_grad=True) for a in (x, *state)]
    x_in = leaves[0]
    if ragged:
        x_in = torch.nn.utils.rnn.pack_padded_sequence(x_in, torch.tensor(lengths), enforce_sorted=False)
    y_torch, state_torch = module(x_in, tuple(leaves[1:]) if count == 2 else leaves[1])
    if ragged:
        y_torch, _ = torch.nn.utils.rnn.pad_packed_sequence(y_torch, total_length=T)
    state_torch = state_torch if count == 2 else (state_torch,)
    loss = (y_torch * torch.tensor(dy)).sum()
    loss = loss + sum((s * torch.tensor(d)).sum() for s, d in zip(state_torch, dstate, strict=True))
    loss.backward()

    weights = weights_of(module, directions)
    assert weights[0][0][0].shape == (GATES[cell] * H, D)

    def nested(stacked):
        return [
            [tuple(stacked[:, layer * directions + d]) for d in range(directions)] for layer in range(LAYERS)
        ]

    y, states, tapes = reference.stack_forward(cell, x, weights, nested(state), Rows(lengths), **options)
    dx, dstates, dweights = reference.stack_backward(cell, weights, tapes, dy, nested(dstate), **options)

    close(y, y_torch, dtype)
    close(dx, leaves[0].grad, dtype)
    for layer in range(LAYERS):
        for d in range(directions):
            k = layer * directions + d
            for which in range(count):
                close(states[layer][d][which], state_torch[which][k], dtype)
                close(dstates[layer][d][which], leaves[1 + which].grad[k], dtype)
            for parameter, gradient in zip(parameter_names(layer, d), dweights[layer][d], strict=True):
                if bias or parameter.startswith("weight"):
                    close(gradient, module.get_parameter(parameter).grad, dtype)
                else:
                    assert gradient is None


def test_gru_with_the_reset_before(torch):
    """Compare with the paper's equations under autograd, as PyTorch has no such cell."""
    random = np.random.default_rng(6)
    shapes = ((T, N, D), (3 * H, D), (3 * H, H), (3 * H,), (3 * H,), (N, H))
    arrays = [random.normal(size=shape) * 0.5 for shape in shapes]
    dy = random.normal(size=(T, N, H))
    x, w_ih, w_hh, b_ih, b_hh, h = leaves = [torch.tensor(a, requires_grad=True) for a in arrays]
    loss = 0.0
    for t in range(T):
        x_r, x_z, x_n = (x[t] @ w_ih.T + b_ih).split(H, dim=1)
        r = torch.sigmoid(x_r + h @ w_hh[:H].T + b_hh[:H])
        z = torch.sigmoid(x_z + h @ w_hh[H : 2 * H].T + b_hh[H : 2 * H])
        n = torch.tanh(x_n + (r * h) @ w_hh[2 * H :].T + b_hh[2 * H :])
        h = z * h + (1 - z) * n
        loss = loss + (torch.tensor(dy[t]) * h).sum()
    loss.backward()

    weights = tuple(arrays[1:5])
    _, state_n, tape = reference.gru_forward(arrays[0], weights, (arrays[5],), reset_after=False)
    dx, dstate, dweights = reference.gru_backward(weights, tape, dy, reset_after=False)
    close(state_n[0], h, "float64")
    for ours, leaf in zip((dx, *dweights, *dstate), leaves, strict=True):
        close(ours, leaf.grad, "float64")


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_linear_cross_entropy(torch, dtype):
    random = np.random.default_rng(8)
    h, weight, bias = (random.normal(size=s).astype(dtype) for s in ((12, 5), (9, 5), (9,)))
    targets = random.integers(-1, 9, size=12)
    assert (targets == -1).any()
    h_torch, weight_torch, bias_torch = (torch.tensor(a, requires_grad=True) for a in (h, weight, bias))
    logits = torch.nn.functional.linear(h_torch, weight_torch, bias_torch)
    losses = torch.nn.functional.cross_entropy(
        logits, torch.tensor(targets), ignore_index=-1, reduction="none"
    )
    (losses.sum() * 0.125).backward()
    ours = reference.linear_cross_entropy(h, weight, bias, targets, scale=0.125)
    close(ours.losses, losses, dtype)
    for gradient, leaf in zip(ours[1:], (h_torch, weight_torch, bias_torch), strict=True):
        close(gradient, leaf.grad, dtype)


def test_embedding(torch):
    random = np.random.default_rng(9)
    ids, weight, dy = (
        random.integers(7, size=(4, 6)),
        random.normal(size=(7, 3)),
        random.normal(size=(4, 6, 3)),
    )
    leaf = torch.tensor(weight, requires_grad=True)
    y = torch.nn.functional.embedding(torch.tensor(ids), leaf)
    (y * torch.tensor(dy)).sum().backward()
    close(reference.embedding_forward(ids, weight), y, "float64")
    close(reference.embedding_backward(ids, dy, 7), leaf.grad, "float64")


OPTIMISERS = {
    "sgd": ("SGD", {}, lambda p, g, m, v, t: reference.sgd_step(p, g, None, 0.05)),
    "sgd-decay": (
        "SGD",
        {"weight_decay": 0.1},
        lambda p, g, m, v, t: reference.sgd_step(p, g, None, 0.05, weight_decay=0.1),
    ),
    "sgd-momentum": (
        "SGD",
        {"momentum": 0.9, "weight_decay": 0.1},
        lambda p, g, m, v, t: reference.sgd_step(p, g, m, 0.05, 0.9, 0.1),
    ),
    "sgd-nesterov": (
        "SGD",
        {"momentum": 0.9, "weight_decay": 0.1, "nesterov": True},
        lambda p, g, m, v, t: reference.sgd_step(p, g, m, 0.05, 0.9, 0.1, True),
    ),
    "rmsprop": ("RMSprop", {}, lambda p, g, m, v, t: reference.rmsprop_step(p, g, v, 0.05)),
    "rmsprop-decay": (
        "RMSprop",
        {"alpha": 0.9, "eps": 1e-3, "weight_decay": 0.1},
        lambda p, g, m, v, t: reference.rmsprop_step(p, g, v, 0.05, 0.9, 1e-3, 0.1),
    ),
    "adam": ("Adam", {}, lambda p, g, m, v, t: reference.adam_step(p, g, m, v, t, 0.05)),
    "adam-decay": (
        "Adam",
        {"betas": (0.8, 0.95), "eps": 1e-3, "weight_decay": 0.1},
        lambda p, g, m, v, t: reference.adam_step(p, g, m, v, t, 0.05, 0.8, 0.95, 1e-3, 0.1),
    ),
    "adamw": ("AdamW", {}, lambda p, g, m, v, t: reference.adamw_step(p, g, m, v, t, 0.05)),
    "adamw-decay": (
        "AdamW",
        {"betas": (0.8, 0.95), "eps": 1e-3, "weight_decay": 0.1},
        lambda p, g, m, v, t: reference.adamw_step(p, g, m, v, t, 0.05, 0.8, 0.95, 1e-3, 0.1),
    ),
}


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("name", OPTIMISERS)
def test_optimisers(torch, name, dtype):
    class_name, options, step = OPTIMISERS[name]
    random = np.random.default_rng(10)
    p = random.normal(size=40).astype(dtype)
    m, v = np.zeros_like(p), np.zeros_like(p)
    parameter = torch.nn.Parameter(torch.tensor(p))
    optimiser = getattr(torch.optim, class_name)([parameter], lr=0.05, **options)
    for t in range(1, 21):
        g = (random.normal(size=p.shape) * 10.0 ** random.integers(-4, 3)).astype(dtype)
        parameter.grad = torch.tensor(g)
        optimiser.step()
        step(p, g, m, v, t)
        tolerance = 1e-13 if dtype == "float64" else 1e-5
        np.testing.assert_allclose(p, parameter.detach().numpy(), rtol=tolerance, atol=tolerance)
        assert p.dtype == dtype


@pytest.mark.parametrize("limit", [0.5, 100.0])
def test_clipping(torch, limit):
    random = np.random.default_rng(11)
    gradients = [random.normal(size=(3, 4)), random.normal(size=5)]
    parameters = [torch.nn.Parameter(torch.zeros(g.shape, dtype=torch.float64)) for g in gradients]

    def give():
        for p, g in zip(parameters, gradients, strict=True):
            p.grad = torch.tensor(g)

    give()
    norm = torch.nn.utils.clip_grad_norm_(parameters, limit)
    ours = [g.copy() for g in gradients]
    assert reference.clip_norm(ours, limit) == pytest.approx(float(norm), rel=1e-14)
    for g, p in zip(ours, parameters, strict=True):
        close(g, p.grad, "float64")

    give()
    torch.nn.utils.clip_grad_value_(parameters, limit)
    for g, p in zip(gradients, parameters, strict=True):
        clipped = g.copy()
        reference.clip_value(clipped, limit)
        close(clipped, p.grad, "float64")
