"""A language model computes the rows of a batch as in the whole batch, with every option."""

import numpy as np
import pytest

import fastrnn as fr
from batch_parts import ROWS, SPLITS, Replay, assert_sums, parts, same, taken
from fastrnn.layers.base.batch_rows import batch_rows
from test_lm_options import OPTIONS, V, stack
from thread_ranks import run_ranks

T = 7
MASKS = {
    "none": {},
    "dropout": {"dropout": 0.4},
    "dropout of ids": {"dropout": 0.4, "embedding_size": None},
    "locked": {"dropout": 0.4, "locked_dropout": True},
    "locked, of ids": {"dropout": 0.4, "locked_dropout": True, "embedding_size": None},
    "words": {"embedding_dropout": 0.4},
    "zoneout": {"cell_options": {"zoneout": (0.3, 0.2)}},
    "weights": {"cell_options": {"weight_drop": 0.4}},
    "all of them": {
        "dropout": 0.3,
        "locked_dropout": True,
        "embedding_dropout": 0.3,
        "cell_options": {"zoneout": (0.3, 0.2), "weight_drop": 0.4, "recurrent_dropout": 0.2},
        "ar": 0.7,
        "tar": 0.3,
    },
}


def check(model, split, *, ragged=False, **how):
    """Compare losses, states and gradients over the parts of a batch with those over the whole."""
    ids, lengths = np.random.default_rng(1).integers(V, size=(T + 1, ROWS)), np.array([7, 3, 1, 6])
    inputs, targets = ids[:-1], ids[1:].copy()
    if ragged:
        targets[np.arange(T)[:, None] >= lengths] = -1
    given = {"lengths": lengths} if ragged else {}
    state = None if ragged else model.advance(ids[:3])
    replay = Replay(model)
    loss, last = replay.whole(lambda: model.loss_and_gradients(inputs, targets, state, **given, **how))
    whole, after = {name: g.copy() for name, g in model.gradients.items()}, replay.after()
    total, sums = 0.0, {name: np.zeros_like(g) for name, g in whole.items()}
    for rows in parts(split):
        args = taken(inputs, rows, 1), taken(targets, rows, 1), taken_state(state, rows)
        steps = lengths[rows] if ragged else np.full(rows.stop - rows.start, T)
        own = {"lengths": steps} if ragged else {}
        share = steps.sum() / (lengths.sum() if ragged else T * ROWS)
        part, own_last = replay.part(
            rows,
            lambda: model.loss_and_gradients(*args, **own, **how, scale=share),  # noqa: B023
        )
        assert replay.after() == after
        assert ragged or same_state(own_last, last, rows)
        total += part * share
        for name, gradient in model.gradients.items():
            sums[name] += gradient
    assert total == pytest.approx(loss, rel=1e-5 if model.dtype == np.float32 else 1e-12)
    assert_sums(sums, whole)


def taken_state(state, rows):
    """Return the rows of a state, of the entries of a stack's too."""
    return (
        tuple(taken_state(one, rows) for one in state) if isinstance(state, tuple) else taken(state, rows, 1)
    )


def same_state(part, whole, rows):
    if isinstance(part, tuple):
        return all(same_state(one, other, rows) for one, other in zip(part, whole, strict=True))
    return same(part, whole, rows, 1)


@pytest.mark.parametrize("split", SPLITS)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", MASKS)
def test_every_kind_of_dropout_is_that_of_the_rows(name, dtype, split):
    options = {"hidden_size": 9, "num_layers": 2, "embedding_size": 6, "dtype": dtype, "seed": 0}
    penalised = name == "all of them"  # penalties are means over the outputs of a part
    for ragged in (False, True):
        for cell in ("lstm",) if "cell_options" in MASKS[name] else ("lstm", "gru", "rnn"):
            given = options | {"cell": cell} | MASKS[name]
            if penalised and ragged:
                given |= {"ar": 0.0, "tar": 0.0}
            check(fr.LanguageModel(V, **given), split, ragged=ragged)
            if given["embedding_size"]:
                check(fr.LanguageModel(V, **given), split, ragged=ragged, checkpoint_every=3)


@pytest.mark.parametrize("name", [name for name, make in OPTIONS.items() if "length_model" not in make()])
def test_every_option_computes_the_rows_of_a_batch(name):
    given = {"seed": 0, "dtype": "float64", "dropout": 0.25} | OPTIONS[name]()
    if "rnn" not in given:
        given["hidden_size"] = 9
    check(fr.LanguageModel(V, **given), "uneven")


@pytest.mark.parametrize("ragged", [False, True])
@pytest.mark.parametrize("split", SPLITS)
def test_products_in_bfloat16_are_those_of_the_rows(split, ragged):
    given = {"hidden_size": 16, "num_layers": 2, "embedding_size": 8, "precision": "bfloat16", "seed": 0}
    for every in (None, 3):
        check(fr.LanguageModel(V, **given, dropout=0.3), split, ragged=ragged, checkpoint_every=every)


@pytest.mark.parametrize("name", ["halt", "tau"])
def test_models_of_lengths_compute_the_rows_of_a_batch(name):
    given = {"seed": 0, "dtype": "float64", "dropout": 0.25, "hidden_size": 9} | OPTIONS[name]()
    check(fr.LanguageModel(V, **given | {"ar": 0.0, "tar": 0.0}), "uneven", ragged=True)


def test_dropout_in_the_head_is_a_function_of_step_and_row_where_rows_differ_in_length():
    model = fr.LanguageModel(V, hidden_size=9, seed=0, dtype="float64", **OPTIONS["head"]())
    ids, lengths = np.random.default_rng(1).integers(V, size=(T, ROWS)), np.array([7, 3, 1, 6])
    targets, replay, sums = np.where(np.arange(T)[:, None] < lengths, ids, -1), Replay(model), []
    for split in ("two halves", "single rows"):
        sums.append(np.zeros_like(model.gradients.flat))
        for rows in parts(split):
            longest = slice(lengths[rows].max())
            args = taken(ids[longest], rows, 1), taken(targets[longest], rows, 1)
            given = {"lengths": lengths[rows], "scale": lengths[rows].sum()}
            replay.part(rows, lambda: model.loss_and_gradients(*args, **given))  # noqa: B023
            sums[-1] += model.gradients.flat
    np.testing.assert_allclose(*sums, rtol=1e-10, atol=1e-12)


def test_a_stack_with_masks_of_its_own():
    model = fr.LanguageModel(
        V, rnn=stack(dropout=0.3), embedding_size=6, seed=0, dropout=0.2, dtype="float64"
    )
    check(model, "two halves", ragged=True)


def test_dropped_words_are_the_same_in_all_parts():
    model = fr.LanguageModel(V, hidden_size=5, embedding_size=4, embedding_dropout=0.5, seed=0)
    ids, state, seen = np.arange(V)[:, None], model.rng.bit_generator.state, []
    for first in range(3):  # a part of one row: as many as the mask of words has
        model.rng.bit_generator.state = state
        model.zero_grad()
        with batch_rows(first, 1, 3):
            model.loss_and_gradients(ids, ids)
        seen.append(model.gradients.flat.tobytes())
    assert seen[0] == seen[1] == seen[2]


@pytest.mark.parametrize("name", [*MASKS, "head"])
def test_a_training_with_masks_has_the_same_bits_on_any_number_of_ranks(name):
    own = MASKS[name] if name in MASKS else {"dropout": 0.2, "head": OPTIONS["head"]()["head"]}
    given = {"hidden_size": 9, "num_layers": 2, "embedding_size": 6, "seed": 0} | own
    text = fr.ChunkedText(np.random.default_rng(1).integers(V, size=900), 8, 5)

    def train(ranks):
        model = fr.LanguageModel(V, **given)
        trainer = fr.train.Trainer(model, text, fr.train.Adam(model, 1e-2), clip_norm=1.0, ranks=ranks)
        losses = [record.loss for record in trainer.run(25)]
        return model.parameters.flat.tobytes(), losses, str(model.random_state())

    alone = train(fr.train.distributed.OneProcess(shards=4))
    for size in (2, 4):
        assert all(result == alone for result in run_ranks(size, train, shards=4))
    whole = np.frombuffer(train(None)[0], np.float32)
    assert abs(np.frombuffer(alone[0], np.float32) - whole).max() < 1e-4  # no other masks: only other sums
