"""The program in bfloat16 and int8: training, the commands that quantize a model, and smaller files."""

import json
import re

import numpy as np
import pytest

import fastrnn as fr
from fastrnn.cli import main
from fastrnn.decode import Sampling, next_symbols, sample_ids, score
from fastrnn.files.quantized_tensors import QUANTIZED
from fastrnn.train import evaluate, load_checkpoint, save_checkpoint
from test_cli import SMALL, assert_one_line, folder, log_of, model, run, run_well
from training_cases import TEXT, VOCABULARY, make_model, same_arrays

__all__ = ["folder", "model"]  # fixtures

BFLOAT16 = ["--precision", "bfloat16"]
USES = {
    "sample": ["--length", 20, "--seed", 1],
    "eval": ["text.txt"],
    "score": ["3 green bottles"],
    "next": ["3 green"],
}


def train(name, *options):
    run_well("train", "text.txt", *SMALL, "--out", name, "--eval-every", 7, "--sample-every", 0, *options)
    return load_checkpoint(name)


def one_object(*arguments):
    return json.loads(run_well(*arguments, "--json").stdout)


def quantized_file(model, precision, name="small.safetensors"):
    run_well("quantize", model, "--precision", precision, "--out", name)
    return name


# --- training ---


def test_a_model_that_is_trained_in_bfloat16_says_so_and_keeps_float32_weights(folder):
    shown = run_well("train", "text.txt", *SMALL, *BFLOAT16, "--steps", 9, "--out", "m.safetensors").stdout
    assert re.search(r"^model: lstm, 1 x 12, [\d,]+ parameters, bfloat16 products, about ", shown, re.M)
    assert 'options: hidden-size = 12, num-layers = 1, precision = "bfloat16", ' in shown
    trained = load_checkpoint("m.safetensors").model
    assert trained.precision == trained.config["precision"] == "bfloat16"
    assert not trained.quantized
    assert {array.dtype.name for array in trained.parameters.values()} == {"float32"}
    weight = trained.parameters["rnn.weight_hh_l0"].view(np.uint32)
    assert (weight & 0xFFFF).any()  # bits that bfloat16 has not
    assert log_of(folder / "m.jsonl")[0]["settings"]["precision"] == "bfloat16"
    summary = one_object("train", "text.txt", *SMALL, *BFLOAT16, "--steps", 1, "--out", "n.safetensors")
    assert summary["precision"] == "bfloat16"


def test_a_model_that_is_trained_in_float32_says_nothing_of_it(folder):
    shown = run_well("train", "text.txt", *SMALL, "--steps", 2, "--out", "m.safetensors").stdout
    assert "float32" not in shown
    assert "precision" not in load_checkpoint("m.safetensors").model.config


def test_what_stays_float32_is_named(folder):
    options = [*SMALL, *BFLOAT16, "--steps", 2, "--overwrite", "--out", "m.safetensors"]
    shown = run_well("train", "text.txt", *options, "--layer-norm").stdout
    assert "bfloat16 products (recurrent layers: float32), about" in shown
    shown = run_well("train", "text.txt", *options, "--cutoffs", "5,9").stdout
    assert "bfloat16 products (output: float32), about" in shown


@pytest.mark.parametrize("options", [["--layer-norm"], ["--cell", "minlstm"]])
def test_a_model_that_has_float32_alone_is_refused_before_a_file_is_written(folder, options):
    result = run("train", "text.txt", *SMALL, *BFLOAT16, "--cutoffs", 5, *options)
    assert_one_line(result, 2, "precision: expected 'float32', as no part of this model has bfloat16; LSTM")
    assert [path.name for path in folder.iterdir()] == ["text.txt"]


@pytest.mark.parametrize(
    "options",
    [
        ["--tied", "--dropout", 0.2, "--average", "ema"],
        ["--cell", "gru", "--level", "word", "--embedding-size", 5, "--accumulate", 2],
        ["--cell", "rnn", "--sentences", "--length-model", "halt", "--optimizer", "sgd", "--dropout", 0.1],
    ],
)
def test_a_training_in_two_parts_has_the_bits_of_one(folder, options):
    whole = train("whole.safetensors", *BFLOAT16, *options, "--steps", 30)
    train("parts.safetensors", *BFLOAT16, *options, "--steps", 17)
    run_well("train", "--resume", "parts.safetensors", "--steps", 30)
    parts = load_checkpoint("parts.safetensors")
    assert parts.model.precision == "bfloat16"
    assert parts.model.parameters.flat.tobytes() == whole.model.parameters.flat.tobytes()
    assert same_arrays(parts.training.arrays, whole.training.arrays)
    logs = [log_of(folder / f"{name}.jsonl") for name in ("whole", "parts")]
    one, two = ([(r["loss"], r["valid_loss"]) for r in log if "loss" in r] for log in logs)
    assert one == two
    float32 = train("float32.safetensors", *options, "--steps", 30)
    assert parts.model.parameters.flat.tobytes() != float32.model.parameters.flat.tobytes()


def test_the_file_with_the_options_trains_the_same_model_again(folder):
    one = train("one.safetensors", *BFLOAT16, "--steps", 5)
    run_well("train", "--config", "one.config.toml", "--out", "two.safetensors")
    two = load_checkpoint("two.safetensors")
    assert two.model.precision == "bfloat16"
    assert two.model.parameters.flat.tobytes() == one.model.parameters.flat.tobytes()


def test_a_resumed_training_keeps_its_precision(folder):
    train("m.safetensors", *BFLOAT16, "--steps", 3)
    result = run("train", "--resume", "m.safetensors", "--steps", 5, "--precision", "float32")
    assert_one_line(result, 2, "--precision: is bfloat16 in this training and cannot change to float32")
    run_well("train", "--resume", "m.safetensors", "--steps", 5, *BFLOAT16)
    assert load_checkpoint("m.safetensors").training.values["step"] == 5


def test_int8_is_refused_in_training_with_what_to_type(folder):
    result = run("train", "text.txt", *SMALL, "--precision", "int8")
    message = "int8 is for inference; train without it, then type: fastrnn quantize MODEL --out SMALL"
    assert_one_line(result, 2, message)
    result = run("train", "text.txt", "--precision", "half")
    assert_one_line(result, 2, "'half' is not one of 'float32', 'bfloat16'")


# --- commands that use a model ---


@pytest.mark.parametrize("precision", QUANTIZED)
def test_the_numbers_are_those_of_the_quantized_model(model, precision):
    checkpoint = load_checkpoint(model)
    small, vocabulary = fr.quantize(checkpoint.model, precision), checkpoint.vocabulary
    option = ["--precision", precision]
    expected = evaluate(small, vocabulary.encode_stream(TEXT))
    found = one_object("eval", model, "text.txt", *option)
    assert (found["loss"], found["tokens"]) == (expected.loss, expected.tokens)
    assert found["loss"] != one_object("eval", model, "text.txt")["loss"]
    [expected] = score(small, vocabulary, ["3 green bottles"])
    assert one_object("score", model, "3 green bottles", *option)["texts"][0]["total"] == expected.total
    expected = next_symbols(small, vocabulary, "3 green", top=5).probabilities.tolist()
    assert one_object("next", model, "3 green", "--top", 5, *option)["probabilities"] == expected
    options = {"sampling": Sampling(0.8), "seed": np.random.default_rng(1)}
    ids = sample_ids(small, vocabulary.encode("3 green"), 20, **options)
    arguments = ["sample", model, "--prompt", "3 green", "--length", 20, "--seed", 1, *option]
    assert one_object(*arguments)["text"] == vocabulary.decode(ids)


@pytest.mark.parametrize("command", USES)
def test_a_quantized_file_needs_no_option_and_takes_no_other(model, command):
    small = quantized_file(model, "int8")
    plain = one_object(command, small, *USES[command])
    same = one_object(command, small, *USES[command], "--precision", "int8")
    asked = one_object(command, model, *USES[command], "--precision", "int8")
    for found in (plain, same, asked):
        found.pop("symbols_per_second", None)
    assert plain == same == asked
    result = run(command, small, *USES[command], *BFLOAT16)
    message = (
        r"--precision bfloat16: small\.safetensors: is quantized to int8 already; type it without "
        r"--precision, or quantize the MODEL that it was made of: fastrnn quantize MODEL --precision "
        r"bfloat16 --out SMALL"
    )
    assert_one_line(result, 2, message)


def test_a_float64_model_is_not_quantized(folder):
    save_checkpoint("wide.safetensors", make_model(dtype="float64"), VOCABULARY)
    for command, *rest in (["eval", "text.txt"], ["quantize", "--out", "n.st"]):
        result = run(command, "wide.safetensors", *rest, "--precision", "int8")
        assert_one_line(result, 2, "expected dtype float32 to quantize, got float64")
    assert not (folder / "n.st").exists()


@pytest.mark.parametrize("command", ["sample", "eval", "score", "next", "predict"])
def test_every_command_that_runs_a_model_has_the_option(command):
    options = {option.name: option for option in main.get_command(None, command).params}
    assert tuple(options["precision"].type.choices) == QUANTIZED
    assert not options["precision"].required


@pytest.mark.parametrize("command", [*USES, "quantize"])
def test_float32_is_answered_with_what_to_leave_out(model, command):
    result = run(command, model, *USES.get(command, ["--out", "s.st"]), "--precision", "float32")
    assert_one_line(result, 2, "'--precision': float32 quantizes nothing; leave --precision out")


# --- smaller files ---


@pytest.mark.parametrize(("precision", "most"), [("int8", 0.31), ("bfloat16", 0.55)])
def test_a_file_becomes_smaller_and_loads_to_the_same_bits(folder, precision, most):
    save_checkpoint("m.safetensors", make_model(hidden_size=96), VOCABULARY)
    found = one_object("quantize", "m.safetensors", "--precision", precision, "--out", "small.safetensors")
    before, after = ((folder / f"{name}.safetensors").stat().st_size for name in ("m", "small"))
    assert (found["size_before"], found["size"]) == (before, after)
    assert after < most * before
    expected = fr.quantize(load_checkpoint("m.safetensors").model, precision)
    small = load_checkpoint("small.safetensors")
    assert (small.model.precision, small.model.quantized) == (precision, True)
    assert small.model.parameters.flat.tobytes() == expected.parameters.flat.tobytes()
    assert small.vocabulary.symbols == VOCABULARY.symbols
    biases = sorted(name for name in expected.parameters if "bias" in name)
    weights = sorted(name for name in expected.parameters if "weight" in name)
    assert found["stored"] == {precision: weights, "float32": biases}


def test_what_became_of_a_file_is_printed(model, folder):
    shown = run_well("quantize", model, "--out", "small.safetensors").stdout.splitlines()
    before, after = ((folder / name).stat().st_size for name in (model, "small.safetensors"))
    assert shown == [
        f"m.safetensors: {before:,} bytes",
        f"small.safetensors: {after:,} bytes, {after / before:.0%}, without the state of its training",
        "int8, with a float32 scale per row: output.weight, rnn.weight_hh_l0, rnn.weight_ih_l0",
        "float32: output.bias, rnn.bias_hh_l0, rnn.bias_ih_l0",
    ]


def test_a_file_that_is_there_or_the_model_itself_is_not_replaced_unasked(model, folder):
    small, before = quantized_file(model, "int8"), (folder / model).read_bytes()
    kept = (folder / small).read_bytes()
    again = ["quantize", model, *BFLOAT16, "--out"]
    assert_one_line(run(*again, small), 2, "already there; to replace it, type: .* --overwrite")
    assert (folder / small).read_bytes() == kept
    assert_one_line(run(*again, model, "--overwrite"), 2, "is an input; it would be overwritten")
    run_well(*again, small, "--overwrite")
    assert load_checkpoint(small).model.precision == "bfloat16"
    assert (folder / model).read_bytes() == before


@pytest.mark.parametrize("precision", QUANTIZED)
def test_a_quantized_file_is_not_quantized_again(model, folder, precision):
    small = quantized_file(model, "int8")
    result = run("quantize", small, "--precision", precision, "--out", "again.safetensors")
    message = (
        f"quantized to int8 already; quantize the MODEL that it was made of: .* --precision {precision} "
    )
    assert_one_line(result, 2, message)
    assert not (folder / "again.safetensors").exists()


def test_a_quantized_file_is_not_trained(model, folder):
    before = {path: path.read_bytes() for path in folder.iterdir()}
    small = quantized_file(model, "int8")
    result = run("train", "--resume", small, "--steps", 99)
    assert_one_line(result, 2, "is quantized, for inference; resume the training that it was made of")
    del (after := {path: path.read_bytes() for path in folder.iterdir()})[folder / small]
    assert after == before


def test_a_quantized_file_is_not_inspected(model, folder):
    small = quantized_file(model, "int8")
    result = run("inspect", small, "--text", "text.txt", "--out", "report.html")
    assert_one_line(result, 2, "small.safetensors: is quantized, for inference; inspect the model that it")
    assert not (folder / "report.html").exists()


def test_an_interrupt_leaves_no_file(model, folder, monkeypatch):
    def interrupted(*arguments):
        raise KeyboardInterrupt

    names = sorted(path.name for path in folder.iterdir())
    monkeypatch.setattr("fastrnn.cli.quantize.save_checkpoint", interrupted)
    assert run("quantize", model, "--out", "small.safetensors").exit_code == 130
    assert sorted(path.name for path in folder.iterdir()) == names


def test_a_chain_of_layers_becomes_smaller_too(folder):
    chain = fr.Sequential(fr.LSTM(3, 16, seed=0), fr.Linear(16, 2, seed=1))
    chain.save("chain.safetensors")
    found = one_object("quantize", "chain.safetensors", "--out", "small.safetensors")
    assert "part1.weight" in found["stored"]["int8"]
    x = np.random.default_rng(0).normal(size=(7, 2, 3)).astype(np.float32)
    expected = fr.quantize(chain, "int8")(x)[0]
    assert np.array_equal(fr.Sequential.load("small.safetensors")(x)[0], expected)


def test_a_model_of_fit_predicts_from_a_smaller_file_as_with_the_option(folder):
    rows = [f"{word},{word[1]}" for word in ("lili", "mimi", "lulu", "mumu", "kiki", "kuku")] * 4
    (folder / "words.csv").write_text("\n".join(["word,vowel", *rows, ""]))
    options = ["--hidden-size", 8, "--epochs", 12, *BFLOAT16]
    run_well("fit", "classify", "words.csv", "--out", "m.safetensors", *options)
    assert fr.models.SequenceClassifier.load("m.safetensors").precision == "bfloat16"
    found = one_object("quantize", "m.safetensors", "--out", "small.safetensors")
    assert not found["training_left_out"]
    by_option = one_object("predict", "m.safetensors", "words.csv", "--proba", "--precision", "int8")
    assert one_object("predict", "small.safetensors", "words.csv", "--proba") == by_option  # with its columns
    exact = one_object("predict", "m.safetensors", "words.csv", "--proba")
    assert exact["probabilities"] != by_option["probabilities"]
    result = run("predict", "small.safetensors", "words.csv", *BFLOAT16)
    assert_one_line(result, 2, "is quantized to int8 already")


# --- words ---


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("train --bf16", "in fastrnn: --precision bfloat16"),
        ("train --fp16", "in fastrnn: --precision bfloat16"),
        ("train --amp", "in fastrnn: --precision bfloat16"),
        ("fit classify m.st --bf16", "in fastrnn: --precision bfloat16"),
        (
            "fit tag m.st --precision int8 --out n.st",
            "int8 is for inference; train without it, then type: fastrnn",
        ),
        ("train --quantize", "in fastrnn: after training: fastrnn quantize MODEL --out SMALL"),
        ("sample m.st --quantize", "in fastrnn: --precision int8"),
        ("eval m.st text.txt --half", "in fastrnn: --precision bfloat16"),
        ("score m.st --load_in_8bit", "in fastrnn: --precision int8"),
        ("quantize m.st --int8", "in fastrnn: --precision int8"),
        ("compress m.st", "in fastrnn: fastrnn quantize MODEL --out SMALL"),
        ("quantize", "Missing argument 'MODEL'. To make one, type: fastrnn train"),
    ],
)
def test_words_of_other_programs_are_answered(folder, line, message):
    (folder / "m.st").write_text("")
    assert_one_line(run(*line.split()), 2, message)
