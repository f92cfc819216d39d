"""File systems where a rename is not what it is on a local disk: their types, and what is done there."""

import errno
import os

import pytest

from fastrnn.cli import output_files
from fastrnn.files import atomic_files
from fastrnn.files.atomic_files import write_atomically
from fastrnn.files.file_systems import file_system_of, renames_atomically
from test_cli import SMALL, folder, run_well

__all__ = ["folder"]  # a fixture

MOUNTINFO = r"""22 27 0:21 / /proc rw,relatime - proc proc rw
27 1 254:0 / / rw,relatime - ext4 /dev/vda rw
30 27 0:30 / /home rw,relatime shared:7 - nfs4 server:/export/home rw,vers=4.2,hard
31 30 0:31 / /home/me/laptop\040disk rw,nosuid,nodev - fuse.sshfs me@laptop:/ rw,user_id=1000
32 27 0:32 / /scratch rw - lustre 10.0.0.1@o2ib:/scratch rw,flock
33 27 0:33 / /share rw,relatime - ext4 /dev/vdb rw
34 27 0:34 / /share rw,relatime - cifs //server/share rw,vers=3.1.1
35 27 0:35 /C: /mnt/c rw,noatime - 9p C:\134 rw,aname=drvfs
36 27 0:36 / /var/lib/layers rw - overlay overlay rw,upperdir=/u
"""


@pytest.fixture
def root(tmp_path):
    (tmp_path / "proc" / "self").mkdir(parents=True)
    (tmp_path / "proc" / "self" / "mountinfo").write_text(MOUNTINFO)
    return str(tmp_path)


@pytest.mark.parametrize(
    ("path", "kind", "atomic"),
    [
        ("/data/m.safetensors", "ext4", True),
        ("/home/me/m.safetensors", "nfs4", True),
        ("/home/me/laptop disk/m.safetensors", "fuse.sshfs", False),
        ("/homes/m.safetensors", "ext4", True),  # not below /home
        ("/scratch/m.safetensors", "lustre", True),
        ("/share/m.safetensors", "cifs", False),  # mounted over what is below it
        ("/mnt/c/m.safetensors", "9p", False),
        ("/var/lib/layers/m.safetensors", "overlay", True),
    ],
)
def test_the_type_of_a_file_system_says_whether_its_renames_are_atomic(root, path, kind, atomic):
    assert file_system_of(path, root) == kind
    assert renames_atomically(kind) == atomic


def test_a_symbolic_link_is_on_the_file_system_that_it_leads_to(root, tmp_path):
    link = tmp_path / "link"
    link.symlink_to("/share/m.safetensors")
    assert file_system_of(link, root) == "cifs"


def test_a_system_that_does_not_say_is_taken_for_a_good_one(tmp_path):
    assert file_system_of("/data/m.safetensors", str(tmp_path)) is None
    assert renames_atomically(None)


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "model.safetensors"
    write_atomically(path, b"old")
    return path


def fail(*arguments):
    raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), *arguments[:1])


def test_a_rename_that_happened_although_it_failed_is_a_success(path, monkeypatch):
    replace = os.replace

    def lose_the_answer(source, target):  # the server has done it, and finds no file when it is asked again
        replace(source, target)
        replace(source, target)

    monkeypatch.setattr(os, "replace", lose_the_answer)
    write_atomically(path, b"new")
    assert path.read_bytes() == b"new"
    assert [entry.name for entry in path.parent.iterdir()] == [path.name]


@pytest.mark.parametrize("there", [True, False])
def test_a_rename_that_failed_is_a_failure_and_leaves_the_old_file(path, monkeypatch, there):
    if not there:
        path.unlink()
    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(FileNotFoundError, match=r"model\.safetensors"):
        write_atomically(path, b"new")
    assert [entry.read_bytes() for entry in path.parent.iterdir()] == [b"old"] * there


def test_a_file_of_the_same_content_is_not_taken_for_the_renamed_one(path, monkeypatch):
    write_atomically(path, b"new")
    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(FileNotFoundError):
        write_atomically(path, b"new")


def test_where_renames_are_not_atomic_a_file_that_is_not_whole_is_a_failure(path, monkeypatch):
    def copy_a_part(source, target):
        with open(target, "wb") as file:
            file.write(b"ne")
        os.unlink(source)

    monkeypatch.setattr(os, "replace", copy_a_part)
    monkeypatch.setattr(atomic_files, "file_system_of", lambda path: "fuse.s3fs")
    with pytest.raises(OSError, match=r"expected 3 bytes after a rename on fuse\.s3fs, found 2") as error:
        write_atomically(path, b"new")
    assert error.value.filename == str(path)


def test_where_renames_are_not_atomic_a_whole_file_is_a_success(path, monkeypatch):
    monkeypatch.setattr(atomic_files, "file_system_of", lambda path: "cifs")
    write_atomically(path, b"new")
    assert path.read_bytes() == b"new"


TRAIN = ["train", "text.txt", *SMALL, "--steps", "3"]


WARNING = (
    "fastrnn train: warning: --out: m.safetensors is on a file system of type cifs, where a failure during a "
    "save may lose the saved model too; save to a local disk, and copy the files from there"
)


def test_training_says_once_what_may_happen_there_and_what_to_do(folder, monkeypatch):
    monkeypatch.setattr(output_files, "file_system_of", lambda path: "cifs")
    result = run_well(*TRAIN, "--out", "m.safetensors")
    assert result.stderr.splitlines().count(WARNING) == 1


def test_training_says_nothing_of_other_file_systems(folder, monkeypatch):
    monkeypatch.setattr(output_files, "file_system_of", lambda path: "nfs4")
    assert "file system" not in run_well(*TRAIN).stderr
