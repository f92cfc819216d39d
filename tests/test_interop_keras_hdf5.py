"""The reader of HDF5 files: what h5py writes by default is read as h5py reads it, and nothing else."""

import io
import struct
import zipfile

import numpy as np
import pytest

from fastrnn.interop.keras.hdf5_file import Unreadable, read_hdf5
from keras_fixtures import FIXTURES


def h5_bytes(h5py, fill):
    content = io.BytesIO()
    with h5py.File(content, "w") as file:
        fill(file)
    return content.getvalue()


def test_files_of_h5py_are_read_as_it_reads_them(h5py):
    rng = np.random.default_rng(0)

    def fill(file):
        for index in range(60):  # several leaves of a tree
            file[f"g{index}/a/b"] = rng.normal(size=(index % 3 + 1, 2)).astype(
                "<f4 >f8 <f2 <i8".split()[index % 4]
            )
        file.attrs["text"], file.attrs["fixed"] = "héllo", np.bytes_("abc")
        file["g0"].attrs["names"] = ["one", "two"]
        file["g1"].attrs["names"] = [b"one", b"three"]
        file["empty"] = np.zeros((0, 3), np.float32)
        file["scalar"] = 2.5

    content = h5_bytes(h5py, fill)
    root = read_hdf5(content)
    assert root.attributes == {"text": "héllo", "fixed": "abc"}
    assert root.groups["g0"].attributes["names"] == ["one", "two"]
    assert root.groups["g1"].attributes["names"] == ["one", "three"]
    with h5py.File(io.BytesIO(content)) as file:
        for index in range(60):
            assert np.array_equal(root.find(f"g{index}/a").arrays["b"], file[f"g{index}/a/b"][()])
    assert root.arrays["empty"].shape == (0, 3)
    assert root.arrays["scalar"] == 2.5


def test_what_leads_out_of_a_file_or_computes_is_not_followed(h5py, tmp_path):
    secret = tmp_path / "secret.h5"
    secret.write_bytes(h5_bytes(h5py, lambda file: file.create_dataset("x", data=[1.0])))

    def fill(file):
        file["soft"] = h5py.SoftLink("/real")
        file["real"] = np.ones(3, np.float32)
        file.create_dataset("packed", data=np.zeros(10**6, np.float32), compression="gzip")
        file.create_dataset("chunked", data=np.zeros(100, np.float32), chunks=(10,))
        file.create_dataset("elsewhere", (3,), "f4", external=[(str(secret), 0, 12)])
        file.create_dataset("unwritten", (2**40,), "f4")
        file.create_dataset("reference", data=np.array([file["real"].ref], dtype=h5py.ref_dtype))

    with h5py.File(tmp_path / "m.h5", "w") as file:
        fill(file)
    root = read_hdf5((tmp_path / "m.h5").read_bytes())
    assert "soft" not in root.arrays
    assert root.arrays["real"].tolist() == [1, 1, 1]
    for name in ("packed", "chunked", "elsewhere", "unwritten", "reference"):
        assert isinstance(root.arrays[name], Unreadable), name
    outside = h5_bytes(h5py, lambda file: file.__setitem__("x", h5py.ExternalLink(str(secret), "x")))
    with pytest.raises(ValueError, match="newer format or has links to other files"):
        read_hdf5(outside)


def test_a_file_in_hdf5s_newer_format_is_refused_with_what_to_do(h5py):
    content = io.BytesIO()
    with h5py.File(content, "w", libver="latest") as file:
        file["x"] = [1.0]
    with pytest.raises(ValueError, match=r"newer format .* which Keras does not write; write it again"):
        read_hdf5(content.getvalue())


def test_a_truncated_file_and_one_that_leads_back_to_itself_are_refused():
    with zipfile.ZipFile(FIXTURES) as archive:
        content = archive.read("keras3_nested.h5")
    with pytest.raises(ValueError, match=r"is truncated: 1000 of \d+ bytes"):
        read_hdf5(content[:1000])
    (root,) = struct.unpack_from("<Q", content, 64)
    entry = content.index(b"SNOD") + 8
    looped = bytearray(content)
    looped[entry + 8 : entry + 16] = struct.pack("<Q", root)
    with pytest.raises(ValueError, match="two ways lead to the object"):
        read_hdf5(bytes(looped))
