"""Failures of a command on several ranks: one message, and an end of all of them."""

import signal
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from fastrnn.cli import main
from fastrnn.cli.batch_size import check_shards
from fastrnn.cli.errors import FailedRanks, failure_of
from fastrnn.cli.rank_errors import check_equal, ending_all, together
from fastrnn.cli.stop_signals import StopSignals
from fastrnn.train import TrainingDiverged
from fastrnn.train.distributed import OneProcess
from thread_ranks import Aborted, run_ranks


def raised_by(function):
    """Return what a function of the ranks raises on each of three, in their order."""

    def one(ranks):
        try:
            function(ranks)
        except BaseException as error:
            return error
        return None

    return run_ranks(3, one)


def test_what_all_ranks_raise_is_raised_as_it_is():
    def fail(ranks):
        with together(ranks):
            raise FileNotFoundError(2, "No such file or directory", "a.txt")

    errors = raised_by(fail)
    assert [type(error) for error in errors] == [FileNotFoundError] * 3
    assert failure_of(errors[1]).line() == "fastrnn: error: a.txt: No such file or directory"


def test_what_one_rank_raises_fails_all_with_its_rank_host_and_exit_code(monkeypatch):
    monkeypatch.setattr("socket.gethostname", lambda: "node7")

    def fail(ranks):
        with together(ranks):
            if ranks.rank == 2:
                raise PermissionError(13, "Permission denied", "a.txt")

    failures = [failure_of(error) for error in raised_by(fail)]
    assert failures == [failures[0]] * 3
    assert failures[0].line() == "fastrnn: error: rank 2 on node7: a.txt: Permission denied"
    assert failures[0].code == 1


def test_different_failures_are_all_named():
    def fail(ranks):
        with together(ranks):
            raise ValueError(f"seed: expected {ranks.rank}")

    messages = {str(error) for error in raised_by(fail)}
    assert len(messages) == 1
    assert all(f"seed: expected {rank}" in str(messages) for rank in range(3))


def test_a_fault_of_the_program_on_one_rank_fails_all_with_its_traceback_there(capfd):
    def fail(ranks):
        with together(ranks):
            if ranks.rank == 1:
                raise ZeroDivisionError("by zero")

    errors = raised_by(fail)
    assert all(isinstance(error, FailedRanks) for error in errors)
    assert failure_of(errors[0]).code == 1
    assert "ZeroDivisionError: by zero" in str(errors[0])


def test_the_help_is_no_failure():
    def ask(ranks):
        with together(ranks):
            raise click.exceptions.Exit

    assert [type(error) for error in raised_by(ask)] == [click.exceptions.Exit] * 3


def test_an_exception_in_step_ends_the_others_that_wait_for_this_rank(monkeypatch, capfd):
    monkeypatch.setattr("socket.gethostname", lambda: "node7")

    def fail(ranks):
        with ending_all(ranks):
            if ranks.rank == 1:
                raise MemoryError("the batch")
            ranks.gather(None)

    with pytest.raises(Aborted):
        run_ranks(3, fail)
    lines = capfd.readouterr().err.splitlines()
    assert "fastrnn: error: rank 1 on node7: not enough memory: the batch" in lines


def test_an_exception_that_all_ranks_raise_alike_ends_none_of_them_early():
    def fail(ranks):
        with ending_all(ranks, alike=(TrainingDiverged,)):
            raise TrainingDiverged("loss: NaN")

    assert [type(error) for error in raised_by(fail)] == [TrainingDiverged] * 3


def test_a_file_that_rank_0_cannot_write_is_an_error_on_every_rank_and_others_write_nothing():
    written = []

    def write(ranks):
        def full():
            written.append(ranks.rank)
            raise OSError(28, "No space left on device", "m.safetensors")

        ranks.on_first(full, (OSError,))

    assert [failure_of(error).message for error in raised_by(write)] == [
        "m.safetensors: No space left on device"
    ] * 3
    assert written == [0]


def test_values_that_differ_are_named_with_ranks_and_hosts(monkeypatch):
    monkeypatch.setattr("socket.gethostname", lambda: "node7")

    def compare(ranks):
        digest = str(ranks.rank == 2) * 20
        check_equal(ranks, {"--seed": ranks.rank // 2, "texts": digest, "--cell": "gru"})

    messages = {str(error) for error in raised_by(compare)}
    assert messages == {
        "expected the same on all ranks: --seed: 0 on rank 0 (node7), 1 on rank 2 (node7); "
        "texts: rank 2 (node7) has another than rank 0 (node7)"
    }


def test_a_value_that_rank_0_does_not_have_is_compared_too(monkeypatch):
    monkeypatch.setattr("socket.gethostname", lambda: "node7")
    errors = raised_by(lambda ranks: check_equal(ranks, {"--x": 1} if ranks.rank == 2 else {}))
    wanted = "expected the same on all ranks: --x: None on rank 0 (node7), 1 on rank 2 (node7)"
    assert [str(error) for error in errors] == [wanted] * 3


@pytest.mark.parametrize(
    ("batch", "shards", "processes", "resumed", "message"),
    [
        (16, None, 3, False, "a batch of 16 does not split into 3 equal shards, one for each process"),
        (16, None, 3, False, "numbers that do: 1, 2, 4, 8, 16; nearest --batch-size: 15 or 18; type: "),
        (2, 3, 1, False, "equal shards; numbers that do: 1, 2; nearest --batch-size: 3; type: fastrnn"),
        (24, 4, 3, False, "--shards: 3 processes do not divide the 4 shards of a batch"),
        (24, 4, 3, False, "numbers that do: 1, 2, 4, or give --shards 3; type: mpiexec -n 2 fastrnn"),
        (24, 12, 5, True, "numbers that do: 1, 2, 3, 4, 6, 12; type: mpiexec -n 4 fastrnn"),
        (24, 1, 2, True, "numbers that do: 1; type: fastrnn"),
    ],
)
def test_numbers_that_do_not_divide_are_refused_with_those_that_do(
    batch, shards, processes, resumed, message
):
    with pytest.raises(ValueError, match=r"do(es)? not") as info:
        check_shards(batch, shards, processes, resumed=resumed)
    assert message in str(info.value)


def test_numbers_far_too_large_are_refused_at_once():
    with pytest.raises(ValueError, match="does not split into 2 equal shards; numbers that do: 1, 3, 7, "):
        check_shards(3 * 7 * (10**12 + 39), 2, 1)
    with pytest.raises(ValueError, match=r"shards: expected 1 \.\. 65536, got 100000000"):
        OneProcess(shards=10**8)
    fit = ["fit", "classify", "a.csv", "--out", "a.safetensors", "--shards", "100000000"]
    result = CliRunner().invoke(main, fit)
    assert result.exit_code == 2
    assert "1<=x<=65536" in result.stderr


@pytest.mark.parametrize(("batch", "shards", "processes"), [(24, None, 4), (24, 12, 3), (7, None, 1)])
def test_numbers_that_divide_are_accepted(batch, shards, processes):
    check_shards(batch, shards, processes)


class TwoRanks(OneProcess):
    """Rank 0 of two, of which the other says whether a signal came."""

    def __init__(self, *, other):
        super().__init__()
        self.size, self.other = 2, other

    def gather(self, value):
        return [value, self.other]


SIGNALS = [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1]


@pytest.fixture
def handlers():
    """Restore the handlers: after a signal `StopSignals` ignores further ones, as the process ends."""
    before = {number: signal.getsignal(number) for number in SIGNALS}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def test_one_process_stops_where_the_signal_comes(handlers):
    with StopSignals(), pytest.raises(KeyboardInterrupt):
        signal.raise_signal(signal.SIGTERM)


@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_to_one_of_several_ranks_is_noted_until_all_check(handlers, number):
    with StopSignals(TwoRanks(other=False)) as signals:
        signals.check()
        signal.raise_signal(number)
        signal.raise_signal(number)  # a second one changes nothing
        with pytest.raises(KeyboardInterrupt):
            signals.check()


def test_a_signal_to_another_rank_stops_this_one_which_then_ignores_its_own(handlers):
    with StopSignals(TwoRanks(other=True)) as signals, pytest.raises(KeyboardInterrupt):
        signals.check()
    signal.raise_signal(signal.SIGTERM)
    assert signals.received


def test_ranks_that_are_done_end_together_whatever_comes(handlers):
    with StopSignals(TwoRanks(other=False)):
        pass
    for number in SIGNALS:
        signal.raise_signal(number)


def test_sigusr1_of_one_process_stays_what_it_was(handlers):
    signal.signal(signal.SIGUSR1, signal.SIG_DFL)
    with StopSignals():
        assert signal.getsignal(signal.SIGUSR1) is signal.SIG_DFL


def test_an_exception_that_cannot_be_shown_ends_the_others_all_the_same(monkeypatch):
    def refuse(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("fastrnn.cli.rank_errors.show", refuse)

    def fail(ranks):
        with ending_all(ranks):
            if ranks.rank == 1:
                raise MemoryError("the batch")
            ranks.gather(None)

    assert [type(error) for error in raised_by(fail)] == [Aborted] * 3


FULL = """
import sys
import fastrnn as fr
ranks = fr.train.distributed.start()
if ranks.rank == 1:
    {full}
    {end}
ranks.gather(None)
"""


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no device that is full")
@pytest.mark.parametrize(
    ("full", "end", "code"),
    [
        ("sys.stdout = open('/dev/full', 'w'); print('a result')", "ranks.abort(3)", 3),
        ("sys.stderr = open('/dev/full', 'w')", "raise ZeroDivisionError", 1),
    ],
)
def test_a_rank_whose_output_is_on_a_full_disk_ends_all(mpiexec, full, end, code):
    assert mpiexec(2, ["-c", FULL.format(full=full, end=end)], timeout=30).returncode == code
