"""Greedy and prefix beam decoding of frames: against all labellings, with a language model, and bad input."""

import itertools
import math
import re

import numpy as np
import pytest

import fastrnn as fr
from fastrnn.decode import ctc_beam, ctc_greedy, log_probabilities

EVERYTHING = 10_000  # a beam that loses nothing


def make(steps, rows, size, seed=0, dtype="float64"):
    return (2 * np.random.default_rng(seed).normal(size=(steps, rows, size))).astype(dtype)


def likelihoods(logits, blank):
    """Return the log-likelihood of every symbol sequence that logits [T, V] can be."""
    log_y = log_probabilities(logits)
    found = {}
    for path in itertools.product(range(logits.shape[1]), repeat=len(logits)):
        ids = tuple(symbol for symbol, _ in itertools.groupby(path) if symbol != blank)
        log_p = float(log_y[range(len(logits)), list(path)].sum())
        found[ids] = np.logaddexp(found.get(ids, -np.inf), log_p)
    return found


def language_score(model, ids):
    """Return log p of ids under a language model, read by single steps."""
    stream, total, logits = model.stream(1), 0.0, None
    if model.start is not None:
        logits = stream.step(np.array([model.start]))
    for symbol in ids:
        if logits is not None:
            total += float(log_probabilities(logits)[0, symbol])
        logits = stream.step(np.array([symbol]))
    if model.eos is not None and logits is not None:
        total += float(log_probabilities(logits)[0, model.eos])
    return total


@pytest.mark.parametrize("blank", [0, 1, -1])
@pytest.mark.parametrize(("steps", "size"), [(5, 3), (4, 4), (6, 2), (1, 4), (5, 1)])
def test_a_wide_beam_finds_every_labelling_with_its_likelihood(steps, size, blank):
    if size == 1:
        blank = 0
    logits, lengths = make(steps, 4, size), [steps, max(steps - 1, 0), steps, 0]
    rows = ctc_beam(logits, lengths, beam_size=EVERYTHING, n_best=EVERYTHING, blank=blank)
    for n, (row, end) in enumerate(zip(rows, lengths, strict=True)):
        wanted = likelihoods(logits[:end, n], blank % size)
        assert {tuple(one.ids.tolist()) for one in row} == wanted.keys()
        for one in row:
            assert one.log_probability == pytest.approx(wanted[tuple(one.ids.tolist())], rel=1e-10, abs=1e-12)
            assert one.score == one.log_probability
        assert [one.score for one in row] == sorted((one.score for one in row), reverse=True)


ENDS = [{"start": 0, "eos": 0}, {"start": 0}, {"eos": 0}, {"start": -1}, {}]


@pytest.mark.parametrize("options", ENDS, ids=str)
def test_a_wide_beam_with_a_language_model_finds_the_scores_of_all_labellings(options):
    model = fr.LanguageModel(4, cell="gru", hidden_size=6, num_layers=2, dtype="float64", seed=1, **options)
    model.load_state_dict({name: 4.0 * array for name, array in model.state_dict().items()})
    logits, weight, bonus, blank = make(4, 2, 4, seed=2), 0.7, 0.9, 3
    language_ids = [1, 3, 2, -1]
    rows = ctc_beam(
        logits, beam_size=EVERYTHING, n_best=EVERYTHING, blank=blank, language_model=model,
        language_ids=language_ids, lm_weight=weight, insertion_bonus=bonus,
    )  # fmt: skip
    for n, row in enumerate(rows):
        wanted = likelihoods(logits[:, n], blank)
        assert {tuple(one.ids.tolist()) for one in row} == wanted.keys()
        for one in row:
            ids = one.ids.tolist()
            assert one.log_probability == pytest.approx(wanted[tuple(ids)], rel=1e-10)
            added = weight * language_score(model, [language_ids[i] for i in ids]) + bonus * len(ids)
            assert one.score == pytest.approx(one.log_probability + added, rel=1e-10)
        assert row[0].score == max(one.score for one in row)


def test_a_narrow_beam_keeps_a_lower_bound_of_the_loss_and_a_wider_one_is_not_worse():
    logits = make(60, 1, 12, seed=3)
    scores = []
    for width in (1, 4, 16, 64):
        [[best]] = ctc_beam(logits, beam_size=width)
        (exact,), _ = fr.ctc_loss(logits, [best.ids], reduction="none")
        assert best.log_probability <= -exact + 1e-9
        scores.append(-exact)
    assert scores[-1] >= scores[0]
    assert scores[-1] - best.log_probability < 0.1


def test_language_model_and_bonus_change_what_is_found():
    logits = np.log(np.array([[0.2, 0.41, 0.39], [0.98, 0.01, 0.01], [0.2, 0.41, 0.39]]))[:, None]
    assert ctc_beam(logits)[0][0].ids.tolist() == [1, 1]
    assert ctc_beam(logits, insertion_bonus=-9.0)[0][0].ids.tolist() == []
    model = fr.LanguageModel(2, cell="rnn", hidden_size=2, num_layers=1, start=0, seed=0)
    weights = {name: np.zeros_like(array) for name, array in model.state_dict().items()}
    weights["output.bias"] = np.array([0.0, 2.0], np.float32)  # prefers its symbol 1, our 2
    model.load_state_dict(weights)
    given = {"language_model": model, "language_ids": [-1, 0, 1]}
    assert ctc_beam(logits, **given)[0][0].ids.tolist() == [2]  # and short texts
    assert ctc_beam(logits, insertion_bonus=1.0, **given)[0][0].ids.tolist() == [2, 2]
    assert ctc_beam(logits, lm_weight=0.0, **given)[0][0].ids.tolist() == [1, 1]
    (row,) = ctc_beam(logits, language_model=model, language_ids=[-1, 0, -1], n_best=16)
    assert {tuple(one.ids.tolist()) for one in row} == {(), (1,), (1, 1)}


def test_ties_go_to_prefixes_in_the_beam_and_to_smaller_ids():
    rows = ctc_beam(np.zeros((1, 1, 4)), beam_size=4, n_best=4, blank=2)
    assert [one.ids.tolist() for one in rows[0]] == [[], [0], [1], [3]]


def test_rows_have_the_same_bits_alone_and_padding_is_not_read():
    logits, lengths = make(20, 3, 6, seed=4, dtype="float32"), [20, 0, 13]
    model = fr.LanguageModel(6, cell="lstm", hidden_size=8, start=0, eos=0, seed=2)
    for n, end in enumerate(lengths):
        logits[end:, n] = np.nan
    given = {"beam_size": 5, "n_best": 5, "language_model": model}
    rows = ctc_beam(logits, lengths, **given)
    for n, end in enumerate(lengths):
        alone = ctc_beam(logits[:end, n : n + 1], **given)[0]
        assert [(one.ids.tolist(), *one[1:]) for one in rows[n]] == [
            (one.ids.tolist(), *one[1:]) for one in alone
        ]
        assert ctc_greedy(logits[:end, n : n + 1])[0].tolist() == ctc_greedy(logits, lengths)[n].tolist()


@pytest.mark.parametrize("blank", [0, 2, -1])
def test_greedy_merges_repetitions_then_removes_blanks(blank):
    logits, lengths = make(30, 5, 4, seed=5, dtype="float32"), [30, 1, 0, 17, 29]
    for ids, n, end in zip(ctc_greedy(logits, lengths, blank=blank), range(5), lengths, strict=True):
        path = logits[:end, n].argmax(axis=1).tolist()
        assert ids.tolist() == [symbol for symbol, _ in itertools.groupby(path) if symbol != blank % 4]
        assert ids.dtype == np.int64
    assert [ids.tolist() for ids in ctc_greedy(np.zeros((0, 2, 3)))] == [[], []]


def test_a_network_trained_with_the_loss_is_decoded_to_its_targets():
    random = np.random.default_rng(6)
    targets = [random.integers(1, 5, size=4).tolist() for _ in range(3)]
    logits = np.zeros((12, 3, 5), np.float32)
    for _ in range(400):
        loss, dlogits = fr.ctc_loss(logits, targets, reduction="sum")
        logits -= dlogits
    assert loss < 0.1
    assert [ids.tolist() for ids in ctc_greedy(logits)] == targets
    assert [row[0].ids.tolist() for row in ctc_beam(logits, beam_size=4)] == targets
    assert all(row[0].log_probability > math.log(0.9) for row in ctc_beam(logits, beam_size=8))


LOGITS = np.zeros((3, 2, 4), np.float32)
MODEL = fr.LanguageModel(3, hidden_size=2, num_layers=1, seed=0)
HALT = fr.LanguageModel(4, hidden_size=2, num_layers=1, length_model="halt", start=-1, seed=0)


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        ({"logits": LOGITS[0]}, ValueError, "logits: expected [T, N, V], got [2, 4]"),
        ({"logits": LOGITS.astype(int)}, TypeError, "logits: expected float32 or float64, got int64"),
        ({"logits": LOGITS[:, :, :0]}, ValueError, "logits: expected at least one symbol, got [3, 2, 0]"),
        (
            {"logits": LOGITS * np.nan},
            ValueError,
            "logits: row 0: expected a finite highest logit in every frame",
        ),
        ({"lengths": [3, 4]}, ValueError, "lengths: expected 0 .. 3, got 4 at position 1"),
        ({"blank": 4}, ValueError, "blank: expected -4 .. 3, got 4"),
        ({"beam_size": 0}, ValueError, "beam_size: expected 1 or more, got 0"),
        ({"n_best": 17}, ValueError, "n_best: expected 1 .. 16, got 17"),
        ({"lm_weight": -1}, ValueError, "lm_weight: expected a finite number >= 0, got -1"),
        ({"insertion_bonus": np.inf}, ValueError, "insertion_bonus: expected a finite number, got inf"),
        ({"language_ids": [0, 1, 2, 3]}, ValueError, "language_ids: expected None without a language_model"),
        (
            {"language_model": HALT},
            ValueError,
            "one that ends texts with a symbol or not at all, got length_model='halt'",
        ),
        (
            {"language_model": MODEL},
            ValueError,
            "language_ids: expected 0 .. 2 (-1: none), got 3 for symbol 3; write numpy.arange(-1, 3)",
        ),
        (
            {"language_model": MODEL, "language_ids": [0, 1]},
            ValueError,
            "language_ids: expected [4], got [2]",
        ),
        (
            {"language_model": MODEL, "language_ids": [0, -2, 1, 1]},
            ValueError,
            "language_ids: expected 0 .. 2 (-1: none), got -2 for symbol 1",
        ),
        ({"language_model": "model"}, TypeError, "language_model: expected a LanguageModel, got str"),
    ],
)
def test_bad_input_is_refused_with_what_is_wrong(given, error, message):
    with pytest.raises(error, match=re.escape(message)):
        ctc_beam(**{"logits": LOGITS, **given})
    if given.keys() & {"lengths", "blank"}:
        with pytest.raises(error, match=re.escape(message)):
            ctc_greedy(**{"logits": LOGITS, **given})
