"""Processes that train one trial each, and how they are stopped."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from fastrnn.cli.errors import BAD_INPUT, INTERRUPTED, describe_os_error
from fastrnn.cli.trials.trial import Result, Trial

__all__ = ["TrialProcesses"]

#: What a launcher of MPI tells its ranks by the environment; a trial is none.
_OF_LAUNCHERS = ("PMI_", "PMIX_", "OMPI_", "PRTE_", "MV2_", "HYDI_", "MPI_", "SLURM_")


class TrialProcesses:
    """The processes of trials that this one started; several threads may each start one."""

    def __init__(self) -> None:
        self._stopped = False
        self._running: list[subprocess.Popen[str]] = []

    def run(self, trial: Trial, threads: int) -> Result:
        """Train a trial in a process of its own, and return what came of it, whatever that is."""
        began = time.monotonic()
        try:
            trial.prepare()
            for arguments in trial.command_lines(threads):
                code, printed = self._wait(arguments, trial.folder / "messages.txt")
                if code != BAD_INPUT:  # else it cannot be resumed
                    break
        except OSError as error:
            return Result(trial.number, trial.tried, failure=describe_os_error(error))
        seconds = round(time.monotonic() - began, 3)
        if code == 0:
            return trial.result(json.loads(printed), seconds)
        if self._stopped or code == INTERRUPTED:
            return Result(trial.number, trial.tried, interrupted=True)
        failure = _describe_failure(code, trial.folder / "messages.txt")
        return Result(trial.number, trial.tried, seconds=seconds, failure=failure)

    def stop(self) -> None:
        """Stop the trials that run, which save what they have, and start no others.

        A handler of signals may call it at any moment: it waits for nothing.
        """
        self._stopped = True
        self._terminate_if_stopped()

    def _terminate_if_stopped(self) -> None:
        if self._stopped:
            for process in list(self._running):
                process.terminate()

    def _wait(self, arguments: list[str], messages: Path) -> tuple[int, str]:
        """Run the program to its end; return its exit code, below 0 if a signal killed it, and its output."""
        if self._stopped:
            return INTERRUPTED, ""
        with (
            messages.open("w") as errors,
            subprocess.Popen(
                [sys.executable, "-m", "fastrnn.cli.trials.child", *arguments],
                stdin=subprocess.PIPE,  # held open: see `child`
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                env=_environment(),
                start_new_session=True,  # Ctrl-C in a terminal is for the sweep, which stops its trials
            ) as process,
        ):
            self._running.append(process)
            self._terminate_if_stopped()
            assert process.stdout is not None
            printed = process.stdout.read()
            code = process.wait()
            self._running.remove(process)
        return code, printed


def _environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith(_OF_LAUNCHERS)}


def _describe_failure(code: int, messages: Path) -> str:
    if code < 0:
        name = signal.Signals(-code).name if -code in set(signal.Signals) else f"signal {-code}"
        return f"killed by {name}{', perhaps for lack of memory' if name == 'SIGKILL' else ''}"
    lines = messages.read_text(errors="replace").splitlines() or [f"exit code {code}"]
    return lines[-1].partition(" error: ")[2] or lines[-1]
