"""The program with words and sentences: it trains, scores and writes as the library does."""

import json
import math

import numpy as np
import pytest
from click.testing import CliRunner

from fastrnn import ChunkedText, LanguageModel, Vocabulary
from fastrnn.cli import main
from fastrnn.cli.training_texts import _drawn_lines
from fastrnn.data import SentenceBatches
from fastrnn.decode import Sampling, next_symbols, rank, sample_ids, score
from fastrnn.train import SGD, Adam, StepSchedule, Trainer, evaluate_sentences, load_checkpoint
from test_checkpoint import edited
from test_cli import SMALL, assert_one_line, log_of, run, run_well, start
from training_cases import TEXT, same_arrays

CUT = TEXT.rindex("\n", 0, len(TEXT) - int(len(TEXT) * 0.1)) + 1  # between two lines
TRAINED_ON, HELD_OUT = TEXT[:CUT], TEXT[CUT:]
TRAINED_LINES, HELD_LINES = _drawn_lines(TEXT, 0.1, 0)
WORDS = ["text.txt", "--level", "word", *SMALL, "--steps", 12, "--eval-every", 4, "--sample-every", 0]
TAU = ["--sentences", "--length-model", "tau", "--max-length"]
KINDS = {
    "stream": ["--max-types", 30],
    "eos": ["--sentences"],
    "halt": ["--sentences", "--length-model", "halt"],
    "tau": [*TAU, 20],
    "letters": ["--level", "char", "--sentences", "--length-model", "halt"],
}
MOMENTUM = ["--optimizer", "sgd", "--momentum", 0.5, "--learning-rate", 0.4, "--schedule", "step"]
LIBRARY = {
    "most frequent": (["--max-types", 30, "--tied"], {"words": {"max_types": 30}, "model": {"tied": True}}),
    "cutoffs": (["--cutoffs", "5,20"], {"model": {"cutoffs": [5, 20]}}),
    "tokenizer": (["--tokenizer", "whitespace"], {"words": {"tokenizer": "whitespace"}}),
    "accumulate": (["--accumulate", 2], {"trainer": {"accumulate": 2}}),
    "smoothing": (["--label-smoothing", 0.2], {"trainer": {"label_smoothing": 0.2}}),
    "backward": (["--backward-length", 30], {"cut": {"backward_length": 30}}),
    "eos": (KINDS["eos"], {"start": -1}),
    "halt": (KINDS["halt"], {"start": -1, "model": {"length_model": "halt"}}),
    "tau": (KINDS["tau"], {"start": -1, "model": {"length_model": "tau", "max_length": 20}}),
    "momentum": (
        [*MOMENTUM, "--decay-every", 2, "--decay-start", 5],
        {"sgd": True, "trainer": {"schedule": StepSchedule(0.4, every=2, factor=0.5, start=5)}},
    ),
}
AVERAGES = {
    "ema": ["--average", "ema", "--average-decay", 0.8],
    "asgd": ["--average", "asgd", "--optimizer", "sgd", "--momentum", 0, "--learning-rate", 30],
}
RESUMED = {
    "words": ["--tied", "--dropout", 0.2, "--embedding-dropout", 0.1, *MOMENTUM, "--decay-start", 5],
    "accumulated": ["--accumulate", 3, "--optimizer", "sgd", "--learning-rate", 0.5, "--cutoffs", "10"],
    "sentences": [*KINDS["tau"], *AVERAGES["ema"], "--dropout", 0.2, "--label-smoothing", 0.1],
    "halting": [*KINDS["halt"], *AVERAGES["asgd"]],
}
TEXTS = ["3 green bottles", "bottles zzz green 3 .", "wall"]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "text.txt").write_text(TEXT)
    return tmp_path


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """Train a model of each kind."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder := tmp_path_factory.mktemp("models"))
        (folder / "text.txt").write_text(TEXT)
        for kind, options in KINDS.items():
            run_well("train", *WORDS, *options, "--out", f"{kind}.safetensors")
    return {kind: folder / f"{kind}.safetensors" for kind in KINDS}


def one_object(*arguments):
    output = run_well(*arguments, "--json").stdout
    assert output.count("\n") == 1
    return json.loads(output)


def flat(path):
    return load_checkpoint(path).model.parameters.flat.tobytes()


def by_the_library(start=None, words=None, model=None, trainer=None, cut=None, sgd=False):
    options = {"hidden_size": 12, "num_layers": 1, "embedding_size": 12, "seed": 0, **(model or {})}
    eos = None if "length_model" in options else "<eos>"
    text = TRAINED_LINES if start == -1 else TRAINED_ON
    vocabulary = Vocabulary.from_text(text, level="word", unknown="<unk>", eos=eos, **(words or {}))
    start = vocabulary.eos_id if start is None else start
    made = LanguageModel(len(vocabulary), start=start, eos=vocabulary.eos_id, **options)
    data = ChunkedText(vocabulary.encode_stream(TRAINED_ON), 4, 20, **(cut or {}))
    if start == -1:
        rows = [vocabulary.encode(line) for line in TRAINED_LINES.split("\n") if line]
        data = SentenceBatches(rows, 4, eos=vocabulary.eos_id, seed=0)
    optimizer = SGD(made, 0.4, momentum=0.5) if sgd else Adam(made, 3e-3)
    list(Trainer(made, data, optimizer, clip_norm=5.0, **(trainer or {})).run(12))
    return made, vocabulary


@pytest.mark.parametrize("name", LIBRARY)
def test_it_trains_what_the_library_trains(folder, name):
    options, library = LIBRARY[name]
    run_well("train", *WORDS, *options, "--out", "m.safetensors")
    checkpoint, (model, vocabulary) = load_checkpoint("m.safetensors"), by_the_library(**library)
    assert checkpoint.vocabulary == vocabulary
    assert checkpoint.model.config == model.config
    assert checkpoint.model.parameters.flat.tobytes() == model.parameters.flat.tobytes()


@pytest.mark.parametrize("average", AVERAGES)
def test_the_best_model_is_the_average(folder, average):
    common = ["train", *WORDS, *KINDS["eos"], *AVERAGES[average], "--eval-every", 1]
    summary = one_object(*common, "--steps", 40)
    run_well(*common, "--steps", summary["best_step"], "--out", "then.safetensors")
    averaged = load_checkpoint("then.safetensors").training.arrays["average.parameters"]
    assert flat(summary["best_model"]) == averaged.tobytes() != flat("then.safetensors")
    best = load_checkpoint(summary["best_model"])
    rows = [best.vocabulary.encode(line) for line in HELD_LINES.split("\n") if line]
    assert evaluate_sentences(best.model, rows).loss == pytest.approx(summary["best_valid_loss"], rel=1e-6)


@pytest.mark.parametrize("name", RESUMED)
def test_a_training_in_two_parts_is_the_same_training(folder, name):
    common = [*WORDS, *RESUMED[name], "--eval-every", 1]
    run_well("train", *common, "--steps", 34, "--out", "whole.safetensors")
    run_well("train", *common, "--steps", 17, "--out", "parts.safetensors")
    run_well("train", "--resume", "parts.safetensors", "--steps", 34)
    assert flat("whole.safetensors") == flat("parts.safetensors")
    assert flat("whole.best.safetensors") == flat("parts.best.safetensors")
    whole, parts = (load_checkpoint(f"{n}.safetensors").training.arrays for n in ("whole", "parts"))
    assert same_arrays(whole, parts)
    assert ("average.parameters" in whole) == ("--average" in common)
    whole, parts = (
        [(r["loss"], r["valid_loss"]) for r in log_of(folder / f"{n}.jsonl")] for n in ("whole", "parts")
    )
    assert whole == parts
    assert len(whole) == 34


def test_curves_are_written_for_tensorboard(folder):
    pytest.importorskip("tensorboardX")
    with start("train", *WORDS, "--tensorboard", "curves") as process:
        assert "done at step 12" in process.communicate(timeout=60)[0]
    [events] = (folder / "curves").iterdir()
    assert events.read_bytes().count(b"train/loss") == 12
    assert events.read_bytes().count(b"validation/loss") == 3


@pytest.mark.parametrize("kind", ["eos", "halt", "tau"])
def test_samples_in_training_end_as_the_model_ends_them(folder, kind):
    shown = run_well("train", *WORDS, *KINDS[kind], "--steps", 2, "--sample-every", 2).stdout
    texts = shown.split("---- sample at step 2\n")[1].split("\n----")[0].split("\n")
    assert len(texts) == 5
    assert kind != "tau" or all(1 <= len(text.split()) <= 20 for text in texts)


@pytest.mark.parametrize("kind", ["eos", "halt", "tau"])
def test_evaluation_of_sentences_is_the_librarys(models, folder, kind):
    (folder / "other.txt").write_text("3 green bottles\n\nzzz wall\r\n5 yyy")
    checkpoint = load_checkpoint(models[kind])
    rows = [checkpoint.vocabulary.encode(line) for line in ("3 green bottles", "zzz wall", "5 yyy")]
    expected = {"loss": evaluate_sentences(checkpoint.model, rows).loss, "tokens": 10 if kind == "eos" else 7}
    result = one_object("eval", models[kind], "other.txt")
    assert result == {**result, **expected, "unknown": 2, "skipped": 0}
    assert "2 of them unknown" in run_well("eval", models[kind], "other.txt").stdout
    result = one_object("eval", models[kind], "other.txt", "--unknown", "skip")
    assert (result["tokens"], result["unknown"], result["skipped"]) == (expected["tokens"] - 2, 0, 2)


def test_the_end_of_a_line_is_not_an_unknown_character(models, folder):
    (folder / "letters.txt").write_text("green\r\nböttles\r\n")
    result = one_object("eval", models["letters"], "letters.txt", "--unknown", "skip")
    assert (result["skipped"], result["tokens"]) == (1, 11)
    assert_one_line(
        run("eval", models["letters"], "letters.txt"), 2, r"'ö' at position 1 is not .*\(line 2\)"
    )


@pytest.mark.parametrize("kind", ["stream", "eos", "halt", "tau"])
@pytest.mark.parametrize("options", [[], ["--no-end"], ["--unit", "bits"], ["--rank", "--end"]])
def test_scores_are_the_librarys(models, kind, options):
    checkpoint, find = load_checkpoint(models[kind]), rank if "--rank" in options else score
    end, unit = "--no-end" not in options, "bits" if "bits" in options else "nats"
    expected = find(checkpoint.model, checkpoint.vocabulary, TEXTS, end=end, unit=unit)
    arguments = ["score", str(models[kind]), *options]
    result, shown = (
        one_object(*arguments, *TEXTS),
        run_well(*arguments, *TEXTS, "--tokens").stdout.split("\n"),
    )
    assert (result["unit"], len(result["texts"])) == (unit, 3)
    for got, wanted in zip(result["texts"], expected, strict=True):
        assert (got["text"], got["total"], tuple(got["tokens"])) == (wanted.text, wanted.total, wanted.tokens)
        assert (got["perplexity"], got["per_token"]) == (wanted.perplexity, wanted.per_token)
        parts = [
            *got["log_probabilities"],
            *([got["length_log_probability"]] if kind in ("halt", "tau") and end else []),
        ]
        assert math.fsum(parts) == pytest.approx(got["total"])
        assert got["unknown"] == wanted.unknown == ("zzz" in got["text"])
        line = f"{got['total']:.4f} {unit}  perplexity {got['perplexity']:,.2f}  {got['text']}"
        assert shown.pop(0) == line + ("  (1 unknown)" if "zzz" in line else "")
        assert [float(shown.pop(0).split()[0]) for _ in parts] == [round(part, 4) for part in parts]
    lines = CliRunner().invoke(main, arguments, input="\n".join(["", *TEXTS, " "]))
    assert lines.stdout == run_well(*arguments, *TEXTS).stdout


@pytest.mark.parametrize("kind", ["stream", "eos", "halt", "letters"])
@pytest.mark.parametrize("prefix", ["", "3"])
def test_what_comes_next_is_the_librarys(models, kind, prefix):
    checkpoint = load_checkpoint(models[kind])
    found = next_symbols(checkpoint.model, checkpoint.vocabulary, prefix, top=7)
    result, shown = (ask("next", models[kind], prefix, "--top", 7) for ask in (one_object, run_well))
    p = found.probabilities.tolist()
    assert result == {"prefix": prefix, "symbols": list(found.symbols), "probabilities": p, "end": found.end}
    ends = [(f"{found.end:.6f}", "(the text ends here)")] if kind in ("halt", "letters") else []
    words = [
        (f"{one:.6f}", "' '" if word == " " else word) for one, word in zip(p, found.symbols, strict=True)
    ]
    assert [tuple(line.split(maxsplit=1)) for line in shown.stdout.splitlines()] == ends + words
    assert len(run_well("next", models["stream"]).stdout.splitlines()) == 10


@pytest.mark.parametrize("prompt", ["", "3 green", "3 green\n"])
def test_words_are_written_with_spaces_and_ends_as_line_ends(models, prompt):
    checkpoint = load_checkpoint(models["stream"])
    read, texts = checkpoint.vocabulary.encode(prompt), {}
    for seed in range(300):  # so that one begins with a line's end
        options = {"sampling": Sampling(0.8), "seed": np.random.default_rng(seed)}
        text = checkpoint.vocabulary.decode(sample_ids(checkpoint.model, read, 9, **options))
        texts.setdefault(("\n" in text, text[0] == "\n"), (seed, text))
    assert len(texts) == 3
    for seed, text in texts.values():
        arguments = ["sample", models["stream"], "--prompt", prompt, "--length", 9, "--seed", seed]
        between = " " if prompt == "3 green" and text[0] != "\n" else ""
        assert run_well(*arguments).stdout == f"{prompt}{between}{text}\n"
        assert one_object(*arguments)["text"] == text
    written = one_object(*arguments, "--count", 300)["texts"]
    ended = [text["text"] for text in written if text["text"][0] == "\n"]
    shown = run_well(*arguments, "--count", 300).stdout
    assert ended
    assert all(f"\n{prompt}{text}\n" in shown for text in ended)


@pytest.mark.parametrize("kind", ["eos", "halt", "tau"])
def test_texts_that_are_written_have_the_log_probabilities_of_their_scores(models, kind):
    arguments = ["sample", models[kind], "--count", 60, "--length", 40, "--seed", 3, "--temperature", 1]
    result = one_object(*arguments)
    assert one_object(*arguments[:3], 5, *arguments[4:])["texts"] == result["texts"][:5]
    assert run_well(*arguments).stdout == "".join(f"{text['text']}\n" for text in result["texts"])
    ended = [text for text in result["texts"] if text["stopped_by"] == kind and text["symbols"]]
    assert len(ended) > 5
    found = one_object("score", models[kind], *(text["text"] for text in ended))["texts"]
    assert [each["total"] for each in found] == pytest.approx([t["log_probability"] for t in ended], rel=1e-5)
    assert [len(each["tokens"]) - (kind == "eos") for each in found] == [text["symbols"] for text in ended]


def test_a_seed_that_is_told_writes_the_same_texts_again(models):
    for options in ([], ["--count", 2]):
        arguments = ["sample", models["tau"], *options]
        one, other = one_object(*arguments), one_object(*arguments)
        assert one["seed"] != other["seed"]
        again = one_object(*arguments, "--seed", one["seed"])
        assert {**again, "symbols_per_second": 0} == {**one, "symbols_per_second": 0}
        assert ("texts" in one) == bool(options)


def test_beams_are_the_likeliest_first_and_unknown_words_can_be_kept_out(models):
    arguments = ["sample", models["eos"], "--prompt", "3 green", "--beam", 4, "--length", 3]
    texts = one_object(*arguments)["texts"]
    assert run_well(*arguments).stdout == "".join(f"3 green {text['text']}\n" for text in texts)
    given = one_object("score", models["eos"], "3 green", "--no-end")["texts"][0]["total"]
    for text in texts:
        end = [] if text["stopped_by"] == "eos" else ["--no-end"]
        [whole] = one_object("score", models["eos"], f"3 green {text['text']}", *end)["texts"]
        assert text["log_probability"] == pytest.approx(whole["total"] - given, rel=1e-5)
    assert [t["log_probability"] for t in texts] == sorted(
        (t["log_probability"] for t in texts), reverse=True
    )
    many = ["sample", models["stream"], "--length", 400, "--temperature", 2, "--seed", 0]
    for options in ([], ["--count", 3], ["--beam", 60, "--length", 1]):
        assert "<unk>" in run_well(*many, *options).stdout
        assert "<unk>" not in run_well(*many, *options, "--reject-unknown").stdout


OPTIONS = ["--level", "word", "--out", "bad.safetensors"]
TRAIN = ["train", "text.txt", *OPTIONS, "--batch-size", 4]


# Checkpoints of which one part does not fit the others.
BROKEN = {
    "few": r"the vocabulary has \d+ symbols, the model \d+",
    "cut": r"output\.bias: expected no such tensor, got float32",
}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([*TRAIN, *TAU, 5], "--max-length: expected at least 14, the length of the longest line, got 5"),
        (
            [*TRAIN, *TAU, 20, "--valid", "long.txt"],
            "--max-length: expected at least 21, the length of the longest line",
        ),
        (["train", "blank.txt", *OPTIONS], "text: no symbols"),
        (["train", "blank.txt", *OPTIONS, "--sentences"], "text: no symbols"),
        (
            [*TRAIN, "--sentences", "--valid", "blank.txt"],
            "text: expected at least one line with a symbol",
        ),
        ([*TRAIN, "--min-count", 1000], "min_count: expected at most"),
        ([*TRAIN, "--tied", "--embedding-size", 5], "tied: expected an embedding_size of 256"),
        ([*TRAIN, "--tied", "--cutoffs", "5"], "tied: expected no cutoffs with it"),
        ([*TRAIN, "--cutoffs", "5,3"], "cutoffs: expected increasing ids"),
        ([*TRAIN, "--cutoffs", "99999"], "cutoffs: expected increasing ids"),
        ([*TRAIN, "--cutoffs", "5,,7"], "'--cutoffs': expected integers separated by commas, got '5,,7'"),
        ([*TRAIN, "--length-model", "halt"], "--length-model halt: expected --sentences"),
        ([*TRAIN, "--sentences", "--backward-length", 99], "--backward-length: expected no --sentences"),
        ([*TRAIN, "--backward-length", 3], "backward_length: expected seq_length=64 or more"),
        ([*TRAIN, "--level", "char", "--tokenizer", "words"], "--tokenizer: expected --level word"),
        ([*TRAIN, "--steps", 2, "--epochs", 2], "--steps and --epochs: give only one of them"),
        (["score", "eos", ""], r"texts\[0\]: expected at least 1 token to score, got 0 in ''"),
        (["score", "eos", "wall", " "], r"texts\[1\]: expected at least 1 token to score"),
        (["score", "tau", "wall " * 21], r"texts\[0\]: expected at most 20 tokens, .* got 21"),
        (["score", "eos"], "TEXTS: expected at least one text, got none"),
        (["score", "eos", "wall", "--unit", "bytes"], "'bytes' is not one of"),
        (["next", "tau"], "model: expected one whose next symbol does not depend on a length"),
        (["next", "letters", "grün"], "PREFIX: the model does not know the character 'ü'"),
        (["next", "eos", "--top", 0], "--top"),
        (["sample", "tau", "--prompt", "wall " * 20], "prompts, min_length: expected at most 20 symbols"),
        (["sample", "tau", "--beam", 2], "model: beam search needs a model that ends texts with a symbol"),
        (["sample", "eos", "--beam", 2, "--count", 2], "--beam and --count: give only one of them"),
        (["sample", "eos", "--count", 0], "--count"),
        (["eval", "tau", "long.txt"], "lengths: expected at most max_length=20"),
        (["eval", "eos", "blank.txt"], "blank.txt: expected at least one line with a symbol"),
        *((["score", name, "wall"], f"{name}: {message}") for name, message in BROKEN.items()),
    ],
)
def test_bad_input_is_one_line_and_leaves_no_file(models, folder, arguments, message):
    content = models["eos"].read_bytes()
    (folder / "blank.txt").write_text(" \n\n")
    (folder / "long.txt").write_text("wall\n" + "wall " * 21)
    (folder / "few").write_bytes(
        edited(content, lambda _, description: description["vocabulary"]["symbols"].pop())
    )
    (folder / "cut").write_bytes(
        edited(content, lambda _, description: description["model"].update(cutoffs=[5]))
    )
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    assert_one_line(run(arguments[0], models.get(arguments[1], arguments[1]), *arguments[2:]), 2, message)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
