"""The file of a prepared text: read where it is, and refused if it is damaged, foreign or has changed."""

import json
import os

import numpy as np
import pytest

import fastrnn as fr
from fastrnn.data import ChunkedText, PreparedText, prepare
from fastrnn.train import evaluate, save_checkpoint
from fastrnn.train.records import Validation

TEXT = "the cat sat on the mat; " * 30


@pytest.fixture
def path(tmp_path):
    (tmp_path / "a.txt").write_text(TEXT)
    prepare(tmp_path / "a.txt", tmp_path / "a.ids").close()
    return tmp_path / "a.ids"


@pytest.fixture
def prepared(path):
    with PreparedText.open(path) as text:
        yield text


def refusal(path):
    with pytest.raises(ValueError, match="prepare") as found:
        PreparedText.open(path)
    message = str(found.value)
    assert message.startswith(f"{path}: ")
    assert message.endswith("to make a prepared text, type: fastrnn prepare TEXT.txt --out TEXT.ids")
    assert "\n" not in message
    return message


def test_a_text_that_is_cut_off_anywhere_is_refused(path):
    whole = path.read_bytes()
    for size in [*range(0, len(whole), 23), len(whole) - 1]:
        path.write_bytes(whole[:size])
        assert any(word in refusal(path) for word in ("truncated", "no header", "a header of"))
    path.write_bytes(whole + b"x")
    assert "damaged" in refusal(path)


def test_any_changed_byte_of_the_ids_is_found(path):
    whole = path.read_bytes()
    start = 8 + int.from_bytes(whole[:8], "little")
    for place in range(start, len(whole), 31):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        with PreparedText.open(path) as text, pytest.raises(ValueError, match=r"a\.ids: damaged: the ids of"):
            text.verify()


def test_a_damaged_header_never_raises_anything_but_a_value_error(path):
    whole = path.read_bytes()
    random = np.random.default_rng(0)
    refused = 0
    for place in random.integers(0, 8 + int.from_bytes(whole[:8], "little"), 400):
        path.write_bytes(whole[:place] + bytes([random.integers(0, 256)]) + whole[place + 1 :])
        try:
            PreparedText.open(path).close()
        except ValueError:
            refused += 1
    assert refused > 100


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda header: header.pop("valid"), "damaged"),
        (lambda header: header["train"].update(dtype="F32"), "expected U8, U16, U32 with one axis"),
        (lambda header: header["train"].update(shape=[3]), "expected 3 bytes"),
        (lambda header: header["train"].update(shape=[-1]), r"shape\[0\]: expected 0"),
        (lambda header: header["train"].update(data_offsets=[0, 1 << 50], shape=[1 << 50]), "truncated"),
        (lambda header: header.update(other=header.pop("train")), "damaged"),
        (lambda header: header.pop("__metadata__"), "not a prepared text"),
    ],
)
def test_a_header_that_contradicts_the_file_is_refused(path, change, message):
    whole = path.read_bytes()
    length = int.from_bytes(whole[:8], "little")
    header = json.loads(whole[8 : 8 + length])
    change(header)
    text = json.dumps(header).encode().ljust(length)
    path.write_bytes(len(text).to_bytes(8, "little") + text + whole[8 + length :])
    with pytest.raises(ValueError, match=message):
        PreparedText.open(path)


def test_foreign_files_are_refused_with_what_they_are(path, tmp_path):
    vocabulary = PreparedText.open(path).vocabulary
    model = fr.LanguageModel(len(vocabulary), hidden_size=4, num_layers=1, seed=0)
    save_checkpoint(tmp_path / "m.safetensors", model, vocabulary)
    assert "write fastrnn.train.load_checkpoint(path)" in refusal(tmp_path / "m.safetensors")
    assert "not a safetensors file" in refusal(tmp_path / "a.txt")
    with pytest.raises(ValueError, match=r"got a PreparedText; write fastrnn\.data\.PreparedText\.open"):
        fr.train.load_checkpoint(path)
    with pytest.raises(FileNotFoundError):
        PreparedText.open(tmp_path / "missing.ids")
    with pytest.raises(IsADirectoryError):
        PreparedText.open(tmp_path)


def test_a_file_that_someone_writes_to_has_changed_and_one_that_is_replaced_has_not(path, prepared):
    before = prepared.train.tolist()
    os.replace(prepare(path.with_name("a.txt"), path.with_name("b.ids"), level="word").path, path)
    prepared.check_unchanged()
    assert prepared.train.tolist() == before
    with PreparedText.open(path) as other:
        os.utime(path, ns=(1, 1))
        with pytest.raises(ValueError, match=r"a\.ids: changed while it was used; prepare the text again"):
            other.check_unchanged()


def test_a_closed_text_is_empty_and_what_used_it_goes_on(path):
    text = PreparedText.open(path)
    data = ChunkedText(text.train, 2, 10)
    expected = data.chunk(1)[0].tolist()
    text.close()
    assert len(text.train) == len(text.valid) == 0
    assert data.chunk(1)[0].tolist() == expected


def test_arrays_cannot_be_written_to(prepared):
    assert not prepared.train.flags.writeable
    with pytest.raises(ValueError, match="read-only"):
        prepared.train[0] = 1


@pytest.mark.parametrize("streams", [1, 3])
@pytest.mark.parametrize("backward_length", [None, 17])
def test_chunks_of_mapped_ids_are_those_of_a_list(prepared, streams, backward_length):
    mapped = ChunkedText(prepared.train, streams, 10, backward_length=backward_length)
    copied = ChunkedText(prepared.train.tolist(), streams, 10, backward_length=backward_length)
    assert np.shares_memory(mapped._inputs, prepared.train)
    for one, two in zip(mapped, copied, strict=True):
        for own, expected in zip(one, two, strict=True):
            assert own.dtype == np.int64
            assert own.flags.c_contiguous
            assert np.array_equal(own, expected)
    rows = slice(1, 3)
    assert np.array_equal(mapped.part(2, rows).inputs, copied.batch(2).inputs[:, rows])


def test_only_arrays_that_nobody_can_write_to_are_kept(tmp_path):
    ids = np.arange(50, dtype=np.uint16)
    view = ids[:]
    view.flags.writeable = False
    frozen = ids.copy()
    frozen.flags.writeable = False
    ids.tofile(tmp_path / "raw")
    mapped = np.memmap(tmp_path / "raw", np.uint16, "r")
    changeable = np.memmap(tmp_path / "raw", np.uint16, "c")
    for given, kept in ((ids, False), (view, False), (frozen, True), (mapped, True), (changeable, False)):
        data = ChunkedText(given, 2, 5)
        assert np.shares_memory(data._inputs, given) == kept
    data = ChunkedText(view, 2, 5)
    ids[:] = 0
    assert data.chunk(0)[0][1, 0] == 1


@pytest.mark.parametrize("streams", [1, 4])
def test_an_evaluation_of_mapped_ids_is_that_of_a_list(prepared, streams):
    model = fr.LanguageModel(len(prepared.vocabulary), hidden_size=6, num_layers=1, seed=0)
    expected = evaluate(model, prepared.valid.tolist(), batch_size=streams)
    assert evaluate(model, prepared.valid, batch_size=streams) == expected


def test_ids_out_of_range_are_refused(prepared):
    model = fr.LanguageModel(3, hidden_size=4, num_layers=1, seed=0)
    data = ChunkedText(prepared.train, 2, 10)
    trainer = fr.train.Trainer(model, data, fr.train.SGD(model))
    with pytest.raises(ValueError, match=r"out of range|0 \.\. 2"):
        next(iter(trainer.run(1)))
    with pytest.raises(ValueError, match="out of range for 3 symbols"):
        Validation(prepared.valid).check_ids(3)


def test_a_prepared_text_shows_what_it_holds(prepared):
    assert repr(prepared).endswith("a.txt: 648 ids to train on, 72 to validate on, 11 symbols>")
