"""The progress display of a training run."""

from __future__ import annotations

import os
import sys
import time
from typing import Any, TextIO

from tqdm import tqdm

from fastrnn.cli.standard_streams import ForgivingStream, show
from fastrnn.train import Record

__all__ = ["ProgressBar", "new_bar"]

_SECONDS_BETWEEN_LINES = 10.0


def _has_width(stream: TextIO) -> bool:
    try:
        return os.get_terminal_size(stream.fileno()).columns > 0
    except (OSError, ValueError):  # not a terminal, or not a file
        return False


class _NoLock:
    """In place of tqdm's lock: Ctrl-C while that is taken or released ends in a RuntimeError."""

    def acquire(self, *_: object, **__: object) -> bool:
        return True

    def release(self) -> None:
        pass

    def __enter__(self) -> _NoLock:
        return self

    def __exit__(self, *_: object) -> None:
        pass


class _Bar(tqdm):  # type: ignore[type-arg]  # at run time it takes no type
    """A bar that one thread alone uses."""

    monitor_interval = 0  # no thread that redraws it
    _lock: Any = _NoLock()


def new_bar(stream: Any = None, **options: Any) -> Any:
    """Return a bar of tqdm on standard error, which is shown if that is a terminal."""
    known = _has_width(sys.stderr)
    return _Bar(
        file=stream or ForgivingStream(sys.stderr),
        disable=None,  # if it is not a terminal
        dynamic_ncols=known,
        ncols=None if known else 80,
        **options,
    )


class ProgressBar:
    """Progress bar on a terminal; a line every ten seconds otherwise. What cannot be printed is dropped.

    Parameters
    ----------
    done, total : int
        Steps taken before this run, and total steps.
    to_stderr : bool
        Print lines on standard error, like the bar, because standard output is reserved for JSON.
    """

    def __init__(self, done: int, total: int, *, to_stderr: bool) -> None:
        self._error = ForgivingStream(sys.stderr)
        self._lines = self._error if to_stderr else ForgivingStream(sys.stdout)
        self._first, self._total = done, total
        self._began = self._last_line = time.monotonic()
        self._loss = self._speed = 0.0
        layout = "{percentage:3.0f}% |{bar}| {n_fmt}/{total_fmt} [{elapsed} < {remaining}]{postfix}"
        self._bar = new_bar(self._error, initial=done, total=total, unit="step", bar_format=layout)

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
        self._print(text, self._lines)

    def warn(self, text: str) -> None:
        """Print a warning on standard error, above the bar."""
        self._print(f"warning: {text}", self._error)

    def close(self) -> None:
        """Close the bar and leave it on the screen."""
        self._bar.close()

    def _print(self, text: str, stream: Any) -> None:
        self._bar.clear()
        show(text, stream=stream)
        self._bar.refresh()
