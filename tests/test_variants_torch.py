"""Every variant against PyTorch, in float64: outputs, last states and all gradients."""

import numpy as np
import pytest

import fastrnn as fr
import torch_cells
from variant_cases import BATCHES, VARIANTS, batch, make, parts_of, random_state

#: Names of a pass's masks here, and in `run`.
MASKS = {
    "input_mask": "input",
    "state_mask": "h",
    "output_mask": "output",
    "candidate_mask": "candidate",
    "zone_h": "zone_h",
    "zone_c": "zone_c",
}
#: Jordan networks that teacher forcing can train.
FORCED = [
    name for name, (layer, options) in VARIANTS.items() if layer is fr.Jordan and not options.get("reverse")
]
PLAIN = [
    ("RNN", {}),
    ("RNN", {"nonlinearity": "relu"}),
    ("GRU", {}),
    ("GRU", {"reset_after": False}),
    ("LSTM", {}),
    ("SLSTM", {}),
]
STACKS = [(1, False), (2, False), (1, True), (2, True)]


def assert_close(got, wanted, name=""):
    """Assert equality to 1e-10 of the largest element."""
    wanted = wanted.detach().numpy()
    assert got.shape == wanted.shape, name
    tolerance = 1e-10 * max(1.0, np.abs(wanted).max())
    np.testing.assert_allclose(got, wanted, rtol=0, atol=tolerance, err_msg=name)


def masks_of(torch, variant, tape, i):
    """Return masks of one layer and direction: in training those of its tape, else their expectation."""
    masks = {"h": 1.0, "candidate": 1.0, "zone_h": variant.zoneout[0], "zone_c": variant.zoneout[1]}
    masks |= {"input": 1.0, "output": 1.0, "weights": 1.0}
    if tape is not None and variant.random:
        drawn = tape.layers[i].options or {}
        assert drawn.keys() <= MASKS.keys() | {"context", "targets"}
        masks |= {own: drawn[name] for name, own in MASKS.items() if name in drawn}
        if variant.weight_drop:
            masks["weights"] = tape._weights.weight_masks[i]
    return {name: torch.as_tensor(np.array(mask), dtype=torch.float64) for name, mask in masks.items()}


def run(torch, rnn, tensors, batch, tape=None, every=None):
    """Run the stack in PyTorch on tensors (x, context, state, parameters): y, and the last state's arrays.

    The states of all steps are added to `every`, a list for each layer and direction.
    """
    v, (T, N) = rnn.options, tensors["x"].shape[:2]
    lengths = torch.as_tensor(batch.get("lengths", np.full(N, T)))
    how = {
        "running": torch.arange(T)[:, None] < lengths,
        "reset": torch.as_tensor(batch.get("reset", np.zeros((T, N), bool))),
        "targets": torch.as_tensor(batch["targets"]) if "targets" in batch else None,
        "every": [] if every is None else every,
    }
    y, lasts = tensors["x"], []
    for layer in range(rnn.num_layers):
        outputs = []
        for direction, end in enumerate(("", "_reverse")[: rnn.directions]):
            i, suffix = layer * rnn.directions + direction, f"_l{layer}{end}"
            masks = masks_of(torch, v, tape, i)
            w = {name.removesuffix(suffix): p for name, p in tensors.items() if name.endswith(suffix)}
            if v.has_product:
                w["weight_hh"] = w["weight_hh"] * masks["weights"]
            first = {name: tensors[f"first_{name}"][i] for name in v.state_names}
            gx = torch_cells.input_part(v, w, y * masks["input"], tensors.get("context"))
            own = {**how, "masks": masks, "reverse": v.reverse or direction == 1}
            h, last = torch_cells.run_steps(torch, v, w, gx, first, own)
            outputs.append(h * masks["output"])
            lasts.append([last[name] for name in v.state_names])
        y = torch.cat(outputs, 2) if v.merge == "concat" else sum(outputs)
        if v.merge == "mean":
            y = y / 2
    return y, [torch.stack(parts) for parts in zip(*lasts, strict=True)]


def as_tensors(torch, rnn, x, more):
    """Return leaves of PyTorch's graph, and `first_h`, ... made from them."""
    arrays = {"x": x, **rnn.parameters}
    if "context" in more:
        arrays["context"] = more["context"]
    count, rows = rnn.num_layers * rnn.directions, x.shape[1]
    shapes = rnn.spec.state_shapes(rows)
    given = parts_of(more["state"]) if "state" in more else [np.zeros((count, *shape)) for shape in shapes]
    arrays |= {f"state_{name}": part for name, part in zip(rnn.state_names, given, strict=True)}
    leaves = {name: torch.from_numpy(np.array(array)).requires_grad_() for name, array in arrays.items()}
    firsts = {f"first_{name}": leaves[f"state_{name}"] for name in rnn.state_names}
    if rnn.options.learn_state and "state" not in more:
        for name in rnn.state_names:
            learned = leaves[f"initial_{name}"][:, None]
            if isinstance(rnn, fr.SLSTM) and name == "c":  # of c, n and m, n counts by its magnitude
                c, n, m = learned.chunk(3, 2)
                learned = torch.cat([c, n.abs(), m], 2)
            firsts[f"first_{name}"] = firsts[f"first_{name}"] + learned
    return leaves, {**leaves, **firsts}


@pytest.mark.parametrize("given", BATCHES)
@pytest.mark.parametrize("name", VARIANTS)
def test_training(torch, name, given):
    rnn = make(name, layers=2)
    check_training(torch, rnn, *batch(rnn, BATCHES[given]))


@pytest.mark.parametrize("given", BATCHES)
@pytest.mark.parametrize("name", FORCED)
def test_training_of_a_jordan_network_with_targets(torch, name, given):
    rnn = make(name)
    x, more = batch(rnn, BATCHES[given])
    more["targets"] = np.random.default_rng(8).normal(size=(*x.shape[:2], rnn.output_size))
    check_training(torch, rnn, x, more)
    y, last = rnn(x, **more)
    y_, last_ = run(torch, rnn, as_tensors(torch, rnn, x, more)[1], more)
    assert_close(y, y_, "y")
    for part, part_ in zip(parts_of(last), last_, strict=True):
        assert_close(part, part_, "last")


def check_training(torch, rnn, x, more):
    random = np.random.default_rng(6)
    y, last, tape = rnn.forward(x, **more)
    dy = random.normal(size=y.shape)
    dlast = random_state(rnn, lambda *shape: random.normal(size=shape), x.shape[1])
    dcontext = np.zeros_like(more["context"]) if "context" in more else None
    dstates, every = fr.layers.StateGradients.of(tape), []
    dx, dstate = rnn.backward(tape, dy, dlast, dcontext=dcontext, state_gradients=dstates)

    leaves, tensors = as_tensors(torch, rnn, x, more)
    y_, last_ = run(torch, rnn, tensors, more, tape, every)
    loss = sum(
        (one * torch.from_numpy(d)).sum() for one, d in zip((y_, *last_), (dy, *parts_of(dlast)), strict=True)
    )
    loss.backward()  # a last state that is a target has no gradient

    assert_close(y, y_, "y")
    for part, part_ in zip(parts_of(last), last_, strict=True):
        assert_close(part, part_, "last")
    gradients = {"x": dx, "context": dcontext, **rnn.gradients}
    gradients |= {f"state_{one}": d for one, d in zip(rnn.state_names, parts_of(dstate), strict=True)}
    for one, leaf in leaves.items():
        if leaf.grad is None:  # a learned state that a given one replaces
            assert one.startswith("initial_")
            assert "state" in more
            assert not gradients[one].any()
        else:
            assert leaf.grad.any(), one
            assert_close(gradients[one], leaf.grad, one)
    for name in ("h", "c") if "c" in rnn.state_names else ("h",):
        wanted = torch.stack([torch.stack([gradient(torch, step[name]) for step in own]) for own in every])
        assert wanted.any()
        assert_close(getattr(dstates, name), wanted, f"gradients of every {name}")


def gradient(torch, tensor):
    """Return the gradient that autograd kept; zeros if the loss does not depend on the tensor."""
    return torch.zeros_like(tensor) if tensor.grad is None else tensor.grad


@pytest.mark.parametrize("given", BATCHES)
@pytest.mark.parametrize(("kind", "options"), PLAIN)
def test_training_of_plain_cells(torch, kind, options, given):
    rnn = getattr(fr, kind)(4, 5, num_layers=2, bidirectional=True, dtype="float64", seed=2, **options)
    check_training(torch, rnn, *batch(rnn, BATCHES[given]))


@pytest.mark.parametrize("given", BATCHES)
@pytest.mark.parametrize("name", VARIANTS)
def test_inference(torch, name, given):
    rnn = make(name, layers=2)
    x, more = batch(rnn, BATCHES[given])
    y, last = rnn(x, **more)
    y_, last_ = run(torch, rnn, as_tensors(torch, rnn, x, more)[1], more)
    assert_close(y, y_, "y")
    for part, part_ in zip(parts_of(last), last_, strict=True):
        assert_close(part, part_, "last")


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize(("layers", "bidirectional"), STACKS)
def test_projection_is_pytorchs_own(torch, layers, bidirectional, bias):
    D, H, P, T, N = 4, 7, 3, 6, 5
    options = {"num_layers": layers, "bidirectional": bidirectional, "bias": bias, "proj_size": P}
    theirs = torch.nn.LSTM(D, H, **options).double()
    ours = fr.LSTM(D, H, dtype="float64", **options)
    ours.load_state_dict(theirs.state_dict())
    random = np.random.default_rng(9)
    x = random.normal(size=(T, N, D))
    state, dlast = (random_state(ours, lambda *shape: random.normal(size=shape), N) for _ in range(2))
    y, last, tape = ours.forward(x, state)
    dy = random.normal(size=y.shape)
    dx, dstate = ours.backward(tape, dy, dlast)

    x_, *state_ = (torch.from_numpy(np.array(one)).requires_grad_() for one in (x, *state))
    y_, last_ = theirs(x_, tuple(state_))
    torch.autograd.backward([y_, *last_], [torch.from_numpy(d) for d in (dy, *dlast)])
    for got, wanted in zip((y, *last), (y_, *last_), strict=True):
        assert_close(got, wanted)
    for got, leaf in zip((dx, *dstate), (x_, *state_), strict=True):
        assert_close(got, leaf.grad)
    for name, parameter in theirs.named_parameters():
        assert_close(ours.gradients[name], parameter.grad, name)


@pytest.mark.parametrize("merge", ["sum", "mean"])
@pytest.mark.parametrize("kind", ["RNN", "GRU", "LSTM"])
def test_merge_is_a_sum_of_pytorchs_directions(torch, kind, merge):
    D, H, T, N = 4, 7, 6, 5
    theirs = getattr(torch.nn, kind)(D, H, bidirectional=True).double()
    ours = getattr(fr, kind)(D, H, bidirectional=True, merge=merge, dtype="float64")
    ours.load_state_dict(theirs.state_dict())
    random = np.random.default_rng(10)
    x, dy = random.normal(size=(T, N, D)), random.normal(size=(T, N, H))
    y, _, tape = ours.forward(x)
    dx, _ = ours.backward(tape, dy)

    x_ = torch.from_numpy(x.copy()).requires_grad_()
    both = theirs(x_)[0].reshape(T, N, 2, H)
    y_ = both.sum(2) if merge == "sum" else both.mean(2)
    y_.backward(torch.from_numpy(dy))
    assert_close(y, y_)
    assert_close(dx, x_.grad)
    for name, parameter in theirs.named_parameters():
        assert_close(ours.gradients[name], parameter.grad, name)
