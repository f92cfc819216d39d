"""PyTorch's recurrent modules on fastrnn's kernels, against PyTorch's own."""

import copy
import io
import pickle
import subprocess
import sys
import threading

import numpy as np
import pytest

import fastrnn as fr
from torch_modules import CELLS, called, draw_case, pair


@pytest.fixture(scope="module")
def ft(torch):
    import fastrnn.interop.torch

    return fastrnn.interop.torch


def assert_close(torch, ours, theirs):
    assert len(ours) == len(theirs)
    for one, other in zip(ours, theirs, strict=True):
        assert one.shape == other.shape
        assert one.dtype == other.dtype
        tolerance = 2e-5 if one.dtype == torch.float32 else 1e-12
        torch.testing.assert_close(one, other, rtol=tolerance, atol=tolerance)


def never(*args):
    raise AssertionError("PyTorch's own forward was called")


@pytest.fixture
def native_only(torch, monkeypatch):
    """Let PyTorch's own forward fail in the drop-in modules, which may fall back to it."""

    def forbid(*modules):
        for module in modules:
            monkeypatch.setattr(type(module), "_theirs", type("Theirs", (), {"forward": never}))

    return forbid


@pytest.mark.filterwarnings("ignore:LSTM with projections is not supported")  # by PyTorch's own fast path
@pytest.mark.parametrize("seed", range(90))
def test_results_and_all_gradients_equal_pytorchs(torch, ft, native_only, seed):
    case = draw_case(torch, seed)
    native_only(case.modules.ours)
    found, seeds = [], None
    for module in case.modules:
        x, hx = case.x.clone().requires_grad_(), [part.clone().requires_grad_() for part in case.hx]
        results = called(torch, case, module, x, hx)
        seeds = seeds or [torch.randn_like(one) for one in results]
        gradients = torch.autograd.grad(results, [x, *hx, *module.parameters()], seeds)
        with torch.no_grad():
            unkept = called(torch, case, module, x, hx)
        found.append([*results, *unkept, *gradients])
    assert_close(torch, found[1], found[0])


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("bidirectional", [False, True])
def test_gradcheck_passes(torch, ft, cell, bidirectional):
    torch.manual_seed(0)
    rnn = getattr(ft, cell)(2, 3, 2, bidirectional=bidirectional, batch_first=True, dtype=torch.float64)
    names, weights = zip(*rnn.named_parameters(), strict=True)
    x = torch.randn(2, 3, 2, dtype=torch.float64, requires_grad=True)
    state = [torch.randn(4 if bidirectional else 2, 2, 3, dtype=torch.float64, requires_grad=True)]
    state *= 2 if cell == "LSTM" else 1

    def call(x, *tensors):
        hx, parameters = tensors[: len(state)], tensors[len(state) :]
        hx = tuple(hx) if len(hx) == 2 else hx[0]
        given = dict(zip(names, parameters, strict=True))
        y, last = torch.func.functional_call(rnn, given, (x, hx))
        return (y, *last) if cell == "LSTM" else (y, last)

    assert torch.autograd.gradcheck(call, (x, *state, *weights), fast_mode=True)


@pytest.mark.parametrize("cell", CELLS)
def test_constructor_state_dict_attributes_and_repr_are_pytorchs(torch, ft, cell):
    arguments = (3, 5, 2, "relu", False, True) if cell == "RNN" else (3, 5, 2, False, True)
    theirs, ours = pair(torch, cell, *arguments, bidirectional=True, dropout=0.25)
    assert isinstance(ours, getattr(torch.nn, cell))
    assert repr(ours) == repr(theirs)
    assert {name: part.shape for name, part in ours.state_dict().items()} == {
        name: part.shape for name, part in theirs.state_dict().items()
    }
    for name in ("input_size", "hidden_size", "num_layers", "bias", "batch_first", "dropout", "mode"):
        assert getattr(ours, name) == getattr(theirs, name)
    assert [len(group) for group in ours.all_weights] == [len(group) for group in theirs.all_weights]
    assert ours.flatten_parameters() is None
    theirs.load_state_dict(ours.state_dict(), strict=True)


def test_initial_weights_are_drawn_as_pytorch_draws_them(torch, ft):
    torch.manual_seed(3)
    theirs = torch.nn.LSTM(4, 6, 2)
    torch.manual_seed(3)
    ours = ft.LSTM(4, 6, 2)
    assert all(torch.equal(a, b) for a, b in zip(ours.parameters(), theirs.parameters(), strict=True))


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("packed", [False, True])
def test_training_equals_pytorchs_over_twenty_steps(torch, ft, native_only, cell, packed):
    torch.manual_seed(1)
    modules = pair(torch, cell, 3, 8, 2, dtype=torch.float64)
    native_only(modules.ours)
    x, target = torch.randn(6, 4, 3, dtype=torch.float64), torch.randn(6, 4, 8, dtype=torch.float64)
    losses = []
    for module in modules:
        optimizer = torch.optim.SGD(module.parameters(), lr=0.5, momentum=0.9)
        losses.append([])
        for _ in range(20):
            given = x
            if packed:
                given = torch.nn.utils.rnn.pack_padded_sequence(x, [6, 2, 5, 1], enforce_sorted=False)
            y, _ = module(given)
            if packed:
                y, _ = torch.nn.utils.rnn.pad_packed_sequence(y)
            loss = ((y - target) ** 2).mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses[-1].append(loss.item())
    assert losses[1] == pytest.approx(losses[0], rel=1e-12)
    assert losses[1][-1] < losses[1][0]


CHANGES = {
    "in place": lambda torch, weight: weight.mul_(2),
    "through .data": lambda torch, weight: weight.data.mul_(2),
    "through .numpy()": lambda torch, weight: np.multiply(
        weight.detach().numpy(), 2, out=weight.detach().numpy()
    ),
    "by another tensor in .data": lambda torch, weight: setattr(weight, "data", weight.data * 2),
}


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("earlier_calls", [1, 2, 3])
def test_changed_weights_are_used_by_the_next_call(torch, ft, change, earlier_calls):
    size = 160  # beyond those that are packed each time
    modules = pair(torch, "GRU", size, size)
    assert 6 * size**2 > ft.packing._FEW
    x = torch.randn(4, 2, size)
    with torch.no_grad():
        for _ in range(earlier_calls):
            modules.ours(x)
        for module in modules:
            CHANGES[change](torch, module.weight_hh_l0)
        assert_close(torch, [modules.ours(x)[0]], [modules.theirs(x)[0]])


def test_equal_weights_are_packed_once(torch, ft, monkeypatch):
    rnn, x = ft.LSTM(3, 128, 2), torch.randn(4, 2, 3)
    packs = []
    of = ft.passes.Plan.pack
    monkeypatch.setattr(ft.passes.Plan, "pack", lambda plan, weights: packs.append(1) or of(plan, weights))
    with torch.no_grad():
        for _ in range(2):  # the second one takes the copy that later ones are compared with
            rnn(x)
        for _ in range(5):
            rnn(x)
    rnn(x)[0].sum().backward()
    assert len(packs) == 2


def test_calls_before_a_backward_pass_share_their_packed_weights(torch, ft, monkeypatch):
    rnn, h, packs = ft.GRU(3, 5), None, []
    of = ft.passes.Plan.pack
    monkeypatch.setattr(ft.passes.Plan, "pack", lambda plan, weights: packs.append(1) or of(plan, weights))
    for x in torch.randn(8, 1, 2, 3):
        y, h = rnn(x, h)
    y.sum().backward()
    assert len(packs) == 2


def test_backward_uses_the_weights_of_its_forward_pass(torch, ft):
    theirs, ours = pair(torch, "LSTM", 3, 5)
    x = torch.randn(4, 2, 3)
    theirs(x)[0].sum().backward()
    y, _ = ours(x)
    with torch.no_grad():
        ours.weight_hh_l0.zero_()
    y.sum().backward()
    assert_close(torch, [ours.weight_ih_l0.grad], [theirs.weight_ih_l0.grad])


@pytest.mark.parametrize("what", ["x", "y"])
def test_writing_to_shared_tensors_before_backward_is_refused(torch, ft, what):
    x = torch.randn(4, 2, 3)
    y, _ = ft.GRU(3, 5)(x)
    loss = y.sum()
    (x if what == "x" else y).add_(1)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        loss.backward()


def test_a_result_may_be_written_to_where_there_is_no_backward_pass(torch, ft):
    x = torch.randn(4, 2, 3)
    for batch_first in (False, True):
        rnn = ft.GRU(3, 5, batch_first=batch_first)
        with torch.no_grad():
            y, h = rnn(x)
            same, _ = rnn(x)
            y.zero_()
            h.zero_()
            assert torch.equal(rnn(x)[0], same)
        y, _ = rnn(x)
        y += 1  # not a view, of which autograd would refuse this


def test_gradients_that_are_not_needed_are_none(torch, ft):
    rnn, x = ft.LSTM(3, 5), torch.randn(4, 2, 3, requires_grad=True)
    rnn.weight_hh_l0.requires_grad_(False)
    rnn.bias_ih_l0.requires_grad_(False)
    rnn(x)[0].sum().backward()
    assert x.grad is not None
    assert [part.grad is None for part in rnn.parameters()] == [False, True, True, False]
    rnn.requires_grad_(False)
    x.grad = None
    rnn(x)[1][1].sum().backward()  # through c alone
    assert x.grad.abs().sum() > 0
    assert not rnn(x.detach())[0].requires_grad


def test_calls_accumulate_gradients_before_backward(torch, ft):
    modules = pair(torch, "GRU", 3, 5, 2, dtype=torch.float64)
    parts = torch.randn(3, 4, 2, 3, dtype=torch.float64)
    for module in modules:
        h, loss = None, 0
        for x in parts:
            y, h = module(x, h)
            loss = loss + (y**2).sum()
        loss.backward()
    gradients = [[part.grad for part in module.parameters()] for module in modules]
    assert_close(torch, gradients[1], gradients[0])


def test_the_graph_can_be_kept_for_a_second_backward_pass(torch, ft):
    rnn, x = ft.LSTM(3, 5), torch.randn(4, 2, 3)
    loss = rnn(x)[0].sum()
    loss.backward(retain_graph=True)
    first = rnn.weight_hh_l0.grad.clone()
    loss.backward()
    torch.testing.assert_close(rnn.weight_hh_l0.grad, 2 * first)
    with pytest.raises(RuntimeError, match="second time"):
        loss.backward()


def test_second_derivatives_are_refused(torch, ft):
    x = torch.randn(4, 2, 3, requires_grad=True)
    for power in (1, 2):  # the gradient of y depends on y only with the second one
        (dx,) = torch.autograd.grad((ft.GRU(3, 5)(x)[0] ** power).sum(), x, create_graph=True)
        with pytest.raises(RuntimeError, match="expected first derivatives only"):
            dx.sum().backward()


def test_what_backward_needs_is_autograds_to_keep_or_to_compute_again(torch, ft):
    modules = pair(torch, "LSTM", 3, 5, 2, bidirectional=True, dropout=0.5)
    x = torch.randn(4, 2, 3)
    results = []
    for how in ("kept", "offloaded", "computed again"):
        modules.ours.zero_grad()
        torch.manual_seed(0)
        if how == "offloaded":
            with torch.autograd.graph.save_on_cpu():
                y = modules.ours(x)[0]
        elif how == "computed again":
            y = torch.utils.checkpoint.checkpoint(lambda x: modules.ours(x)[0], x, use_reentrant=False)
        else:
            y = modules.ours(x)[0]
        y.sum().backward()
        results.append([y, *(part.grad for part in modules.ours.parameters())])
    assert all(torch.equal(a, b) for a, b in zip(results[0], results[1], strict=True))
    assert all(torch.equal(a, b) for a, b in zip(results[0], results[2], strict=True))


@pytest.mark.parametrize("mode", ["no_grad", "inference_mode"])
def test_without_gradients_no_tape_is_kept(torch, ft, monkeypatch, mode):
    modules = pair(torch, "LSTM", 3, 5, 2)
    monkeypatch.setattr(ft.passes.Plan, "run_kept", never)
    x = torch.randn(4, 2, 3, requires_grad=True)
    with getattr(torch, mode)():
        ours, theirs = modules.ours(x), modules.theirs(x)
    assert not ours[0].requires_grad
    assert_close(torch, [ours[0], *ours[1]], [theirs[0], *theirs[1]])


def test_dropout_acts_in_training_only_and_follows_the_seed(torch, ft):
    rnn, x = ft.LSTM(3, 8, 3, dropout=0.5, bidirectional=True), torch.randn(4, 2, 3)

    def call():
        torch.manual_seed(5)
        return rnn(x)[0]

    assert torch.equal(call(), call())
    with torch.no_grad():
        masked = call()
    assert torch.equal(masked, call().detach())
    assert not torch.equal(masked, rnn(x)[0])
    rnn.eval()
    plain = torch.nn.LSTM(3, 8, 3, bidirectional=True)
    plain.load_state_dict(rnn.state_dict())
    assert_close(torch, [rnn(x)[0]], [plain(x)[0]])


def test_the_default_device_does_not_matter(torch, ft):
    rnn, x = ft.GRU(3, 5, 2, dropout=0.5), torch.randn(4, 2, 3, requires_grad=True)
    with torch.device("meta"):
        y, _ = rnn(x)
        (dx,) = torch.autograd.grad(y, x, torch.ones_like(y), create_graph=True)
    assert y.device == dx.device == x.device


def test_dropout_zeroes_its_share_of_a_layers_outputs_and_scales_the_rest(torch, ft):
    rnn = ft.RNN(1, 64, 2, bias=False, nonlinearity="relu", dropout=0.25)
    with torch.no_grad():
        for name, part in rnn.named_parameters():
            part.zero_()
            if name == "weight_ih_l0":
                part.fill_(1)
            if name == "weight_ih_l1":
                part.copy_(torch.eye(64))
        y, _ = rnn(torch.ones(50, 4, 1))
    kept = y != 0
    torch.testing.assert_close(y[kept], torch.full_like(y[kept], 4 / 3))
    assert float(kept.float().mean()) == pytest.approx(0.75, abs=0.02)


def test_gradients_through_dropout_pass_gradcheck(torch, ft):
    rnn = ft.GRU(2, 4, 3, dropout=0.5, dtype=torch.float64)
    x = torch.randn(3, 2, 2, dtype=torch.float64, requires_grad=True)

    def call(x):
        torch.manual_seed(2)
        return rnn(x)[0]

    assert torch.autograd.gradcheck(call, (x,))


def test_copies_and_pickles_compute_the_same(torch, ft):
    rnn, x = ft.LSTM(3, 5, 2, batch_first=True), torch.randn(4, 2, 3)
    expected = rnn(x)[0]
    with torch.no_grad():
        for _ in range(3):  # with packed weights in the cache
            rnn(x)
    file = io.BytesIO()
    torch.save(rnn, file)
    file.seek(0)
    for other in (copy.deepcopy(rnn), pickle.loads(pickle.dumps(rnn)), torch.load(file, weights_only=False)):
        assert type(other) is ft.LSTM
        assert torch.equal(other(x)[0], expected)
        with torch.no_grad():
            other.weight_hh_l0.zero_()
        assert torch.equal(rnn(x)[0], expected)
        assert not torch.equal(other(x)[0], expected)


def test_parametrized_and_shared_weights_are_read_at_each_call(torch, ft):
    theirs, ours = pair(torch, "GRU", 3, 5, dtype=torch.float64)
    x = torch.randn(4, 2, 3, dtype=torch.float64)
    for module in (theirs, ours):
        torch.nn.utils.parametrizations.weight_norm(module, "weight_hh_l0")
    for _ in range(3):
        gradients = []
        for module in (theirs, ours):
            module.zero_grad()
            y, _ = module(x)
            (y**2).sum().backward()
            gradients.append([y, *(part.grad for part in module.parameters())])
            with torch.no_grad():
                for part in module.parameters():
                    part -= 0.1 * part.grad
        assert_close(torch, gradients[1], gradients[0])
    two = ft.RNN(3, 3, 2, bias=False)
    two.weight_ih_l1 = two.weight_hh_l1 = two.weight_hh_l0
    two(x.float())[0].sum().backward()
    assert len(list(two.parameters())) == 2
    assert two.weight_hh_l0.grad is not None


@pytest.mark.parametrize("cell", CELLS)
def test_compiled_models_compute_the_same(torch, ft, cell):
    theirs, ours = pair(torch, cell, 3, 5, 2, batch_first=True)
    model = torch.nn.ModuleDict({"rnn": ours, "out": torch.nn.Linear(5, 2)})
    x = torch.randn(4, 2, 3)
    expected = model["out"](theirs(x)[0])
    expected.sum().backward()
    ways = [(True, "aot_eager")]
    for allow_rnn, backend in [*ways, (False, "eager"), (True, "eager")] if cell == "GRU" else ways:
        torch._dynamo.reset()
        with torch._dynamo.config.patch(allow_rnn=allow_rnn):
            call = torch.compile(
                lambda x: model["out"](model["rnn"](x)[0]), backend=backend, fullgraph=allow_rnn
            )
            model.zero_grad()
            y = call(x)
            y.sum().backward()
            with torch.no_grad():
                again = call(x)
        gradients = [part.grad for part in ours.parameters()]
        assert_close(
            torch, [y, again, *gradients], [expected, expected, *(p.grad for p in theirs.parameters())]
        )
    torch._dynamo.reset()


@pytest.mark.parametrize("seed", range(12))
def test_the_operator_of_compiled_graphs_keeps_its_promises(torch, ft, seed):
    """Check schema, shapes without data, and autograd registration, with PyTorch's own check."""
    case = draw_case(torch, seed)
    rnn = case.modules.ours
    if case.lengths is not None or case.x.dim() == 2:
        x, hx = torch.randn(3, 2, rnn.input_size, dtype=case.x.dtype), []
    else:
        x, hx = case.x.transpose(0, 1).contiguous() if rnn.batch_first else case.x, case.hx
    rnn.dropout = 0.5 * (seed % 2)
    cell, sizes, option, *rest = ft.layers._settings(rnn)
    keys = torch.arange(rnn.num_layers - 1 if rest[1] else 0)
    weights = [part.detach().requires_grad_() for part in rnn.parameters()]
    arguments = (x.requires_grad_(), hx, weights, keys, True, cell, list(sizes), str(option), *rest)
    tests = ("test_schema", "test_autograd_registration", "test_faketensor")
    torch.library.opcheck(torch.ops.fastrnn.recurrent.default, arguments, test_utils=tests)


FALLBACKS = {
    "bfloat16": lambda torch, m: (m.to(torch.bfloat16), torch.randn(4, 2, 3, dtype=torch.bfloat16), None),
    "float16": lambda torch, m: (m.to(torch.float16), torch.randn(4, 2, 3, dtype=torch.float16), None),
    "meta device": lambda torch, m: (m.to("meta"), torch.randn(4, 2, 3, device="meta"), None),
    "a dropout of 1": lambda torch, m: (m, torch.randn(4, 2, 3), None),
}


@pytest.mark.parametrize("what", FALLBACKS)
def test_what_the_kernels_do_not_take_is_pytorchs(torch, ft, what):
    results = []
    for module in pair(torch, "GRU", 3, 5, 2, dropout=1.0 if "dropout" in what else 0.0):
        torch.manual_seed(0)
        module, x, hx = FALLBACKS[what](torch, module)
        y, h = module(x, hx)
        results.append((y, h))
    (theirs, _), (ours, _) = results
    assert ours.dtype == theirs.dtype
    assert ours.device == theirs.device
    assert ours.shape == theirs.shape
    if what != "meta device":
        assert torch.equal(ours, theirs)


def test_transforms_of_functions_are_pytorchs(torch, ft):
    theirs, ours = pair(torch, "RNN", 3, 5, dtype=torch.float64)
    x = torch.randn(4, 2, 3, dtype=torch.float64)
    found = [torch.func.grad_and_value(lambda x, m=m: m(x)[0].sum())(x) for m in (theirs, ours)]
    assert_close(torch, found[1], found[0])


@pytest.mark.filterwarnings("ignore:.torch.jit:DeprecationWarning")  # PyTorch's own use
@pytest.mark.parametrize("frozen", [False, True])
def test_forward_mode_derivatives_are_pytorchs(torch, ft, frozen):
    forward_ad, tangents = torch.autograd.forward_ad, []
    x, direction = torch.randn(2, 4, 2, 3)
    for module in pair(torch, "GRU", 3, 5):
        module.requires_grad_(not frozen)
        with forward_ad.dual_level():
            y, _ = module(forward_ad.make_dual(x, direction))
            tangents.append(forward_ad.unpack_dual(y).tangent)
    assert torch.equal(*tangents)


WRONG_CALLS = {
    "width of x": lambda torch: (torch.randn(4, 2, 4),),
    "axes of x": lambda torch: (torch.randn(1, 4, 2, 3),),
    "dtype of x": lambda torch: (torch.randn(4, 2, 3, dtype=torch.float64),),
    "rows of the state": lambda torch: (torch.randn(4, 2, 3), (torch.zeros(1, 3, 5), torch.zeros(1, 3, 5))),
    "width of c": lambda torch: (torch.randn(4, 2, 3), (torch.zeros(1, 2, 5), torch.zeros(1, 2, 4))),
    "axes of the state": lambda torch: (torch.randn(4, 3), (torch.zeros(1, 1, 5), torch.zeros(1, 1, 5))),
    "no steps": lambda torch: (torch.randn(0, 2, 3),),
}


@pytest.mark.parametrize("what", WRONG_CALLS)
def test_errors_are_pytorchs(torch, ft, what):
    messages = []
    for module in pair(torch, "LSTM", 3, 5):
        with pytest.raises((ValueError, RuntimeError)) as error:
            module(*WRONG_CALLS[what](torch))
        messages.append((type(error.value), str(error.value)))
    assert messages[0] == messages[1]


@pytest.mark.parametrize(
    ("sizes", "steps"), [([2, 1], 1), ([2, 1], 4), ([1, 2], 3), ([2, 2], 3), ([-1], 1), ([0, 1], 1)]
)
def test_batch_sizes_that_are_not_those_of_the_data_are_pytorchs(torch, ft, sizes, steps):
    packed, results = torch.nn.utils.rnn.PackedSequence(torch.ones(steps, 3), torch.tensor(sizes)), []
    for module in pair(torch, "GRU", 3, 5):
        try:
            results.append(module(packed)[0].data.shape)
        except RuntimeError as error:
            results.append(str(error))
    assert results[0] == results[1]


def test_values_that_are_not_finite_pass_through(torch, ft):
    for cell in CELLS:
        theirs, ours = pair(torch, cell, 3, 5)
        x = torch.randn(4, 3, 3)
        x[1, 0, 1], x[2, 1, 0] = torch.nan, torch.inf
        a, b = theirs(x)[0], ours(x)[0]
        assert torch.equal(a.isnan(), b.isnan())
        torch.testing.assert_close(b, a, equal_nan=True, rtol=2e-5, atol=2e-5)


def test_autocast_leaves_the_passes_in_the_dtype_of_the_weights(torch, ft):
    rnn, x = ft.LSTM(3, 5), torch.randn(4, 2, 3)
    expected = rnn(x.bfloat16().float())[0]
    with torch.autocast("cpu", torch.bfloat16):
        y, _ = rnn(x.bfloat16())
    assert torch.equal(y, expected)
    y.sum().backward()
    assert rnn.weight_hh_l0.grad.dtype == torch.float32


def test_layouts_of_every_kind_are_read(torch, ft):
    theirs, ours = pair(torch, "LSTM", 3, 5, batch_first=True)
    whole = torch.randn(8, 3, 6, 2)
    for x in (
        whole[::2, :, :3, 0],
        whole[..., 0].transpose(1, 2)[:, :, :3],
        whole[:1, :, :3, 1],
        whole[0, :, ::2, 0],
    ):
        h = torch.randn(5, *x.shape[:-2], 1).permute(
            *range(2, x.dim() - 3 + 2), -1, *range(1, x.dim() - 1), 0
        )
        h = h.reshape(1, *x.shape[:-2], 5) if x.dim() == 3 else torch.randn(1, 10)[:, ::2]
        dy = torch.randn(5, *x.shape[:-1]).movedim(0, -1)
        found = []
        for module in (theirs, ours):
            own = x.detach().requires_grad_()
            y, last = module(own, (h, h))
            found.append([y, *last, *torch.autograd.grad(y, own, dy)])
        assert_close(torch, found[1], found[0])


def test_y_shares_no_memory_with_results_of_other_calls(torch, ft):
    rnn, x = ft.GRU(3, 5), torch.randn(4, 2, 3)
    (y, h), (again, _) = rnn(x), rnn(x)
    expected = again.detach().clone()
    with torch.no_grad():
        y.zero_()
        h.zero_()
    assert torch.equal(again, expected)


def test_threads_share_a_module(torch, ft):
    rnn, x = ft.GRU(8, 16, 2), torch.randn(20, 4, 8)
    expected = torch.autograd.grad(rnn(x)[0].sum(), rnn.weight_hh_l0)[0]
    wrong = []

    def work():
        for _ in range(10):
            with torch.no_grad():
                rnn(x)
            gradient = torch.autograd.grad(rnn(x)[0].sum(), rnn.weight_hh_l0)[0]
            if not torch.equal(gradient, expected):
                wrong.append(gradient)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_gradients_are_the_same_bits_for_any_number_of_threads(torch, ft):
    rnn, x = ft.LSTM(8, 32, 2, bidirectional=True), torch.randn(20, 8, 8)
    before, found = fr.get_num_threads(), []
    try:
        for threads in (1, 2, 3):
            fr.set_num_threads(threads)
            found.append(torch.autograd.grad(rnn(x)[0].sum(), list(rnn.parameters())))
    finally:
        fr.set_num_threads(before)
    assert all(torch.equal(a, b) for other in found[1:] for a, b in zip(found[0], other, strict=True))


@pytest.mark.filterwarnings("ignore:The tensor attributes")  # PyTorch's class has them, too
def test_traced_and_exported_models_are_pytorchs(torch, ft):
    rnn, x = ft.GRU(3, 5).eval(), torch.randn(4, 2, 3)
    exported = torch.export.export(rnn, (x,))
    assert "fastrnn" not in str(exported.graph)
    torch.testing.assert_close(exported.module()(2 * x)[0], rnn(2 * x)[0], rtol=2e-5, atol=2e-5)


def test_import_without_pytorch_says_what_to_install():
    script = (
        "import sys; sys.modules['torch'] = None\n"
        "try:\n    import fastrnn.interop.torch\n"
        "except ImportError as error: print(error)"
    )
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert "pip install torch" in run.stdout
