"""Ranks that do not do the same: options that differ are refused, an exception on one rank ends all."""

import sys
import time

import numpy as np
import pytest

import fastrnn as fr
from fastrnn.train import Adam, ExponentialAverage, StepSchedule, Trainer, Validation
from fastrnn.train.distributed import OneProcess
from fastrnn.train.distributed.uncaught import end_all_if_uncaught
from thread_ranks import run_ranks
from training_cases import IDS, make_model


def trainer(ranks, *, model=None, ids=IDS[:3000], rate=5e-3, frozen=(), average=False, **options):
    model = make_model(hidden_size=9) if model is None else model
    model.freeze(*frozen)
    average = ExponentialAverage(model, 0.9) if average else None
    chunks = {"backward_length": options.pop("backward_length", None)}
    data = fr.ChunkedText(ids, 12, 20, **chunks)
    return Trainer(model, data, Adam(model, rate), ranks=ranks, average=average, **options)


VALIDATION = Validation(IDS[3000:3200], every=2)
DIFFERENT = {
    "validation": {"validation": VALIDATION},
    "validation, every": {"validation": Validation(IDS[3000:3200], every=3)},
    "optimizer": {"rate": 1e-3},
    "schedule": {"schedule": StepSchedule(5e-3, every=5)},
    "clip_norm": {"clip_norm": 1.0},
    "clip_value": {"clip_value": 1.0},
    "accumulate": {"accumulate": 2},
    "label_smoothing": {"label_smoothing": 0.1},
    "diagnose_every": {"diagnose_every": 3},
    "average": {"average": True},
    "frozen parameters": {"frozen": ["output.bias"]},
    "data: first and last rows": {"ids": IDS[:3000][::-1]},
    "data: first and last rows, backward": {"backward_length": 40},
}


@pytest.mark.parametrize("name", DIFFERENT)
def test_an_option_that_differs_on_one_rank_is_refused_on_all_by_its_name(name):
    wanted = f"{name.split(', ')[0]}: expected the same on all ranks, got another on rank 1"

    def run(ranks):
        given = DIFFERENT[name] if ranks.rank == 1 else {}
        base = {"validation": VALIDATION} if name == "validation, every" else {}
        with pytest.raises(ValueError, match=wanted):
            trainer(ranks, **(base | given))
        return True

    assert run_ranks(3, run, shards=12) == [True] * 3


def test_equal_options_of_different_objects_are_the_same():
    class Halving:  # a schedule of a user's own: its repr has its address
        def rate(self, step):
            return 1e-3 * 0.5**step

        def observe(self, valid_loss):
            pass

    def run(ranks):
        ids = IDS[:3000].astype(np.int32 if ranks.rank else np.int64)
        one = trainer(ranks, ids=ids, schedule=Halving(), validation=Validation(IDS[3000:3200].copy()))
        return one.step

    assert run_ranks(2, run, shards=4) == [0, 0]


SCRIPT = """
import sys, numpy as np, fastrnn as fr
ranks = fr.train.distributed.start()
model = fr.LanguageModel(9, hidden_size=8, seed=0)
data = fr.ChunkedText(np.random.default_rng(0).integers(9, size=3000), 4, 20)
for record in fr.train.Trainer(model, data, ranks=ranks).run(20):
    if record.step == 5 and ranks.rank == 1:
        raise {error}
"""


@pytest.mark.parametrize(("error", "code"), [("MemoryError('a batch')", 1), ("KeyboardInterrupt", 130)])
def test_an_exception_on_one_rank_of_a_script_ends_all_within_seconds(mpiexec, error, code):
    started = time.monotonic()
    found = mpiexec(2, ["-c", SCRIPT.format(error=error)], timeout=60)
    assert time.monotonic() - started < 30
    assert found.returncode == code
    assert error.partition("(")[0] in found.stderr
    assert "rank 1 on " in found.stderr
    assert "ends all 2 ranks" in found.stderr
    assert mpiexec.running() == []


def test_what_shows_exceptions_in_one_process_stays(monkeypatch):
    monkeypatch.setattr(sys, "excepthook", sys.__excepthook__)
    end_all_if_uncaught(OneProcess(4))
    assert sys.excepthook is sys.__excepthook__
