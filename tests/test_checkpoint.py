"""Checkpoints: what is restored, what is refused, and which files a failed save leaves."""

import contextlib
import errno
import json
import os
import resource
import struct
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import load, load_file, save

import fastrnn
from fastrnn import Vocabulary
from fastrnn.files.atomic_files import check_writable, write_atomically
from fastrnn.train import (
    SGD,
    AdamW,
    CheckpointError,
    RMSprop,
    load_checkpoint,
    save_checkpoint,
)
from training_cases import (
    IDS,
    VOCABULARY,
    make_model,
    make_trainer,
    parameters_of,
    same_arrays,
    without_time,
)

MODELS = {
    "lstm": {},
    "gru": {"cell": "gru", "embedding_size": 6},
    "gru-before": {"cell": "gru", "reset_after": False},
    "rnn-relu": {"cell": "rnn", "nonlinearity": "relu", "num_layers": 1, "dropout": 0.0},
    "float64": {"dtype": "float64"},
}


@pytest.fixture
def path(tmp_path):
    return tmp_path / "model.safetensors"


def trained(steps, **options):
    trainer = make_trainer(**options)
    return trainer, list(trainer.run(steps))


def save_trainer(path, trainer):
    save_checkpoint(path, trainer.model, VOCABULARY, trainer.state())


def load_trainer(path, **options):
    checkpoint = load_checkpoint(path)
    trainer = make_trainer(checkpoint.model, **options)
    trainer.restore(checkpoint.training)
    return trainer


@pytest.mark.parametrize("name", MODELS)
def test_a_model_comes_back_bit_for_bit(path, name):
    model = make_model(**MODELS[name])
    save_checkpoint(path, model, VOCABULARY)
    checkpoint = load_checkpoint(path)
    assert checkpoint.model.config == model.config
    assert checkpoint.model.parameters.flat.tobytes() == model.parameters.flat.tobytes()
    assert checkpoint.vocabulary == VOCABULARY
    assert checkpoint.training is None
    assert checkpoint.package_version == fastrnn.__version__


@pytest.mark.parametrize("unknown", ["skip", "<unk>"])
def test_the_vocabularys_policy_comes_back(path, unknown):
    vocabulary = Vocabulary.from_text("ab\n\x00\ud800é", unknown=unknown)
    save_checkpoint(path, fastrnn.LanguageModel(len(vocabulary), hidden_size=3, seed=0), vocabulary)
    assert load_checkpoint(path).vocabulary == vocabulary


def test_any_reader_of_safetensors_finds_the_parameters(path):
    model = make_model()
    save_checkpoint(path, model, VOCABULARY)
    assert same_arrays(load_file(path), model.state_dict())


def test_equal_trainings_make_equal_files(path, tmp_path):
    for target in (path, tmp_path / "other.safetensors"):
        trainer, _ = trained(10)
        state = trainer.state()
        save_checkpoint(target, trainer.model, VOCABULARY, state)
    assert path.read_bytes() == (tmp_path / "other.safetensors").read_bytes()


RESUMED = {
    "lstm": {"model": {}},
    "gru": {"model": {"cell": "gru", "embedding_size": 6}, "optimizer": RMSprop},
    "rnn": {"model": {"cell": "rnn"}, "optimizer": SGD},
    "float64": {"model": {"dtype": "float64"}, "optimizer": AdamW},
}
SCRIPT = """
import sys
sys.path.insert(0, sys.argv[1])
from test_checkpoint import RESUMED, load_trainer, save_trainer
for name, options in RESUMED.items():
    path = f"{sys.argv[2]}/{name}.safetensors"
    options = {key: value for key, value in options.items() if key != "model"}
    trainer = load_trainer(path, **options)
    for _ in trainer.run(100):
        pass
    save_trainer(path, trainer)
"""


def test_resuming_in_a_new_process_gives_the_same_bits(tmp_path):
    straight = {}
    for name, options in RESUMED.items():
        options = {**options, "model": make_model(**options["model"])}
        straight[name], _ = trained(100, **options)
        half, _ = trained(50, **{**options, "model": make_model(**RESUMED[name]["model"])})
        save_trainer(tmp_path / f"{name}.safetensors", half)
    command = [sys.executable, "-c", SCRIPT, str(Path(__file__).parent), str(tmp_path)]
    subprocess.run(command, check=True)
    for name, trainer in straight.items():
        checkpoint = load_checkpoint(tmp_path / f"{name}.safetensors")
        assert checkpoint.model.parameters.flat.tobytes() == parameters_of(trainer)
        expected = json.loads(json.dumps(trainer.state().values))
        assert checkpoint.training.values == expected
        assert same_arrays(checkpoint.training.arrays, trainer.state().arrays)


@given(st.integers(0, 25), st.integers(0, 25))
def test_resuming_anywhere_goes_on_with_the_same_records(tmp_path_factory, first, more):
    path = tmp_path_factory.mktemp("resume") / "model.safetensors"
    straight, expected = trained(first + more)
    half, records = trained(first)
    save_trainer(path, half)
    again = load_trainer(path)
    records += again.run(first + more)
    assert without_time(records) == without_time(expected)
    assert parameters_of(again) == parameters_of(straight)


def test_an_interrupted_validation_is_repeated(path, monkeypatch):
    expected = trained(20)[1]
    trainer, records = trained(6)
    monkeypatch.setattr(trainer.model, "loss", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        next(trainer.run(20))
    save_trainer(path, trainer)
    records += load_trainer(path).run(20)
    assert without_time(records) == without_time(expected)


def test_exhausted_patience_stays_exhausted(path):
    model = make_model(dropout=0.0)
    trainer = make_trainer(model, every=2, patience=2)
    spoiled = iter([3.0, 3.0, 3.0])
    trainer.evaluate = lambda: type("Fake", (), {"loss": next(spoiled)})
    assert len(list(trainer.run(100))) == 6
    save_trainer(path, trainer)
    assert list(load_trainer(path, every=2, patience=2).run(100)) == []


def test_a_state_of_another_training_is_refused(path):
    trainer, _ = trained(5)
    state = trainer.state()
    other = make_trainer()
    other.data = fastrnn.ChunkedText(IDS[:100], 4, 20)
    with pytest.raises(ValueError, match="another text, batch_size or seq_length"):
        other.restore(state)
    with pytest.raises(ValueError, match="optimizer state"):
        make_trainer(optimizer=SGD).restore(state)
    with pytest.raises(ValueError, match="training state: carried: state"):
        make_trainer(make_model(hidden_size=7)).restore(state)
    del state.values["patience"]
    with pytest.raises(ValueError, match=r"training\.patience: missing"):
        make_trainer().restore(state)


# --- files that are not checkpoints ---


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    path = tmp_path_factory.mktemp("good") / "model.safetensors"
    save_trainer(path, trained(3)[0])
    return path.read_bytes()


def description_of(content):
    length = struct.unpack("<Q", content[:8])[0]
    return json.loads(json.loads(content[8 : 8 + length])["__metadata__"]["fastrnn"])


def edited(content, change):
    """Return the checkpoint with its tensors and description changed by a function."""
    tensors, description = dict(load(content)), description_of(content)
    change(tensors, description)
    return save(tensors, {"fastrnn": json.dumps(description)})


def load_bytes(folder, content):
    path = folder / "model.safetensors"
    path.write_bytes(content)
    return load_checkpoint(path)


@given(st.data())
def test_a_truncated_file_is_refused_wherever_it_was_cut(tmp_path_factory, good, data):
    # Half of the cuts fall into the header.
    header = 8 + struct.unpack("<Q", good[:8])[0]
    cut = data.draw(st.integers(0, header) | st.integers(header, len(good) - 1))
    with pytest.raises(CheckpointError, match=r"model\.safetensors: (not a safetensors file|truncated)"):
        load_bytes(tmp_path_factory.mktemp("cut"), good[:cut])


@given(st.data())
def test_a_damaged_byte_is_refused_or_changes_a_number(tmp_path_factory, good, data):
    header = 8 + struct.unpack("<Q", good[:8])[0]
    place = data.draw(st.integers(0, header - 1) | st.integers(header, len(good) - 1))
    damaged = bytearray(good)
    damaged[place] ^= data.draw(st.integers(1, 255))
    with contextlib.suppress(CheckpointError):  # and no other exception
        checkpoint = load_bytes(tmp_path_factory.mktemp("damage"), bytes(damaged))
        assert checkpoint.model.num_parameters == make_model().num_parameters


def rename_tensor(tensors, description):
    tensors["output.weights"] = tensors.pop("output.weight")


def reshape_tensor(tensors, description):
    tensors["rnn.weight_hh_l1"] = tensors["rnn.weight_hh_l1"].reshape(13, -1)


def shrink_output(tensors, description):
    tensors["output.weight"] = tensors["output.weight"][:-1]


def retype_tensor(tensors, description):
    tensors["rnn.weight_hh_l0"] = tensors["rnn.weight_hh_l0"].astype(np.float64)


def add_tensor(tensors, description):
    tensors["more"] = np.zeros(3)


def ask_for_much_memory(tensors, description):
    description["model"]["hidden_size"] = 10**7


def ask_for_many_layers(tensors, description):
    description["model"]["num_layers"] = 10**9


def ask_for_a_wide_embedding(tensors, description):
    description["model"]["embedding_size"] = 10**9


def lose_a_symbol(tensors, description):
    description["vocabulary"]["symbols"].pop()


def name_another_cell(tensors, description):
    description["model"]["cell"] = "gru"


def give_a_size_as_text(tensors, description):
    description["model"]["hidden_size"] = "13"


def give_a_size_as_float(tensors, description):
    description["model"]["hidden_size"] = 13.0


def give_no_model(tensors, description):
    del description["model"]


def give_a_list_for_a_model(tensors, description):
    description["model"] = ["lstm"]


def give_text_for_training(tensors, description):
    description["training"] = "none"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (rename_tensor, r"output\.weight: expected float32 \[30, 13\], got no such tensor"),
        (reshape_tensor, r"rnn\.weight_hh_l1: expected float32 \[52, 13\], got float32 \[13, 52\]"),
        (shrink_output, r"output\.weight: expected float32 \[30, 13\], got float32 \[29, 13\]"),
        (retype_tensor, r"rnn\.weight_hh_l0: expected float32 \[52, 13\], got float64 \[52, 13\]"),
        (add_tensor, "more: expected no such tensor"),
        (ask_for_much_memory, r"output\.weight: expected float32 \[30, 10000000\], got float32 \[30, 13\]"),
        (ask_for_many_layers, "expected tensors for 1000000000 layers, got 2"),
        (
            ask_for_a_wide_embedding,
            r"embedding\.weight: expected float32 \[30, 1000000000\], got no such tensor",
        ),
        (lose_a_symbol, "the vocabulary has 29 symbols, the model 30"),
        (name_another_cell, r"rnn\.bias_hh_l0: expected float32 \[39\], got float32 \[52\]"),
        (give_a_size_as_text, "hidden_size"),
        (give_a_size_as_float, "hidden_size"),
        (give_no_model, "model"),
        (give_a_list_for_a_model, "model: expected a mapping, got list"),
        (give_text_for_training, "training: expected a mapping, got str"),
    ],
)
def test_parts_that_do_not_fit_are_refused(tmp_path, good, change, message):
    with pytest.raises(CheckpointError, match=rf"model\.safetensors: .*{message}"):
        load_bytes(tmp_path, edited(good, change))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "no header"),
        (b"\x05", "no header"),
        (bytes(8), "no header"),
        (b"plain text, longer than eight bytes", "a header of"),
        (struct.pack("<Q", 2**63) + b"{}", "a header of 9223372036854775808 bytes"),
        (struct.pack("<Q", 10**8 + 1) + b"{}", "a header of 100000001 bytes"),
        (struct.pack("<Q", 1000) + b"{}", "truncated: a header of 1000 bytes in a file of 10"),
        (struct.pack("<Q", 2) + b"{}", "not a fastrnn checkpoint"),
        (struct.pack("<Q", 2) + b"\xff\xff", "not a fastrnn checkpoint"),
        (struct.pack("<Q", 100_000) + b"[" * 100_000, "not a fastrnn checkpoint"),
        (save({"x": np.zeros(3)}), "not a fastrnn checkpoint"),
        (save({"x": np.zeros(3)}, {"fastrnn": "[1]"}), "not a fastrnn checkpoint"),
        (save({"x": np.zeros(3)}, {"fastrnn": '{"format_version": 3}'}), "format version 3; this fastrnn"),
    ],
)
def test_files_of_another_kind_are_refused(tmp_path, content, message):
    with pytest.raises(CheckpointError, match=rf"model\.safetensors: .*{message}"):
        load_bytes(tmp_path, content)


def test_a_missing_file_is_an_os_error(path):
    with pytest.raises(FileNotFoundError):
        load_checkpoint(path)


# --- what a failed save leaves ---


def no_space(*_):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.fixture
def old(path):
    """Return the bytes of an existing checkpoint."""
    save_checkpoint(path, make_model(), VOCABULARY)
    return path.read_bytes()


@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_a_full_disk_leaves_the_old_file_and_no_other(path, old, monkeypatch, call):
    with monkeypatch.context() as patch:
        patch.setattr(os, call, no_space)
        with pytest.raises(OSError, match="No space left on device") as caught:
            save_trainer(path, make_trainer())
    assert caught.value.errno == errno.ENOSPC
    assert caught.value.filename == str(path)
    assert path.read_bytes() == old
    assert [entry.name for entry in path.parent.iterdir()] == [path.name]
    load_checkpoint(path)


def test_a_disk_that_is_really_full_leaves_the_old_file_and_no_other(path, old):
    script = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "from test_checkpoint import *\n"
        "try: save_trainer(sys.argv[2], trained(1)[0])\n"
        "except OSError as error: sys.exit(f'{error.filename}: {error.strerror}')\n"
    )
    process = subprocess.run(
        [sys.executable, "-B", "-c", script, str(Path(__file__).parent), str(path)],
        stderr=subprocess.PIPE,
        text=True,
        # The kernel itself refuses to let a file grow beyond this.
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096)),
    )
    assert process.returncode == 1
    assert process.stderr.strip() == f"{path}: File too large"
    assert path.read_bytes() == old
    assert [entry.name for entry in path.parent.iterdir()] == [path.name]


@contextlib.contextmanager
def without_privileges():
    """Run as another user where the tests run as one who ignores permissions."""
    privileged = os.geteuid() == 0
    if privileged:
        os.seteuid(65534)
    try:
        yield
    finally:
        if privileged:
            os.seteuid(0)


def test_a_read_only_folder_leaves_the_old_file():
    # Not pytest's own folder: another user may not even enter that one.
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "model.safetensors")
        save_checkpoint(path, make_model(), VOCABULARY)
        old = path.read_bytes()
        path.parent.chmod(0o555)
        with without_privileges():
            with pytest.raises(PermissionError) as caught:
                save_checkpoint(path, make_model(seed=1), VOCABULARY)
            with pytest.raises(PermissionError):
                check_writable(path)
        path.parent.chmod(0o755)
        assert caught.value.filename == str(path)
        assert path.read_bytes() == old
        assert os.listdir(folder) == [path.name]


def test_a_missing_folder_is_named(tmp_path):
    with pytest.raises(FileNotFoundError) as caught:
        save_checkpoint(tmp_path / "no" / "model.safetensors", make_model(), VOCABULARY)
    assert caught.value.filename == str(tmp_path / "no" / "model.safetensors")
    with pytest.raises(FileNotFoundError, match="the folder does not exist"):
        check_writable(tmp_path / "no" / "model.safetensors")
    with pytest.raises(IsADirectoryError, match="is a folder"):
        check_writable(tmp_path)


def test_asking_whether_a_file_can_be_written_changes_nothing(path, old):
    check_writable(path)
    check_writable(path.with_name("other"))
    assert path.read_bytes() == old
    assert [entry.name for entry in path.parent.iterdir()] == [path.name]


def test_a_symbolic_link_stays_one(tmp_path):
    target, link = tmp_path / "target", tmp_path / "link"
    target.write_bytes(b"old")
    link.symlink_to(target)
    write_atomically(link, b"new")
    assert link.is_symlink()
    assert target.read_bytes() == b"new"


def test_the_file_has_the_permissions_of_any_other(tmp_path):
    (tmp_path / "plain").touch()
    write_atomically(tmp_path / "saved", b"x")
    assert (tmp_path / "saved").stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_the_file_is_synced_before_it_gets_its_name_and_the_folder_after(tmp_path, monkeypatch):
    calls, fsync, replace = [], os.fsync, os.replace
    kinds = {0o100000: "file", 0o040000: "folder"}

    def watched_fsync(descriptor):
        calls.append(f"sync {kinds[os.fstat(descriptor).st_mode & 0o170000]}")
        fsync(descriptor)

    def watched_replace(source, target):
        calls.append("rename")
        replace(source, target)

    monkeypatch.setattr(os, "fsync", watched_fsync)
    monkeypatch.setattr(os, "replace", watched_replace)
    write_atomically(tmp_path / "a", b"x")
    assert calls == ["sync file", "rename", "sync folder"]


def test_parameters_that_are_not_numbers_are_saved_and_loaded_on_request(path):
    model = make_model()
    with model.parameters.edit() as views:
        views["output.bias"][0] = np.nan
    save_checkpoint(path, model, VOCABULARY)
    with pytest.raises(CheckpointError, match=r"output\.bias: expected finite numbers, got nan at \[0\]"):
        load_checkpoint(path)
    model = load_checkpoint(path, allow_nonfinite=True).model
    assert np.isnan(model.parameters["output.bias"][0])
