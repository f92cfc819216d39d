"""``fit`` on several processes of mpiexec, in scripts and by the command."""

import sys

import pytest

from fastrnn.train.distributed.uncaught import end_all_if_uncaught
from thread_ranks import Aborted, run_ranks

SCRIPT = """
import os, signal, sys
import fastrnn as fr
ranks = fr.train.distributed.start(shards=4)
X, y = fr.data.load_names()
model = fr.models.SequenceClassifier(hidden_size=8, epochs=3, dropout=0.2, random_state=0)
"""
PRINT = """
if ranks.is_first:
    print(model.history_["loss"], hash(model.network_.parameters.flat.tobytes()))
"""


def test_the_bits_of_one_process_on_two(mpiexec):
    script = ["-c", f"{SCRIPT}model.fit(X, y, validation=(X[:50], y[:50]), ranks=ranks){PRINT}"]
    results = [mpiexec(count, script, env={"PYTHONHASHSEED": "0"}) for count in (1, 2)]
    assert [result.returncode for result in results] == [0, 0], results
    assert results[0].stdout.startswith("[")
    assert results[0].stdout == results[1].stdout


def test_a_signal_to_one_process_stops_both_after_the_same_step(mpiexec):
    """Ctrl-C reaches the processes at different moments."""
    stop = """
from fastrnn.models.base import fitting
update = fitting.clipped_update
def watched(optimizer, loss, step, *more):
    if ranks.rank == 1 and step == 30:
        os.kill(os.getpid(), signal.SIGINT)
    return update(optimizer, loss, step, *more)
fitting.clipped_update = watched
"""
    show = (
        "print(f'{ranks.rank} {model.n_iter_} {hash(model.network_.parameters.flat.tobytes())}\\n', end='')"
    )
    script = f"{SCRIPT}{stop}model.fit(X, y, ranks=ranks)\n{show}"
    result = mpiexec(2, ["-c", script], env={"PYTHONHASHSEED": "0"})
    assert result.returncode == 0, result
    first, second = sorted(filter(None, result.stdout.splitlines()))
    assert first.split()[1:] == second.split()[1:]
    assert first.startswith("0 1 ")  # an epoch has 23 steps
    assert result.stderr.count("training interrupted after epoch 1 of 3") == 1


def test_an_exception_of_one_process_ends_both_with_its_traceback(mpiexec):
    fail = "if ranks.rank == 1: raise MemoryError('only here')\n"
    result = mpiexec(2, ["-c", f"{SCRIPT}{fail}model.fit(X, y, ranks=ranks)"], timeout=60)
    assert result.returncode == 1
    assert "MemoryError: only here" in result.stderr


@pytest.mark.parametrize(("error", "code"), [(ValueError("wrong"), 1), (KeyboardInterrupt(), 130)])
def test_an_exception_that_nothing_catches_is_reported_and_ends_all_ranks(monkeypatch, capsys, error, code):
    def fail(ranks):
        end_all_if_uncaught(ranks)
        sys.excepthook(type(error), error, None)

    monkeypatch.setattr(sys, "excepthook", sys.__excepthook__)
    run_ranks(1, end_all_if_uncaught)
    assert sys.excepthook is sys.__excepthook__
    with pytest.raises(Aborted, match=str(code)):
        run_ranks(2, lambda ranks: ranks.is_first and fail(ranks))
    assert type(error).__name__ in capsys.readouterr().err
