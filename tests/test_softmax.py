"""Output layers: softmax, tied softmax, adaptive softmax; and ids of -1, which mean vectors of zeros."""

import copy
import pickle
import re

import numpy as np
import pytest

import fastrnn as fr
from fastrnn import reference
from fastrnn.layers import AdaptiveSoftmax, Softmax, TiedSoftmax
from gradient_check import assert_gradient

# Width, ids, cutoffs: a cluster of one id, widths that end at 1, a head and a tail of more than 1024 outputs.
ADAPTIVE = {"three": (66, 30, [5, 12, 20]), "one id": (8, 9, [8])}
ADAPTIVE |= {"narrow": (3, 12, [1, 4, 6]), "wide": (70, 3000, [1100, 1500])}
TARGETS = [3, -1, 0, 6, 3, 2, -1]


def normal(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape)


def make_adaptive(name, rows=40, **options):
    K, V, cutoffs = ADAPTIVE[name]
    output = AdaptiveSoftmax(K, V, cutoffs, dtype="float64", seed=0, **options)
    with output.parameters.edit() as views:
        views.flat[...] *= 3
    targets = np.random.default_rng(1).integers(V, size=rows)
    targets[: len(cutoffs) + 1] = [0, *cutoffs][:rows]  # the first id of each cluster
    return output, normal(rows, K), targets


@pytest.mark.parametrize("bias", [True, False])
def test_a_softmax_does_what_the_reference_does(bias):
    output = Softmax(5, 7, bias, dtype="float64", seed=0)
    h, targets = normal(len(TARGETS), 5), np.array(TARGETS)
    weight, b = output.parameters["weight"], output.parameters.get("bias")
    wanted = reference.linear_cross_entropy(h, weight, b, targets, scale=0.5)
    np.testing.assert_allclose(output(h), h @ weight.T + (0 if b is None else b), rtol=1e-12)
    for times in (1, 2):  # gradients add up
        losses, dh = output.losses_and_gradients(h, targets, scale=0.5)
        pairs = [(losses, wanted.losses), (dh, wanted.dh)]
        pairs += [(d, times * getattr(wanted, f"d{name}")) for name, d in output.gradients.items()]
        for one, two in pairs:
            np.testing.assert_allclose(one, two, rtol=1e-12, atol=1e-15)
    assert output.losses(h, targets).tobytes() == losses.tobytes()


def make_tied(V=7):
    """Make an embedding whose scaled output is the input of the softmax that shares its weight."""
    output = TiedSoftmax(fr.Embedding(V, 5, dtype="float64", seed=0))
    output.parameters["bias"] = normal(V, seed=1)
    return output.embedding, output


@pytest.mark.parametrize("V", [7, 1030])
@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_both_uses_of_a_tied_weight_add_up(torch, V, smoothing):
    embedding, output = make_tied(V)
    ids, targets = np.array([1, 0, 1, 5, 6, 6, 2]), np.array(TARGETS)
    x, tape = embedding.forward(ids)
    losses, dh = output.losses_and_gradients(2 * x, targets, scale=0.5, smoothing=smoothing)
    embedding.backward(tape, 2 * dh)
    weight = torch.tensor(embedding.parameters["weight"], requires_grad=True)
    bias = torch.tensor(output.parameters["bias"], requires_grad=True)
    logits = torch.nn.functional.linear(2 * weight[torch.tensor(ids)], weight, bias)
    options = {"ignore_index": -1, "label_smoothing": smoothing, "reduction": "none"}
    wanted = torch.nn.functional.cross_entropy(logits, torch.tensor(targets), **options)
    (0.5 * wanted.sum()).backward()
    pairs = [(output(2 * x), logits), (losses, wanted)]
    pairs += [(embedding.gradients["weight"], weight.grad), (output.gradients["bias"], bias.grad)]
    for ours, theirs in pairs:
        np.testing.assert_allclose(ours, theirs.detach().numpy(), rtol=0, atol=1e-12)


def test_a_tied_softmax_follows_its_embedding():
    embedding, output = make_tied()
    h, bias = normal(4, 5, seed=2), output.parameters["bias"].copy()
    before = output(h)
    embedding.parameters["weight"] = 2 * embedding.parameters["weight"]
    np.testing.assert_allclose(output(h), 2 * before - bias, rtol=1e-12, atol=1e-14)
    output.parameters["bias"] = np.zeros(7)
    np.testing.assert_allclose(output(h), 2 * (before - bias), rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda model: pickle.loads(pickle.dumps(model))])
def test_a_copied_model_is_still_tied(copied):
    model = fr.LanguageModel(7, hidden_size=5, embedding_size=5, tied=True, dtype="float64", seed=0)
    twin, ids = copied(model), np.arange(6).reshape(6, 1)
    for one in (model, twin):
        one.parameters["embedding.weight"] = normal(7, 5)
        one.loss_and_gradients(ids[:-1], ids[1:])
    assert twin.output.embedding is twin.embedding
    assert np.array_equal(twin.gradients.flat, model.gradients.flat)
    twin.parameters["embedding.weight"] = np.zeros((7, 5))
    assert not np.array_equal(model.logits(ids)[0], twin.logits(ids)[0])


@pytest.mark.parametrize("div_value", [4.0, 2.0])
@pytest.mark.parametrize("name", sorted(ADAPTIVE.keys() - {"narrow"}))  # PyTorch allows a width of 0
def test_pytorch_has_the_same_adaptive_softmax(torch, name, div_value):
    output, h, targets = make_adaptive(name, div_value=div_value)
    K, V, cutoffs = ADAPTIVE[name]
    theirs = torch.nn.AdaptiveLogSoftmaxWithLoss(K, V, cutoffs, div_value, dtype=torch.float64)

    def translated(key):
        return key.replace("tail", "tail.").replace("project", "0").replace("output", "1")

    theirs.load_state_dict({translated(key): torch.tensor(p) for key, p in output.parameters.items()})
    h_torch = torch.tensor(h, requires_grad=True)
    log_p, _ = theirs(h_torch, torch.tensor(targets))
    (-0.25 * log_p.sum()).backward()
    losses, dh = output.losses_and_gradients(h, targets, scale=0.25)
    pairs = [(output(h), theirs.log_prob(h_torch)), (losses, -log_p), (dh, h_torch.grad)]
    pairs += [(d, theirs.get_parameter(translated(key)).grad) for key, d in output.gradients.items()]
    for ours, other in pairs:
        np.testing.assert_allclose(ours, other.detach().numpy(), rtol=0, atol=1e-11)


@pytest.mark.parametrize("name", ADAPTIVE)
def test_an_adaptive_softmax_is_a_distribution(name):
    output, h, targets = make_adaptive(name)
    log_p = output(h.reshape(4, 10, -1))
    assert log_p.shape == (4, 10, output.out_features)
    np.testing.assert_allclose(np.exp(log_p).sum(-1), 1.0, rtol=1e-12)
    losses = output.losses(h, targets)
    np.testing.assert_allclose(losses, -log_p.reshape(40, -1)[np.arange(40), targets], rtol=1e-11)
    assert output.losses_and_gradients(h, targets)[0].tobytes() == losses.tobytes()
    assert all(output(h[[m]]).tobytes() == output(h)[m].tobytes() for m in (0, 7, 39))


@pytest.mark.parametrize("targets", [[0, 3, 11, 5, 1], [0, -1, 5, 4, -1], [0, 0, -1, 0, 0]], ids=str)
def test_an_adaptive_softmax_has_central_differences(targets):
    output, h, _ = make_adaptive("narrow", rows=5)
    targets = np.array(targets)
    losses, dh = output.losses_and_gradients(h, targets)
    assert not losses[targets == -1].any()
    assert not dh[targets == -1].any()
    with output.parameters.edit() as views:
        for array, gradient in [(h, dh), *((views[name], d) for name, d in output.gradients.items())]:
            assert_gradient(lambda: output.losses(h, targets).sum(), array, gradient)
    met = [((targets >= begin) & (targets < end)).any() for begin, end in ((1, 4), (4, 6), (6, 12))]
    assert [output.gradients[f"tail{i}.output.weight"].any() for i in range(3)] == met


def test_what_an_adaptive_softmax_refuses():
    for cutoffs in ([], [0, 3], [3, 3], [5, 3], [3, 9]):
        message = re.escape(f"cutoffs: expected increasing ids in 1 .. 8, got {cutoffs}")
        with pytest.raises(ValueError, match=f"^{message}$"):
            AdaptiveSoftmax(4, 9, cutoffs)
    for cutoffs in ([2.5], 4):
        with pytest.raises(TypeError, match=r"^cutoffs: expected (an integer, got float|integers, got int)$"):
            AdaptiveSoftmax(4, 9, cutoffs)
    for value in (0.5, float("inf")):
        with pytest.raises(ValueError, match=rf"^div_value: expected a finite number >= 1, got {value}$"):
            AdaptiveSoftmax(4, 9, [3], div_value=value)
    with pytest.raises(TypeError, match=r"^div_value: expected a number, got str$"):
        AdaptiveSoftmax(4, 9, [3], div_value="4")
    output, h, _ = make_adaptive("narrow", rows=2)
    for targets, wrong in (([0, 12], 12), ([-2, 0], -2)):
        for run in (output.losses, output.losses_and_gradients):
            with pytest.raises(ValueError, match=rf"^targets: .* 0 .. 11 \(-1: none\), got {wrong}$"):
                run(h, np.array(targets))
    with pytest.raises(ValueError, match=r"^smoothing: expected 0 with an adaptive softmax, got 0.1$"):
        output.losses_and_gradients(h, np.array([0, 1]), smoothing=0.1)
    assert not output.gradients.flat.any()


def ids_and_rows(steps, rows, count):
    """Draw ids, many of them -1, and the rows that they mean: of the identity, or zeros."""
    ids = np.random.default_rng(3).integers(-1, count, size=(steps, rows))
    ids[0], ids[:, 1:2] = -1, -1
    return ids, np.eye(count)[ids] * (ids != -1)[..., None]


def test_an_embedding_has_zeros_for_ids_of_minus_one():
    embedding, dy = fr.Embedding(7, 5, dtype="float64", seed=0), normal(9, 4, 5)
    ids, rows = ids_and_rows(9, 4, 7)
    assert np.array_equal(embedding(ids), rows @ embedding.parameters["weight"])
    embedding.backward(ids, dy)
    wanted = np.einsum("tnv,tne->ve", rows, dy)
    np.testing.assert_allclose(embedding.gradients["weight"], wanted, rtol=0, atol=1e-12)


CELLS = [fr.RNN, fr.GRU, fr.LSTM, fr.MinGRU, fr.MinLSTM]
LAYERS = [(cell, {}) for cell in CELLS] + [(cell, {"layer_norm": True}) for cell in CELLS[:3]]
LAYERS += [(fr.GRU, {"reset_after": False}), (fr.LSTM, {"bias": False}), (fr.LSTM, {"peephole": True})]
EVERY_LAYER = pytest.mark.parametrize(
    ("cell", "options"), LAYERS, ids=[f"{c.__name__} {o}" for c, o in LAYERS]
)


@pytest.mark.parametrize("shape", [{}, {"num_layers": 2}, {"bidirectional": True}], ids=str)
@EVERY_LAYER
@pytest.mark.parametrize("every", [None, 4])
def test_recurrent_layers_have_zeros_for_ids_of_minus_one(cell, options, shape, every):
    rnn = cell(6, 19, dtype="float64", seed=0, **options, **shape)
    lengths, dy, results = np.array([11, 3, 11, 1, 7]), normal(11, 5, rnn.output_size), []
    for x in ids_and_rows(11, 5, 6):
        rnn.zero_gradients()
        y, state, tape = rnn.forward(x, None, lengths, checkpoint_every=every)
        _, dstate = rnn.backward(tape, dy, state)
        results.append([y, state, dstate, rnn.gradients.flat.copy(), rnn(x)[0]])
    for one, two in zip(*results, strict=True):
        np.testing.assert_allclose(one, two, rtol=0, atol=1e-12)


@pytest.mark.parametrize("rows", [1, 5])
@EVERY_LAYER
def test_streams_have_zeros_for_ids_of_minus_one(cell, options, rows):
    rnn = cell(6, 19, 2, dtype="float64", seed=0, **options)
    ids, x = ids_and_rows(11, rows, 6)
    by_ids, by_rows, whole = rnn.stream(rows), rnn.stream(rows), rnn(ids)[0]
    for t in range(11):
        y = by_ids.step(ids[t])
        assert y.tobytes() == whole[t].tobytes()
        np.testing.assert_allclose(y, by_rows.step(x[t]), rtol=0, atol=1e-12)
