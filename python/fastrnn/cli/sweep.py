"""The command ``fastrnn sweep``: train with many settings, and compare the results."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click

from fastrnn._dispatch import get_num_threads
from fastrnn.cli.command_line import typed_again, typed_arguments
from fastrnn.cli.errors import FAILED, INTERRUPTED
from fastrnn.cli.output import json_option, print_json
from fastrnn.cli.ranked_command import RankedCommand, ranks_of
from fastrnn.cli.saved_config import config_path
from fastrnn.cli.standard_streams import ForgivingStream, show
from fastrnn.cli.threads import threads_option
from fastrnn.cli.trials.executors import run_trials, trial_executor
from fastrnn.cli.trials.results import ResultFolder, best_first
from fastrnn.cli.trials.summary import describe_options, describe_result, result_table, to_json
from fastrnn.cli.trials.sweep_file import read_sweep
from fastrnn.cli.trials.sweep_plan import Sweep
from fastrnn.cli.trials.trial import Result, Trial, measure_of, trials_of
from fastrnn.files.output_lock import hold_output

__all__ = ["command"]

_MOST_TRIALS = 1000
_SECTIONS = {"Files": "out resume", "Trials": "processes dry_run force"}


@click.command(name="sweep", cls=RankedCommand, sections=_SECTIONS)
@click.argument("file", type=click.Path(exists=True, dir_okay=False))
@click.option(
    "--out",
    type=click.Path(),
    help="Folder for the results and the models.  [default: FILE without its suffix]",
)
@click.option("--resume", is_flag=True, help="Run the trials that are missing in --out, or failed.")
@click.option(
    "--processes",
    type=click.IntRange(min=1),
    metavar="N",
    help="Trials at a time, which share --threads; one a rank under mpiexec.  [default: 1]",
)
@click.option("--dry-run", is_flag=True, help="List the trials, and run none.")
@click.option("--force", is_flag=True, help=f"Run more than {_MOST_TRIALS:,} trials.")
@threads_option
@json_option
@click.pass_context
def command(
    context: click.Context,
    /,
    file: str,
    out: str | None,
    resume: bool,
    processes: int | None,
    dry_run: bool,
    force: bool,
    as_json: bool,
) -> None:
    """Train with many settings that FILE lists, and compare the results.

    FILE is TOML. [command] has the name of a command, train or fit and its task, and its options. [grid] has
    lists, of which every combination is tried. [random] has ranges, from which options are drawn trials = N
    times, with a seed.

    Each trial is a run of the command in a process and a folder of its own: OUT/trial-0001 and so on have the
    model, its options, its log and its messages. OUT/results.jsonl has a line for each trial that has ended.
    A trial that fails is noted there, and the others run. Ctrl-C, SIGTERM and SIGHUP stop; --resume goes on.
    """
    ranks = ranks_of(context)
    with trial_executor(ranks, processes or 1) as executor:
        if executor is None:  # a rank whose work is done
            return
        if processes is not None and ranks.size > 1:
            raise ValueError("--processes: expected none under mpiexec; each rank but the first runs trials")
        sweep = read_sweep(file)
        _check_number(file, sweep, force)
        if dry_run:
            _list(sweep, as_json)
            return
        folder = ResultFolder(out or str(Path(file).with_suffix("")))
        run = _Run(file, sweep, folder, as_json)
        with run.begin(resume):
            at_a_time = max(1, min(processes or 1, len(run.missing)))
            threads = max(1, get_num_threads() // at_a_time) if ranks.size == 1 else None  # else the rank's
            stopped = run_trials(executor, run.missing, threads, run.record) or run.interrupted
    run.report(stopped)
    context.exit(INTERRUPTED if stopped else 0 if run.scored else FAILED)


def _check_number(file: str, sweep: Sweep, force: bool) -> None:
    if len(sweep) > _MOST_TRIALS and not force:
        parts = [f"{len(values)} of {name}" for name, values in sweep.grid.items()]
        parts += [f"{sweep.draws} draws"] * bool(sweep.random)
        raise ValueError(
            f"{file}: {len(sweep):,} trials: {' x '.join(parts)}; expected at most {_MOST_TRIALS:,}; "
            f"draw values in [random], such as choice = [...], or type: {typed_again('--force')}"
        )


def _list(sweep: Sweep, as_json: bool) -> None:
    if as_json:
        print_json({"command": sweep.command, "trials": list(sweep)})
        return
    for number, options in enumerate(sweep, start=1):
        show(f"trial {number}: {describe_options(options)}")
    show(f"{len(sweep):,} trials of fastrnn {sweep.command}")


class _Run:
    """One run of a sweep: the trials that are missing, and the results."""

    def __init__(self, file: str, sweep: Sweep, folder: ResultFolder, as_json: bool) -> None:
        self._file, self._sweep, self._folder, self._as_json = file, sweep, folder, as_json
        self._trials = trials_of(sweep, folder.path)
        self._measure = measure_of(sweep.command)
        self._results: dict[int, Result] = {}
        self.interrupted: bool = False  # a trial was, by a signal to itself or to its rank
        self._stream = ForgivingStream(sys.stderr if as_json else sys.stdout)

    @property
    def missing(self) -> list[Trial]:
        """The trials that have no score, in order."""
        return [one for one in self._trials if one.number not in self.scored]

    @property
    def scored(self) -> set[int]:
        """Numbers of the trials that have a score."""
        return {number for number, one in self._results.items() if one.score is not None}

    @contextmanager
    def begin(self, resume: bool) -> Iterator[None]:
        """Check and make the folder, read the results that are there, and keep other sweeps out of it."""
        if resume:
            self._folder.check_same(self._sweep)
        else:
            self._folder.check_new(self._file)
            self._folder.path.mkdir(parents=True, exist_ok=True)
        with hold_output(self._folder.results):
            self._folder.copy(self._file)
            found = self._folder.read()
            self._results = {one.number: found[one.number] for one in self._trials if one.number in found}
            for trial in self.missing:
                trial.check_free()
            self._say_start()
            yield

    def _say_start(self) -> None:
        there = f"{len(self.scored)} of them are there; " if self.scored else ""
        what = f"{len(self._trials):,} trials of fastrnn {self._sweep.command}"
        self._say(f"{what}; {there}results in {self._folder.results}")

    def record(self, result: Result) -> None:
        """Keep a result, and print its line."""
        self.interrupted |= result.interrupted
        if not result.interrupted:
            self._folder.append(result)
            self._results[result.trial] = result
        self._say(describe_result(result, len(self._trials), self._measure))

    def report(self, stopped: bool) -> None:
        """Print the table, or the object for programs, and what to type next."""
        results = list(self._results.values())
        if self._as_json:
            out = {"out": str(self._folder.path), "command": self._sweep.command, "interrupted": stopped}
            print_json({**out, **to_json(results, len(self._trials), self._measure)})
        elif results:
            self._say(result_table(results, self._sweep.tried, self._measure))
        if self.scored:
            best = best_first(results, self._measure)[0]
            config = config_path(self._trials[best.trial - 1].model)
            self._say(f"best: trial {best.trial}: {best.model}; its options: {config}")
        if self.missing:
            failed = len(results) - len(self.scored)
            parts = [f"{failed} failed: see messages.txt in their folders"] * bool(failed)
            stopped_trials = len(self.missing) - failed
            parts += [f"stopped with {stopped_trials} of {len(self._trials)} trials to run"] * bool(
                stopped_trials
            )
            self._say(f"{'; '.join(parts)}; to run them, type: {_resume_line()}")

    def _say(self, text: str) -> None:
        show(text, stream=self._stream)  # type: ignore[arg-type]  # what `show` needs of a stream


def _resume_line() -> str:
    return typed_again(*[] if "--resume" in typed_arguments() else ["--resume"])
