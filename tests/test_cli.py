"""The program: what it prints, writes and returns, and how it ends when stopped, killed or misused."""

import fcntl
import json
import math
import os
import pty
import re
import resource
import signal
import struct
import subprocess
import sys
import termios
import time
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

import fastrnn
from fastrnn.cli import main
from fastrnn.train import evaluate, load_checkpoint
from training_cases import TEXT

SMALL = ["--hidden-size", "12", "--num-layers", "1", "--batch-size", "4", "--seq-length", "20"]


def run(*arguments):
    return CliRunner().invoke(main, [str(argument) for argument in arguments], prog_name="fastrnn")


def run_well(*arguments):
    result = run(*arguments)
    assert result.exit_code == 0, result.stderr
    return result


def start(*arguments, env=None, stdout=subprocess.PIPE, stderr=subprocess.PIPE, command=None, **options):
    """Start the program, or a command, in a separate process, with the package of this process."""
    here = {"PYTHONPATH": str(Path(fastrnn.__file__).parents[1]), "PYTHONDONTWRITEBYTECODE": "1"}
    return subprocess.Popen(
        command or [sys.executable, "-m", "fastrnn", *map(str, arguments)],
        env={**os.environ, **here, **(env or {})},
        stdout=stdout,
        stderr=stderr,
        text=True,
        **options,
    )


def log_of(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "text.txt").write_text(TEXT)
    return tmp_path


@pytest.fixture
def model(folder):
    run_well("train", "text.txt", "--out", "m.safetensors", *SMALL, "--steps", 30, "--eval-every", 10)
    return "m.safetensors"


# --- what it does ---


def test_training_writes_the_last_and_the_best_model_and_a_log(folder):
    result = run_well(
        "train", "text.txt", "--out", "m.safetensors", *SMALL,
        "--steps", 60, "--eval-every", 20, "--sample-every", 40,
    )  # fmt: skip
    last, best = load_checkpoint("m.safetensors"), load_checkpoint("m.best.safetensors")
    log = log_of(folder / "m.jsonl")
    assert [record["step"] for record in log] == list(range(1, 61))
    assert [record["step"] for record in log if record["valid_loss"] is not None] == [20, 40, 60]
    assert log[-1]["loss"] < log[0]["loss"]
    assert last.training.values["step"] == 60
    assert best.training is None
    held_out = TEXT[-int(len(TEXT) * 0.1) :]
    loss = evaluate(best.model, best.vocabulary.encode(held_out)).loss
    assert loss == pytest.approx(min(r["valid_loss"] for r in log if r["valid_loss"]), rel=1e-5)
    assert f"{last.model.num_parameters:,} parameters" in result.stdout
    assert "valid " in result.stdout
    assert "---- sample at step 40" in result.stdout
    assert re.search(r"done at step 60 after [\d.]+ s; saved m\.safetensors\n", result.stdout)
    assert sorted(os.listdir()) == [
        "m.best.safetensors", "m.config.toml", "m.jsonl", "m.safetensors", "text.txt",
    ]  # fmt: skip


def test_training_without_a_file_reads_the_standard_library(folder):
    result = run_well("train", *SMALL, "--steps", 2, "--valid-fraction", 0.001)
    assert "the Python standard library's source" in result.stdout
    assert load_checkpoint("fastrnn-model.safetensors").training.values["step"] == 2


def test_json_is_one_object_and_nothing_else(folder):
    result = run_well("train", "text.txt", *SMALL, "--steps", 5, "--json")
    summary = json.loads(result.stdout)
    assert summary["step"] == 5
    assert summary["stopped"] == "steps"
    assert summary["parameters"] == load_checkpoint(summary["model"]).model.num_parameters
    assert summary["best_valid_loss"] > 0
    assert summary["best_step"] == 5
    assert load_checkpoint(summary["best_model"]).training is None
    assert "parameters" in result.stderr


@pytest.mark.parametrize(
    "options",
    [
        [],
        ["--cell", "gru", "--embedding-size", "5", "--optimizer", "rmsprop", "--schedule", "step"],
        ["--cell", "rnn", "--optimizer", "sgd", "--learning-rate", "0.1", "--clip-value", "0.1"],
        ["--num-layers", "2", "--dropout", "0.3", "--schedule", "plateau", "--warmup", "5"],
    ],
)
def test_a_training_in_two_parts_is_the_same_training(folder, options):
    common = ["train", "text.txt", *SMALL, *options, "--eval-every", 7]
    run_well(*common, "--steps", 40, "--out", "whole.safetensors")
    run_well(*common, "--steps", 20, "--out", "parts.safetensors")
    run_well("train", "--resume", "parts.safetensors", "--steps", 40)
    whole, parts = load_checkpoint("whole.safetensors"), load_checkpoint("parts.safetensors")
    assert whole.model.parameters.flat.tobytes() == parts.model.parameters.flat.tobytes()
    assert [r["loss"] for r in log_of(folder / "whole.jsonl")] == [
        r["loss"] for r in log_of(folder / "parts.jsonl")
    ]


def test_resuming_takes_new_settings_where_it_can(model, folder):
    run_well("train", "--resume", model, "--steps", 35, "--learning-rate", 0.5, "--out", "n.safetensors")
    assert log_of(folder / "n.jsonl")[-1]["learning_rate"] == 0.5
    assert log_of(folder / "m.jsonl")[-1]["step"] == 30
    run_well("train", "--resume", model, "--epochs", 3, "--schedule", "cosine")
    assert log_of(folder / "m.jsonl")[-1]["learning_rate"] < 1e-4
    run_well("train", "--resume", model, "--steps", 1000, "--schedule", "plateau", "--patience", 1)
    values = load_checkpoint(model).training.values
    assert values["settings"]["schedule"] == "plateau"
    assert values["settings"]["epochs"] is None


def test_training_ends_early_when_patience_runs_out(folder):
    options = ["--steps", 500, "--eval-every", 5, "--patience", 2, "--learning-rate", 1e-30]
    summary = json.loads(run_well("train", "text.txt", *SMALL, *options, "--json").stdout)
    assert summary["stopped"] == "patience"
    assert summary["step"] == 15


def test_epochs_count_passes_through_the_text(folder):
    summary = json.loads(run_well("train", "text.txt", *SMALL, "--epochs", 0.5, "--json").stdout)
    text = TEXT[: -int(len(TEXT) * 0.1)]
    chunks = math.ceil((len(text) - 1) // 4 / 20)
    assert summary["step"] == round(chunks / 2)


def test_a_validation_file_is_used_whole(folder):
    (folder / "valid.txt").write_text("green bottles! " * 20)
    run_well("train", "text.txt", "--valid", "valid.txt", *SMALL, "--steps", 4, "--out", "m.safetensors")
    checkpoint = load_checkpoint("m.best.safetensors")
    assert "!" in checkpoint.vocabulary
    expected = json.loads(run_well("eval", "m.best.safetensors", "valid.txt", "--json").stdout)["loss"]
    values = load_checkpoint("m.safetensors").training.values
    assert values["best"][0] == pytest.approx(expected, rel=1e-6)


def test_evaluation_prints_what_the_library_finds(model):
    checkpoint = load_checkpoint(model)
    expected = evaluate(checkpoint.model, checkpoint.vocabulary.encode(TEXT))
    result = json.loads(run_well("eval", model, "text.txt", "--json").stdout)
    assert result == {
        "loss": expected.loss,
        "perplexity": math.exp(expected.loss),
        "bits": expected.loss / math.log(2),
        "tokens": len(TEXT) - 1,
        "skipped": 0,
        "unknown": 0,
    }
    text = run_well("eval", model, "text.txt", "--batch-size", 3).stdout
    assert re.fullmatch(
        r"loss \d\.\d{4} nats per token, perplexity [\d.]+, [\d.]+ bits per token, [\d,]+ tokens\n", text
    )


def test_evaluation_can_leave_unknown_symbols_out(model, folder):
    (folder / "other.txt").write_text("green böttles")
    (folder / "same.txt").write_text("green bttles")
    other = json.loads(run_well("eval", model, "other.txt", "--unknown", "skip", "--json").stdout)
    same = json.loads(run_well("eval", model, "same.txt", "--json").stdout)
    assert other == {**same, "skipped": 1}
    assert (
        "1 unknown symbols were skipped" in run_well("eval", model, "other.txt", "--unknown", "skip").stdout
    )


def test_samples_follow_the_prompt_and_the_seed(model):
    options = ["sample", model, "--prompt", "green", "--length", 50, "--seed", 3]
    one = run_well(*options).stdout
    assert one == run_well(*options).stdout
    assert one.startswith("green")
    assert len(one) == len("green") + 50 + len("\n")
    machine = json.loads(run_well(*options, "--json").stdout)
    assert machine["prompt"] + machine["text"] + "\n" == one
    assert machine["seed"] == 3
    assert machine["symbols_per_second"] > 0


def test_without_a_seed_each_sample_is_new_and_its_seed_is_told(model):
    one, two = (json.loads(run_well("sample", model, "--length", 80, "--json").stdout) for _ in range(2))
    assert one["text"] != two["text"]
    again = run_well("sample", model, "--length", 80, "--seed", one["seed"]).stdout
    assert again == one["text"] + "\n"


def test_info_tells_the_version_and_the_module():
    facts = json.loads(run_well("info", "--json").stdout)
    assert facts["version"] == fastrnn.__version__
    assert facts["isa"] == fastrnn.isa()
    assert facts["available_isas"] == fastrnn.available_isas()
    assert facts["threads"] == fastrnn.get_num_threads()
    text = run_well("info").stdout
    assert fastrnn.__version__ in text
    assert fastrnn.isa() in text


@pytest.mark.parametrize("isa", fastrnn.available_isas())
def test_info_tells_how_each_precision_is_multiplied(isa):
    native = isa == "avx512_bf16"
    by = {
        "bfloat16": "AVX512_BF16" if native else "widening to float32",
        "int8": "AVX512_VNNI" if native else "16-bit multiply-adds",
    }
    facts, _ = start("info", "--json", env={"FASTRNN_ISA": isa}).communicate(timeout=60)
    assert json.loads(facts)["products"] == by
    text, _ = start("info", env={"FASTRNN_ISA": isa}).communicate(timeout=60)
    assert f"products: bfloat16 by {by['bfloat16']}, int8 by {by['int8']}\n" in text


@pytest.mark.parametrize("arguments", [["info"], ["--version"], ["train", "--help"]])
def test_the_module_is_the_program(arguments, monkeypatch):
    monkeypatch.setenv("COLUMNS", "82")  # of which click uses 80, as its runner does
    monkeypatch.setenv("FASTRNN_NUM_THREADS", str(fastrnn.get_num_threads()))
    process = start(*arguments)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0
    assert out == run_well(*arguments).stdout
    assert err == ""


@pytest.mark.parametrize("command", [[], ["train"], ["sample"], ["eval"], ["info"]])
def test_every_command_has_help(command):
    assert run_well(*command, "--help").stdout.startswith("Usage: fastrnn")


def test_the_help_of_train_states_every_default():
    text = " ".join(run_well("train", "--help").stdout.split())
    for option in (
        "hidden-size",
        "batch-size",
        "learning-rate",
        "clip",
        "steps",
        "embedding-size",
        "patience",
    ):
        assert re.search(rf"--{option} [^-]*?(?:\([^)]*\))?[^\[]*\[default: [^\]]+\]", text), option


def test_without_a_command_it_shows_its_help_as_an_error():
    result = run()
    assert result.exit_code == 2
    assert "Commands:" in result.stderr


@pytest.mark.parametrize("columns", [0, 100])  # 0: a terminal that does not know its width
def test_a_terminal_shows_a_bar(folder, columns):
    reader, writer = pty.openpty()
    fcntl.ioctl(writer, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    with start("train", "text.txt", *SMALL, "--steps", 200, stderr=writer) as process:
        os.close(writer)
        shown = b""
        # Linux reports the end of a terminal by an error, other systems by an empty read.
        while True:
            try:
                part = os.read(reader, 4096)
            except OSError:
                break
            if not part:
                break
            shown += part
    os.close(reader)
    assert process.returncode == 0
    text = shown.decode()
    assert re.search(r"100%.*\| 200/200 \[\d+:\d+ < \d+:\d+\], loss \d\.\d+, [\d,]+ tokens/s", text)


# --- how it fails ---


def assert_one_line(result, code, message):
    assert result.exit_code == code, result.stderr
    assert result.stdout == ""
    assert re.fullmatch(r"fastrnn[^\n]*: error: [^\n]+\n", result.stderr), result.stderr
    assert re.search(message, result.stderr), result.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nonsense"], "no such command 'nonsense'; expected one of train, .*; see fastrnn --help"),
        (["train", "--nonsense"], "no such option --nonsense; see fastrnn train --help"),
        (["train", "missing.txt"], r"'missing\.txt' does not exist"),
        (["train", "empty.txt"], r"empty\.txt: the file is empty"),
        (["train", "latin.txt"], r"latin\.txt: not UTF-8: byte 0xe9 at offset 3"),
        (["train", "short.txt"], "1,024 symbols is larger than the text, of which 9 are to train on"),
        (["train", "text.txt", "--batch-size", "0"], "--batch-size"),
        (["train", "text.txt", "--hidden-size", "-5"], "--hidden-size"),
        (["train", "text.txt", "--hidden-size", "many"], "'many' is not a valid integer"),
        (["train", "text.txt", "--dropout", "1"], "--dropout"),
        (["train", "text.txt", "--learning-rate", "0"], "--learning-rate"),
        (["train", "text.txt", "--learning-rate", "nan"], "--learning-rate.*nan is not a finite number"),
        (["train", "text.txt", "--cell", "elman"], "'elman' is not one of"),
        (["train", "text.txt", "--steps", "5", "--epochs", "5"], "--steps and --epochs: give only one"),
        (["train", "text.txt", "--min-learning-rate", "1", "--schedule", "cosine"], "minimum: expected"),
        (["train", "text.txt", "--valid", "empty.txt"], r"empty\.txt: the file is empty"),
        (["train", "text.txt", "--out", "text.txt"], r"text\.txt: is an input text"),
        (["train", "text.jsonl", "--out", "text.safetensors"], r"text\.jsonl: is an input text"),
        (["train", "--resume", "missing.safetensors"], "does not exist"),
        (["train", "--resume", "text.txt"], r"text\.txt: not a safetensors file"),
        (["train", "--resume", "m.best.safetensors"], r"m\.best\.safetensors: .*model without its training"),
        (
            ["train", "--resume", "m.safetensors"],
            r"m\.safetensors: already at step 30 of 30; give more --steps",
        ),
        (["train", "--resume", "m.safetensors", "--steps", "20"], "already at step 30 of 20"),
        (
            ["train", "--resume", "m.safetensors", "--hidden-size", "9"],
            "--hidden-size: is 12 in this training",
        ),
        (["train", "other.txt", "--resume", "m.safetensors", "--steps", "40"], "not the text that"),
        (["sample", "missing.safetensors"], "does not exist"),
        (["sample", "cut.safetensors"], r"cut\.safetensors: truncated"),
        (
            ["sample", "m.safetensors", "--prompt", "gré"],
            "--prompt: the model does not know the character 'é'",
        ),
        (["sample", "m.safetensors", "--length", "-1"], "--length"),
        (["sample", "m.safetensors", "--temperature", "-1"], "--temperature"),
        (["sample", "m.safetensors", "--top-p", "0"], "--top-p"),
        (["eval", "m.safetensors"], "Missing argument 'FILE'"),
        (["eval", "m.safetensors", "empty.txt"], r"empty\.txt: the file is empty"),
        (["eval", "m.safetensors", "one.txt"], r"one\.txt: expected at least 2 tokens"),
        (
            ["eval", "m.safetensors", "accent.txt"],
            r"accent\.txt: 'é' at position 2 is not in the vocabulary; --unknown skip leaves out",
        ),
        (["eval", "text.txt", "text.txt"], r"text\.txt: not a safetensors file"),
    ],
)
def test_bad_input_is_one_line_and_changes_no_file(model, folder, arguments, message):
    contents = {
        "empty.txt": b"", "latin.txt": b"caf\xe9", "short.txt": b"too short", "one.txt": b"g",
        "accent.txt": "gré".encode(), "other.txt": TEXT[1:].encode(), "text.jsonl": TEXT.encode(),
        "cut.safetensors": (folder / model).read_bytes()[:-1],
    }  # fmt: skip
    for name, content in contents.items():
        (folder / name).write_bytes(content)
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    assert_one_line(run(*arguments), 2, message)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_a_folder_that_is_missing_is_found_out_before_training(folder):
    result = run("train", "text.txt", "--out", "no/m.safetensors")
    assert_one_line(result, 2, "no/m.safetensors: the folder does not exist")


def test_a_text_that_is_gone_when_training_is_resumed_is_named(model, folder):
    (folder / "text.txt").unlink()
    result = run("train", "--resume", model, "--steps", 40)
    assert_one_line(result, 2, r"text\.txt: No such file or directory")


def test_a_model_that_does_not_fit_into_memory_is_one_line(folder):
    too_large = ("train", "text.txt", "--hidden-size", 10**7)
    advice = "--max-types N keeps the N most frequent"
    assert_one_line(run(*too_large), 1, f"not enough memory: training needs .*{advice}")
    assert_one_line(run(*too_large, "--force"), 1, rf"not enough memory: .*\d{{12,}} bytes.*{advice}")


def test_a_training_that_diverges_keeps_the_last_good_model(folder):
    options = [*SMALL, "--optimizer", "sgd", "--clip", 0, "--eval-every", 1]
    run_well("train", "text.txt", *options, "--steps", 3, "--out", "m.safetensors")
    result = run("train", "--resume", "m.safetensors", "--steps", 500, "--learning-rate", 1e38)
    assert result.exit_code == 1
    error = result.stderr.splitlines()[-1]
    found = re.search(r"step \d+: the .* is (nan|inf);.* Try .*m\.safetensors holds .* step (\d+)$", error)
    assert found, error
    assert "Traceback" not in result.stderr
    checkpoint = load_checkpoint("m.safetensors")
    assert checkpoint.training.values["step"] == int(found[2])
    assert np.isfinite(checkpoint.model.parameters.flat).all()


def test_a_disk_without_space_costs_no_training_until_the_end(model, folder):
    old = (folder / model).read_bytes()
    process = start(
        "train", "--resume", model, "--steps", 40, "--eval-every", 2,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (8000, 8000)),
    )  # fmt: skip
    out, err = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "step 40" in out
    for name in ("m.best.safetensors", "m.safetensors"):
        assert err.count(f"warning: not saved: {name}: File too large; training continues") <= 1
    assert "warning: not saved: m" in err
    assert re.fullmatch(r"fastrnn: error: m(\.best)?\.safetensors: File too large", err.splitlines()[-1])
    assert "Traceback" not in err
    assert (folder / model).read_bytes() == old
    assert not [name for name in os.listdir(folder) if name.endswith(".tmp")]


def test_a_closed_pipe_causes_no_traceback(model):
    process = start("sample", model, "--length", 200_000)
    process.stdout.read(10)
    process.stdout.close()
    assert process.wait(timeout=60) in (1, 0)
    assert "Traceback" not in process.stderr.read()
    process.stderr.close()


# --- how it is stopped ---


def training_process(*more):
    process = start("train", "text.txt", "--out", "m.safetensors", *SMALL, "--steps", 10**6, *more)
    while not os.path.exists("m.jsonl"):
        assert process.poll() is None, process.communicate()
        time.sleep(0.01)
    return process


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
@pytest.mark.parametrize("wait", [0.0, 0.3])
def test_ctrl_c_saves_and_says_how_to_go_on(folder, number, wait):
    process = training_process("--eval-every", 3)
    time.sleep(wait)
    process.send_signal(number)
    sent = time.monotonic()
    out, err = process.communicate(timeout=60)
    seconds = time.monotonic() - sent
    assert process.returncode == 130
    assert err == ""
    assert "resume with: fastrnn train --resume m.safetensors" in out
    assert seconds < 5.0  # the promise is one second; a busy machine may hold a process up
    step = load_checkpoint("m.safetensors").training.values["step"]
    assert f"interrupted at step {step} " in out
    more = json.loads(run_well("train", "--resume", "m.safetensors", "--steps", step + 10, "--json").stdout)
    assert more["step"] == step + 10


def test_a_stopped_training_goes_on_with_the_same_bits(folder):
    process = training_process("--eval-every", 5, "--dropout", 0.1, "--num-layers", 2)
    time.sleep(0.2)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)
    step = load_checkpoint("m.safetensors").training.values["step"]
    run_well("train", "--resume", "m.safetensors", "--steps", step + 13)
    options = [*SMALL, "--eval-every", 5, "--dropout", 0.1, "--num-layers", 2]
    run_well("train", "text.txt", *options, "--steps", step + 13, "--out", "n.safetensors")
    one, two = (load_checkpoint(name).model.parameters.flat for name in ("m.safetensors", "n.safetensors"))
    assert one.tobytes() == two.tobytes()


def test_a_second_ctrl_c_does_not_spoil_the_saving(folder):
    process = training_process("--eval-every", 1)
    for _ in range(5):
        process.send_signal(signal.SIGINT)
        time.sleep(0.002)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Traceback" not in err
    load_checkpoint("m.safetensors")


def test_a_killed_process_leaves_a_file_that_loads(folder):
    random = np.random.default_rng(0)
    for _ in range(3):
        # Saving after each step: most moments are moments of saving.
        process = training_process("--eval-every", 1)
        while not os.path.exists("m.safetensors"):
            time.sleep(0.001)
        time.sleep(random.uniform(0.0, 0.1))
        process.kill()
        process.communicate()
        step = load_checkpoint("m.safetensors").training.values["step"]
        load_checkpoint("m.best.safetensors")
        run_well("train", "--resume", "m.safetensors", "--steps", step + 3)
        for path in folder.glob("m.*"):
            path.unlink()


@pytest.mark.parametrize(
    ("name", "value"), [("FASTRNN_ISA", "mmx"), ("FASTRNN_NUM_THREADS", "many"), ("FASTRNN_NUM_THREADS", "0")]
)
def test_a_bad_environment_variable_is_one_line(name, value):
    process = start("info", env={name: value})
    out, err = process.communicate(timeout=60)
    assert process.returncode == 2
    assert out == ""
    assert re.fullmatch(rf"fastrnn: error: {name}: [^\n]+\n", err)
