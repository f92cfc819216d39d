"""The commands ``fit`` and ``predict``: every format of data, every model, and what they refuse."""

import csv
import json
import os
import sys
import wave

import numpy as np
import pytest

import fastrnn as fr
from fastrnn.cli import main, model_options
from fastrnn.cli.model_tasks import TASKS
from fastrnn.models.base.model_file import source_of_file
from test_cli import run, run_well, start

WORDS = ["lili", "mimi", "nini", "kiki", "titi", "lulu", "mumu", "nunu", "kuku", "tutu"]
SMALL = ["--hidden-size", "8", "--epochs", "12", "--learning-rate", "0.03"]
SENTENCES = [["# a comment", "1 the DET", "2 dog NOUN", ""], ["1-2 da _", "1 cats NOUN", "2 see VERB", ""]]


def conllu():
    """Return a file of CoNLL-U, ten columns wide."""
    rows = [line.split() for sentence in SENTENCES for line in sentence] * 6
    wide = [row if row[:1] in ([], ["#"]) else [row[0], row[1], "_", row[2], *"______"] for row in rows]
    return "".join(("# a comment" if row[:1] == ["#"] else "\t".join(row)) + "\n" for row in wide)


def vowel(word):
    return "i" if "i" in word else "u"


def fill(folder):
    """Write words and their vowels in every format."""
    rows = [(word, vowel(word)) for word in WORDS * 3]
    for name, delimiter in (("words.csv", ","), ("words.tsv", "\t")):
        with open(folder / name, "w", newline="") as file:
            csv.writer(file, delimiter=delimiter).writerows([("word", "vowel"), *rows])
    lines = [f"{json.dumps({'word': word, 'vowel': vowel})}\n" for word, vowel in rows]
    (folder / "words.jsonl").write_text("".join(lines))
    (folder / "tags.conllu").write_text(conllu())


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    fill(tmp_path)
    return tmp_path


@pytest.fixture(scope="module")
def fitted(tmp_path_factory):
    """Return the bytes of a model."""
    there = tmp_path_factory.mktemp("model")
    fill(there)
    run_well("fit", "classify", there / "words.csv", "--out", there / "m.safetensors", *SMALL)
    return (there / "m.safetensors").read_bytes()


@pytest.fixture
def model(folder, fitted):
    (folder / "m.safetensors").write_bytes(fitted)
    return "m.safetensors"


def rows_of(text, delimiter=","):
    return list(csv.DictReader(text.splitlines(), delimiter=delimiter))


@pytest.mark.parametrize("name", ["words.csv", "words.tsv", "words.jsonl"])
def test_a_model_is_fitted_to_a_file_and_predicts_into_its_format(folder, name):
    printed = run_well("fit", "classify", name, "--out", "m.safetensors", *SMALL).stdout
    assert printed.startswith("30 examples, ")
    assert printed.endswith("saved m.safetensors, and its options in m.config.toml\n")
    result = run_well("predict", "m.safetensors", name, "--score")
    assert result.stderr == "accuracy 1.0000, 30 rows\n"
    if name.endswith("jsonl"):
        rows = [json.loads(line) for line in result.stdout.splitlines()]
    else:
        rows = rows_of(result.stdout, "\t" if name.endswith("tsv") else ",")
    assert [list(row) for row in rows] == [["word", "vowel", "prediction"]] * 30
    assert [row["prediction"] for row in rows] == [vowel(word) for word in WORDS * 3]


def test_the_model_is_the_one_that_the_same_settings_make_in_python(model):
    own = fr.models.SequenceClassifier(hidden_size=8, epochs=12, learning_rate=0.03, random_state=0)
    own.fit(WORDS * 3, [vowel(word) for word in WORDS * 3])
    loaded = fr.models.SequenceClassifier.load(model)
    np.testing.assert_array_equal(loaded.predict_proba(WORDS), own.predict_proba(WORDS))
    assert source_of_file(model) == {"x": "word", "y": ["vowel"], "x_as": "text", "y_as": "label"}


def test_probabilities_are_columns_or_an_object_and_sum_to_1(model):
    rows = rows_of(run_well("predict", model, "words.csv", "--proba", "--column", "guess").stdout)
    assert list(rows[0]) == ["word", "vowel", "guess", "guess:i", "guess:u"]
    assert all(abs(float(row["guess:i"]) + float(row["guess:u"]) - 1) < 1e-5 for row in rows)
    line = json.loads(run_well("predict", model, "words.jsonl", "--proba").stdout.splitlines()[0])
    assert line["prediction:p"].keys() == {"i", "u"}


def test_json_is_one_object_and_nothing_else(model):
    options = ["--out", "n.safetensors", *SMALL, "--json", "--valid", "words.csv"]
    fitted = run_well("fit", "classify", "words.csv", *options)
    report = json.loads(fitted.stdout)
    assert (report["rows"], report["epochs"], report["interrupted"]) == (30, 12, False)
    assert report["history"]["validation_score"][-1] == 1.0
    result = json.loads(run_well("predict", model, "words.csv", "--json", "--proba", "--score").stdout)
    assert result["predictions"] == [vowel(word) for word in WORDS * 3]
    assert (result["classes"], result["score"]) == (["i", "u"], 1.0)
    assert np.shape(result["probabilities"]) == (30, 2)


def test_standard_input_is_a_file_whose_format_is_given(model):
    text = "word\nkiki\nlulu\n"
    with start("predict", model, "-", "--format", "csv", stdin=-1) as process:
        out, err = process.communicate(text, timeout=60)
    assert (out, err, process.returncode) == ("word,prediction\nkiki,i\nlulu,u\n", "", 0)


def test_a_text_with_a_sequence_in_each_line_needs_no_columns(model, folder):
    (folder / "new.txt").write_text("kiki\nlulu\n")
    assert run_well("predict", model, "new.txt").stdout == "kiki\ti\nlulu\tu\n"


def test_files_are_predicted_one_after_the_other(model, folder):
    (folder / "a.csv").write_text("word\nkiki\n")
    (folder / "b.csv").write_text("word\nlulu\n")
    assert run_well("predict", model, "a.csv", "b.csv").stdout == "word,prediction\nkiki,i\nlulu,u\n"


def test_a_file_without_names_has_numbered_columns(folder):
    (folder / "plain.csv").write_text("".join(f"{word},{vowel(word)}\n" for word in WORDS))
    run_well("fit", "classify", "plain.csv", "--no-header", "--out", "m.safetensors", *SMALL)
    out = run_well("predict", "m.safetensors", "plain.csv", "--no-header").stdout
    assert out.splitlines()[0].startswith("lili,i,")
    assert len(out.splitlines()) == 10


def test_several_labels_are_read_from_a_cell_and_written_into_one(folder):
    lines = [f"{word},{';'.join(sorted(set(word)))}\n" for word in WORDS]
    (folder / "several.csv").write_text("word,letters\n" + "".join(lines))
    options = ["--y-as", "labels", "--epochs", "60", "--hidden-size", "16", "--learning-rate", "0.03"]
    run_well("fit", "classify", "several.csv", "--out", "m.safetensors", *options)
    out = run_well("predict", "m.safetensors", "several.csv", "--score").stdout
    assert {row["prediction"] for row in rows_of(out)} >= {"i;k", "l;u"}
    few = rows_of(run_well("predict", "m.safetensors", "several.csv", "--set", "threshold=1.0").stdout)
    assert {row["prediction"] for row in few} == {""}


def test_numbers_in_cells_are_features_and_numbers_in_lists_too(folder):
    rows = [(f"{sign * 1.5} {sign * 0.5}", "up" if sign > 0 else "down") for sign in (1, -1)] * 8
    (folder / "n.csv").write_text("steps,way\n" + "".join(f"{a},{b}\n" for a, b in rows))
    run_well("fit", "classify", "n.csv", "--x-as", "numbers", "--out", "m.safetensors", *SMALL)
    out = rows_of(run_well("predict", "m.safetensors", "n.csv").stdout)
    assert [row["prediction"] for row in out] == [row["way"] for row in out]
    (folder / "n.jsonl").write_text('{"steps": [1.5, 0.5]}\n{"steps": [-1.5, -0.5]}\n')
    lines = run_well("predict", "m.safetensors", "n.jsonl").stdout.splitlines()
    assert [json.loads(line)["prediction"] for line in lines] == ["up", "down"]


@pytest.mark.skipif("tag" not in TASKS, reason="there is no tagger")
def test_a_tagger_reads_columns_of_conll_and_appends_one(folder):
    run_well("fit", "tag", "tags.conllu", "--out", "t.safetensors", *SMALL, "--hidden-size", "16")
    result = run_well("predict", "t.safetensors", "tags.conllu", "--score", "--proba", "--out", "new.conllu")
    assert (result.stdout, result.stderr) == ("", "accuracy 1.0000, 12 rows\n")
    before, after = conllu().splitlines(), (folder / "new.conllu").read_text().splitlines()
    assert len(after) == len(before)
    for old, new in zip(before, after, strict=True):
        cells = new.split("\t")
        if old[:2] in ("1\t", "2\t"):
            assert cells[:-1] == [*old.split("\t"), old.split("\t")[3]]
            assert 0 < float(cells[-1]) <= 1
        else:
            assert new == (old if old.startswith("#") or not old else f"{old}\t_\t_")


def test_a_generator_writes_sequences_from_nothing_and_from_a_class(folder):
    options = ["--hidden-size", "16", "--epochs", "30", "--learning-rate", "0.03"]
    (folder / "one.txt").write_text("kiki\n" * 20)
    run_well("fit", "generate", "one.txt", "--out", "g.safetensors", *options)
    assert run_well("predict", "g.safetensors", "--count", "3", "--temperature", "0.1").stdout == "kiki\n" * 3
    report = json.loads(run_well("predict", "g.safetensors", "--json").stdout)
    assert (report["kind"], report["rows"]) == ("SequenceGenerator", 1)
    (folder / "two.csv").write_text("language,word\n" + "it,ciao\nen,hello\n" * 20)
    run_well("fit", "generate", "two.csv", "--x", "language", "--out", "c.safetensors", *options)
    (folder / "new.csv").write_text("language\nen\nit\n")
    expected = "language,prediction\nen,hello\nit,ciao\n"
    assert run_well("predict", "c.safetensors", "new.csv").stdout == expected
    assert run_well("predict", "c.safetensors", "new.csv", "--temperature", "0.1").stdout == expected


def write_tone(path, frequency, rate=8000):
    """Write a tone between two silences, so that it has a beginning."""
    samples = (8000 * np.sin(2 * np.pi * frequency * np.arange(rate // 5) / rate)).astype("<i2")
    samples[: rate // 20] = samples[-rate // 20 :] = 0
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, rate, 0, "NONE", ""))
        file.writeframes(samples.tobytes())


def test_a_transcriber_reads_recordings_beside_the_table(folder):
    (folder / "sounds").mkdir()
    lines = ["file,said\n"]
    for number in range(8):
        write_tone(folder / "sounds" / f"{number}.wav", 300 + 1500 * (number % 2))
        lines.append(f"{number}.wav,{'a' if number % 2 else 'e'}\n")
    (folder / "sounds" / "list.csv").write_text("".join(lines))
    options = ["--hidden-size", "16", "--epochs", "60", "--batch-size", "4", "--learning-rate", "0.02"]
    run_well("fit", "transcribe", "sounds/list.csv", "--out", "t.safetensors", *options)
    result = run_well("predict", "t.safetensors", "sounds/list.csv", "--score")
    assert [row["prediction"] for row in rows_of(result.stdout)] == ["e", "a"] * 4
    write_tone(folder / "sounds" / "1.wav", 440, rate=16000)
    wrong = run("predict", "t.safetensors", "sounds/list.csv")
    assert wrong.exit_code == 2
    assert "1.wav: expected 8000 samples a second, as in training, got 16000" in wrong.stderr


def test_a_translator_reads_pairs_and_a_regressor_numbers(folder):
    (folder / "pairs.txt").write_text("ab\tx\nba\ty\n" * 16)
    options = ["--hidden-size", "16", "--epochs", "20", "--learning-rate", "0.03"]
    run_well("fit", "translate", "pairs.txt", "--format", "pairs", "--out", "s.safetensors", *options)
    (folder / "new.txt").write_text("ba\nab\n")
    assert run_well("predict", "s.safetensors", "new.txt").stdout == "ba\ty\nab\tx\n"
    lines = [f"{'a' * n},{n},{-n}\n" for n in range(1, 9)] * 4
    (folder / "lengths.csv").write_text("text,steps,less\n" + "".join(lines))
    columns = ["--x", "text", "--y", "steps", "--y", "less"]
    run_well("fit", "regress", "lengths.csv", *columns, "--out", "r.safetensors", *options, "--epochs", "60")
    result = run_well("predict", "r.safetensors", "lengths.csv", "--score")
    assert float(result.stderr.split()[1].rstrip(",")) > 0.9
    numbers = [[float(part) for part in row["prediction"].split()] for row in rows_of(result.stdout)]
    assert np.shape(numbers) == (32, 2)


@pytest.mark.parametrize("task", list(TASKS))
def test_the_help_of_a_task_lists_the_settings_of_its_model(task):
    text = " ".join(run_well("fit", task, "--help").stdout.split())
    settings = TASKS[task].model().get_params()
    options = [
        name for each in main.get_command(None, "fit").get_command(None, task).params for name in each.opts
    ]
    assert len(options) == len(set(options))  # no setting is called as an option of all tasks is
    for name, default in settings.items():
        if name in model_options.NOT_OPTIONS:
            continue
        assert f"--{name.replace('_', '-')}" in text
        if isinstance(default, (int, float)) and not isinstance(default, bool):
            assert f"[default: {default}]" in text


def test_the_options_of_a_setting_have_its_kind():
    def parsed(*options):
        context = model_options.click.Command(
            "fit", params=model_options.setting_options(fr.models.SequenceClassifier)
        ).make_context("fit", list(options))
        return context.params

    default = parsed()
    assert default == {
        name: value
        for name, value in fr.models.SequenceClassifier().get_params().items()
        if name not in model_options.NOT_OPTIONS
    }
    given = parsed(
        "--embedding-size", "none", "--clip-norm", "none", "--no-bidirectional", "--cell-options",
        '{"zoneout": 0.1}', "--class-weight", "balanced", "--pooling", "mean", "--dropout", "0.5",
    )  # fmt: skip
    changed = {name: value for name, value in given.items() if value != default[name]}
    assert changed == {
        "embedding_size": None, "clip_norm": None, "bidirectional": False, "cell_options": {"zoneout": 0.1},
        "class_weight": "balanced", "pooling": "mean", "dropout": 0.5,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("fit classify none.csv --out m", "File 'none.csv' does not exist"),
        (
            "fit classify words.csv --out words.csv",
            "--out: words.csv: is an input; it would be overwritten",
        ),
        ("fit classify words.csv --out nowhere/m", "nowhere/m: the folder does not exist"),
        ("fit classify words.csv --out m --x nam", "--x: expected one of the columns 'word', 'vowel'"),
        ("fit classify words.csv --out m --x word --y nix", "--y: expected one of the columns"),
        ("fit classify wide.csv --out m", "--x: name the column of wide.csv to use, one of 'a', 'b', 'c'"),
        ("fit classify wide.csv --out m --x a --y b --y c", "--y: expected one column for classify, got 2"),
        ("fit classify empty.csv --out m", "empty.csv, row 2, column 'word': expected at least one step"),
        ("fit classify words.csv --valid empty.csv --out m", "empty.csv, row 2, column 'word': expected at"),
        (
            "fit classify words.csv --valid other.csv --out m",
            "other.csv, row 1, column 'vowel': expected a",
        ),
        (
            "fit classify words.csv --out m --x-as numbers",
            "words.csv, column 'word', row 1: expected a",
        ),
        ("fit classify words.csv --out m --x-as sound", "lili: No such file or directory"),
        ("fit classify words.csv --out m --epochs 0", "epochs: expected 1 or more, got 0"),
        (
            "fit classify words.csv --out m --pooling sum",
            "'sum' is not one of 'last', 'mean'",
        ),
        ("fit classify words.csv --out m --cell-options {", "'{' is neither JSON nor a word"),
        ("fit classify words.csv --out m --hidden-size many", "'many' is not a valid integer"),
        ("fit classify data.xyz --out m", "data.xyz: expected a suffix that says the format"),
        ("fit classify - --out m", "standard input: give --format with it, one of csv, tsv"),
        ("fit classify - - --format csv --out m", "-: standard input can be only one of the texts"),
        ("fit sing words.csv --out m", "no such command 'sing'; expected one of classify, "),
        ("predict words.csv words.csv", "words.csv: not a safetensors file"),
        ("predict m.safetensors words.csv --out m.safetensors", "is an input; it would be overwritten"),
        ("predict m.safetensors words.csv --column word", "--column: words.csv has a column 'word'"),
        ("predict m.safetensors", "FILES: expected at least one"),
        ("predict m.safetensors words.csv --temperature 0.5", "--temperature: has no effect here"),
        ("predict m.safetensors words.csv --count 2", "--count: has no effect here"),
        ("predict m.safetensors words.csv --set pooling", "--set: expected name=value, got 'pooling'"),
        (
            "predict m.safetensors words.csv --set nix=1",
            "--set: expected a setting of Sequence",
        ),
        ("predict m.safetensors words.csv --set bidirectional=3", "expected true or false, got '3'"),
        (
            "predict m.safetensors wide.csv",
            "expected one of the columns 'a', 'b', 'c' of wide",
        ),
        (
            "predict m.safetensors other.csv --score",
            "other.csv, row 1, column 'vowel': expected a",
        ),
        (
            "predict lm.safetensors words.csv",
            "got a LanguageModel; write fastrnn sample",
        ),
    ],
)
def test_what_is_wrong_is_said_in_one_line(model, folder, arguments, message):
    (folder / "wide.csv").write_text("a,b,c\nx,y,z\n")
    (folder / "empty.csv").write_text("word,vowel\nlili,i\n,u\n")
    (folder / "other.csv").write_text("word,vowel\nlolo,o\n")
    (folder / "data.xyz").write_text("?")
    if "lm.safetensors" in arguments:
        vocabulary = fr.Vocabulary.from_text("ab")
        language = fr.LanguageModel(2, hidden_size=2, num_layers=1, seed=0)
        fr.train.save_checkpoint("lm.safetensors", language, vocabulary)
    before = sorted(os.listdir())
    result = run(*arguments.split())
    assert message in result.stderr
    assert len(result.stderr.splitlines()) == 1
    assert (result.stdout, result.exit_code) == ("", 2)
    assert sorted(os.listdir()) == before  # and nothing is written


def test_ctrl_c_before_the_first_epoch_writes_nothing_and_later_saves_the_epochs_made(folder):
    with open("many.csv", "w", newline="") as file:
        csv.writer(file).writerows([("word", "vowel"), *((word * 9, vowel(word)) for word in WORDS * 60)])
    options = ["--epochs", "100000", "--hidden-size", "8", "--out", "m.safetensors"]
    code = (
        "import sys, signal, os, fastrnn.models.base.fitting as f\n"
        "run, epoch = f._Loop.run_epoch, int(sys.argv.pop(1))\n"
        "def stop(self, number):\n"
        "    run(self, number) if number < epoch else os.kill(os.getpid(), signal.SIGINT)\n"
        "f._Loop.run_epoch = stop\n"
        "from fastrnn.cli import main\n"
        "main()\n"
    )
    for epoch in (0, 2):
        command = [sys.executable, "-c", code, str(epoch), "fit", "classify", "many.csv", *options]
        with start(command=command) as process:
            out, err = process.communicate(timeout=120)
        assert process.returncode == 130
        if epoch:
            assert "training interrupted after epoch 2 of 100000" in err
            assert out.endswith("saved m.safetensors, and its options in m.config.toml\n")
            assert fr.models.SequenceClassifier.load("m.safetensors").n_iter_ == 2
        else:
            assert err.splitlines()[-1].endswith("error: interrupted")
            assert not os.path.exists("m.safetensors")


def test_a_diverged_training_is_a_failure_with_a_hint(folder):
    result = run("fit", "classify", "words.csv", "--out", "m", "--learning-rate", "1e300", "--epochs", "3")
    assert result.exit_code == 1
    assert "try a lower --learning-rate" in result.stderr
    assert not (folder / "m").exists()


def test_a_series_is_forecast_from_its_end_or_from_another_one(folder):
    values = [f"{50 + 10 * np.sin(step * np.pi / 6):.4f}" for step in range(60)]
    lines = [f"{number},{value}" for number, value in enumerate(values)]
    (folder / "series.csv").write_text("\n".join(["month,sales", *lines]) + "\n")
    settings = ["--window", "24", "--hidden-size", "8", "--epochs", "3"]
    run_well("fit", "forecast", "series.csv", "--y", "sales", *settings, "--out", "series.safetensors")
    text = run_well("predict", "series.safetensors", "--steps", "2").stdout
    rows = rows_of(text)
    assert [*rows[0]] == ["step", "sales", "sales:0.1", "sales:0.9"]
    assert [row["step"] for row in rows] == ["1", "2"]
    assert all(float(row["sales:0.1"]) <= float(row["sales:0.9"]) for row in rows)
    assert run_well("predict", "series.safetensors", "series.csv", "--steps", "2").stdout == text
    model = fr.models.Forecaster.load("series.safetensors")
    np.testing.assert_allclose([float(row["sales"]) for row in rows], model.predict(2), rtol=1e-5)
    (folder / "gap.csv").write_text("month,sales\n1,5\n2,\n3,6\n")
    failed = run("fit", "forecast", "gap.csv", "--y", "sales", "--out", "no.safetensors")
    assert failed.exit_code == 2
    assert "gap.csv" in failed.stderr
    assert not (folder / "no.safetensors").exists()


def test_files_that_do_not_fit_into_one_are_refused_before_the_prediction(model, folder):
    (folder / "other.csv").write_text("country,word\nen,hello\n")
    wrong = run("predict", model, "words.csv", "other.csv")
    assert wrong.exit_code == 2
    assert "other.csv: expected the format and the columns of words.csv" in wrong.stderr
    assert wrong.stdout == ""


def test_json_and_a_file_to_write_are_not_both_taken(model):
    wrong = run("predict", model, "words.csv", "--json", "--out", "never.json")
    assert wrong.exit_code == 2
    assert "--out: has no effect with --json" in wrong.stderr


def test_sentences_of_two_files_stay_apart(folder):
    lines = "1\ta\t_\tX\n2\tb\t_\tY\n"  # no blank line at the end
    for name in ("one.conllu", "two.conllu"):
        (folder / name).write_text(lines)
    settings = ["--hidden-size", "4", "--epochs", "1", "--x", "form", "--y", "upos"]
    run_well("fit", "tag", "one.conllu", "two.conllu", *settings, "--out", "t.safetensors")
    (folder / "both.conllu").write_bytes(
        run_well("predict", "t.safetensors", "one.conllu", "two.conllu").stdout.encode()
    )
    assert fr.data.read_conll(folder / "both.conllu", 1, layout="conllu") == [["a", "b"], ["a", "b"]]


def test_a_line_of_text_keeps_its_quotes(model, folder):
    (folder / "quotes.txt").write_text('say "hi"\n')
    text = run_well("predict", model, "quotes.txt").stdout
    assert text.startswith('say "hi"\t')


@pytest.mark.parametrize("wrong", [{"y": 5}, {"x_as": "foo"}, {"x": ["a"]}, {"rate": -1}])
def test_columns_in_a_strangers_file_are_checked(folder, fitted, wrong):
    from fastrnn.models.base.model_file import write_model

    (folder / "m.safetensors").write_bytes(fitted)
    write_model("wrong.safetensors", fr.models.SequenceClassifier.load("m.safetensors"), wrong)
    refused = run("predict", "wrong.safetensors", "words.csv")
    assert refused.exit_code == 2
    assert f"wrong.safetensors: source.{next(iter(wrong))}" in refused.stderr
