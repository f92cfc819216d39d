"""Cross-entropy of 1024 or more symbols, in blocks of 256; label smoothing of any number of symbols."""

import math
import os
import signal
import sys
import threading
import time

import numpy as np
import pytest

import fastrnn as fr
from fastrnn import reference
from gradient_check import assert_slope
from kernel_cases import assert_same_bits, kernels, with_threads

DTYPES = ["float64", "float32"]
# Rows, depth, vocabulary; 1023 is still narrow. Chunks have at most 512 rows, of 70,001 symbols 239: the last
# ones here have 1, 2 and 6. Up to 4 rows and more than 2048 columns take separate code paths.
SIZES = [(1, 1, 1023), (3, 17, 1024), (5, 65, 1025), (65, 200, 1279), (513, 17, 1280), (1030, 1, 2500)]
SIZES += [(3, 65, 9001), (513, 65, 1025), (1030, 17, 1024), (65, 1, 9001), (1, 200, 2500), (514, 1, 1279)]
SIZES += [(5, 2100, 1279), (4, 2100, 1024), (241, 1, 70_001)]
EVERYTHING = ("losses", "dh", "dweight", "dbias")


def make(M, K, V, dtype="float64", with_bias=True, seed=0):
    """Make arguments of the kernel: h, weight, bias, targets."""
    random = np.random.default_rng(seed)
    h, weight, bias = (random.normal(size=s).astype(dtype) for s in ((M, K), (V, K), (V,)))
    weight /= np.sqrt(K)
    targets = random.integers(V, size=M)
    targets[2::5] = -1
    targets[:1] = V - 1  # in the last block
    return h, weight, bias if with_bias else None, targets


def run(h, weight, bias, targets, *, scale=0.125, smoothing=0.0, wanted=EVERYTHING):
    """Return what the kernel computes, by name; gradients are added to ones."""
    dweight = np.ones_like(weight) if "dweight" in wanted else None
    dbias = np.ones_like(bias) if "dbias" in wanted and bias is not None else None
    losses, dh = kernels.linear_cross_entropy(
        h, weight, bias, targets, scale, dweight, dbias, "dh" in wanted, smoothing
    )
    results = zip(EVERYTHING, (losses, dh, dweight, dbias), strict=True)
    return {name: value for name, value in results if value is not None}


def wide(*arrays):
    return [None if a is None else a.astype(np.float64) for a in arrays]


def assert_close(got, wanted, terms):
    """Assert equality to 1e-10 of the largest element, in float32 to the error of a sum of `terms` terms."""
    assert got.keys() == wanted.keys()
    for name, value in got.items():
        largest = np.abs(wanted[name]).max(initial=0.0)
        tolerance = 1e-10 * largest
        if value.dtype == np.float32:
            # dh is one chain over the vocabulary, which accumulates more error than a tree.
            errors = math.sqrt(terms) if name == "dh" else math.ceil(math.log2(terms))
            tolerance = 4 * errors * np.finfo("f").eps * max(1.0, largest)
        assert value.shape == wanted[name].shape
        np.testing.assert_allclose(value, wanted[name], rtol=0, atol=tolerance, err_msg=name)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("with_bias", [True, False])
@pytest.mark.parametrize("sizes", SIZES, ids=str)
def test_the_reference_gives_the_same(sizes, with_bias, dtype):
    h, weight, bias, targets = make(*sizes, dtype, with_bias)
    got = run(h, weight, bias, targets)
    wanted = reference.linear_cross_entropy(*wide(h, weight, bias), targets, scale=0.125)._asdict()
    wanted["dweight"] += 1
    wanted["dbias"] += 1
    assert_close(got, {name: wanted[name] for name in got}, sum(sizes) + 2)
    assert not got["losses"][targets == -1].any()
    assert not got["dh"][targets == -1].any()


@pytest.mark.parametrize("smoothing", [0.0, 0.3])
@pytest.mark.parametrize("sizes", [(513, 17, 1025), (3, 33, 1279), (70, 2100, 1024)], ids=str)
def test_omitting_a_result_changes_no_bit_of_the_others(sizes, smoothing):
    case = make(*sizes, "float32")
    everything = run(*case, smoothing=smoothing)
    for names in ((), ("dh",), ("dweight",), ("dweight", "dbias"), ("dh", "dweight")):
        got = run(*case, smoothing=smoothing, wanted=names)
        assert got.keys() == {"losses", *names}
        assert_same_bits(got, {name: everything[name] for name in got})


@pytest.mark.parametrize("smoothing", [0.0, 0.3])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("sizes", [(515, 17, 1024), (70, 33, 2500), (3, 129, 9001)], ids=str)
def test_any_number_of_threads_gives_the_same_bits(sizes, dtype, smoothing):
    assert math.prod(sizes) >= 5 * 400_000  # multiply-adds; smaller work uses fewer threads
    case = make(*sizes, dtype)
    alone = with_threads(1, lambda: run(*case, smoothing=smoothing))
    for threads in (2, 3, 5) * 3:
        assert_same_bits(with_threads(threads, lambda: run(*case, smoothing=smoothing)), alone)


@pytest.mark.parametrize("smoothing", [0.0, 0.3])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("V", [1023, 1025])
def test_a_row_alone_or_in_any_batch(V, dtype, smoothing):
    h, weight, bias, targets = make(520, 19, V, dtype)
    whole = run(h, weight, bias, targets, smoothing=smoothing)
    for rows in ([0], [2], [511], [512], [519], [510, 3, 515], range(500, 517), range(100)):
        part = run(h[rows], weight, bias, targets[rows], smoothing=smoothing)
        for name in ("losses", "dh"):
            assert part[name].tobytes() == whole[name][rows].tobytes()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("V", [1023, 1025, 1300])
def test_far_logits(V, dtype):
    """Check for overflow and 0 * inf; NaN or too large logits affect only their own row."""
    weight = np.zeros((V, 2), dtype)
    weight[3, 0] = weight[V - 1, 1] = 2
    h = np.array([[1e30, 0], [-1e30, 0], [-3e4, 3e4], [np.nan, 0], [0, np.finfo(dtype).max], [1, 2]], dtype)
    targets = np.array([3, 3, V - 1, 0, 0, 700])
    got = run(h, weight, None, targets, scale=1.0)
    fine = [0, 1, 2, 5]
    wanted = reference.linear_cross_entropy(*wide(h[fine], weight), None, targets[fine])
    for name in ("losses", "dh"):
        np.testing.assert_allclose(got[name][fine], getattr(wanted, name), rtol=1e-5, atol=1e-6)
        assert np.isnan(got[name][[3, 4]]).all()


def test_a_block_of_words_with_probability_zero():
    h, weight, bias, targets = make(6, 3, 1300)
    bias[256:512] = -np.inf
    targets[:] = 3
    wanted = reference.linear_cross_entropy(h, weight, bias, targets, scale=0.125)
    np.testing.assert_allclose(run(h, weight, bias, targets)["losses"], wanted.losses, rtol=1e-12)


def smoothed(h, weight, bias, targets, scale, e):
    """Compute losses and gradients with label smoothing e, from the definition, in float64."""
    h, weight, bias = wide(h, weight, bias)
    V, rows, counted = len(weight), np.arange(len(h)), (targets != -1)[:, None]
    logits = h @ weight.T + bias
    logits -= logits.max(1, keepdims=True)
    log_p = logits - np.log(np.exp(logits).sum(1, keepdims=True))
    wanted = np.full(log_p.shape, e / V)
    wanted[rows, targets] += 1 - e
    wanted *= counted
    d = scale * (np.exp(log_p) * counted - wanted)
    losses = -(wanted * log_p).sum(1)
    return {"losses": losses, "dh": d @ weight, "dweight": 1 + d.T @ h, "dbias": 1 + d.sum(0)}


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("e", [0.0, 0.1, 0.9])
@pytest.mark.parametrize("sizes", [(9, 5, 1), (65, 17, 7), (300, 9, 1003), (7, 65, 1024), (515, 3, 1290)])
def test_label_smoothing(sizes, e, dtype):
    case = make(*sizes, dtype)
    assert_close(run(*case, smoothing=e), smoothed(*case, 0.125, e), sum(sizes) + 2)


@pytest.mark.parametrize("e", [0.0, 0.1, 0.9])
@pytest.mark.parametrize("V", [7, 1025])
def test_pytorch_smooths_labels_in_the_same_way(torch, V, e):
    case = h, weight, bias, targets = make(20, 17, V)
    leaves = [torch.tensor(a, requires_grad=True) for a in (h, weight, bias)]
    logits = torch.nn.functional.linear(*leaves)
    options = {"ignore_index": -1, "reduction": "none", "label_smoothing": e}
    losses = torch.nn.functional.cross_entropy(logits, torch.tensor(targets), **options)
    (losses.sum() * 0.125).backward()
    dh, dweight, dbias = (leaf.grad.numpy() for leaf in leaves)
    wanted = {"losses": losses.detach().numpy(), "dh": dh, "dweight": 1 + dweight, "dbias": 1 + dbias}
    assert_close(run(*case, smoothing=e), wanted, 2)


@pytest.mark.parametrize("V", [7, 1025])
def test_the_loss_of_a_language_model_with_label_smoothing(V):
    model = fr.LanguageModel(V, hidden_size=5, num_layers=1, dtype="float64", seed=0)
    ids, own = np.arange(24).reshape(8, 3) % V, model.output.parameters
    h = model.rnn(ids[:-1])[0].reshape(21, 5)
    wanted = smoothed(h, own["weight"], own["bias"], ids[1:].ravel(), 1 / 21, 0.2)
    loss, _ = model.loss_and_gradients(ids[:-1], ids[1:], label_smoothing=0.2)
    assert abs(loss - wanted["losses"].mean()) < 1e-12
    np.testing.assert_allclose(1 + model.gradients["output.bias"], wanted["dbias"], rtol=1e-12)


@pytest.mark.parametrize("e", [0.0, 0.2])
@pytest.mark.parametrize("V", [7, 1023, 1025])
def test_gradients_are_central_differences(V, e):
    case = make(6, 5, V)
    got, random = run(*case, smoothing=e), np.random.default_rng(1)
    gradients = (got["dh"], got["dweight"] - 1, got["dbias"] - 1)
    for array, gradient in zip(case[:3], gradients, strict=True):
        assert_slope(lambda: 0.125 * run(*case, smoothing=e)["losses"].sum(), array, gradient, random)


@pytest.mark.skipif(sys.platform == "win32", reason="os.kill is not Ctrl-C there")
@pytest.mark.parametrize("delay", [0.05, 0.12])
@pytest.mark.parametrize("training", [False, True])
def test_ctrl_c(training, delay):
    M, K, V = 40_000, 512, 8000
    h, weight, targets = np.zeros((M, K), "f"), np.zeros((V, K), "f"), np.zeros(M, np.int64)
    dweight, sent = np.zeros_like(weight) if training else None, []

    def press():
        sent.append(time.monotonic())
        os.kill(os.getpid(), signal.SIGINT)

    small = make(70, 33, 2500)
    before = run(*small)
    timer = threading.Timer(delay, press)
    timer.start()
    arguments = (h, weight, None, targets, 1.0, dweight, None, training)
    with pytest.raises(KeyboardInterrupt):  # the whole call would take seconds
        with_threads(2, lambda: kernels.linear_cross_entropy(*arguments))
    assert time.monotonic() - sent[0] < 1.0
    assert dweight is None or np.isfinite(dweight).all()
    assert_same_bits(with_threads(2, lambda: run(*small)), before)
