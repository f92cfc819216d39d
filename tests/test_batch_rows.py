"""A pass over some rows of a batch is that of the whole batch, with every random mask."""

import pickle
import re
import threading
from pathlib import Path

import numpy as np
import pytest

import fastrnn as fr
from batch_parts import ROWS, SPLITS, Replay, assert_sums, parts, passes, rows_of, same, taken
from fastrnn.layers.base.batch_rows import batch_rows, current_rows
from fastrnn.layers.base.dropout import dropout_mask
from fastrnn.layers.recurrent.options import CellOptions
from variant_cases import BATCHES, VARIANTS, batch, make, random_state

T = 7
DTYPES = pytest.mark.parametrize("dtype", ["float32", "float64"])
EVERY_SPLIT = pytest.mark.parametrize("split", SPLITS)
RANDOM = [name for name in VARIANTS if make(name).options.random]


def check(rnn, given, split, *, x=None, **how):
    """Compare both passes over the parts of a batch with those over the whole."""
    own_x, more = batch(rnn, given, T, ROWS)
    x, random, replay = own_x if x is None else x, np.random.default_rng(8), Replay(rnn)

    def normal(*shape):
        return random.normal(size=shape).astype(rnn.dtype)

    dy, dstate = normal(T, ROWS, rnn.output_size), random_state(rnn, normal, ROWS)
    expected = passes(rnn, replay.whole(lambda: rnn.forward(x, **more, **how)), dy, dstate)
    whole, after = {name: g.copy() for name, g in rnn.gradients.items()}, replay.after()
    sums = {name: np.zeros_like(g) for name, g in whole.items()}
    for rows in parts(split):
        args, own = (taken(x, rows, 1),), rows_of(more, rows) | how
        forward = replay.part(rows, lambda: rnn.forward(*args, **own))  # noqa: B023
        assert replay.after() == after
        # Outside the block, as a tape keeps what its masks follow from.
        found = passes(rnn, forward, taken(dy, rows, 1), taken(dstate, rows, 1))
        assert found.keys() == expected.keys()
        assert not [n for n, (one, axis) in found.items() if not same(one, expected[n][0], rows, axis)]
        for name, gradient in rnn.gradients.items():
            sums[name] += gradient
    assert_sums(sums, whole)


@EVERY_SPLIT
@DTYPES
@pytest.mark.parametrize("given", BATCHES)
@pytest.mark.parametrize("name", RANDOM)
def test_every_layer_with_masks_draws_those_of_its_rows(name, given, dtype, split):
    check(make(name, dtype=dtype), BATCHES[given], split)


@pytest.mark.parametrize("every", [1, 3, 50])
@pytest.mark.parametrize("given", ["dense", "all"])
@pytest.mark.parametrize("name", RANDOM)
def test_a_pass_with_checkpoints_draws_them_too(name, given, every):
    check(make(name), BATCHES[given], "uneven", checkpoint_every=every)


@EVERY_SPLIT
@DTYPES
@pytest.mark.parametrize("options", [{}, {"bidirectional": True}, {"reverse": True}], ids=str)
@pytest.mark.parametrize("layer", [fr.RNN, fr.GRU, fr.LSTM, fr.SLSTM, fr.MinGRU, fr.MinLSTM])
def test_dropout_between_layers_is_that_of_the_rows(layer, options, dtype, split):
    for given in BATCHES.values():
        for how in ({}, {"checkpoint_every": 2}):
            check(layer(4, 5, 3, dropout=0.4, dtype=dtype, seed=1, **options), given, split, **how)


@pytest.mark.parametrize("name", ["lstm masks", "gru masks", "jordan masks", "mean of variants"])
def test_masks_of_several_layers_and_of_ids(name):
    more = {} if name == "jordan masks" else {"layers": 2, "dropout": 0.3}
    check(make(name, **more), ("lengths",), "uneven")
    ids = np.random.default_rng(3).integers(-1, 4, (T, ROWS))
    if not make(name).options.input_dropout:
        check(make(name, **more), ("lengths", "state"), "uneven", x=ids)


def test_every_option_with_a_mask_is_in_a_case():
    usual = CellOptions("lstm")
    masks = [n for n in vars(usual) if n.endswith(("_dropout", "_drop")) or n == "zoneout"]
    assert len(masks) == 6
    given = [make(name).options for name in RANDOM]
    assert all(any(getattr(one, name) != getattr(usual, name) for one in given) for name in masks)


def test_masked_steps_of_a_part_are_packed_alone():
    rnn = make("gru masks")
    x = batch(rnn, (), T, ROWS)[0]
    mask, replay = np.random.default_rng(6).random((T, ROWS)) < 0.6, Replay(rnn)
    y = replay.whole(lambda: rnn.forward(x, mask=mask))[0]
    for rows in parts("single rows"):
        given = taken(x, rows, 1), taken(mask, rows, 1)
        own = replay.part(rows, lambda: rnn.forward(given[0], mask=given[1]))[0]  # noqa: B023
        assert same(own, y, rows, 1)


@EVERY_SPLIT
def test_a_part_whose_longest_row_is_shorter(split):
    rnn = make("lstm masks")
    (x, more), replay = batch(rnn, ("lengths",), T, ROWS), Replay(rnn)
    y, last, _ = replay.whole(lambda: rnn.forward(x, **more))
    for rows in parts(split):
        lengths = more["lengths"][rows]
        given = taken(x[: lengths.max()], rows, 1)
        own_y, own_last, _ = replay.part(rows, lambda: rnn.forward(given, lengths=lengths))  # noqa: B023
        assert same(own_y, y[: lengths.max()], rows, 1)
        assert same(own_last, last, rows, 1)


@EVERY_SPLIT
@pytest.mark.parametrize("batch_first", [False, True])
def test_a_stack_draws_the_masks_of_its_rows(batch_first, split):
    same_layers = {"batch_first": batch_first, "dtype": "float64"}
    layers = fr.GRU(3, 5, 2, dropout=0.3, seed=1, **same_layers), fr.LSTM(5, 4, zoneout=0.3, **same_layers)
    stack, axis = fr.Stack(*layers, dropout=0.4, seed=2), 0 if batch_first else 1
    x, replay = np.random.default_rng(5).normal(size=(T, ROWS, 3)).swapaxes(0, 1 - axis), Replay(stack)
    y, last, tape = replay.whole(lambda: stack.forward(x))
    dx = stack.backward(tape, np.cos(y))[0]
    for rows in parts(split):
        given = taken(x, rows, axis)
        own, own_last, own_tape = replay.part(rows, lambda: stack.forward(given))  # noqa: B023
        assert same(own, y, rows, axis)
        assert same(own_last, last, rows, 1)
        assert same(stack.backward(own_tape, np.cos(own))[0], dx, rows, axis)


@EVERY_SPLIT
@pytest.mark.parametrize(("shape", "axis"), [((T, ROWS, 3), 1), ((ROWS, 3), 0), ((ROWS, T, 3), 0)], ids=str)
def test_a_head_draws_the_masks_of_its_rows(shape, axis, split):
    head, x = fr.Head(3, [7, 5], 2, dropout=0.5, dtype="float64", seed=0), np.ones(shape)
    replay = Replay(head)
    y, tape = replay.whole(lambda: head.forward(x))
    dx = head.backward(tape, np.cos(y))
    for rows in parts(split):
        given = taken(x, rows, axis)
        own, own_tape = replay.part(rows, lambda: head.forward(given))  # noqa: B023
        assert same(own, y, rows, axis)
        assert same(head.backward(own_tape, np.cos(own)), dx, rows, axis)


@EVERY_SPLIT
def test_a_composite_draws_the_masks_of_its_rows(split):
    same_dtype = {"dtype": "float64", "seed": 0}
    rnn = fr.LSTM(3, 5, 2, dropout=0.4, batch_first=True, bidirectional=True, **same_dtype)
    net = fr.Composite(rnn=rnn, fc=fr.Head(10, [6], 2, dropout=0.5, **same_dtype))
    x, replay = np.random.default_rng(5).normal(size=(ROWS, T, 3)), Replay(net)
    y = replay.whole(lambda: net.forward(x))[0]
    for rows in parts(split):
        assert same(replay.part(rows, lambda: net.forward(x[rows]))[0], y, rows, 0)  # noqa: B023


def test_networks_draw_for_rows_from_a_generator_of_the_part():
    folders = [Path(fr.__file__).parent / name for name in ("language", "layers", "models")]
    raw = re.compile(r"(self|model|network)\.rng\.[a-z_]+\(")
    files = [path for folder in folders for path in folder.rglob("*.py") if path.name != "noise.py"]
    # noise.py: of reservoirs, which are fitted to whole batches, not by gradients of parts.
    assert not [(path.name, found[0]) for path in files if (found := raw.search(path.read_text()))]
    assert raw.search("self.rng.random(x.shape)")


def test_what_is_no_row_of_the_batch_gets_a_mask_of_the_part():
    def draw(first, shape):
        with batch_rows(first, 2, ROWS):
            return dropout_mask(shape, 0.5, np.dtype("float64"), np.random.default_rng(1))

    for shape in ((5, 3, 40), (3, 40), (40,)):
        whole = dropout_mask(shape, 0.5, np.dtype("float64"), np.random.default_rng(1))
        one, other = draw(0, shape), draw(2, shape)
        assert one.shape == other.shape == shape
        assert len({mask.tobytes() for mask in (whole, one, other)}) == 3
        assert draw(2, shape).tobytes() == other.tobytes()


@pytest.mark.parametrize("every", [None, 2])
def test_a_pickled_tape_keeps_its_rows(every):
    rnn = make("gru masks", layers=2, dropout=0.3)
    x, _ = batch(rnn, (), T, ROWS)
    how = {} if every is None else {"checkpoint_every": every}
    y, _, tape = Replay(rnn).part(slice(2, 4), lambda: rnn.forward(x[:, 2:], **how))
    dx, _ = rnn.backward(tape, y)
    twin, again = pickle.loads(pickle.dumps((rnn, tape)))
    assert twin.backward(again, y)[0].tobytes() == dx.tobytes()


def test_a_block_replaces_the_outer_one_and_belongs_to_its_thread():
    seen = []
    assert current_rows() is None
    with batch_rows(1, 2, 4) as outer:
        assert current_rows() == outer == (1, 2, 4)
        with batch_rows(0, 1, 4):
            assert current_rows() == (0, 1, 4)
        with batch_rows(0, 4, 4):  # all of it
            assert current_rows() is None
        with pytest.raises(KeyError), batch_rows(3, 1, 4):
            raise KeyError
        assert current_rows() == outer
        thread = threading.Thread(target=lambda: seen.append(current_rows()))
        thread.start()
        thread.join()
    assert current_rows() is None
    assert seen == [None]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ((0, 1, 0), "total: expected 1 or more, got 0"),
        ((5, 1, 4), r"first: expected 0 \.\. 4, got 5"),
        ((2, 3, 4), r"rows: expected 0 \.\. 2, got 3"),
        ((-1, 1, 4), "first: expected"),
    ],
)
def test_rows_that_the_batch_does_not_have_are_refused(given, message):
    with pytest.raises(ValueError, match=message), batch_rows(*given):
        pass
