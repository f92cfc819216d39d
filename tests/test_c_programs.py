"""Programs in C on the C library: its examples, its promises of real time, and hostile files."""

import platform
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import c_file_mutations
import fastrnn as fr
from c_library import Library, installed
from fastrnn import _dispatch
from fastrnn.train import save_checkpoint

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def prefix(tmp_path_factory):
    return installed(tmp_path_factory.getbasetemp())


def output(*command, status=0):
    run = subprocess.run([str(part) for part in command], capture_output=True, text=True)
    assert run.returncode == status, run.stdout + run.stderr
    return run.stdout if status == 0 else run.stderr


@pytest.fixture(scope="module")
def real_time(prefix, tmp_path_factory):
    """Compile `real_time.c`."""
    if sys.platform != "linux" or platform.libc_ver()[0] != "glibc":
        pytest.skip("the program counts allocations as glibc lets it, and system calls as Linux does")
    program = tmp_path_factory.mktemp("real_time") / "real_time"
    library = next(prefix.glob("lib*/libfastrnn.so")).parent
    flags = ["-std=c99", "-O1", "-Wall", "-Wextra", "-Werror", f"-I{prefix}/include", f"-L{library}"]
    output(
        "cc",
        *flags,
        ROOT / "tests/c/real_time.c",
        "-o",
        program,
        "-lfastrnn",
        "-lpthread",
        f"-Wl,-rpath,{library}",
    )
    return program


NETWORKS = {
    "lstm": lambda: [fr.LSTM(1, 16, seed=1), fr.Linear(16, 1, seed=2)],
    "embedding": lambda: [fr.Embedding(7, 4), fr.GRU(4, 8, reset_after=False), fr.Head(8, [6], 7)],
    "stack": lambda: [
        fr.Stack(fr.GRU(5, 8), fr.LSTM(8, 8), fr.SLSTM(8, 8), fr.RNN(8, 8), connect="residual"),
        fr.Activation("softmax"),
    ],
    "dense": lambda: [fr.Stack(fr.GRU(5, 8), fr.LSTM(13, 8), connect="dense"), fr.Activation("relu")],
}


@pytest.mark.parametrize("name", NETWORKS)
def test_no_step_allocates_or_calls_the_system(real_time, tmp_path, name):
    fr.Sequential(*NETWORKS[name]()).save(tmp_path / "network")
    steps = 1_000_000 if name == "lstm" else 20_000
    counted = output(real_time, tmp_path / "network", steps)
    assert counted == f"0 allocations, 0 bytes in {steps} steps\n"


def test_the_audio_example_measures_and_processes_files(prefix, tmp_path):
    audio = prefix / "bin" / "audio"
    lines = output(audio).splitlines()
    engine = _dispatch.kernels.isa
    assert lines[0] == f"fastrnn {fr.__version__} on {engine}, blocks of 64 samples at 48000 Hz"
    assert [line.split("  ")[0] for line in lines[1:]] == ["LSTM 1 -> 40", "LSTM 16 -> 64"]
    assert all(
        re.search(r"% of real time; longest block +[0-9.]+ %; level 0\.[0-9]+$", line) for line in lines[1:]
    )
    network = fr.Sequential(fr.LSTM(2, 16, seed=1), fr.Linear(16, 1, seed=2))
    network.save(tmp_path / "effect")
    x = np.random.default_rng(0).normal(size=1000).astype(np.float32)
    x.tofile(tmp_path / "in")
    output(audio, tmp_path / "effect", tmp_path / "in", tmp_path / "out")
    expected, _ = network(np.stack([x, np.append(np.float32(0), x[:-1])], 1)[:, None])
    assert np.fromfile(tmp_path / "out", np.float32).tobytes() == expected.tobytes()
    assert output(audio, tmp_path / "in", status=1).startswith(f"audio: {tmp_path}/in: ")
    assert output(audio, tmp_path / "effect", tmp_path / "in", status=2).startswith("usage: ")


def test_the_audio_example_keeps_the_output_of_before_if_it_cannot_begin(prefix, tmp_path):
    fr.Sequential(fr.LSTM(1, 4), fr.Linear(4, 1)).save(tmp_path / "effect")
    fr.Sequential(fr.LSTM(1, 4)).save(tmp_path / "wide")
    (tmp_path / "out").write_bytes(b"kept")
    for model, source in (("effect", "missing"), ("wide", "out"), ("effect", "out")):
        files = [tmp_path / name for name in (model, source, "out")]
        assert output(prefix / "bin" / "audio", *files, status=1)
    assert (tmp_path / "out").read_bytes() == b"kept"


def test_the_text_example_writes_what_python_writes(prefix, tmp_path):
    generate = prefix / "bin" / "generate"
    letters = fr.Vocabulary.from_text("hello wörld\n", eos="<eos>")
    model = fr.LanguageModel(len(letters), hidden_size=16, seed=3, start=letters.eos_id, eos=letters.eos_id)
    save_checkpoint(tmp_path / "model", model, letters)
    stream, ids = model.stream(), [model.start, *letters.encode("höl")]
    logits = [stream.step(i) for i in ids][-1]
    text = "höl"
    while len(text) < 40:
        best = int(np.argmax(logits))
        if best == letters.eos_id:
            break
        text += letters.symbols[best]
        logits = stream.step(best)
    assert output(generate, tmp_path / "model", "höl", 37, 0) == text + "\n"
    drawn = [output(generate, tmp_path / "model", "", 200, 1.0, seed) for seed in (1, 1, 2)]
    assert drawn[0] == drawn[1] != drawn[2]
    assert "no symbol of the vocabulary" in output(generate, tmp_path / "model", "x", status=1)


def test_the_text_example_takes_no_symbol_that_is_longer_than_the_prompt(prefix, tmp_path):
    words = fr.Vocabulary(["a", "a\0" + "b" * 1000], level="word")
    save_checkpoint(tmp_path / "model", fr.LanguageModel(2, hidden_size=4), words)
    assert output(prefix / "bin" / "generate", tmp_path / "model", "aa", 0) == "a a \n"


def test_the_licences_are_installed_with_the_library(prefix):
    documents = prefix / "share" / "doc" / "fastrnn"
    assert "Apache License" in (documents / "LICENSE").read_text(encoding="utf-8")
    assert "Mozilla Public License" in (documents / "MPL-2.0-Eigen.txt").read_text(encoding="utf-8")
    assert "libeigen" in (documents / "third-party.md").read_text(encoding="utf-8")


def test_pkg_config_knows_the_library(prefix, tmp_path):
    if shutil.which("pkg-config") is None:
        pytest.skip("pkg-config is not installed")
    file = next(prefix.glob("lib*/pkgconfig/fastrnn.pc"))
    flags = output("pkg-config", "--cflags", "--libs", file).split()
    output("cc", "-std=c99", ROOT / "examples/c/generate.c", "-o", tmp_path / "generate", *flags, "-lm")


def test_the_commands_without_cmake_build_an_example(prefix, tmp_path):
    if shutil.which("pkg-config") is None:
        pytest.skip("pkg-config is not installed")
    block = (ROOT / "examples/c/README.md").read_text().split("```sh\n")[2].split("```")[0]
    libraries = next(prefix.glob("lib*/pkgconfig/fastrnn.pc")).parents[1]
    block = block.replace("$PWD/build/installed/lib", str(libraries)).replace(
        "build/audio", f"{tmp_path}/audio"
    )
    run = subprocess.run(["sh", "-e"], input=block, cwd=ROOT, capture_output=True, text=True)
    assert (run.returncode, run.stderr) == (0, "")
    assert output(tmp_path / "audio").startswith(f"fastrnn {fr.__version__} on ")


def test_mutated_files_run_or_are_refused(prefix):
    failures = []
    outcomes = c_file_mutations.run(1500, 1, failures.append, library=Library(prefix))
    assert not failures
    assert outcomes["FAILED"] == 0
    assert outcomes["refused"] > 700
    assert outcomes["ran"] > 100
