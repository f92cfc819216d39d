"""The progress display of a training run."""

from __future__ import annotations

import os
import sys
import time
from typing import TextIO

import click
from tqdm import tqdm

from fastrnn.train import Record

__all__ = ["ProgressBar"]

_SECONDS_BETWEEN_LINES = 10.0


def _has_width(stream: TextIO) -> bool:
    try:
        return os.get_terminal_size(stream.fileno()).columns > 0
    except (OSError, ValueError):  # not a terminal, or not a file
        return False


class ProgressBar:
    """Progress bar on a terminal; a line every ten seconds otherwise.

    Parameters
    ----------
    done, total : int
        Steps taken before this run, and total steps.
    to_stderr : bool
        Print lines on standard error, like the bar, because standard output is reserved for JSON.
    """

    def __init__(self, done: int, total: int, *, to_stderr: bool) -> None:
        self._to_stderr = to_stderr
        self._first, self._total = done, total
        self._began = self._last_line = time.monotonic()
        self._loss = self._speed = 0.0
        known = _has_width(sys.stderr)
        self._bar = tqdm(
            initial=done,
            total=total,
            unit="step",
            disable=None,  # if standard error is not a terminal
            dynamic_ncols=known,
            ncols=None if known else 80,
            bar_format="{percentage:3.0f}% |{bar}| {n_fmt}/{total_fmt} [{elapsed} < {remaining}]{postfix}",
        )

    def show(self, record: Record) -> None:
        """Show the progress after a step."""
        weight = 0.05 if self._speed else 1.0
        self._loss += weight * (record.loss - self._loss)
        self._speed += weight * (record.tokens_per_second - self._speed)
        text = f"loss {self._loss:.3f}, {self._speed:,.0f} tokens/s"
        self._bar.set_postfix_str(text, refresh=False)
        self._bar.update(record.step - self._bar.n)
        now = time.monotonic()
        if self._bar.disable and now - self._last_line >= _SECONDS_BETWEEN_LINES:
            self._last_line = now
            seconds = (now - self._began) / max(record.step - self._first, 1) * (self._total - record.step)
            self.say(f"step {record.step}/{self._total}  {text}, {tqdm.format_interval(seconds)} left")

    def say(self, text: str) -> None:
        """Print one or more lines above the bar."""
        with tqdm.external_write_mode(file=sys.stderr if self._to_stderr else sys.stdout):
            click.echo(text, err=self._to_stderr)

    def warn(self, text: str) -> None:
        """Print a warning on standard error, above the bar."""
        with tqdm.external_write_mode(file=sys.stderr):
            click.echo(f"warning: {text}", err=True)

    def close(self) -> None:
        """Close the bar and leave it on the screen."""
        self._bar.close()
