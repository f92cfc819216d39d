"""Atomic writing: many writers at once, equal process numbers, killed writers, what is no regular file."""

import errno
import fcntl
import os
import signal
import socket
import stat
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from fastrnn._files import NotRegularFileError, read_regular
from fastrnn.files import atomic_files, file_locks, temporary_files
from fastrnn.files.atomic_files import check_writable, write_atomically
from fastrnn.files.temporary_files import create_temporary, remove_abandoned

KIB = 1024


@pytest.fixture
def path(tmp_path):
    return tmp_path / "model.safetensors"


@pytest.fixture(autouse=True)
def new_process(monkeypatch):
    """Forget which folders have been cleared, as a new process does."""
    monkeypatch.setattr(atomic_files, "_cleared", set())


def names(folder):
    return sorted(entry.name for entry in folder.iterdir())


def content_of(writer):
    return bytes([writer]) * (64 * KIB + writer)


def is_whole(content):
    return content == content_of(content[0])


def test_many_threads_that_save_to_one_path_never_tear_it(path):
    write_atomically(path, content_of(0))
    problems, reads, running = [], [], threading.Event()

    def save(writer):
        try:
            for _ in range(25):
                write_atomically(path, content_of(writer))
        except BaseException as error:
            problems.append(error)

    def load():
        while not running.is_set():
            content = path.read_bytes()
            reads.append(len(content))
            if not is_whole(content):
                problems.append("torn")

    writers = [threading.Thread(target=save, args=(writer,)) for writer in range(1, 9)]
    readers = [threading.Thread(target=load) for _ in range(2)]
    for thread in writers + readers:
        thread.start()
    for thread in writers:
        thread.join()
    running.set()
    for thread in readers:
        thread.join()
    assert not problems
    assert len(reads) > 10
    assert names(path.parent) == [path.name]


PROCESS = """
import os, sys
os.getpid = lambda: 1
from fastrnn.files.atomic_files import write_atomically
writer = int(sys.argv[2])
print("ready", flush=True)
sys.stdin.readline()
for _ in range(60):
    write_atomically(sys.argv[1], bytes([writer]) * (64 * 1024 + writer))
"""


def test_processes_with_the_same_number_never_tear_a_file(path):
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", PROCESS, str(path), str(writer)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )
        for writer in (1, 2, 3)
    ]  # fmt: skip
    for process in processes:
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        process.stdin.write("go\n")
        process.stdin.flush()
    torn = 0
    while any(process.poll() is None for process in processes):
        if path.exists():
            torn += not is_whole(path.read_bytes())
    assert [(process.returncode, process.communicate()[1]) for process in processes] == [(0, "")] * 3
    assert torn == 0
    assert names(path.parent) == [path.name]


KILLED = """
import os, sys
from fastrnn.files.atomic_files import write_atomically
def wait(descriptor):
    print("written", flush=True)
    sys.stdin.readline()
os.fsync = wait
write_atomically(sys.argv[1], b"half")
"""


def start_writer(path):
    process = subprocess.Popen(
        [sys.executable, "-c", KILLED, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout.readline() == "written\n"
    return process


@pytest.mark.parametrize("start", [check_writable, lambda path: write_atomically(path, b"old")])
def test_what_a_killed_writer_left_goes_at_the_next_start(path, start):
    path.write_bytes(b"old")
    with start_writer(path) as process:
        assert len(names(path.parent)) == 2
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert len(names(path.parent)) == 2
    start(path)
    assert names(path.parent) == [path.name]
    assert path.read_bytes() == b"old"


def test_what_a_living_writer_writes_stays(path):
    with start_writer(path) as process:
        before = names(path.parent)
        check_writable(path)
        assert remove_abandoned(path) == []
        assert names(path.parent) == before
        process.communicate("\n\n")
    assert path.read_bytes() == b"half"
    assert names(path.parent) == [path.name]


def old(path, hours):
    then = time.time() - hours * 3600
    os.utime(path, (then, then))


@pytest.mark.parametrize("name", [".{}.0123abcd.0123456789abcdef.tmp", ".{}.4711.tmp"])
def test_without_a_lock_to_trust_only_an_old_file_goes(path, name):
    """Of another machine on the same volume, or of an earlier version."""
    left = path.with_name(name.format(path.name))
    left.write_bytes(b"half")
    check_writable(path)
    assert left.exists()
    old(left, 2)
    check_writable(path)
    assert not left.exists()


def test_a_locked_file_stays_however_old_it_is(path):
    left = path.with_name(f".{path.name}.0123abcd.0123456789abcdef.tmp")
    left.write_bytes(b"half")
    old(left, 1000)
    with left.open("rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        assert remove_abandoned(path) == []
    assert remove_abandoned(path) == [left]


@pytest.mark.parametrize("error", [errno.ENOLCK, errno.EOPNOTSUPP])
def test_a_file_system_without_locks_saves_and_goes_by_age(path, monkeypatch, error):
    def refuse(*_):
        raise OSError(error, os.strerror(error))

    monkeypatch.setattr(fcntl, "flock", refuse)
    write_atomically(path, b"new")
    kernel = temporary_files._kernel()
    young, aged = (path.with_name(f".{path.name}.{kernel}.{digit * 16}.tmp") for digit in "ab")
    for left in (young, aged):
        left.write_bytes(b"half")
    old(aged, 2)
    assert remove_abandoned(path) == [aged]
    assert path.read_bytes() == b"new"


def test_a_system_without_flock_saves_and_goes_by_age(path, monkeypatch):
    monkeypatch.setattr(file_locks, "fcntl", None)
    write_atomically(path, b"new")
    assert (names(path.parent), path.read_bytes()) == ([path.name], b"new")
    left = path.with_name(f".{path.name}.{temporary_files._kernel()}.{'a' * 16}.tmp")
    left.write_bytes(b"half")
    assert remove_abandoned(path) == []
    old(left, 2)
    assert remove_abandoned(path) == [left]


def test_files_of_other_names_stay(path):
    others = [f".{path.name}.tmp", f"{path.name}.1.tmp", f".{path.name}.x.tmp", ".other.4711.tmp", "a.tmp"]
    for name in others:
        path.with_name(name).write_bytes(b"x")
        old(path.with_name(name), 1000)
    path.with_name(f".{path.name}.1.tmp").symlink_to("a.tmp")
    check_writable(path)
    assert names(path.parent) == sorted([*others, f".{path.name}.1.tmp"])


def test_a_file_taken_between_its_creation_and_its_lock_is_made_again(path, monkeypatch):
    taken, lock = [], temporary_files.lock_file

    def late(descriptor):
        if not taken:
            taken.extend(entry for entry in path.parent.iterdir())
            taken[0].unlink()
        return lock(descriptor)

    monkeypatch.setattr(temporary_files, "lock_file", late)
    write_atomically(path, b"new")
    assert taken
    assert (names(path.parent), path.read_bytes()) == ([path.name], b"new")


def test_a_name_as_long_as_a_name_can_be_is_saved(tmp_path):
    path = tmp_path / ("é" * 127)
    write_atomically(path, b"new")
    assert path.read_bytes() == b"new"
    left = start_writer(path)
    left.kill()
    left.wait()
    left.communicate()
    check_writable(path)
    assert names(tmp_path) == [path.name]


def test_a_failed_write_leaves_nothing(path):
    def fail():
        with create_temporary(path) as (_, file):
            file.write(b"half")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert names(path.parent) == []


def make_strange(folder, kind):
    path = folder / "strange"
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "socket":
        with socket.socket(socket.AF_UNIX) as server:
            server.bind(os.path.relpath(path))
    elif kind == "link to a device":
        path.symlink_to("/dev/null")
    else:
        return Path(f"/dev/{kind}")
    return path


@pytest.mark.parametrize("kind", ["pipe", "socket", "link to a device", "null", "zero"])
def test_what_is_not_a_regular_file_is_neither_read_nor_replaced(tmp_path, kind, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = make_strange(tmp_path, kind)
    before = stat.S_IFMT(path.stat().st_mode)
    for use in (read_regular, check_writable, lambda path: write_atomically(path, b"x")):
        with pytest.raises(NotRegularFileError, match="not a regular file") as caught:
            use(path)
        assert caught.value.filename == str(path)
    assert stat.S_IFMT(path.stat().st_mode) == before
