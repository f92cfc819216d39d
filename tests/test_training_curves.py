"""The curves of trainings: what is drawn of logs, from Python and by ``fastrnn plot``."""

import json
import os
import sys

import numpy as np
import pytest

from fastrnn.cli.training_log import TrainingLog, read_log
from fastrnn.plots import plot_training
from fastrnn.train import Record
from test_cli import SMALL, run, run_well
from training_cases import TEXT

pytestmark = pytest.mark.usefixtures("matplotlib")


def records(count, start=3.0, every=10):
    return [
        Record(k, k / 50, start + 6.0 / k**2, 1.0, 1e4, 0.01, start + 0.2 if k % every == 0 else None)
        for k in range(1, count + 1)
    ]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "text.txt").write_text(TEXT)
    return tmp_path


@pytest.fixture
def log(folder):
    run_well("train", "text.txt", "--out", "m.safetensors", *SMALL, "--steps", 30, "--eval-every", 10)
    return "m.jsonl"


def test_one_training_is_drawn_as_its_two_losses_and_its_learning_rate():
    figure = plot_training({"lstm": records(40)})
    losses, rates = figure.axes
    training, validation = losses.lines[:2]
    assert training.get_xydata()[:2].tolist() == [[1, 9.0], [2, 4.5]]
    assert validation.get_xydata().tolist() == [[k, 3.2] for k in (10, 20, 30, 40)]
    assert rates.lines[0].get_ydata().tolist() == [0.01] * 40
    assert (losses.get_ylabel(), rates.get_xlabel()) == ("Loss, nats per token", "Step")
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["Training", "Validation"]


def test_the_first_steps_do_not_set_the_range_of_losses():
    (losses, _) = plot_training({"lstm": records(100)}).axes
    low, high = losses.get_ylim()
    assert low < 3.0 < 3.2 < high < 4.0


def test_few_epochs_are_shown_whole():
    (axes,) = plot_training({"fit": [{"epoch": k, "loss": 2.0 - k / 30} for k in range(1, 31)]}).axes
    low, high = axes.get_ylim()
    assert low < 1.0 < 2.0 - 1 / 30 < high


def test_trainings_beyond_the_colours_have_another_line():
    figure = plot_training({str(k): [{"step": 1, "loss": k}, {"step": 2, "loss": k}] for k in range(9)})
    looks = {(line.get_color(), line.get_linestyle()) for line in figure.axes[0].lines[:9]}
    assert len(looks) == 9


def test_a_long_training_is_drawn_as_means_with_a_band():
    noisy = [{"step": k, "loss": 2.0 + (-1) ** k} for k in range(1, 3001)]
    (axes,) = plot_training({"a": noisy}).axes
    np.testing.assert_allclose(axes.lines[0].get_ydata(), np.full(150, 2.0))
    band = axes.collections[0].get_paths()[0].get_extents()
    assert (band.y0, band.y1) == (1.0, 3.0)
    assert axes.get_ylim()[0] < 1.0
    assert axes.get_ylim()[1] > 3.0
    assert axes.get_ylabel() == "Loss"


def test_several_trainings_have_colours_in_a_legend_off_the_curves():
    figure = plot_training({"lstm": records(30), "gru $x$": records(20, 2.0)}, x="epochs")
    texts = [text.get_text() for text in figure.legends[0].get_texts()]
    assert texts == ["lstm", "gru $x$", "Training", "Validation"]
    assert figure.axes[0].lines[0].get_color() != figure.axes[0].lines[2].get_color()
    assert figure.axes[0].get_legend() is None
    assert figure.axes[1].get_xlabel() == "Epoch"


@pytest.mark.parametrize(
    ("logs", "x", "message"),
    [
        ({}, None, "logs: expected at least one"),
        ({"a": []}, None, r"logs\['a'\]: expected at least one record"),
        ({"a": [{"step": 1}]}, None, r"logs\['a'\]\[0\]: expected a number as 'loss', got None"),
        ({"a": records(2)}, "seconds", r"logs\['a'\]\[0\]: expected a number as 'seconds'"),
        ({"a": records(2)}, "hours", "x: expected"),
    ],
)
def test_logs_that_cannot_be_drawn_are_refused(logs, x, message):
    with pytest.raises(ValueError, match=message):
        plot_training(logs, x=x)


def test_plot_writes_a_picture_of_logs_once(log, folder):
    (folder / "other.jsonl").write_text((folder / log).read_text())
    shown = run_well("plot", log, "other.jsonl", "--x", "seconds").stdout
    assert shown == "2 logs with 60 records; saved curves.png\n"
    assert (folder / "curves.png").read_bytes().startswith(b"\x89PNG")
    again = run("plot", log)
    assert (again.exit_code, f"to replace it, type: fastrnn plot {log} --overwrite" in again.stderr) == (
        2,
        True,
    )
    result = json.loads(run_well("plot", log, "--overwrite", "--json").stdout)
    assert result == {
        "out": "curves.png",
        "logs": [{"path": log, "records": 30, "loss": result["logs"][0]["loss"]}],
    }


def test_plot_draws_what_fit_printed_by_epochs(folder):
    (folder / "words.csv").write_text("word,vowel\n" + "lala,a\nlili,i\n" * 8)
    options = ["--epochs", 3, "--hidden-size", 4, "--out", "w.safetensors", "--json"]
    printed = run_well("fit", "classify", "words.csv", "--valid", "words.csv", *options).stdout
    (folder / "fit.json").write_text(printed)
    assert "3 records" in run_well("plot", "fit.json", "--out", "fit.svg").stdout
    assert [(one["epoch"], "valid_loss" in one) for one in read_log("fit.json")] == [
        (1, True), (2, True), (3, True)
    ]  # fmt: skip
    assert "--x: fit.json has no seconds; type --x epochs" in run("plot", "fit.json", "--x", "seconds").stderr


def test_plot_names_the_log_of_a_model_or_of_a_summary(log, folder):
    summary = run_well("train", "text.txt", "--out", "n.safetensors", *SMALL, "--steps", 2, "--json").stdout
    (folder / "summary.json").write_text(summary)
    for path, found in (
        ("m.safetensors", "m.jsonl"), ("m.best.safetensors", "m.jsonl"), ("summary.json", "n.jsonl")
    ):  # fmt: skip
        result = run("plot", path)
        assert result.exit_code == 2
        assert f"{path}: expected the log of a training" in result.stderr
        assert f"its log is {found}" in result.stderr
    assert "; its log" not in run("plot", "text.txt").stderr


def test_plot_refuses_other_kinds_of_pictures_and_a_log_given_twice(log):
    assert "--out: expected a name that ends in .png" in run("plot", log, "--out", "a.xyz").stderr
    assert "expected each log once" in run("plot", log, log).stderr
    os.link(log, "log.png")
    assert "is an input" in run("plot", log, "--out", "log.png", "--overwrite").stderr


def test_plot_without_matplotlib_says_what_to_install(log, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    result = run("plot", log)
    assert (result.exit_code, 'pip install "fastrnn[plot]"' in result.stderr) == (2, True)


def test_the_seconds_of_a_log_go_on_when_a_training_is_resumed(tmp_path):
    path = tmp_path / "m.jsonl"
    first = TrainingLog(path)
    for one in records(3):
        first.write(one)
    lines = path.read_text().splitlines()
    early = json.loads(lines[1])
    path.write_text("\n".join([lines[0], json.dumps({**early, "seconds": 100.0}), lines[2]]) + '\n{"step"')
    TrainingLog(path, resumed_at=2).write(records(3)[2])
    seconds = [one["seconds"] for one in read_log(str(path))]
    assert 0 <= seconds[0] < 50
    assert seconds[1] == 100.0
    assert 100.0 <= seconds[2] < 150
