"""Progress of commands that read long inputs: a bar on a terminal, with the speed; nothing elsewhere."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from fastrnn.cli.progress_bar import new_bar

if TYPE_CHECKING:
    from fastrnn.language import LanguageModel
    from fastrnn.train.distributed import Ranks

__all__ = ["in_parts", "progress_is_shown", "watched"]

_DELAY = 1.0  # seconds before there is a bar: what takes less has none
_PARTS, _LEAST, _MOST = 50, 32, 1000  # of the rows: parts, and the limits of their size


def progress_is_shown(as_json: bool) -> bool:
    """Return whether a command shows its progress: on a terminal, if its output is for people."""
    return not as_json and sys.stderr.isatty()


@contextmanager
def watched(model: LanguageModel, tokens: int, *, shown: bool) -> Iterator[LanguageModel]:
    """Yield a model whose losses move a bar, or the model itself if none is shown.

    Parameters
    ----------
    model : LanguageModel
    tokens : int
        The number of tokens to predict.
    shown : bool
    """
    if not shown:
        yield model
        return
    with _bar(tokens, "tokens") as update:
        yield cast("LanguageModel", _Watched(model, update))


def in_parts(predict: Callable[[Any], Any], rows: Any, *, shown: bool, ranks: Ranks | None = None) -> Any:
    """Return what a model predicts for rows; if a bar is shown, part by part, with the same results.

    Parameters
    ----------
    predict : callable
        Returns an array or a list, with an entry for each row.
    rows : sequence
    shown : bool
    ranks : Ranks, optional
        Processes that share the rows; each returns the predictions for all of them.

    Examples
    --------
    >>> from fastrnn.cli.reading_progress import in_parts
    >>> in_parts(lambda rows: [row * 2 for row in rows], "ab", shown=False)
    ['aa', 'bb']
    """
    size = min(max(len(rows) // _PARTS, _LEAST), _MOST)
    shared = ranks is not None and ranks.size > 1
    if len(rows) <= size or not (shown or shared):
        return predict(rows)
    parts = [slice(start, start + size) for start in range(0, len(rows), size)]
    try:
        if ranks is not None and shared:
            found = ranks.map(lambda part: predict(rows[part]), parts)
        else:
            with _bar(len(rows), "rows") as update:
                found = [_predicted(predict, rows[part], update) for part in parts]
    except (ValueError, TypeError):
        return predict(rows)  # which says what is wrong, with the number of the row
    if isinstance(found[0], np.ndarray):
        return np.concatenate(found)
    return [one for part in found for one in part]


def _predicted(predict: Callable[[Any], Any], rows: Any, report: Callable[[int], object]) -> Any:
    result = predict(rows)
    report(len(rows))
    return result


class _Watched:
    """A language model that reports how many targets it has predicted."""

    def __init__(self, model: LanguageModel, report: Callable[[int], object]) -> None:
        self._model, self._report = model, report

    def loss(self, inputs: Any, targets: Any, *rest: Any, **options: Any) -> tuple[float, Any]:
        result = self._model.loss(inputs, targets, *rest, **options)
        self._report(int(np.count_nonzero(targets != -1)))
        return result

    def target_losses(self, inputs: Any, targets: Any, *rest: Any, **options: Any) -> tuple[Any, Any, Any]:
        result = self._model.target_losses(inputs, targets, *rest, **options)
        self._report(int(np.count_nonzero(targets != -1)))
        return result

    def __getattr__(self, name: str) -> Any:
        return getattr(self._model, name)


@contextmanager
def _bar(total: int, unit: str) -> Iterator[Callable[[int], object]]:
    """Yield a function that moves a bar on standard error, which is gone at the end."""
    layout = "{percentage:3.0f}% |{bar}| {n_fmt}/{total_fmt} [{elapsed} < {remaining}] {rate_fmt}"
    bar = new_bar(total=total, unit=f" {unit}", unit_scale=True, delay=_DELAY, leave=False, bar_format=layout)
    try:
        yield bar.update
    finally:
        bar.close()
