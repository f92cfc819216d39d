"""Passes of the cells and of the output layer in bfloat16 and int8: what they round, and nothing else."""

import numpy as np
import pytest

from fastrnn import reference
from recurrent_cases import VARIANTS, Case, make_case

NARROW = ["bfloat16", "int8"]
KINDS = [{}, {"ids": True}, {"ragged": True, "resets": True, "reverse": True}]
UNIT = 2.0**-9  # the largest relative error of rounding to bfloat16


def in_precision(case: Case, precision: str) -> Case:
    return case.replace(options=case.options | {"precision": precision})


def widened(case: Case) -> Case:
    """Return the case in float64, whose products are not rounded."""

    def wide(array):
        return array.astype(float) if array is not None and array.dtype.kind == "f" else array

    tuples = {name: tuple(map(wide, getattr(case, name))) for name in ("weights", "state", "dstate_n")}
    return in_precision(case.replace(x=wide(case.x), dy=wide(case.dy), **tuples), "float32")


def of_few_bits(case: Case, bits: int = 4) -> Case:
    """Return the case with numbers of few bits, so that rounding to bfloat16 changes none."""

    def few(array):
        if array is None or array.dtype.kind != "f":
            return array
        return np.round(array * 2**bits).astype("f") / np.float32(2**bits)

    tuples = {name: tuple(map(few, getattr(case, name))) for name in ("weights", "state", "dstate_n")}
    return case.replace(x=few(case.x), dy=few(case.dy), **tuples)


@pytest.mark.parametrize("precision", NARROW)
@pytest.mark.parametrize("given", KINDS[:2], ids=str)
@pytest.mark.parametrize("variant", VARIANTS)
def test_a_pass_is_its_steps(variant, given, precision):
    case = make_case(variant, (5, 3, 7, 6), precision=precision, **given)
    y, state_n, _ = case.forward()
    state = case.state
    for x, wanted in zip(case.x, y, strict=True):
        state = case.step(x, state)
        np.testing.assert_allclose(
            state[0], wanted, rtol=0, atol=1e-6
        )  # the biases are added in another order
    np.testing.assert_allclose(state[0], state_n[0], rtol=0, atol=1e-6)


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_row_does_not_depend_on_its_batch(variant):
    for precision in NARROW:
        case = make_case(variant, (4, 5, 9, 6), precision=precision)
        y, _, _ = case.forward()
        for n in range(5):
            rows = slice(n, n + 1)
            alone = case.replace(x=case.x[:, rows], state=tuple(s[rows] for s in case.state))
            assert alone.forward()[0].tobytes() == np.ascontiguousarray(y[:, rows]).tobytes()


@pytest.mark.parametrize("variant", sorted(VARIANTS.keys() - {"gru-before"}))  # which multiplies r * h
def test_one_step_of_numbers_that_bfloat16_holds_is_that_of_float32(variant):
    case = of_few_bits(make_case(variant, (1, 4, 7, 6), dtype="float32"))
    narrow = in_precision(case, "bfloat16")
    wanted, got = case.forward()[0], narrow.forward()[0]
    assert got.tobytes() == wanted.tobytes()


def test_a_network_of_whole_numbers_has_the_same_outputs_and_gradients_in_bfloat16():
    """Of at most 8 bits each, so that neither operands nor sums are rounded anywhere."""
    random = np.random.default_rng(1)
    case = make_case("elman-relu", (4, 3, 5, 6), dtype="float32", ragged=True, resets=True)

    def whole(array):
        return None if array is None else random.integers(-1, 2, size=array.shape).astype("f")

    sparse = [whole(w) for w in case.weights]
    sparse[1] *= random.random(sparse[1].shape) < 0.3
    case = case.replace(
        x=whole(case.x),
        weights=tuple(sparse),
        state=(np.abs(whole(case.state[0])),),
        dy=whole(case.dy),
        dstate_n=(whole(case.dstate_n[0]),),
    )
    narrow = in_precision(case, "bfloat16")
    (y, _, tape), (y_narrow, _, tape_narrow) = case.forward(), narrow.forward()
    assert np.abs(y).max() <= 256
    assert y_narrow.tobytes() == y.tobytes()
    dx, dstate, dweights = case.backward(tape)
    dx_narrow, dstate_narrow, dweights_narrow = narrow.backward(tape_narrow)
    assert np.abs(dx).max() > 1
    for got, wanted in zip(
        (dx_narrow, *dstate_narrow, *dweights_narrow), (dx, *dstate, *dweights), strict=True
    ):
        assert np.array_equal(got, wanted)


def effect_of_rounding(case: Case) -> float:
    """Return how far the outputs move if each weight moves by at most `UNIT` of itself."""
    random, most = np.random.default_rng(3), 0.0
    y = case.forward()[0]
    for _ in range(4):
        moved = [w if w is None else w * (1 + UNIT * random.uniform(-1, 1, w.shape)) for w in case.weights]
        most = max(most, float(np.abs(case.replace(weights=tuple(moved)).forward()[0] - y).max()))
    return most


@pytest.mark.parametrize("given", KINDS, ids=str)
@pytest.mark.parametrize("variant", VARIANTS)
def test_passes_in_bfloat16_are_near_those_in_float64(variant, given):
    """Both operands of a product move by up to 2**-9 of themselves: about as far as if the weights did."""
    case = make_case(variant, (6, 4, 9, 12), precision="bfloat16", **given)
    exact = widened(case)
    y, _, tape = case.forward()
    y_exact, _, tape_exact = exact.forward()
    assert 0 < np.abs(y - y_exact).max() < 8 * effect_of_rounding(exact)
    dx, dstate, dweights = case.backward(tape)
    dx_exact, dstate_exact, dweights_exact = exact.backward(tape_exact)
    pairs = zip((dx, *dstate, *dweights), (dx_exact, *dstate_exact, *dweights_exact), strict=True)
    for got, wanted in pairs:
        if wanted is not None:
            assert np.abs(got - wanted).max() < 32 * UNIT * np.abs(wanted).max()


@pytest.mark.parametrize("variant", VARIANTS)
def test_passes_in_int8_are_near_those_in_float64(variant):
    case = make_case(variant, (6, 4, 9, 12), precision="int8")
    y, y_exact = case.forward()[0], widened(case).forward()[0]
    assert 0 < np.abs(y - y_exact).max() < 32 / 254 * np.abs(y_exact).max()


@pytest.mark.parametrize("precision", NARROW)
def test_ids_take_columns_of_the_weight_as_rounded(precision):
    case = make_case("lstm", (3, 4, 9, 5), precision=precision, ids=True)
    weight_ih, *others = case.weights
    if precision == "int8":
        q, scale = reference.quantize_rows(weight_ih)
        rounded = q * scale[:, None]
    else:
        rounded = reference.round_to_bfloat16(weight_ih)
    assert (rounded != weight_ih).any()
    again = case.replace(weights=(rounded, *others))
    assert again.forward()[0].tobytes() == case.forward()[0].tobytes()


@pytest.mark.parametrize("precision", NARROW)
@pytest.mark.parametrize("variant", VARIANTS)
def test_weights_already_rounded_give_the_same(variant, precision):
    """What a file holds, q and scale or a bfloat16, is all that inference needs."""
    case = make_case(variant, (4, 3, 7, 6), precision=precision)

    def rounded(weight):
        if precision == "bfloat16":
            return reference.round_to_bfloat16(weight)
        q, scale = reference.quantize_rows(weight)
        return q * scale[:, None]

    weights = (*map(rounded, case.weights[:2]), *case.weights[2:])
    assert case.replace(weights=weights).forward()[0].tobytes() == case.forward()[0].tobytes()


@pytest.mark.parametrize("precision", NARROW)
def test_a_stack_of_two_directions_passes_the_precision_on(precision):
    first, second = (make_case("gru-after", (4, 3, D, 5), dtype="float32") for D in (7, 10))
    weights = [[first.weights, first.weights], [second.weights]]
    y, _, tapes = reference.stack_forward("gru", first.x, weights, precision=precision)
    assert (y != reference.stack_forward("gru", first.x, weights)[0]).any()
    if precision == "bfloat16":
        dx, _, _ = reference.stack_backward("gru", weights, tapes, np.ones_like(y), precision=precision)
        assert (dx != reference.stack_backward("gru", weights, tapes, np.ones_like(y))[0]).any()


@pytest.mark.parametrize("precision", NARROW)
def test_a_linear_layer_is_its_product_and_then_the_bias(precision):
    random = np.random.default_rng(4)
    x, weight, bias = (random.normal(size=s).astype("f") for s in ((2, 3, 9), (5, 9), (5,)))
    product = getattr(reference, f"{precision}_product")(x.reshape(6, 9), weight)
    got = reference.linear_forward(x, weight, bias, precision=precision)
    assert got.tobytes() == (product + bias).reshape(2, 3, 5).tobytes()


def test_gradients_of_a_linear_layer_are_bfloat16_products_and_a_float32_sum():
    random = np.random.default_rng(5)
    x, weight, dy = (random.normal(size=s).astype("f") for s in ((6, 9), (5, 9), (6, 5)))
    dx, dweight, dbias = reference.linear_backward(x, weight, dy, precision="bfloat16")
    assert dx.tobytes() == reference.bfloat16_product(dy, np.ascontiguousarray(weight.T)).tobytes()
    assert np.array_equal(dweight, reference.bfloat16_product(dy.T, x.T))
    assert dbias.tobytes() == dy.sum(axis=0).tobytes()


def test_a_loss_in_bfloat16_is_that_of_its_logits():
    random = np.random.default_rng(6)
    h, weight, bias = (random.normal(size=s).astype("f") for s in ((7, 9), (5, 9), (5,)))
    targets = np.array([0, 4, -1, 2, 2, 1, 3])
    got = reference.linear_cross_entropy(h, weight, bias, targets, 0.25, precision="bfloat16")
    logits = reference.linear_forward(h, weight, bias, precision="bfloat16")
    losses, dlogits = reference.softmax_cross_entropy(logits[targets != -1], targets[targets != -1])
    assert np.array_equal(got.losses[targets != -1], losses)
    dlogits *= np.float32(0.25)
    assert np.array_equal(got.dh[targets != -1], reference.bfloat16_product(dlogits, weight.T))
    assert not got.dh[2].any()


def test_int8_has_no_gradients():
    case = make_case("lstm", precision="int8")
    _, _, tape = case.forward()
    with pytest.raises(ValueError, match="precision: int8 is for inference"):
        case.backward(tape)
    with pytest.raises(ValueError, match="precision: int8 is for inference"):
        reference.linear_cross_entropy(
            np.ones((1, 2), "f"), np.ones((3, 2), "f"), None, np.array([1]), precision="int8"
        )


@pytest.mark.parametrize("variant", VARIANTS)
def test_float64_and_unknown_precisions_are_refused(variant):
    case = make_case(variant)
    with pytest.raises(ValueError, match="precision: expected 'float32' for float64 weights, got 'bfloat16'"):
        in_precision(case, "bfloat16").forward()
    with pytest.raises(ValueError, match="precision: expected one of float32, bfloat16, int8, got 'float16'"):
        in_precision(case, "float16").forward()
