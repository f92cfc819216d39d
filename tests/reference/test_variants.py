"""The variants' reference: gradients, consistency between passes and with the plain cells."""

import numpy as np
import pytest

from fastrnn import reference
from gradient_check import assert_gradient, assert_slope, numeric_gradient
from recurrent_cases import VARIANTS as PLAIN
from recurrent_cases import make_case
from variant_reference_cases import VARIANTS, make_variant_case

every_variant = pytest.mark.parametrize("name", VARIANTS)
both_ways = pytest.mark.parametrize("reverse", [False, True], ids=["forwards", "reverse"])
NAMES = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")


def close(a, b, tolerance=1e-12):
    np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance)


def flat(result):
    """Return the arrays of a forward or backward result."""
    found = []
    for part in result:
        if isinstance(part, dict):
            found += [part[name] for name in sorted(part)]
        elif isinstance(part, tuple):
            found += part
        elif isinstance(part, np.ndarray):
            found.append(part)
    return found


def pairs(case):
    """Return every array that the loss depends on, and its gradient."""
    dx, dstate, dweights = case.backward()
    assert list(dweights) == list(case.weights)
    return [
        (case.x, dx),
        *zip(case.state, dstate, strict=True),
        *((weight, dweights[name]) for name, weight in case.weights.items()),
    ]


@pytest.mark.parametrize("rows", ["plain", "ragged-resets-reverse"])
@every_variant
def test_every_element_of_every_gradient(name, rows):
    odd = rows != "plain"
    case = make_variant_case(name, (4, 3, 2, 3, 2), ragged=odd, resets=odd, reverse=odd)
    for value, gradient in pairs(case):
        if "norm" not in name:
            assert_gradient(case.loss, value, gradient)
            continue
        # Few normalised numbers are too curved for one central difference: extrapolate two.
        near, far = (numeric_gradient(case.loss, value, step) for step in (1e-5, 2e-5))
        np.testing.assert_allclose(gradient, (4 * near - far) / 3, rtol=1e-7, atol=1e-8)


@pytest.mark.parametrize("sizes", [(1, 1, 1, 1, 1), (17, 3, 1, 5, 3), (7, 5, 17, 9, 4), (3, 17, 3, 3, 1)])
@both_ways
@every_variant
def test_gradients_at_odd_sizes(name, reverse, sizes):
    case = make_variant_case(name, sizes, ragged=True, resets=not reverse, reverse=reverse)
    random = np.random.default_rng(1)
    for value, gradient in pairs(case):
        assert_slope(case.loss, value, gradient, random)


@every_variant
def test_gradients_add_up(name):
    case = make_variant_case(name, ragged=True, resets=True)
    tape = case.forward()[2]
    both = flat(case.backward(tape))
    only_state, only_y = (
        flat(case.replace(dy=None).backward(tape)),
        flat(case.replace(dstate_n=None).backward(tape)),
    )
    for total, a, b in zip(both, only_state, only_y, strict=True):
        close(a + b, total)


@both_ways
@pytest.mark.parametrize("rows", ["plain", "ragged-resets"])
@pytest.mark.parametrize("bias", ["both", "none"])
@pytest.mark.parametrize("name", PLAIN)
def test_without_options_it_is_the_plain_cell(name, bias, rows, reverse):
    odd = rows != "plain"
    case = make_case(name, (7, 4, 3, 5), bias=bias, ragged=odd, resets=odd, reverse=reverse)
    weights = {n: w for n, w in zip(NAMES, case.weights, strict=True) if w is not None}
    y, state_n, tape = case.forward()
    ours = reference.variant_forward(
        case.cell, case.x, weights, case.state, case.lengths, case.reset, reverse, **case.options
    )
    for a, b in zip((ours[0], *ours[1]), (y, *state_n), strict=True):
        close(a, b)
    dx, dstate, dweights = case.backward(tape)
    ours = reference.variant_backward(case.cell, weights, ours[2], case.dy, case.dstate_n)
    for a, b in zip((ours[0], *ours[1]), (dx, *dstate), strict=True):
        close(a, b)
    for n, d in zip(NAMES, dweights, strict=True):
        if d is not None:
            close(ours[2][n], d)


@pytest.mark.parametrize("nonlinearity", ["identity", "positive"])
@pytest.mark.parametrize("cell", ["mingru", "minlstm"])
def test_minimal_cells_in_closed_form(cell, nonlinearity):
    """Compare with h_t = a_1 .. a_t h_0 + sum over k of a_{k+1} .. a_t b_k, without a loop over time."""
    case = make_variant_case(cell, (9, 4, 3, 5, 5)).replace(options={"nonlinearity": nonlinearity})
    gx = case.x @ case.weights["weight_ih"].T + case.weights["bias_ih"]
    *gates, n = np.split(gx, len(case.gates), axis=2)
    gates = [1 / (1 + np.exp(-a)) for a in gates]
    share = gates[0] if cell == "mingru" else gates[1] / (gates[0] + gates[1])
    if nonlinearity == "positive":
        n = np.where(n >= 0, n + 0.5, 1 / (1 + np.exp(-n)))
    kept = np.cumprod(1 - share, axis=0)
    expected = kept * (case.state[0] + np.cumsum(share * n / kept, axis=0))
    close(case.forward()[0], expected, 1e-11)


@every_variant
def test_two_calls_with_the_state_carried_are_one(name):
    case = make_variant_case(name, (7, 3, 2, 3, 2))

    def part(begin, stop, **changes):
        steps = {n: m if n in ("x", "h") else m[begin:stop] for n, m in case.masks.items()}
        return case.replace(x=case.x[begin:stop], dy=case.dy[begin:stop], masks=steps, **changes)

    y, state_n, tape = case.forward()
    one = part(0, 3)
    y1, carried, tape1 = one.forward()
    two = part(3, 7, state=carried)
    y2, last, tape2 = two.forward()
    for a, b in zip((np.concatenate([y1, y2]), *last), (y, *state_n), strict=True):
        close(a, b)
    dx, dstate, dweights = case.backward(tape)
    dx2, dcarried, dweights2 = two.backward(tape2)
    dx1, dfirst, dweights1 = one.replace(dstate_n=dcarried).backward(tape1)
    for a, b in zip((np.concatenate([dx1, dx2]), *dfirst), (dx, *dstate), strict=True):
        close(a, b, 1e-11)
    for n, d in dweights.items():
        close(dweights1[n] + dweights2[n], d, 1e-11)


def test_the_last_outputs_are_the_past():
    case = make_variant_case("lstm skip of all", (7, 3, 2, 3, 2), ragged=True)
    y, (_, _, past), _ = case.forward()
    for n, length in enumerate(case.lengths):
        close(past[n], np.concatenate([case.state[2][n], y[:length, n]])[-3:])


@both_ways
@every_variant
def test_padding_never_matters(name, reverse):
    case = make_variant_case(name, ragged=True, resets=True, reverse=reverse)
    padding = np.arange(len(case.x))[:, None] >= case.lengths
    assert padding.any()

    def spoilt(values):
        values = values.copy()
        values[padding] = np.nan
        return values

    masks = {n: m if n in ("x", "h") else spoilt(m) for n, m in case.masks.items()}
    other = case.replace(x=spoilt(case.x), dy=spoilt(case.dy), masks=masks, reset=case.reset | padding)
    results, others = (flat(c.forward()) + flat(c.backward()) for c in (case, other))
    for a, b in zip(results, others, strict=True):
        np.testing.assert_array_equal(a, b)
    y, dx = case.forward()[0], case.backward()[0]
    assert not y[padding].any()
    assert not dx[padding].any()


@every_variant
def test_nothing_that_was_passed_in_is_changed(name):
    case = make_variant_case(name, ragged=True, resets=True)
    before = [a.copy() for a in case.arrays()]
    tape = case.forward()[2]
    first, second = flat(case.backward(tape)), flat(case.backward(tape))
    for a, b in zip(case.arrays() + first, before + second, strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("dtype", ["float16", "float32", "longdouble"])
@every_variant
def test_the_dtype_stays(name, dtype):
    case = make_variant_case(name, ragged=True, resets=True)
    rough = case.cast(dtype)
    fine = rough.cast("float64")
    tolerance = {"float16": 0.05, "float32": 1e-5, "longdouble": 1e-12}[dtype]
    for a, b in zip(
        flat(rough.forward()) + flat(rough.backward()),
        flat(fine.forward()) + flat(fine.backward()),
        strict=True,
    ):
        assert a.dtype == dtype
        assert np.abs(a - b).max() <= tolerance * max(1.0, np.abs(b).max())


@every_variant
def test_no_steps_and_no_rows(name):
    case = make_variant_case(name)
    short = {n: m if n in ("x", "h") else m[:0] for n, m in case.masks.items()}
    none = case.replace(x=case.x[:0], dy=case.dy[:0], masks=short)
    y, state_n, tape = none.forward()
    assert y.shape == (0, *case.dy.shape[1:])
    dx, dstate, dweights = none.backward(tape)
    assert dx.shape == none.x.shape
    for a, b in zip((*state_n, *dstate), (*case.state, *case.dstate_n), strict=True):
        np.testing.assert_array_equal(a, b)
    assert not any(d.any() for d in dweights.values())

    masks = {n: m[:0] if n in ("x", "h") else m[:, :0] for n, m in case.masks.items()}
    state, dstate_n = (tuple(a[:0] for a in part) for part in (case.state, case.dstate_n))
    empty = case.replace(x=case.x[:, :0], dy=case.dy[:, :0], masks=masks, state=state, dstate_n=dstate_n)
    assert [a.shape for a in empty.forward()[1]] == [a.shape for a in state]
    assert not any(d.any() for d in empty.backward()[2].values())


def test_no_state_is_zeros():
    case = make_variant_case("lstm skip")
    zeros = tuple(np.zeros_like(part) for part in case.state)
    for a, b in zip(
        flat(case.replace(state=None).forward()), flat(case.replace(state=zeros).forward()), strict=True
    ):
        np.testing.assert_array_equal(a, b)


def test_zoneout_keeps_the_state_where_its_masks_say_so():
    case = make_variant_case("lstm")
    h, c = case.state
    ones = np.ones_like(case.dy)
    y, state_n, _ = case.replace(masks={"zone_h": ones, "zone_c": ones}).forward()
    np.testing.assert_array_equal(y, np.broadcast_to(h, y.shape))
    np.testing.assert_array_equal(state_n, case.state)
    y, (_, c_n), _ = (
        case.replace(masks={"zone_c": ones}, x=case.x[:1]).replace(masks={"zone_c": ones[:1]}).forward()
    )
    np.testing.assert_array_equal(c_n, c)
    close(y, case.replace(x=case.x[:1]).forward()[0])  # h is computed from the new c, not from the kept one


def test_inference_takes_zoneouts_numbers_and_no_masks():
    case = make_variant_case("lstm norm of all")
    case = case.replace(options=case.options | {"zoneout": (0.2, 0.4)})
    plain = case.replace(options=case.options | {"zoneout": (0.0, 0.0)})
    inference = case.replace(training=False)
    for a, b in zip(flat(case.forward()), flat(plain.forward()), strict=True):
        np.testing.assert_array_equal(a, b)  # in training the numbers have no effect
    for a, b in zip(flat(inference.forward()), flat(inference.replace(masks={}).forward()), strict=True):
        np.testing.assert_array_equal(a, b)
    one = inference.replace(x=case.x[:1], masks={})
    y, (_, c), _ = one.forward()
    bare, (_, c_bare), _ = one.replace(options=plain.options).forward()
    close(y[0], 0.2 * case.state[0] + 0.8 * bare[0])
    close(c, 0.4 * case.state[1] + 0.6 * c_bare)


def test_the_mean_over_masks_is_inference_for_one_step():
    """Average the projection, which is linear, over all masks of zone_h, weighted by probability."""
    case = make_variant_case("elman", (1, 1, 2, 3, 3))
    mean = np.zeros((1, 1, 3))
    for number in range(8):
        mask = np.array([number >> k & 1 for k in range(3)], float)
        likely = np.prod(np.where(mask == 1, 0.3, 0.7))
        mean += likely * case.replace(masks={"zone_h": mask[None, None]}).forward()[0]
    close(case.replace(training=False, options={"zoneout": (0.3, 0.0)}).forward()[0], mean)


@pytest.mark.parametrize("bias", [True, False], ids=["bias", "no-bias"])
@pytest.mark.parametrize("ragged", [False, True], ids=["full", "packed"])
@pytest.mark.parametrize("directions", [1, 2])
def test_projection_is_torchs(torch, directions, ragged, bias):
    T, N, D, H, P = 7, 5, 3, 6, 4
    torch.manual_seed(2)
    module = torch.nn.LSTM(D, H, bias=bias, proj_size=P, bidirectional=directions == 2, dtype=torch.float64)
    random = np.random.default_rng(3)
    x, h, c = (random.normal(size=s) for s in ((T, N, D), (directions, N, P), (directions, N, H)))
    dy, dh, dc = (random.normal(size=s) for s in ((T, N, directions * P), h.shape, c.shape))
    lengths = np.array([3, 7, 1, 5, 7]) if ragged else None
    leaves = [torch.tensor(a, requires_grad=True) for a in (x, h, c)]
    given = leaves[0]
    if ragged:
        given = torch.nn.utils.rnn.pack_padded_sequence(given, torch.tensor(lengths), enforce_sorted=False)
    y_torch, state_torch = module(given, tuple(leaves[1:]))
    if ragged:
        y_torch, _ = torch.nn.utils.rnn.pad_packed_sequence(y_torch, total_length=T)
    outputs = (y_torch, *state_torch)
    sum((a * torch.tensor(d)).sum() for a, d in zip(outputs, (dy, dh, dc), strict=True)).backward()

    dx = np.zeros_like(x)
    for k, suffix in enumerate(("_l0", "_l0_reverse")[:directions]):
        own = {n.removesuffix(suffix): p for n, p in module.named_parameters() if n.endswith(suffix)}
        weights = {n: p.detach().numpy() for n, p in own.items() if n in (*NAMES, "weight_hr")}
        assert len(weights) == (5 if bias else 3)
        y, state_n, tape = reference.variant_forward(
            "lstm", x, weights, (h[k], c[k]), lengths, reverse=k == 1
        )
        dy_k = dy[:, :, k * P : (k + 1) * P]
        dx_k, dstate, dweights = reference.variant_backward("lstm", weights, tape, dy_k, (dh[k], dc[k]))
        dx += dx_k
        close(y, y_torch.detach().numpy()[:, :, k * P : (k + 1) * P], 1e-11)
        for which in range(2):
            close(state_n[which], state_torch[which][k].detach().numpy(), 1e-11)
            close(dstate[which], leaves[1 + which].grad[k].numpy(), 1e-11)
        for name, gradient in dweights.items():
            close(gradient, own[name].grad.numpy(), 1e-11)
    close(dx, leaves[0].grad.numpy(), 1e-11)


def without(name, *missing):
    return {n: w for n, w in make_variant_case(name).weights.items() if n not in missing}


LSTM = make_variant_case("lstm").weights
PROJECTED = make_variant_case("lstm proj").weights


@pytest.mark.parametrize(
    ("name", "changes", "error", "message"),
    [
        ("lstm", {"cell": "jordan"}, ValueError, "cell: expected one of elman, gru"),
        ("lstm", {"options": {"leak": 0.1}}, TypeError, "leak: not an option of the cell lstm"),
        ("mingru", {"options": {"skip": 1}}, TypeError, "skip: not an option of the cell mingru"),
        ("mingru", {"options": {"layer_norm": True}}, ValueError, "weights: expected gain_ih, got none"),
        ("elman", {"options": {"layer_norm": True}}, ValueError, "weights: expected gain, got none"),
        ("lstm", {"options": {"peephole": "next"}}, ValueError, "peephole: expected gers or previous"),
        ("elman", {"options": {"nonlinearity": "sine"}}, ValueError, "nonlinearity: expected one of sigmoid"),
        ("mingru", {"options": {"nonlinearity": "tanh"}}, ValueError, "expected one of identity, positive"),
        ("elman", {"options": {"leak": 1.0}}, ValueError, r"leak: expected a number in \[0, 1\), got 1.0"),
        ("elman", {"options": {"leak": "much"}}, ValueError, "leak: expected a number or"),
        ("elman", {"options": {"leak": "learned"}}, ValueError, "leak: contradicts weights without it"),
        ("elman learned leak", {"options": {"leak": 0.5}}, ValueError, "leak: contradicts the weight"),
        ("elman proj", {"options": {"leak": 0.5}}, ValueError, "weight_hr: contradicts leak"),
        ("elman", {"options": {"zoneout": (0.1, 0.1)}}, ValueError, "zoneout of c: contradicts the cell"),
        ("lstm", {"options": {"zoneout": (0.1, 1.5)}}, ValueError, "zoneout: expected two numbers"),
        ("lstm", {"options": {"cell_clip": 0.0}}, ValueError, "cell_clip: expected a number above 0"),
        ("lstm", {"options": {"skip": -1}}, ValueError, "skip: expected 0 or more"),
        ("gru proj", {"options": {"reset_after": False}}, ValueError, "weight_hr: contradicts reset_after"),
        ("gru proj", {"options": {"zoneout": (0.1, 0.0)}}, ValueError, "contradicts zoneout of a GRU"),
        ("lstm", {"options": {"relevance": True, "skip": 1}}, ValueError, "skip: contradicts relevance"),
        ("lstm", {"options": {"skip": 1}}, ValueError, "weights: expected weight_skip, got none"),
        ("lstm norm", {"weights": without("lstm norm", "gain_c")}, ValueError, "expected gain_c, got none"),
        ("lstm", {"weights": without("lstm", "weight_ih")}, ValueError, "expected weight_ih, got none"),
        ("lstm norm", {"options": {}}, ValueError, "weights: .* does not belong to this variant"),
        ("mingru", {"weights": LSTM}, ValueError, "weights: .* does not belong to this variant"),
        ("lstm", {"weights": PROJECTED | {"weight_hh": np.ones((12, 3))}}, ValueError, r"\[12, 2\]"),
        ("lstm", {"weights": LSTM | {"bias_ih": np.ones(12, "float32")}}, TypeError, "got float32"),
        ("lstm", {"weights": LSTM | {"weight_ih": np.ones((12, 2), int)}}, TypeError, "expected floats"),
        ("lstm", {"x": np.ones((5, 3, 4))}, ValueError, r"x: expected \[T, N, 2\], got \[5, 3, 4\]"),
        ("lstm", {"state": (np.zeros((3, 3)),)}, ValueError, "state: expected a tuple of 2 arrays, got 1"),
        ("lstm skip", {"state": (*[np.zeros((3, 3))] * 3,)}, ValueError, r"past: expected \[3, 2, 3\]"),
        ("gru after", {"masks": {"zone_c": np.zeros((5, 3, 3))}}, ValueError, "masks: .* got zone_c"),
        ("gru proj", {"masks": {"zone_h": np.zeros((5, 3, 2))}}, ValueError, "masks: .* got zone_h"),
        ("mingru", {"masks": {"h": np.zeros((3, 3))}}, ValueError, "masks: .* got h"),
        ("lstm", {"masks": {"x": np.zeros((5, 3, 2))}}, ValueError, r"masks: x: expected \[3, 2\]"),
        ("lstm", {"masks": {"zone_c": np.zeros((5, 3, 3), bool)}}, TypeError, "expected float64, got bool"),
    ],
)
def test_what_does_not_fit_is_refused(name, changes, error, message):
    with pytest.raises(error, match=message):
        make_variant_case(name).replace(**changes).forward()


def test_a_tape_of_something_else_is_refused():
    lstm, gru, peephole = (make_variant_case(n) for n in ("lstm", "gru after", "lstm peephole"))
    for other in (gru, peephole):
        with pytest.raises(ValueError, match="tape: expected one of the cell lstm with these weights"):
            lstm.backward(other.forward()[2])
    with pytest.raises(ValueError, match=r"dy: expected \[5, 3, 3\], got \[1, 3, 3\]"):
        lstm.replace(dy=lstm.dy[:1]).backward()
    with pytest.raises(ValueError, match="dstate_n: expected a tuple of 2 arrays, got 1"):
        lstm.replace(dstate_n=lstm.dstate_n[:1]).backward()
