"""The conditional random field: all paths counted, the reference, central differences and PyTorch."""

import copy
import itertools
import pickle
import re

import numpy as np
import pytest

import fastrnn as fr
from fastrnn import reference
from fastrnn.layers import Composite, allowed_transitions
from gradient_check import assert_gradient
from kernel_cases import with_threads

DTYPES = pytest.mark.parametrize("dtype", ["float64", "float32"])
SCALES = pytest.mark.parametrize("scale", [1.0, 30.0, 1e4])
NAMES = ("transitions", "start", "end")


def make(T, N, K, dtype="float64", *, scale=1.0, unknown=0.0, allowed=None, seed=0):
    """Return a layer and its arguments: emissions, targets, lengths."""
    random = np.random.default_rng(seed)
    crf = fr.CRF(K, dtype=dtype, allowed=allowed)
    for name in NAMES:
        crf.parameters[name] = scale * random.normal(size=crf.parameters[name].shape)
    emissions = (scale * random.normal(size=(T, N, K))).astype(dtype)
    targets = random.integers(0, K, size=(T, N))
    targets[random.random((T, N)) < unknown] = -1
    lengths = random.integers(0, T + 1, size=N)
    lengths[0] = T
    return crf, emissions, targets, lengths


def scores_of(crf):
    return tuple(score.astype(np.float64) for score in crf._scores())


def all_paths(crf, emissions, fits=None):
    """Return every path through one sequence [L, K] that fits its targets, and their scores."""
    transitions, start, end = scores_of(crf)
    L, K = emissions.shape
    paths = np.array(list(itertools.product(range(K), repeat=L)))
    if fits is not None:
        paths = paths[((fits == -1) | (paths == fits)).all(axis=1)]
    scores = start[paths[:, 0]] + end[paths[:, -1]] + emissions[np.arange(L), paths].sum(axis=1)
    return paths, scores + transitions[paths[:, :-1], paths[:, 1:]].sum(axis=1)


def log_sum(scores):
    return np.logaddexp.reduce(scores)


def everything(crf, emissions, targets, lengths, scale=1.0):
    """Return what the layer computes, by name."""
    crf.gradients.zero()
    losses, demissions = crf.losses_and_gradients(emissions, targets, lengths, scale=scale)
    marginals, log_partition = crf.marginals(emissions, lengths)
    paths, scores = crf.decode(emissions, lengths)
    return {
        "losses": losses,
        "plain losses": crf.losses(emissions, targets, lengths),
        "demissions": demissions,
        "marginals": marginals,
        "log_partition": log_partition,
        "paths": np.concatenate([*paths, []]),
        "scores": scores,
        **{name: gradient.copy() for name, gradient in crf.gradients.items()},
    }


@SCALES
@pytest.mark.parametrize("K", [1, 2, 3, 5])
@pytest.mark.parametrize("constrained", [False, True])
def test_losses_marginals_and_best_paths_are_those_of_all_paths(K, scale, constrained):
    allowed = None
    if constrained and K > 1:
        allowed = np.random.default_rng(1).random((K + 1, K + 1)) < 0.7
        np.fill_diagonal(allowed, True)
        allowed[0, -1] = allowed[-1, 0] = True
    for seed in range(3):
        crf, emissions, targets, lengths = make(4, 5, K, scale=scale, unknown=0.5, allowed=allowed, seed=seed)
        targets[:] = 0 if constrained else targets  # allowed at every step
        targets[1] = -1
        losses = crf.losses(emissions, targets, lengths)
        marginals, log_partition = crf.marginals(emissions, lengths)
        decoded, best = crf.decode(emissions, lengths)
        for n, L in enumerate(lengths):
            if L == 0:
                assert (losses[n], log_partition[n], best[n], len(decoded[n])) == (0, 0, 0, 0)
                continue
            paths, scores = all_paths(crf, emissions[:L, n])
            _, fitting = all_paths(crf, emissions[:L, n], targets[:L, n])
            tolerance = 1e-12 * max(1.0, np.abs(scores[np.isfinite(scores)]).max())
            assert log_partition[n] == pytest.approx(log_sum(scores), abs=tolerance)
            assert losses[n] == pytest.approx(log_sum(scores) - log_sum(fitting), abs=2 * tolerance)
            assert decoded[n].tolist() == paths[scores.argmax()].tolist()
            assert best[n] == pytest.approx(scores.max(), abs=tolerance)
            weights = np.exp(scores - log_sum(scores))
            for t in range(L):
                wanted = [weights[paths[:, t] == k].sum() for k in range(K)]
                np.testing.assert_allclose(marginals[t, n], wanted, atol=10 * tolerance)
            assert not marginals[L:, n].any()


@DTYPES
@pytest.mark.parametrize("unknown", [0.0, 0.4])
@pytest.mark.parametrize(
    "sizes", [(1, 1, 2), (7, 5, 3), (6, 9, 17), (12, 4, 33), (5, 70, 9), (4, 3, 100)], ids=str
)
def test_everything_is_as_in_the_reference(sizes, unknown, dtype):
    crf, emissions, targets, lengths = make(*sizes, dtype, unknown=unknown)
    got = everything(crf, emissions, targets, lengths, 0.25)
    wide, scores = emissions.astype(np.float64), scores_of(crf)
    losses, gradients = reference.crf_loss(wide, scores, targets, lengths, 0.25)
    marginals, log_partition = reference.crf_marginals(wide, scores, lengths)
    paths, best = reference.crf_viterbi(wide, scores, lengths)
    tolerance = {"rtol": 1e-10, "atol": 1e-11} if dtype == "float64" else {"rtol": 2e-5, "atol": 2e-5}
    wanted = {"losses": losses, "marginals": marginals, "log_partition": log_partition, "scores": best}
    wanted |= {"demissions": gradients.demissions, "plain losses": losses, "paths": np.concatenate(paths)}
    wanted |= dict(zip(NAMES, gradients[1:], strict=True))
    assert got.keys() == wanted.keys()
    for name, value in wanted.items():
        np.testing.assert_allclose(got[name], value, **tolerance, err_msg=name)


@pytest.mark.parametrize("unknown", [0.0, 0.5])
@pytest.mark.parametrize("scale", [1.0, 8.0])
def test_all_gradients_are_those_of_central_differences(scale, unknown):
    crf, emissions, targets, lengths = make(5, 3, 4, scale=scale, unknown=unknown)
    crf.gradients.zero()
    _, demissions = crf.losses_and_gradients(emissions, targets, lengths, scale=0.5)
    kernels, scores = fr._dispatch.kernels, list(scores_of(crf))

    def loss():
        return 0.5 * kernels.crf_loss(emissions, *scores, targets, lengths, 0.0, False)[0].sum()

    assert_gradient(loss, emissions, demissions)
    for score, name in zip(scores, NAMES, strict=True):
        assert_gradient(loss, score, crf.gradients[name])


def test_the_gradient_of_an_underflowing_sum_is_that_of_central_differences():
    crf, emissions, targets, lengths = make(5, 3, 4)
    transitions, start, end = scores_of(crf)
    transitions[:2, 2:] = -900  # the steps below lead only there: exp(-900) is 0
    emissions[:2, :, 2:] -= 2000
    emissions[3, :, :2] -= 2000
    kernels = fr._dispatch.kernels
    gradients = [np.zeros_like(score) for score in (transitions, start, end)]
    arguments = (emissions, transitions, start, end, targets, lengths)
    demissions = kernels.crf_loss(*arguments, 1.0, True, *gradients)[1]

    def loss():
        return kernels.crf_loss(*arguments, 0.0, False)[0].sum()

    for array, gradient in zip(arguments, (demissions, *gradients), strict=False):
        numeric = np.zeros_like(array)
        for index in np.ndindex(*array.shape):
            kept = array[index]
            values = []
            for step in (1e-3, -1e-3):
                array[index] = kept + step
                values.append(loss())
            array[index] = kept
            numeric[index] = (values[0] - values[1]) / 2e-3
        np.testing.assert_allclose(gradient, numeric, atol=1e-6)
    assert np.abs(gradients[0][:2, 2:]).max() > 0.1


@pytest.mark.parametrize("unknown", [False, True])
def test_it_is_what_autograd_makes_of_a_plain_forward_algorithm(torch, unknown):
    crf, emissions, targets, lengths = make(9, 6, 7, unknown=0.3 if unknown else 0.0)
    e, *scores = (torch.tensor(a, requires_grad=True) for a in (emissions, *scores_of(crf)))
    transitions, start, end = scores

    def partition(rows):
        alpha = start + rows[0]
        for row in rows[1:]:
            alpha = torch.logsumexp(alpha[:, None] + transitions, 0) + row
        return torch.logsumexp(alpha + end, 0)

    wanted = []
    for n, L in enumerate(lengths):
        if L == 0:
            wanted.append(torch.zeros((), dtype=torch.float64))
            continue
        known = torch.tensor(targets[:L, n])
        free = (known[:, None] == -1) | (known[:, None] == torch.arange(7))
        rows = e[:L, n]
        wanted.append(partition(rows) - partition(torch.where(free, rows, rows - 1e6)) - 0.0)
    losses = torch.stack(wanted)
    losses.sum().backward()
    got = everything(crf, emissions, targets, lengths)
    np.testing.assert_allclose(got["losses"], losses.detach().numpy(), rtol=1e-8, atol=1e-8)
    np.testing.assert_allclose(got["demissions"], e.grad.numpy(), rtol=1e-8, atol=1e-8)
    for name, score in zip(NAMES, scores, strict=True):
        np.testing.assert_allclose(got[name], score.grad.numpy(), rtol=1e-8, atol=1e-8)


@DTYPES
def test_the_bits_do_not_depend_on_threads(dtype):
    crf, emissions, targets, lengths = make(40, 67, 19, dtype, unknown=0.1, scale=5.0)
    alone = with_threads(1, lambda: everything(crf, emissions, targets, lengths))
    for threads in (2, 3):
        shared = with_threads(threads, lambda: everything(crf, emissions, targets, lengths))
        assert [name for name in alone if alone[name].tobytes() != shared[name].tobytes()] == []


@DTYPES
def test_the_bits_of_a_sequence_do_not_depend_on_neighbours_or_padding(dtype):
    crf, emissions, targets, lengths = make(12, 9, 11, dtype, unknown=0.2)
    whole = everything(crf, emissions, targets, lengths)
    for n, L in enumerate(lengths):
        one = everything(
            crf, emissions[:L, n : n + 1].copy(), targets[:L, n : n + 1].copy(), lengths[n : n + 1]
        )
        for name in ("losses", "plain losses", "log_partition", "scores"):
            assert one[name].tobytes() == whole[name][n : n + 1].tobytes()
        for name in ("demissions", "marginals"):
            assert one[name].tobytes() == whole[name][:L, n : n + 1].tobytes()
    outside = np.arange(12)[:, None] >= lengths
    emissions[outside], targets[outside] = np.nan, 10**6
    filled = everything(crf, emissions, targets, lengths)
    assert [name for name in whole if whole[name].tobytes() != filled[name].tobytes()] == []
    assert not whole["demissions"][outside].any()


def test_gradients_are_added_to_and_a_failure_adds_nothing():
    crf, emissions, targets, lengths = make(6, 4, 5)
    once = everything(crf, emissions, targets, lengths)
    crf.losses_and_gradients(emissions, targets, lengths)
    np.testing.assert_allclose(crf.gradients["transitions"], 2 * once["transitions"], rtol=1e-12)
    before = crf.gradients.flat.copy()
    emissions[2, 0, 3] = np.nan
    with pytest.raises(ValueError, match="expected finite numbers, got nan at step 2 of sequence 0"):
        crf.losses_and_gradients(emissions, targets, lengths)
    assert (crf.gradients.flat == before).all()


@DTYPES
def test_far_scores_are_exact_where_one_path_is_far_ahead(dtype):
    crf = fr.CRF(3, dtype=dtype)
    for name in NAMES:
        crf.parameters[name] = np.zeros(crf.parameters[name].shape)
    emissions = np.full((20, 1, 3), -1e4, dtype)
    emissions[np.arange(20), 0, np.arange(20) % 3] = 1e4
    got = everything(crf, emissions, np.arange(20)[:, None] % 3, [20])
    assert got["losses"][0] == 0
    assert got["paths"].tolist() == [t % 3 for t in range(20)]
    assert got["scores"][0] == got["log_partition"][0] == 2e5
    assert set(np.unique(got["marginals"])) == {0.0, 1.0}
    assert not crf.gradients.flat.any()
    worst = crf.losses(emissions, (np.arange(20)[:, None] + 1) % 3, [20])
    assert worst[0] == 4e5


def test_a_long_sequence_neither_overflows_nor_drifts():
    crf, emissions, _, _ = make(3000, 1, 5, "float32", scale=3.0)
    marginals, log_partition = crf.marginals(emissions)
    wide = reference.crf_marginals(emissions.astype(np.float64), scores_of(crf), np.array([3000]))
    assert log_partition[0] == pytest.approx(wide[1][0], rel=1e-6)
    np.testing.assert_allclose(marginals, wide[0], atol=2e-5)
    np.testing.assert_allclose(marginals.sum(-1), 1, atol=2e-4)


BIO = ["O", "B-X", "I-X", "B-Y", "I-Y"]
BIOES = ["O", *(f"{part}-{kind}" for kind in "XY" for part in "BIES")]


@pytest.mark.parametrize("tags", [BIO, BIOES, ["O", "B", "I"], ["O", "B-X", "M-X", "L-X", "U-X"]], ids=str)
def test_decoded_tags_keep_to_their_scheme_and_others_have_probability_0(tags):
    K = len(tags)
    crf, emissions, _, lengths = make(9, 40, K, "float32", scale=4.0, allowed=allowed_transitions(tags))
    crf.parameters["transitions"] = np.zeros((K, K))
    paths, _ = crf.decode(emissions, lengths)
    closing = any(tag[0] in "ELSU" for tag in tags)
    seen = set()
    for path in paths:
        before = "O"
        for tag in [*(tags[k] for k in path), "O"] if len(path) else []:
            open_before = before[0] in "BIM"
            if tag[0] in "IMEL":
                assert open_before
                assert before[1:] == tag[1:]
            else:
                assert not (closing and open_before)
            before = tag
            seen.add(tag)
    assert seen == set(tags)
    inside = [k for k, tag in enumerate(tags) if tag[0] in "IMEL"]
    marginals, _ = crf.marginals(emissions, lengths)
    assert not marginals[0][:, inside].any()
    crf.losses_and_gradients(emissions, np.zeros((9, 40), int), lengths)
    assert not crf.gradients["transitions"][0, inside].any()
    assert not crf.gradients["start"][inside].any()


def test_a_mask_without_beginning_and_end_lets_all_tags_begin_and_end():
    allowed = np.eye(3, dtype=bool)
    crf = fr.CRF(3, allowed=allowed)
    assert crf.allowed.tolist() == np.pad(allowed, (0, 1), constant_values=True).tolist()
    emissions = np.random.default_rng(0).normal(size=(6, 50, 3)).astype(np.float32)
    paths, _ = crf.decode(emissions)
    assert all(len(set(path.tolist())) == 1 for path in paths)
    assert {path[0] for path in paths} == {0, 1, 2}


def test_copies_pickles_and_composites_compute_the_same():
    crf, emissions, targets, lengths = make(5, 4, 5, allowed=allowed_transitions(BIO))
    targets[:] = 0
    wanted = everything(crf, emissions, targets, lengths)
    tagger = Composite(linear=fr.Linear(3, 5, dtype="float64"), crf=copy.deepcopy(crf))
    for other in (copy.deepcopy(crf), pickle.loads(pickle.dumps(crf)), tagger.crf):
        got = everything(other, emissions, targets, lengths)
        assert [name for name in wanted if wanted[name].tobytes() != got[name].tobytes()] == []
    assert (tagger.gradients["crf.transitions"] == wanted["transitions"]).all()
    assert repr(crf) == "CRF(5, allowed=..., dtype='float64')"


CRF, EMISSIONS, TARGETS, _ = make(3, 2, 4, "float32")
STRICT = fr.CRF(3, allowed=allowed_transitions(["O", "B", "I"]))
ZEROS = np.zeros((2, 1, 3), np.float32)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: fr.CRF(0), ValueError, "num_tags: expected 1 or more, got 0"),
        (
            lambda: fr.CRF(3, allowed=np.ones((2, 2), bool)),
            ValueError,
            "allowed: expected [3, 3] or [4, 4], got",
        ),
        (lambda: fr.CRF(2, allowed=np.ones((2, 2))), TypeError, "allowed: expected bool, got float64"),
        (
            lambda: fr.CRF(2, allowed=np.zeros((3, 3), bool)),
            ValueError,
            "a tag that may come first, got none",
        ),
        (
            lambda: CRF.losses(EMISSIONS[..., :3], TARGETS),
            ValueError,
            "emissions: expected [T, N, 4], got [3, 2, 3]",
        ),
        (
            lambda: CRF.losses(EMISSIONS.astype("f8"), TARGETS),
            TypeError,
            "emissions: expected float32, got float64",
        ),
        (lambda: CRF.losses(EMISSIONS, TARGETS.T), ValueError, "targets: expected [3, 2], got [2, 3]"),
        (lambda: CRF.losses(EMISSIONS, TARGETS * 1.0), TypeError, "targets: expected integers, got float64"),
        (
            lambda: CRF.losses(EMISSIONS, TARGETS * 0 + 4),
            ValueError,
            "targets: expected tags in 0 .. 3 (-1: unknown), got 4 at step 0 of sequence 0",
        ),
        (lambda: CRF.losses(EMISSIONS, TARGETS, [3, 4]), ValueError, "lengths: expected 0 .. 3, got 4"),
        (
            lambda: CRF.decode(EMISSIONS + np.float32("inf")),
            ValueError,
            "emissions: expected finite numbers, got inf",
        ),
        (lambda: CRF.marginals(EMISSIONS * np.float32("nan")), ValueError, "got nan at step 0 of sequence 0"),
        (lambda: STRICT.losses(ZEROS, [[2], [0]]), ValueError, "got tag 2 first at step 0 of sequence 0"),
        (
            lambda: STRICT.losses(ZEROS, [[0], [2]]),
            ValueError,
            "got tag 2 after tag 0 at step 1 of sequence 0",
        ),
        (
            lambda: STRICT.losses(ZEROS, [[2], [-1]]),
            ValueError,
            "targets: no allowed path has the 2 steps of sequence 0",
        ),
        (lambda: allowed_transitions("BIO"), TypeError, "tags: expected a sequence of str"),
        (lambda: allowed_transitions(["O", "NOUN"]), ValueError, "got 'NOUN' at position 1"),
        (lambda: allowed_transitions(["O", "O"]), ValueError, "tags: expected each once, got 'O'"),
        (
            lambda: allowed_transitions(["O", "I-X"]),
            ValueError,
            "tags: 'I-X' follows only a tag that begins with B",
        ),
        (lambda: allowed_transitions(BIOES, scheme="BIO"), ValueError, "with scheme='BIO', got 'E-X'"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_does_not_fit_is_refused(call, error, message):
    with pytest.raises(error, match=re.escape(message)):
        call()


def test_a_batch_without_sequences_or_steps_is_empty():
    for shape in ((0, 3, 4), (3, 0, 4), (0, 0, 4)):
        got = everything(CRF, np.zeros(shape, np.float32), np.zeros(shape[:2], int), None)
        assert got["losses"].tolist() == got["scores"].tolist() == [0.0] * shape[1]
        assert got["demissions"].shape == got["marginals"].shape == shape
        assert not CRF.gradients.flat.any()
