"""The samples that a training prints: the first one early, then at the marks, and never in the numbers."""

import re

import pytest

from fastrnn.cli import session
from fastrnn.train import load_checkpoint
from test_cli import SMALL, folder, log_of, run_well

__all__ = ["folder"]  # a fixture

TRAIN = ["train", "text.txt", *SMALL, "--steps", 25]


def sampled_steps(stdout):
    return [int(step) for step in re.findall(r"---- sample at step (\d+)", stdout)]


@pytest.mark.parametrize(
    ("seconds", "every", "steps"),
    [(0.0, 10, [1, 10, 20]), (60.0, 10, [10, 20]), (60.0, 100, [25]), (0.0, 100, [1]), (0.0, 0, [])],
)
def test_the_first_sample_comes_after_a_time_and_further_ones_at_the_marks(
    folder, monkeypatch, seconds, every, steps
):
    monkeypatch.setattr(session, "_SECONDS_TO_FIRST_SAMPLE", seconds)
    assert sampled_steps(run_well(*TRAIN, "--sample-every", every).stdout) == steps


def test_the_time_is_counted_from_the_start_of_the_training(folder, monkeypatch):
    clock = iter(range(1000))  # a second for each look at it
    monkeypatch.setattr(session.time, "monotonic", lambda: float(next(clock)))
    assert session._SECONDS_TO_FIRST_SAMPLE <= 8.0  # ten from the command, of which starting takes some
    found = sampled_steps(run_well(*TRAIN, "--sample-every", 100).stdout)
    assert len(found) == 1
    assert 1 <= found[0] <= 6


@pytest.mark.parametrize("options", [[], ["--sentences"], ["--dropout", 0.2, "--num-layers", 2]])
def test_samples_do_not_change_the_training(folder, monkeypatch, options):
    monkeypatch.setattr(session, "_SECONDS_TO_FIRST_SAMPLE", 0.0)
    for every in (0, 3, 100):
        run_well(*TRAIN, *options, "--sample-every", every, "--out", f"{every}.safetensors")
    bits = {load_checkpoint(f"{every}.safetensors").model.parameters.flat.tobytes() for every in (0, 3, 100)}
    assert len(bits) == 1
    assert len({str([r["loss"] for r in log_of(folder / f"{every}.jsonl")]) for every in (0, 3, 100)}) == 1
