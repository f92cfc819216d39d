"""The program's command sweep: which trials it runs, their results, and what it refuses."""

import json
import os
import re
from pathlib import Path

import pytest

import fastrnn as fr
from fastrnn.cli.trials.results import ResultFolder
from fastrnn.train import load_checkpoint
from test_cli import assert_one_line, folder, run, run_well

__all__ = ["folder"]  # a fixture

SWEEP = """[command]
name = "train"
files = ["text.txt"]
hidden-size = 6
num-layers = 1
batch-size = 4
seq-length = 20
steps = 20
eval-every = 10

[grid]
learning-rate = [0.001, 0.03]
"""


def write(text=SWEEP, name="s.toml"):
    Path(name).write_text(text)
    return name


def results_in(folder):
    lines = (Path(folder) / "results.jsonl").read_text().splitlines()
    return sorted(map(json.loads, lines), key=lambda one: one["trial"])


def without_time(results):
    names = ("trial", "options", "score", "parameters", "failure")
    return [{name: one[name] for name in names} for one in results]


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    """Run a sweep of two trials, and return its folder and what it printed."""
    here = tmp_path_factory.mktemp("sweep")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(here)
        (here / "text.txt").write_text("a rose is a rose is a rose\n" * 80)
        return here / "s", run_well("sweep", write()).stdout


# --- what it does ---


def test_a_dry_run_lists_the_trials_and_writes_nothing(folder):
    before = {*os.listdir(), "s.toml"}
    shown = run_well("sweep", write(), "--dry-run").stdout
    assert (
        shown == "trial 1: learning-rate = 0.001\ntrial 2: learning-rate = 0.03\n2 trials of fastrnn train\n"
    )
    shown = json.loads(run_well("sweep", "s.toml", "--dry-run", "--json").stdout)
    assert shown == {"command": "train", "trials": [{"learning-rate": 0.001}, {"learning-rate": 0.03}]}
    assert set(os.listdir()) == before


def test_a_trial_is_a_training_in_a_folder_of_its_own(done, monkeypatch):
    out, _ = done
    monkeypatch.chdir(out.parent)
    for one in results_in(out):
        trial = out / f"trial-{one['trial']:04}"
        names = ["messages.txt", *(f"model{end}" for end in (".best.safetensors", ".config.toml", ".jsonl"))]
        assert sorted(path.name for path in trial.iterdir()) == sorted([*names, "model.safetensors"])
        config = trial / "model.config.toml"
        again = ["--out", "again.safetensors", "--overwrite", "--json"]
        summary = json.loads(run_well("train", "--config", config, *again).stdout)
        assert (one["score"], one["parameters"]) == (summary["best_valid_loss"], summary["parameters"])
        last = load_checkpoint("again.safetensors")
        assert last.model.rnn.parameters.flat.tobytes() == (
            load_checkpoint(trial / "model.safetensors").model.rnn.parameters.flat.tobytes()
        )


def test_the_table_has_the_best_trial_first_and_says_where_it_is(done):
    out, shown = done
    scores = {one["trial"]: one["score"] for one in results_in(out)}
    rows = re.findall(r"^ +(\d+) +([\d.]+) ", shown, re.MULTILINE)
    assert [int(number) for number, _ in rows] == sorted(scores, key=scores.get) == [2, 1]
    assert [float(score) for _, score in rows] == [round(scores[2], 4), round(scores[1], 4)]
    assert shown.splitlines()[-1] == (
        "best: trial 2: s/trial-0002/model.best.safetensors; its options: s/trial-0002/model.config.toml"
    )


def test_several_processes_share_the_threads_and_have_the_same_results(done, monkeypatch):
    out, _ = done
    monkeypatch.chdir(out.parent)
    result = json.loads(
        run_well("sweep", "s.toml", "--out", "two", "--processes", 2, "--threads", 2, "--json").stdout
    )
    assert without_time(results_in("two")) == without_time(results_in(out))
    assert result["best"]["trial"] == 2
    assert [one["trial"] for one in result["results"]] == [2, 1]
    assert (result["trials"], result["failed"], result["interrupted"]) == (2, 0, False)


def test_the_ranks_of_mpiexec_have_the_same_results(done, mpiexec, monkeypatch):
    out, _ = done
    monkeypatch.chdir(out.parent)
    ended = mpiexec(3, ["-m", "fastrnn", "sweep", "s.toml", "--out", "ranks"], timeout=120)
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.count("best: trial 2") == 1
    assert without_time(results_in("ranks")) == without_time(results_in(out))


def test_ranks_refuse_a_bad_file_with_one_message(folder, mpiexec):
    write(SWEEP.replace("hidden-size", "hiden-size"))
    ended = mpiexec(2, ["-m", "fastrnn", "sweep", "s.toml"])
    assert ended.returncode == 2
    assert ended.stderr.count("line 4: hiden-size: no such option; did you mean hidden-size?") == 1
    assert not Path("s").exists()


def test_a_sweep_of_fit_has_the_highest_score_of_validation_first(folder):
    Path("words.csv").write_text("word,vowel\n" + "lili,i\nmumu,u\n" * 10)
    write(
        '[command]\nname = "fit classify"\nfiles = ["words.csv"]\nvalid = ["words.csv"]\nhidden-size = 4\n'
        "[grid]\nepochs = [1]\nlearning-rate = [1e-9, 0.1]\n"
    )
    result = json.loads(run_well("sweep", "s.toml", "--json").stdout)
    assert (result["measure"], result["lowest_is_best"]) == ("accuracy", False)
    scores = [one["score"] for one in result["results"]]
    assert scores == sorted(scores, reverse=True)
    best = result["best"]
    assert fr.models.SequenceClassifier.load(best["model"]).history_["validation_score"][-1] == best["score"]


# --- what fails ---


def test_a_trial_that_fails_is_noted_and_the_others_run(folder):
    write(
        SWEEP.replace("[0.001, 0.03]", "[1e38, 0.03]").replace(
            "[grid]", 'optimizer = "sgd"\nclip = 0\n[grid]'
        )
    )
    result = run_well("sweep", "s.toml")
    first, second = results_in("s")
    assert re.search(r"step \d+: the .* is (nan|inf)", first["failure"])
    assert (first["score"], first["options"]) == (None, {"learning-rate": 1e38})
    assert second["failure"] is None
    assert "1 failed: see messages.txt" in result.stdout
    assert "to run them, type: fastrnn sweep s.toml --resume" in result.stdout
    assert re.search(r"^ +2 .*\n +1 +failed", result.stdout, re.MULTILINE)


def test_a_sweep_whose_trials_all_fail_has_exit_code_1(folder):
    write(SWEEP.replace("steps = 20", "steps = 20\nepochs = 1"))
    result = run("sweep", "s.toml")
    assert result.exit_code == 1
    assert {one["failure"] for one in results_in("s")} == {"--steps and --epochs: give only one of them"}


def test_too_many_trials_are_refused_with_their_number(folder):
    many = "[grid]\nhidden-size = [1, 2]\nseed = " + str(list(range(501)))
    write(
        SWEEP.partition("hidden-size")[0] + many + "\n[random]\ntrials = 2\ndropout = {uniform = [0, 0.5]}\n"
    )
    for more in ([], ["--dry-run"]):
        message = r"2,004 trials: 2 of hidden-size x 501 of seed x 2 draws; .* type: fastrnn sweep .*--force"
        assert_one_line(run("sweep", "s.toml", *more), 2, message)
    assert len(run_well("sweep", "s.toml", "--dry-run", "--force").stdout.splitlines()) == 2005


def test_what_a_sweep_left_that_was_killed_at_once_is_no_obstacle(tmp_path):
    folder = ResultFolder(tmp_path)
    (tmp_path / ".results.jsonl.lock").touch()
    folder.check_new("s.toml")
    (tmp_path / "notes.txt").touch()
    with pytest.raises(ValueError, match="it has other files"):
        folder.check_new("s.toml")


def test_a_folder_in_use_is_refused(folder):
    (folder / "s").mkdir()
    (folder / "s" / "mine.txt").write_text("mine")
    assert_one_line(run("sweep", write()), 2, "--out: s: expected a new or an empty folder")
    assert_one_line(run("sweep", "s.toml", "--out", "text.txt"), 2, "--out: text.txt: is a file")
    assert_one_line(run("sweep", "s.toml", "--resume"), 2, "--resume: s: has no sweep to resume")


def test_a_finished_sweep_has_nothing_to_resume_and_another_one_is_not_mixed_in(done, monkeypatch):
    out, _ = done
    monkeypatch.chdir(out.parent)
    before = (out / "results.jsonl").read_bytes()
    assert_one_line(
        run("sweep", "s.toml"), 2, "has the trials of a sweep; .* type: fastrnn sweep s.toml --resume"
    )
    assert "2 of them are there" in run_well("sweep", "s.toml", "--resume").stdout
    write(SWEEP.replace("0.001", "0.002"), "other.toml")
    message = r"\[grid\] differs from that of the sweep in s; .*fastrnn sweep s/sweep.toml --out s --resume"
    assert_one_line(run("sweep", "other.toml", "--out", "s", "--resume"), 2, message)
    assert (out / "results.jsonl").read_bytes() == before
