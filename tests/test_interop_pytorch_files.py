"""Files of PyTorch read without PyTorch: what they hold, and what is refused."""

import os
import pickle
import struct
import zipfile
from collections import OrderedDict

import numpy as np
import pytest
from safetensors.numpy import save

from fastrnn.interop import ModelFileError, load_pt
from torch_files import KINDS, Raw, Tensor, bfloat16, packed, records, saved, tensor

FLOATS = np.arange(6, dtype=np.float32).reshape(2, 3)


@pytest.fixture
def read(tmp_path):
    def read(content):
        path = tmp_path / "model.pt"
        path.write_bytes(content)
        return load_pt(path)

    return read


@pytest.fixture
def refusal(read):
    def refusal(content):
        with pytest.raises(ModelFileError, match=r"model\.pt: ") as caught:
            read(content)
        return str(caught.value)

    return refusal


def pickled(code):
    return packed({"data.pkl": b"\x80\x02" + code + b".", "byteorder": b"little", "version": b"3\n"})


# --- what is read ---


def test_a_checkpoint_comes_back_as_it_was_saved(read):
    value = {
        "model": OrderedDict([("weight", FLOATS), ("bias", np.ones(2, np.float64))]),
        "epoch": 3,
        "best": 0.5,
        "name": "né",
        "done": True,
        "nothing": None,
        "betas": (0.9, 0.999),
        "history": [1.0, [2, 2**70]],
        "seen": {1, 2},
        7: -1,
    }
    state = read(saved(value))
    assert list(state) == list(value)
    assert type(state["model"]) is OrderedDict
    assert state["model"]["weight"].dtype == np.float32
    assert np.array_equal(state["model"]["weight"], FLOATS)
    assert {k: v for k, v in state.items() if k != "model"} == {
        k: v for k, v in value.items() if k != "model"
    }
    assert state.notes == []


@pytest.mark.parametrize("byteorder", ["little", "big"])
@pytest.mark.parametrize("dtype", KINDS)
def test_every_dtype_is_read_in_both_byte_orders(dtype, byteorder, read):
    array = np.array([[0, 1, 3], [1, 0, 100]]).astype(dtype)
    found = read(saved({"a": array}, byteorder))["a"]
    assert found.dtype == array.dtype
    assert found.dtype.isnative
    assert np.array_equal(found, array)


@pytest.mark.parametrize("byteorder", ["little", "big"])
def test_bfloat16_becomes_float32_exactly_and_the_notes_say_so(byteorder, read):
    state = read(saved({"model": {"a": bfloat16([1.5, -2.0, 3e38])}, "b": FLOATS}, byteorder))
    expected = (np.array([1.5, -2.0, 3e38], np.float32).view(np.uint32) >> 16 << 16).view(np.float32)
    assert np.array_equal(state["model"]["a"], expected)
    assert state.notes == ["model.a: bfloat16 became float32"]


def test_views_have_their_strides_and_shared_storages_stay_shared(read):
    storage = np.arange(12.0)
    views = {
        "whole": Tensor(storage, (12,), (1,)),
        "transposed": Tensor(storage, (4, 3), (1, 4)),
        "part": Tensor(storage, (2, 2), (4, 2), offset=1),
        "scalar": Tensor(storage, (), (), offset=5),
        "empty": Tensor(storage, (0, 3), (3, 1)),
    }
    state = read(saved(views))
    assert np.array_equal(state["transposed"], storage.reshape(3, 4).T)
    assert state["part"].tolist() == [[1.0, 3.0], [5.0, 7.0]]
    assert state["scalar"].shape == ()
    assert state["scalar"] == 5
    assert state["empty"].shape == (0, 3)
    assert np.shares_memory(state["whole"], state["transposed"])
    assert not any(array.flags.writeable for array in state.values())


def test_a_safetensors_file_is_read_by_its_content(read, refusal):
    state = read(save({"a": FLOATS}))
    assert np.array_equal(state["a"], FLOATS)
    assert "truncated or damaged" in refusal(save({"a": FLOATS})[:-1])
    header = b'{"a":{"dtype":"BF16","shape":[2],"data_offsets":[0,4]}}'
    content = struct.pack("<Q", len(header)) + header + b"\x80\x3f\x00\x40"
    assert read(content)["a"].tolist() == [1.0, 2.0]
    assert read(content).notes == ["a: bfloat16 became float32"]


def test_a_file_may_hold_something_else_than_a_mapping(read):
    assert np.array_equal(read(saved(FLOATS)), FLOATS)
    assert read(saved([1, (2, "x")])) == [1, (2, "x")]


def test_a_size_a_device_and_a_dtype_become_plain_values(read):
    code = b"}(X\x01\x00\x00\x00actorch\nSize\n(K\x02K\x03tRRX\x01\x00\x00\x00bctorch\nfloat16\nu"
    code = code.replace(b"(K\x02K\x03tRR", b"K\x02K\x03\x86\x85R")
    assert read(pickled(code)) == {"a": (2, 3), "b": "torch.float16"}
    device = b"ctorch\ndevice\nX\x04\x00\x00\x00cudaK\x01\x86R"
    assert read(pickled(device)) == "cuda:1"


# --- formats that are refused ---


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "it is empty"),
        (b"hello, world", "neither"),
        (pickle.dumps({"a": 1}), "neither"),
        (b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19.\x80\x02M", r"torch.save(torch.load(old), new)"),
        (b"\x89HDF\r\n\x1a\n" + bytes(600), "load_keras"),
        (packed({"data.pkl": b"", "constants.pkl": b"", "code/x.py": b""}), "TorchScript"),
        (packed({"code/x.py": b"x" * 99}, compression=zipfile.ZIP_DEFLATED), "TorchScript"),
        (packed({"weights.npy": b""}), "a data.pkl, got one with weights.npy"),
        (packed({"data.pkl": b"\x80\x00N."}), "protocol 2 to 5, got 0"),
        (packed({"data.pkl": b"\x80\x02N.", "byteorder": b"middle"}), "little or big"),
    ],
)
def test_another_format_is_refused_with_the_reason(content, words, refusal):
    assert words in refusal(content)


# --- pickles that would run something ---


class Attack:
    def __reduce__(self):
        return os.system, ("touch owned",)


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_a_pickle_that_imports_anything_else_is_refused_by_its_name(protocol, refusal, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    message = refusal(packed({"data.pkl": pickle.dumps({"a": Attack()}, protocol)}))
    assert f"imports {os.system.__module__}.system" in message
    assert "torch.load(path, weights_only=False)" in message
    assert not (tmp_path / "owned").exists()


@pytest.mark.parametrize(
    "name",
    [
        "builtins\neval",
        "__builtin__\ngetattr",
        "torch.storage\n_load_from_bytes",
        "torch._utils\n_rebuild_tensor",
        "torch\nload",
        "torch\nFloatStorage.from_file",
        "collections\nOrderedDict.__init__",
        "torch.serialization\n_get_layout",
        "numpy\nload",
        "\x1b]0;owned\x07\nx",
    ],
)
def test_no_name_is_imported_by_its_neighbours(name, refusal):
    message = refusal(pickled(b"c" + name.encode() + b"\n)R"))
    assert "imports " in message
    assert message.isprintable()


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (b"ccollections\nOrderedDict\n]\x85R", "with other arguments"),  # OrderedDict(pairs)
        (b"ctorch\nSize\n)R", "with other arguments"),
        (b"ctorch\nFloatStorage\n)R", "with other arguments"),
        (b"ctorch\nfloat16\n)R", "calls something that is no function"),
        (b"X\x01\x00\x00\x00a)R", "calls something that is no function"),
        (b"ctorch\nSize\nNR", "calls something that is no function"),
        (b"ctorch._utils\n_rebuild_tensor_v2\n)R", "not described as PyTorch does"),
        (b"ctorch._utils\n_rebuild_parameter\n)R", "a parameter without a tensor"),
        (b"__builtin__", "expected opcodes of plain values"),
        (b"c__builtin__\nset\n)R", "a set that is not made of a list"),
        (b"c__builtin__\nset\n](]e\x85R", "expected sets of str"),
        (b"}}b", "sets attributes of a dict"),
        (b"ccollections\nOrderedDict\n)R(Nlb", "expected opcodes"),
        (b"ccollections\nOrderedDict\n", "the name collections.OrderedDict"),
        (b"(ctorch\nFloatStorage\nt", "the name torch.FloatStorage"),
        (b"ios\nsystem\n(", "expected opcodes"),
        (b"\x82\x01", "expected opcodes"),  # EXT1
        (b"ctorch\nSize\n)\x81", "expected opcodes"),  # NEWOBJ
        (b"NQ", "a storage that is not described"),
        (b"X\x04\x00\x00\x00nameQ", "a storage that is not described"),
        (b"Pname\n", "expected opcodes"),
    ],
)
def test_a_call_that_pytorch_does_not_write_is_refused(code, words, refusal):
    assert words in refusal(pickled(code))


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (b"", "no value on the stack"),
        (b"(", "no value on the stack"),
        (b"t", "no mark on the stack"),
        (b"N(u", "sets items of a NoneType"),
        (b"}(Nu", "sets items of a dict"),
        (b"}Na", "appends to a dict"),
        (b"h\x07", "no value 7 in the memo"),
        (b"j\xff\xff\xff\xff", "no value 4294967295 in the memo"),
        (b"\x8b\xff\xff\xff\x7f", "integers of at most 40 bytes, got one of 2147483647"),
        (b"\x8b\xff\xff\xff\xff", "integers of at most 40 bytes, got one of -1"),
        (b"X\xff\xff\xff\xffa", "truncated: 4294967295 bytes expected"),
        (b"\x8d" + b"\xff" * 8, "truncated: 18446744073709551615 bytes expected"),
        (b"c" + b"x" * 5000, "a name expected"),
        (b"X\x01\x00\x00\x00\xff", "'utf-8' codec"),
        (b"}]Ns", "keys of str, int, float, bool or None, got list"),
        (b"})Ns", "keys of str, int, float, bool or None, got tuple"),
        (b"}\x8a\x09\x00\x00\x00\x00\x00\x00\x00\x00\x01Ns", "keys of str, int"),
        (b"]q\x00h\x00a", "a container that holds itself"),
        (b"}q\x00X\x01\x00\x00\x00ah\x00s", "a container that holds itself"),
        (b"]" * 150 + b"a" * 149, "nested too deep"),
        (b"N" + b"\x85" * 20_000, "nested too deep"),
    ],
)
def test_a_damaged_or_endless_pickle_is_refused(code, words, refusal):
    assert words in refusal(pickled(code))


def test_lists_of_lists_that_are_one_are_refused_however_small(refusal):
    code = b"]q\x00" + b"".join(b"](h%ch%ceq%c" % (i, i, i + 1) for i in range(60))
    assert "expected at most 2000000 entries" in refusal(pickled(code))


def test_a_large_memo_index_takes_no_memory(read):
    assert read(pickled(b"]r\xff\xff\xff\xff" + b"0j\xff\xff\xff\xff")) == []


SET_OF_50 = b"c__builtin__\nset\n](" + b"N" * 50 + b"e\x85R"


@pytest.mark.parametrize(
    ("limit", "code", "words"),
    [
        ("pickle_machine._MOST_STEPS", b"N0" * 50, "at most 99 opcodes"),
        ("pickle_machine._LARGEST", b"X\x64\x00\x00\x00" + bytes(100), "at most 99 bytes, got 108"),
        ("pickle_machine._MOST_OBJECTS", b"](" + b"]}\x8f" * 40 + b"e", "at most 99 containers and tensors"),
        ("plain_values._MOST_VALUES", b"](" + b"K\x01" * 100 + b"e", "at most 99 entries"),
        ("tensors._MOST_IN_SETS", SET_OF_50 + SET_OF_50, "at most 99 values in sets"),
        ("zip_records._MOST_RECORDS", b"", "at most 99 records, got 102"),
    ],
)  # fmt: skip
def test_what_takes_time_or_memory_has_a_limit(limit, code, words, refusal, monkeypatch):
    monkeypatch.setattr(f"fastrnn.interop.pytorch.{limit}", 99)
    if limit.endswith("RECORDS"):
        content = packed({"data.pkl": b"\x80\x02N."} | {f"data/{index}": b"" for index in range(101)})
    else:
        content = pickled(code)
    assert words in refusal(content)


# --- tensors that claim more than there is ---


@pytest.mark.parametrize(
    ("view", "words"),
    [
        (Tensor(FLOATS, (7,), (1,)), "reaches to number 6 of 6"),
        (Tensor(FLOATS, (2, 3), (4, 1)), "reaches to number 6 of 6"),
        (Tensor(FLOATS, (2,), (1,), offset=5), "reaches to number 6 of 6"),
        (Tensor(FLOATS, (6,), (1,), offset=-1), "got -1"),
        (Tensor(FLOATS, (-1, -6), (1, 1)), "got -1"),
        (Tensor(FLOATS, (2,), (-1,), offset=5), "got -1"),
        (Tensor(FLOATS, (2**62, 2), (0, 0)), "repeats its 6 numbers"),
        (Tensor(FLOATS, (3, 6), (0, 1)), "repeats its 6 numbers"),
        (Tensor(FLOATS, (2**70,), (1,)), "got 1180591620717411303424"),
        (Tensor(FLOATS, (2,), (2**62,)), "reaches to number"),
        (Tensor(FLOATS, (0, 2**62), (1, 1)), "expected sensible sizes"),
        (Tensor(FLOATS, (1,) * 33, (1,) * 33), "at most 32 axes"),
        (Tensor(FLOATS, (2, 3), (1,)), "without a stride for each axis"),
        (Tensor(FLOATS, (True,), (1,)), "got bool"),
        (Tensor(FLOATS, (2.0,), (1,)), "got float"),
        (Tensor(FLOATS, (6,), (1,), count=7), "expected 28 bytes, 7 numbers, got 24"),
        (Tensor(FLOATS, (6,), (1,), count=5), "expected 20 bytes, 5 numbers, got 24"),
        (Tensor(FLOATS, (6,), (1,), kind="DoubleStorage"), "expected 48 bytes"),
        (Tensor(FLOATS, (6,), (1,), count=2**62), "bytes"),
        (Tensor(FLOATS, (6,), (1,), kind="QInt8Storage"), "imports torch.QInt8Storage"),
        (Tensor(FLOATS, (6,), (1,), kind="Size"), "a storage that is not described"),
    ],
)
def test_a_tensor_that_its_storage_does_not_hold_is_refused(view, words, refusal):
    assert words in refusal(saved({"a": view}))


def test_a_size_that_is_an_endless_list_is_not_printed(refusal):
    code = b"]q\x00" + b"".join(b"](h%ch%ceq%c" % (i, i, i + 1) for i in range(60))
    call = b"ctorch._utils\n_rebuild_tensor_v2\n((X\x07\x00\x00\x00storagectorch\nFloatStorage\n"
    code += call + b"X\x01\x00\x00\x000X\x03\x00\x00\x00cpuh\x3ctQ"
    assert "storage 0: expected an integer of 0 .. 4611686018427387904, got list" in refusal(pickled(code))


def test_a_storage_is_described_in_one_way(refusal):
    two = {"a": tensor(FLOATS), "b": tensor(FLOATS, kind="IntStorage")}
    two = {name: view._replace(storage=FLOATS) for name, view in two.items()}
    assert "described in two ways" in refusal(saved(two))
    three = {"a": tensor(FLOATS)._replace(storage=FLOATS), "b": Tensor(FLOATS, (3,), (1,), count=3)}
    assert "described in two ways" in refusal(saved(three))


def test_all_tensors_together_are_bounded_by_the_file(refusal):
    storage = np.zeros(100_000, np.float32)
    views = {str(index): Tensor(storage, (100_000,), (1,)) for index in range(100)}
    assert "at most 32 times the size of the file" in refusal(saved(views))


def test_a_missing_storage_is_named(refusal):
    parts = records({"a": FLOATS})
    del parts["data/0"]
    assert "no record data/0" in refusal(packed(parts))


# --- archives that claim more than there is ---


def test_a_compressed_archive_is_refused_by_its_sizes(refusal):
    bomb = records({"a": FLOATS})
    bomb["data/0"] = bytes(5_000_000)
    content = packed(bomb, compression=zipfile.ZIP_DEFLATED)
    assert len(content) < 100_000
    assert "compressed" in refusal(content)


def patched(content, name, offset, value, *, size=4, entry=True):
    """Change a field of a record's directory entry, or of its local header."""
    data = bytearray(content)
    key = b"model/" + name.encode()
    place = data.rfind(key) - 46 if entry else data.find(key) - 30
    data[place + offset : place + offset + size] = value.to_bytes(size, "little")
    return bytes(data)


GOOD = saved({"a": FLOATS, "b": np.ones(4)})


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (patched(patched(GOOD, "data/0", 20, 2**31), "data/0", 24, 2**31), "truncated, 2147483648 bytes"),
        (patched(GOOD, "data/0", 24, 2**31), "compressed"),
        (patched(GOOD, "data/0", 10, 8, size=2), "compressed"),
        (patched(GOOD, "data/0", 8, 1, size=2), "encrypted"),
        (patched(GOOD, "data/0", 42, 3), "no record at its place"),
        (patched(GOOD, "data/1", 42, GOOD.find(b"model/data/0") - 30), "lies over"),
        (patched(GOOD, "data/0", 16, 7), "damaged, its checksum"),
        (patched(GOOD, "data/0", 28, 60_000, size=2, entry=False), "data/0: "),
        (GOOD.replace(b"model/data/1", b"model/data/0"), "two records of this name"),
        (GOOD.replace(b"model/data/1", b"other/data/1"), "all records in model/"),
        (GOOD[:-30], "not a readable zip archive"),
        (GOOD[: len(GOOD) // 2], "not a readable zip archive"),
        (b"\0" + GOOD, "neither"),
        (b"PK\x01\x02" * 200_001, "at most 200000 records"),
        (b"PK\x05\x06" + bytes(18), "without records"),
    ],
)
def test_a_damaged_archive_is_refused(content, words, refusal):
    assert words in refusal(content)


def test_an_archive_without_checksums_is_read(read):
    data = GOOD
    for name in ("data/0", "data/1", "data.pkl", "byteorder", "version"):
        data = patched(data, name, 16, 0)
    assert np.array_equal(read(data)["a"], FLOATS)


def test_a_raw_opcode_of_the_writer_is_written_as_it_is(read):
    assert read(saved({"a": Raw(b"K\x07")})) == {"a": 7}


def test_pipes_and_folders_are_not_read(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(OSError, match="not a regular file"):
        load_pt(tmp_path / "pipe")
    with pytest.raises(IsADirectoryError):
        load_pt(tmp_path)


def test_a_file_larger_than_the_memory_that_is_left_is_refused(tmp_path, monkeypatch):
    (tmp_path / "model.pt").write_bytes(GOOD)
    monkeypatch.setattr("fastrnn.interop.pytorch.load.available_memory", lambda: 10)
    with pytest.raises(MemoryError, match=r"model\.pt: cannot allocate"):
        load_pt(tmp_path / "model.pt")
