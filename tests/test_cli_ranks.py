"""``mpiexec -n K fastrnn train``: the files of one process, printed once, ended together."""

import json
import re
import sys
from pathlib import Path

import pytest

import mpi_stops
from fastrnn.train import load_checkpoint
from test_cli import folder, log_of, run_well, start

__all__ = ["folder"]  # a fixture

SMALL = (
    "--hidden-size 8 --num-layers 1 --batch-size 24 --seq-length 12 --steps 12 --eval-every 4 --shards 12 "
    "--dropout 0.2 --threads 1"
).split()
KINDS = {
    "characters, Adam, clipped": "--clip 0.5 --num-layers 2 --diagnose-every 3 --sample-every 4",
    "words, SGD, plateau": "--level word --optimizer sgd --learning-rate 0.5 --schedule plateau "
    "--clip-value 0.01",
    "sentences, averaged": "--sentences --average ema --average-decay 0.9 --accumulate 2 "
    "--embedding-dropout 0.1",
}


def train(mpiexec, ranks, *words):
    return mpiexec(ranks, ["-m", "fastrnn", "train", *words])


def assert_fails_once(result, code, message):
    assert result.returncode == code, result.stderr
    assert result.stdout == ""
    assert re.fullmatch(rf"fastrnn[a-z ]*: error: [^\n]*{message}[^\n]*\n", result.stderr), result.stderr


@pytest.mark.parametrize("words", KINDS.values(), ids=KINDS)
def test_any_number_of_ranks_writes_the_bytes_of_one_process(folder, mpiexec, words):
    words = [*SMALL, *words.split()]
    one = run_well("train", "text.txt", "--out", "of-1.safetensors", *words)
    for ranks in (2, 3, 4):
        result = train(mpiexec, ranks, "text.txt", "--out", f"of-{ranks}.safetensors", *words)
        assert (result.returncode, result.stderr) == (0, "")
        for name in ("safetensors", "best.safetensors"):
            assert (folder / f"of-{ranks}.{name}").read_bytes() == (folder / f"of-1.{name}").read_bytes()
        assert steps_of(f"of-{ranks}.jsonl") == steps_of("of-1.jsonl")
        expected = clean(one.stdout).replace("1 process", f"{ranks} processes").replace("of-1", f"of-{ranks}")
        assert clean(result.stdout) == expected


def steps_of(name):
    """Return the lines of a log without what a clock measured, and without the settings."""
    left = ("seconds", "tokens_per_second", "settings")
    return [{key: value for key, value in line.items() if key not in left} for line in log_of(Path(name))]


def clean(printed):
    """Return what was printed without what a clock measured."""
    return re.sub(r"[\d,]+ tokens/s|after [\d.]+ s|of memory to train( each process)?", "", printed)


def test_one_shard_for_each_rank_is_the_default(folder, mpiexec):
    words = " ".join(SMALL).replace("--shards 12 ", "").split()
    assert train(mpiexec, 2, "text.txt", "--out", "2.safetensors", *words).returncode == 0
    run_well("train", "text.txt", "--out", "1.safetensors", *words, "--shards", 2)
    assert (folder / "2.safetensors").read_bytes() == (folder / "1.safetensors").read_bytes()


def test_a_training_of_four_ranks_resumes_on_two_and_then_on_one(folder, mpiexec):
    run_well("train", "text.txt", "--out", "whole.safetensors", *SMALL)
    assert train(mpiexec, 4, "text.txt", "--out", "m.safetensors", *SMALL, "--steps", "5").returncode == 0
    assert train(mpiexec, 2, "--resume", "m.safetensors", "--steps", "9").returncode == 0
    run_well("train", "--resume", "m.safetensors", "--steps", 12)
    assert (folder / "m.safetensors").read_bytes() == (folder / "whole.safetensors").read_bytes()
    assert steps_of("m.jsonl") == steps_of("whole.jsonl")


def test_all_ranks_read_the_standard_input_of_the_launcher(folder, mpiexec):
    run_well("train", "text.txt", "--out", "file.safetensors", *SMALL)
    arguments = ["-m", "fastrnn", "train", "-", "--out", "input.safetensors", *SMALL]
    result = mpiexec(2, arguments, text=(folder / "text.txt").read_text(), timeout=60)
    assert (result.returncode, result.stderr) == (0, "")
    files = [load_checkpoint(f"{name}.safetensors").model for name in ("file", "input")]
    assert files[0].parameters.flat.tobytes() == files[1].parameters.flat.tobytes()


def test_json_is_one_object_and_nothing_else(folder, mpiexec):
    result = train(mpiexec, 2, "text.txt", "--json", "--sample-every", "4", *SMALL)
    assert result.returncode == 0, result.stderr
    assert json.loads(result.stdout)["step"] == 12


def test_tensorboard_curves_are_those_of_rank_0_alone(folder, mpiexec):
    pytest.importorskip("tensorboardX")
    assert train(mpiexec, 2, "text.txt", "--tensorboard", "curves", *SMALL).returncode == 0
    assert len(list((folder / "curves").iterdir())) == 1


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["missing.txt"], "File 'missing.txt' does not exist"),
        (["text.txt", "--nonsense"], "no such option --nonsense"),
        (["text.txt", "--out", "none/m.safetensors"], "the folder does not exist"),
        (
            ["text.txt", "--batch-size", "3"],
            r"nearest --batch-size: 2 or 4; type: mpiexec -n 2 fast",
        ),
        (["--resume", "s.safetensors"], r"2 processes do not divide the 1 shards.*type: fastrnn train"),
    ],
)
def test_bad_input_is_said_once_and_all_ranks_exit_with_2(folder, mpiexec, words, message):
    run_well("train", "text.txt", "--out", "s.safetensors", *SMALL, "--shards", 1, "--steps", 1)
    files = sorted(folder.iterdir())
    assert_fails_once(train(mpiexec, 2, *words), 2, message)
    assert sorted(folder.iterdir()) == files


ONE_RANK = """
import os, sys
from fastrnn.train.distributed.launch import read_launch
from fastrnn.cli import main
if read_launch().rank == 1:
    {change}
main(sys.argv[1:], prog_name='fastrnn')
"""


def train_otherwise(mpiexec, change, *words):
    """Train on two ranks, of which rank 1 first runs other code."""
    return mpiexec(2, ["-c", ONE_RANK.format(change=change), "train", "text.txt", *SMALL, *words])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("sys.argv += ['--seed', '7']", r"--seed: 0 on rank 0 \(\S+\), 7 on rank 1 \(\S+\)"),
        ("sys.argv += ['--lr']", r"rank 1 on \S+: no such option --lr"),
        ("os.mkdir('x'); os.chdir('x')", r"rank 1 on \S+: .*File 'text.txt' does not exist"),
        (
            "os.mkdir('x'); os.chdir('x'); open('text.txt', 'w').write('to be or not ' * 99)",
            r"texts: rank 1 \(\S+\) has another than rank 0",
        ),
        (
            "import fastrnn.cli.training_texts as texts; texts.TrainingTexts.digest = "
            "property(lambda self: (_ for _ in ()).throw(ValueError('a.ids: changed while it was used')))",
            r"rank 1 on \S+: a.ids: changed while it was used",
        ),
        (
            "import fastrnn._version; fastrnn._version.__version__ = '0.0'",
            r"fastrnn's version: \S+ on rank 0 \(\S+\), 0.0 on rank 1",
        ),
        (
            "import fastrnn._dispatch as d; d._isa = 'baseline'",
            r"instruction set: .* on rank 0 \(\S+\), baseline on rank 1",
        ),
        (
            "import fastrnn.cli.program as p; p._COMMANDS['train'] = 'nothing.there'",
            r"rank 1 on \S+: No module named 'nothing'",
        ),
        ("import fastrnn.cli.train as t; t.read_texts = lambda _: 1 / 0", "rank 1 .*ZeroDivisionError"),
    ],
)
def test_what_differs_or_fails_on_one_rank_alone_ends_all_before_anything_is_written(
    folder, mpiexec, change, message
):
    result = train_otherwise(mpiexec, change)
    assert result.returncode in (1, 2)
    assert len(re.findall(message, result.stderr)) == 1, result.stderr
    assert result.stderr.count("fastrnn: error:") + result.stderr.count("fastrnn train: error:") == 1
    assert not (folder / "fastrnn-model.jsonl").exists()


def test_an_exception_in_the_training_of_one_rank_ends_all_within_seconds(folder, mpiexec):
    change = (
        "from fastrnn.data import ChunkedText; one = ChunkedText.part\n"
        "    def part(self, step, rows):\n"
        "        if step == 6: raise MemoryError('of a batch')\n"
        "        return one(self, step, rows)\n"
        "    ChunkedText.part = part"
    )
    result = train_otherwise(mpiexec, change, "--steps", "10000")
    assert result.returncode == 1
    assert re.search(r"fastrnn: error: rank 1 on \S+: not enough memory: of a batch\n", result.stderr)
    assert load_checkpoint(folder / "fastrnn-model.safetensors").training.values["step"] == 4


@pytest.mark.parametrize(("name", "code"), [("m.safetensors", 1), ("m.jsonl", 0)])
def test_a_file_that_cannot_be_written_warns_or_ends_all_as_in_one_process(folder, mpiexec, name, code):
    change = "import time"
    broken = (
        "import fastrnn.cli.training_run as t\n"
        "def fail(*_): raise OSError(28, 'No space left on device', 'm.safetensors')\n"
        "t.save_checkpoint = fail\n"
        if code
        else "import fastrnn.cli.training_log as t\n"
        "def fail(self, record): raise OSError(28, 'No space left on device', 'm.jsonl')\n"
        "t.TrainingLog.write = fail\n"
    )
    script = broken + ONE_RANK.format(change=change)
    result = mpiexec(2, ["-c", script, "train", "text.txt", "--out", "m.safetensors", *SMALL])
    warning = f"warning: not saved: {name}: No space left on device; training continues\n"
    assert result.returncode == code
    assert result.stderr.count(warning) == 1
    ends = f"fastrnn: error: {name}: No space left on device\n"
    assert result.stderr == warning + (ends if code else "")


def test_a_loss_that_is_not_finite_is_said_once(folder, mpiexec):
    result = train(mpiexec, 2, "text.txt", *SMALL, "--optimizer", "sgd", "--learning-rate", "1e38")
    assert result.returncode == 1
    assert len(re.findall(r"fastrnn: error: .*loss", result.stderr)) == 1, result.stderr


@pytest.mark.parametrize("kind", mpi_stops.KINDS)
def test_a_training_that_is_stopped_ends_with_all_ranks_and_resumes_to_the_same_bytes(
    tmp_path, mpiexec, kind
):
    stops = mpi_stops.run(kind, 2, 0, tmp_path, steps=100)
    assert len(stops) == 2


def test_without_a_launcher_mpi_is_not_imported(folder):
    code = (
        "import atexit, sys; from fastrnn.cli import main\n"
        "atexit.register(lambda: print('mpi4py' in sys.modules))\n"
        f"main({['train', 'text.txt', *SMALL]!r})"
    )
    out, err = start(command=[sys.executable, "-c", code]).communicate(timeout=60)
    assert (out.splitlines()[-1], err) == ("False", "")
