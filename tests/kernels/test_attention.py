"""Attention: both kinds of score and pooling, against the reference, central differences and PyTorch."""

import copy
import pickle
import re

import numpy as np
import pytest

import fastrnn as fr
from fastrnn import reference
from gradient_check import assert_gradient
from kernel_cases import assert_same_bits, with_threads

DTYPES = pytest.mark.parametrize("dtype", ["float64", "float32"])
KINDS = pytest.mark.parametrize("kind", ["additive", "general", "dot"])
#: T, N, S, Q, K, A
SIZES = [(1, 1, 1, 1, 1, 1), (3, 4, 5, 3, 2, 7), (5, 3, 9, 17, 33, 16), (35, 2, 21, 40, 24, 70)]


def make(kind, size, dtype="float64", seed=0):
    """Return a layer, queries, values with NaN after the ends, lengths, and the gradients of both results."""
    T, N, S, Q, K, A = size
    K = Q if kind == "dot" else K
    if kind == "additive":
        layer = fr.AdditiveAttention(Q, K, A, dtype=dtype, seed=seed)
    else:
        options = {"weight": kind == "general", "scale": 0.7}
        layer = fr.MultiplicativeAttention(Q, K, dtype=dtype, seed=seed, **options)
    random = np.random.default_rng(seed)
    shapes = ((T, N, Q), (S, N, K), (T, N, K), (T, N, S))
    queries, values, dcontext, dweights = (random.normal(size=shape).astype(dtype) for shape in shapes)
    lengths = random.integers(0, S + 1, size=N)
    lengths[0] = S
    for n, length in enumerate(lengths):
        values[length:, n] = dweights[:, n, length:] = np.nan
    return layer, queries, values, lengths, dcontext, dweights


def both_passes(layer, queries, values, lengths, dcontext, dweights, steps=None):
    """Return everything that a layer computes, all queries at once or `steps` at a time."""
    layer.zero_gradients()
    memory = layer.prepare(values, lengths)
    parts = [slice(t, t + (steps or len(queries))) for t in range(0, len(queries), steps or len(queries))]
    tapes, context, weights, dqueries = [], [], [], []
    for part in parts:
        c, w, tape = layer.forward(queries[part], memory)
        tapes.append(tape)
        context.append(c)
        weights.append(w)
    for part, tape in zip(parts[::-1], tapes[::-1], strict=True):
        dqueries.insert(0, layer.backward(tape, dcontext[part], dweights[part]))
    results = {"context": context, "weights": weights, "dqueries": dqueries}
    results = {name: np.concatenate(value) for name, value in results.items()}
    results["dvalues"] = layer.backward_memory(memory)
    return results | {f"d{name}": value.copy() for name, value in layer.gradients.items()}


def expected(layer, queries, values, lengths, dcontext, dweights):
    """Return the same from the reference, in float64."""
    wide = {name: value.astype(np.float64) for name, value in layer.parameters.items()}
    queries, dcontext, dweights = (a.astype(np.float64) for a in (queries, dcontext, dweights))
    values = np.where(np.isnan(values), 0, values).astype(np.float64)
    q, keys, more = queries, values, {"scale": getattr(layer, "scale", 1.0)}
    if "key.weight" in wide:
        keys = reference.linear_forward(values, wide["key.weight"], wide.get("key.bias"))
    if "score.weight" in wide:
        q = reference.linear_forward(queries, wide["query.weight"])
        more["score"] = wide["score.weight"][0]
    context, weights = reference.attention_forward(q, keys, values, lengths, **more)
    d = reference.attention_backward(q, keys, values, lengths, weights, dcontext, dweights, **more)
    results = {"context": context, "weights": weights, "dqueries": d.dqueries}
    if "key.weight" not in wide:
        results["dvalues"] = d.dvalues + d.dkeys
    if "score.weight" in wide:
        dqueries, dquery, _ = reference.linear_backward(queries, wide["query.weight"], d.dqueries)
        results |= {"dqueries": dqueries, "dquery.weight": dquery, "dscore.weight": d.dscore[None]}
    if "key.weight" in wide:
        through, dkey, dbias = reference.linear_backward(values, wide["key.weight"], d.dkeys)
        results |= {"dvalues": d.dvalues + through, "dkey.weight": dkey}
        if "key.bias" in wide:
            results["dkey.bias"] = dbias
    return results


@DTYPES
@KINDS
@pytest.mark.parametrize("size", SIZES, ids=str)
def test_both_passes_are_the_references_and_padding_is_never_read(kind, size, dtype):
    given = make(kind, size, dtype)
    got, wanted = both_passes(*given), expected(*given)
    assert got.keys() == wanted.keys()
    for name, value in got.items():
        assert value.dtype == dtype
        tolerance = (1e-11 if dtype == "float64" else 1e-4) * max(1.0, np.abs(wanted[name]).max())
        np.testing.assert_allclose(value, wanted[name], rtol=0, atol=tolerance, err_msg=name)
    lengths = given[3]
    for n, length in enumerate(lengths):
        assert not got["weights"][:, n, length:].any()
        assert not got["dvalues"][length:, n].any()


@KINDS
def test_gradients_are_central_differences(kind):
    layer, queries, values, lengths, dcontext, dweights = make(kind, (2, 3, 4, 3, 2, 5))
    values[np.isnan(values)], dweights[np.isnan(dweights)] = 0.5, 0.5
    got = both_passes(layer, queries, values, lengths, dcontext, dweights)

    def loss():
        context, weights = layer(queries, layer.prepare(values, lengths))
        return (context * dcontext).sum() + (weights * dweights).sum()

    assert_gradient(loss, queries, got["dqueries"])
    assert_gradient(loss, values, got["dvalues"])
    for name in layer.parameters:
        with layer.parameters.edit() as views:
            assert_gradient(loss, views[name], got[f"d{name}"])


@KINDS
def test_results_are_those_of_pytorchs_operators(torch, kind):
    layer, queries, values, lengths, dcontext, dweights = make(kind, (4, 3, 6, 5, 4, 7))
    values[np.isnan(values)], dweights[np.isnan(dweights)] = 0.5, 0.5
    got = both_passes(layer, queries, values, lengths, dcontext, dweights)
    q, h = (torch.tensor(a, requires_grad=True) for a in (queries, values))
    own = {name: torch.tensor(value, requires_grad=True) for name, value in layer.parameters.items()}
    rows, queried = h.transpose(0, 1), q.transpose(0, 1)
    keys = torch.nn.functional.linear(rows, own["key.weight"], own.get("key.bias")) if own else rows
    seen = torch.arange(6)[None, None] < torch.tensor(lengths)[:, None, None]
    if kind == "additive":
        hidden = torch.tanh((queried @ own["query.weight"].T)[:, :, None] + keys[:, None])
        scores = hidden @ own["score.weight"][0]
    else:
        scores = 0.7 * queried @ keys.transpose(1, 2)
    weights = torch.softmax(scores.masked_fill(~seen, -1e300), -1) * seen
    context = weights @ rows
    if kind == "dot":
        masked = torch.where(seen, 0.0, -1e30).double()
        theirs = torch.nn.functional.scaled_dot_product_attention(queried, rows, rows, masked, scale=0.7)
        full = lengths > 0
        np.testing.assert_allclose(
            got["context"][:, full], theirs.transpose(0, 1).detach()[:, full], atol=1e-12
        )
    turned = [torch.tensor(a).transpose(0, 1) for a in (dcontext, dweights)]
    ((context * turned[0]).sum() + (weights * turned[1]).sum()).backward()
    wanted = {"context": context.transpose(0, 1), "weights": weights.transpose(0, 1)}
    wanted |= {"dqueries": q.grad, "dvalues": h.grad} | {f"d{name}": leaf.grad for name, leaf in own.items()}
    assert got.keys() == wanted.keys()
    for name, value in got.items():
        np.testing.assert_allclose(value, wanted[name].detach().numpy(), atol=1e-12, err_msg=name)


@DTYPES
@KINDS
def test_steps_one_by_one_give_the_bits_of_all_at_once(kind, dtype):
    given = make(kind, (37, 3, 11, 20, 36, 40), dtype)
    at_once, single, some = (both_passes(*given, steps=steps) for steps in (None, 1, 5))
    for results in (single, some):  # the sum over calls of dW is the only one in another order
        np.testing.assert_allclose(
            results.pop("dquery.weight", 0), at_once.get("dquery.weight", 0), rtol=1e-3, atol=1e-4
        )
    at_once.pop("dquery.weight", None)
    assert_same_bits(single, at_once)
    assert_same_bits(some, at_once)
    layer, queries, values, lengths = given[:4]
    context, weights = layer(queries[3], layer.prepare(values, lengths))
    assert context.tobytes() == at_once["context"][3].tobytes()
    assert weights.tobytes() == at_once["weights"][3].tobytes()


@DTYPES
@KINDS
def test_bits_depend_on_neither_threads_nor_neighbours_nor_padding(kind, dtype):
    given = make(kind, (40, 7, 13, 40, 36, 70), dtype)
    one, two = (with_threads(threads, lambda: both_passes(*given)) for threads in (1, 3))
    assert_same_bits(two, one)
    layer, queries, values, lengths, dcontext, dweights = given
    n = 2
    longer = np.full((20, 1, values.shape[2]), np.nan, dtype)
    longer[: len(values)] = values[:, [n]]
    more = np.full((40, 1, 20), np.nan, dtype)
    more[..., : len(values)] = dweights[:, [n]]
    alone = both_passes(layer, queries[:, [n]], longer, lengths[[n]], dcontext[:, [n]], more)
    for name in ("context", "dqueries"):
        assert alone[name][:, 0].tobytes() == np.ascontiguousarray(one[name][:, n]).tobytes()
    assert np.array_equal(alone["weights"][:, 0, :13], one["weights"][:, n])
    assert np.array_equal(alone["dvalues"][:13, 0], one["dvalues"][:, n])


@KINDS
def test_a_selection_repeats_rows_without_projecting_again(kind):
    layer, queries, values, lengths, *_ = make(kind, (2, 4, 5, 3, 2, 7), "float32")
    rows = [3, 0, 0, 2, 3]
    memory = layer.prepare(values, lengths)
    chosen = memory.select([2, 3, 0]).select([1, 2, 2, 0, 1])
    wanted = layer(queries[:, rows], layer.prepare(values[:, rows], lengths[rows]))
    for got, value in zip(layer(queries[:, rows], chosen), wanted, strict=True):
        assert got.tobytes() == value.tobytes()
    assert chosen.batch_size == 5
    assert chosen.lengths.tolist() == lengths[rows].tolist()
    assert chosen.keys is memory.keys
    with pytest.raises(ValueError, match="memory: expected one that prepare returned, got a selection"):
        layer.forward(queries[:, rows], chosen)
    with pytest.raises(ValueError, match=r"rows: expected 0 \.\. 4, got 5 at position 1"):
        chosen.select([0, 5])


def test_a_memory_keeps_the_values_and_the_weights_of_its_time():
    layer, queries, values, lengths, dcontext, dweights = make("additive", (3, 4, 5, 3, 2, 7))
    wanted = both_passes(layer, queries, values, lengths, dcontext, dweights)
    layer.zero_gradients()
    memory = layer.prepare(values, lengths)
    _, _, tape = layer.forward(queries, memory)
    values[...] = queries[...] = 0
    before = layer.state_dict()
    layer.parameters["score.weight"] = before["score.weight"] * 0
    layer.parameters["key.weight"] = before["key.weight"] * 0
    layer.parameters["query.weight"] = before["query.weight"] * 0
    assert np.array_equal(layer.backward(tape, dcontext, dweights), wanted["dqueries"])
    assert np.array_equal(layer.backward_memory(memory), wanted["dvalues"])
    assert np.array_equal(layer.gradients["score.weight"], wanted["dscore.weight"])
    assert not layer.backward_memory(memory).any()  # taken


@DTYPES
def test_pooling_is_attention_with_a_query_of_zeros(dtype):
    layer, queries, values, lengths, dcontext, dweights = make("additive", (1, 5, 9, 3, 18, 21), dtype)
    wanted = both_passes(layer, queries * 0, values, lengths, dcontext, dweights)
    pooling = fr.AttentionPooling(18, 21, dtype=dtype)
    state = layer.state_dict()
    pooling.load_state_dict({name: state[name] for name in pooling.parameters})
    pooled, weights, tape = pooling.forward(values, lengths)
    dvalues = pooling.backward(pickle.loads(pickle.dumps(tape)), dcontext[0], dweights[0])
    got = {"context": pooled[None], "weights": weights[None], "dvalues": dvalues}
    got |= {f"d{name}": value for name, value in pooling.gradients.items()}
    assert_same_bits(got, {name: wanted[name] for name in got})
    for one, other in zip(pooling(values, lengths), (pooled, weights), strict=True):
        assert one.tobytes() == other.tobytes()
    again = pooling.gradients.flat.copy()
    assert pooling.backward(tape, dcontext[0], dweights[0], need_dvalues=False) is None
    np.testing.assert_allclose(pooling.gradients.flat, 2 * again, rtol=1e-4, atol=1e-6)


@KINDS
def test_empty_batches_and_sequences_without_a_step(kind):
    for size in ((0, 3, 4, 3, 2, 5), (2, 0, 4, 3, 2, 5)):
        layer, queries, values, lengths, dcontext, dweights = make(kind, (2, 3, 4, 3, 2, 5), "float32")
        T, N = size[:2]
        given = queries[:T, :N], values[:, :N], lengths[:N], dcontext[:T, :N], dweights[:T, :N]
        memory = layer.prepare(given[1], given[2])
        context, weights, tape = layer.forward(given[0], memory)
        assert (context.shape, weights.shape) == (given[3].shape, given[4].shape)
        assert layer.backward(tape, given[3]).shape == given[0].shape
        assert not layer.backward_memory(memory).any()
        assert not layer.gradients.flat.any()
    memory = layer.prepare(np.zeros((0, 3, layer.key_size), "f"))
    context, weights, tape = layer.forward(queries, memory)
    assert not context.any()
    assert weights.shape == (2, 3, 0)
    assert not layer.backward(tape, dcontext).any()
    assert layer.backward_memory(memory).shape == (0, 3, layer.key_size)


def test_far_scores_neither_overflow_nor_leave_the_simplex():
    layer = fr.MultiplicativeAttention(2, 2, weight=False, scale=1e6)
    values = np.array([[[1, 0]], [[0, 1]], [[1, 0]]], "f")
    context, weights = layer(np.array([[[1e5, -1e5]]], "f"), layer.prepare(values))
    np.testing.assert_allclose(weights[0, 0], [0.5, 0, 0.5], atol=1e-30)
    np.testing.assert_allclose(context[0, 0], [1, 0], atol=1e-30)


def test_copies_and_pickles_have_the_same_description_and_results():
    for kind in ("additive", "general", "dot"):
        layer, queries, values, lengths, *_ = make(kind, (2, 4, 5, 3, 2, 7))
        wanted = layer(queries, layer.prepare(values, lengths))[0]
        for twin in (copy.deepcopy(layer), pickle.loads(pickle.dumps(layer))):
            assert twin.description == layer.description
            assert np.array_equal(twin(queries, layer.prepare(values, lengths))[0], wanted)
        assert type(layer)(**layer.description).parameters.keys() == layer.parameters.keys()


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda a, m, q: a(q[:, :2], m), ValueError, "queries: expected [T, 3, 5], got [4, 2, 5]"),
        (lambda a, m, q: a(q[0, :2], m), ValueError, "queries: expected [3, 5], got [2, 5]"),
        (lambda a, m, q: a(q.astype("d"), m), TypeError, "queries: expected float32, got float64"),
        (
            lambda a, m, q: a(q, q),
            TypeError,
            "memory: expected the memory that prepare",
        ),
        (
            lambda a, m, q: fr.AdditiveAttention(5, 4, 3)(q, m),
            ValueError,
            "memory: expected one of this layer, got another layer's",
        ),
        (lambda a, m, q: a.prepare(q), ValueError, "values: expected [S, N, 4], got [4, 3, 5]"),
        (
            lambda a, m, q: a.prepare(q[..., :4], [1, 2, 5]),
            ValueError,
            "lengths: expected 0 .. 4, got 5 at position 2",
        ),
        (
            lambda a, m, q: a.backward(a.forward(q, m)[2], q),
            ValueError,
            "dcontext: expected [4, 3, 4], got [4, 3, 5]",
        ),
        (
            lambda a, m, q: a.backward(m, q),
            TypeError,
            "tape: expected the AttentionTape that forward returned, got AttentionMemory",
        ),
        (lambda a, m, q: fr.AdditiveAttention(5, 0, 3), ValueError, "key_size: expected 1 or more, got 0"),
        (
            lambda a, m, q: fr.MultiplicativeAttention(5, 4, weight=False),
            ValueError,
            "key_size: expected 5, as query_size, got 4; write weight=True for others",
        ),
    ],
)
def test_a_wrong_argument_is_named_with_what_was_expected(call, error, message):
    attention = fr.AdditiveAttention(5, 4, 3, seed=0)
    memory = attention.prepare(np.zeros((6, 3, 4), "f"))
    with pytest.raises(error, match=re.escape(message)):
        call(attention, memory, np.zeros((4, 3, 5), "f"))
