"""Who starts trials: threads of this process, or the other ranks of ``mpiexec``."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Executor, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from typing import TYPE_CHECKING

from fastrnn._dispatch import get_num_threads
from fastrnn.cli.stop_signals import StopSignals
from fastrnn.cli.trials.processes import TrialProcesses
from fastrnn.cli.trials.trial import Result, Trial
from fastrnn.files.interrupts import STOP_SIGNALS, defer_interrupts

if TYPE_CHECKING:
    from fastrnn.train.distributed import Ranks

__all__ = ["run_trials", "trial_executor"]

_SECONDS_OF_A_WAIT = 0.5  # not on every system does a signal end a wait
# Of this process: what another rank sends to be run has no other way to them.
_here = TrialProcesses()


@contextmanager
def trial_executor(ranks: Ranks, processes: int) -> Iterator[Executor | None]:
    """Return where trials are run: in threads of this process or, under mpiexec, on the other ranks.

    Parameters
    ----------
    ranks : Ranks
    processes : int
        Threads of one process.

    Yields
    ------
    executor : Executor or None
        None on the other ranks, which have then run what the first one gave them.
    """
    if ranks.size == 1:
        with ThreadPoolExecutor(processes) as threads:
            yield threads
        return
    from fastrnn.train.distributed.mpi import rank_executor  # has found the ranks already

    if not ranks.is_first:
        _stop_at_signals()
    if hasattr(signal, "SIGUSR1"):  # launchers pass it on, and do not end the ranks soon after as at SIGTERM
        signal.signal(signal.SIGUSR1, lambda *_: signal.raise_signal(signal.SIGTERM))
    with rank_executor() as others:
        yield others


def _stop_at_signals() -> None:
    for number in STOP_SIGNALS:
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, lambda *_: _here.stop())


def run_trials(
    executor: Executor, trials: Iterable[Trial], threads: int | None, record: Callable[[Result], None]
) -> bool:
    """Run trials; return whether Ctrl-C or another signal stopped them.

    Parameters
    ----------
    executor : Executor
    trials : iterable of Trial
    threads : int or None
        Of each trial; None for as many as the process that starts it would have.
    record : callable
        Called with each result as soon as there is one.
    """
    with StopSignals() as signals:
        waiting: set[Future[Result]] = set()
        try:
            for trial in trials:
                waiting.add(executor.submit(run_trial, trial, threads))
            while waiting:
                _collect(waiting, record)
        except KeyboardInterrupt:
            _stop(waiting)
            while waiting:
                _collect(waiting, record)
        except BaseException:  # such as a full disk
            _stop(waiting)
            raise
    return signals.received


def run_trial(trial: Trial, threads: int | None) -> Result:
    """Run a trial in a process that this one starts."""
    return _here.run(trial, get_num_threads() if threads is None else threads)


def _collect(waiting: set[Future[Result]], record: Callable[[Result], None]) -> None:
    done, _ = wait(waiting, timeout=_SECONDS_OF_A_WAIT, return_when=FIRST_COMPLETED)
    with defer_interrupts():
        for future in done:
            record(future.result())
        waiting -= done


def _stop(waiting: set[Future[Result]]) -> None:
    """Stop the trials that run here, and give up those that wait; other ranks get the signal themselves."""
    _here.stop()
    waiting -= {future for future in waiting if future.cancel()}
