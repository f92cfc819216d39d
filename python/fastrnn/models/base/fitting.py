"""The training loop of models with ``fit``: epochs, validation, early stop."""

from __future__ import annotations

import math
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastrnn._arrays import Array
from fastrnn.data import length_buckets
from fastrnn.files.interrupts import defer_interrupts
from fastrnn.layers import Module
from fastrnn.models.base.batch_gradients import BatchGradients
from fastrnn.models.base.examples import Batch, Examples, fraction_of, weighted_loss
from fastrnn.train import Adam, AdamW, ConstantSchedule, CosineSchedule, Optimizer
from fastrnn.train.distributed import Ranks
from fastrnn.train.distributed.agreement import as_ranks
from fastrnn.train.update import clipped_update

__all__ = [
    "SCHEDULES",
    "FitSettings",
    "History",
    "fit_network",
    "mean_loss",
    "new_optimizer",
    "split_examples",
]

SCHEDULES = ("constant", "cosine")
_WARMUP = 0.05  # the fraction of all steps over which the learning rate rises

#: A list for each quantity, with an entry for each epoch.
History = dict[str, list[float]]


@dataclass(frozen=True)
class FitSettings:
    """The settings of a training, checked; `SequenceModel` documents them."""

    epochs: int
    batch_size: int
    learning_rate: float
    schedule: str
    weight_decay: float
    clip_norm: float | None
    early_stopping: bool
    n_iter_no_change: int
    verbose: bool


def new_optimizer(network: Module, settings: FitSettings) -> Optimizer:
    """Return Adam, or AdamW if there is weight decay."""
    if settings.weight_decay:
        return AdamW(network, settings.learning_rate, weight_decay=settings.weight_decay)
    return Adam(network, settings.learning_rate)


def fit_network(
    network: Any,
    training: Examples,
    validation: Examples | None,
    settings: FitSettings,
    *,
    score: Callable[[Examples, Ranks], float],
    optimizer: Optimizer | None = None,
    ranks: Ranks | None = None,
) -> History:
    """Train a network in place.

    Each batch is weighted by its share of the epoch's targets, so that each target has the same weight
    whichever batch it is in. With validation examples, each epoch ends with their loss and score; with early
    stopping, the parameters of the best score are kept in the end. Ctrl-C after the first epoch ends the
    training with a warning; before, it is raised. Several ranks end at the same step.

    Parameters
    ----------
    network : Network
    training, validation : Examples
    settings : FitSettings
    score : callable
        Returns the score of examples, computed by all ranks, higher is better.
    optimizer : Optimizer, optional
        One that has made steps before; default: a new one.
    ranks : Ranks, optional
        The processes that train together, all with the same examples, parameters and generators; default:
        this one.

    Returns
    -------
    history : dict of str to list of float
        "loss", "learning_rate", "gradient_norm" (mean over the steps, before clipping), "gradient_norm_max",
        "seconds", and with validation "validation_loss" and "validation_score".

    Raises
    ------
    TrainingDiverged
        If a loss or a gradient is not finite; the parameters are those before that step.
    """
    optimizer, ranks = optimizer or new_optimizer(network, settings), as_ranks(ranks)
    loop = _Loop(network, training, validation, settings, score, optimizer, ranks)
    with _progress(settings, ranks) as bar:
        try:
            with loop.noting_stops():
                for epoch in range(settings.epochs):
                    loop.run_epoch(epoch)
                    bar.update(loop.history)
                    if loop.stopped:
                        break
        except KeyboardInterrupt:
            if not loop.history["loss"]:
                raise
            done = len(loop.history["loss"])
            if ranks.is_first:
                warnings.warn(f"training interrupted after epoch {done} of {settings.epochs}", stacklevel=3)
    loop.keep_best()
    return loop.history


class _Loop:
    """A training: its position and what it has measured."""

    def __init__(
        self,
        network: Any,
        training: Examples,
        validation: Examples | None,
        settings: FitSettings,
        score: Callable[[Examples, Ranks], float],
        optimizer: Optimizer,
        ranks: Ranks,
    ) -> None:
        self.network, self.training, self.validation = network, training, validation
        self.settings, self.score, self.optimizer, self.ranks = settings, score, optimizer, ranks
        self.gradients = BatchGradients(network, training, ranks)
        names = ["loss", "learning_rate", "gradient_norm", "gradient_norm_max", "seconds"]
        self.history: History = {name: [] for name in names}
        if validation is not None:
            self.history |= {"validation_loss": [], "validation_score": []}
        self.schedule: ConstantSchedule | None = None
        self.step, self.weight = 0, 0.0  # of all examples
        self.best_score, self.waited = (-math.inf, -math.inf), 0
        self.best: Array | None = None
        self.signals: list[int] = []  # that told this rank to stop

    @contextmanager
    def noting_stops(self) -> Iterator[None]:
        """Note Ctrl-C and its like in place of raising it, until all ranks have agreed to stop."""
        if self.ranks.size == 1:
            yield
            return
        with defer_interrupts() as self.signals:
            yield

    @property
    def stopped(self) -> bool:
        return self.settings.early_stopping and self.waited >= self.settings.n_iter_no_change

    def run_epoch(self, epoch: int) -> None:
        """Make a pass over the training examples, and one over the validation examples."""
        started = time.perf_counter()
        if hasattr(self.network, "start_epoch"):
            self.network.start_epoch(epoch, self.settings.epochs)
        buckets = length_buckets(self.training.lengths, self.settings.batch_size, seed=self.network.rng)
        if self.schedule is None:
            self.schedule = self._new_schedule(len(buckets))
            weights = self.training.map_batches(_weight, self.settings.batch_size, self.ranks)
            self.weight = sum(weights)
        usual = self.weight / len(buckets)
        total = weight = 0.0
        rate = 0.0
        norms: list[float] = []
        for rows in buckets:
            batch = self.gradients.compute(rows, usual, stop=bool(self.signals))
            if batch.stopped:
                raise KeyboardInterrupt
            if batch.weight == 0.0:
                continue
            self.step += 1
            rate = self.schedule.rate(self.step)
            with defer_interrupts():
                norm = clipped_update(self.optimizer, batch.mean, self.step, rate, self.settings.clip_norm)
            norms.append(norm)
            total += batch.mean * batch.weight
            weight += batch.weight
        entry = {
            "loss": total / weight if weight else math.nan,
            "learning_rate": rate,
            "gradient_norm": float(np.mean(norms)) if norms else math.nan,
            "gradient_norm_max": max(norms, default=math.nan),
        }
        if self.validation is not None:
            size = self.settings.batch_size
            entry["validation_loss"] = mean_loss(self.network, self.validation, size, self.ranks)
            entry["validation_score"] = self.score(self.validation, self.ranks)
        # After the pass over the validation examples, which takes its time: signals that came meanwhile.
        seconds, stops = zip(
            *self.ranks.gather((time.perf_counter() - started, bool(self.signals))), strict=True
        )
        entry["seconds"] = seconds[0]
        for name, value in entry.items():
            self.history[name].append(float(value))
        if self.settings.early_stopping and self.validation is not None:
            self._observe(entry["validation_score"], entry["validation_loss"])
        if any(stops):
            raise KeyboardInterrupt

    def keep_best(self) -> None:
        """Set the parameters to those of the best score."""
        if self.best is not None:
            self.network.parameters._writable_flat()[...] = self.best

    def _observe(self, score: float, loss: float) -> None:
        """Keep the parameters of the best score, of equal ones those of the lowest loss."""
        self.waited = 0 if score > self.best_score[0] else self.waited + 1
        if (score, -loss) > self.best_score:
            self.best_score = (score, -loss)
            self.best = self.network.parameters.flat.copy()

    def _new_schedule(self, batches: int) -> ConstantSchedule:
        settings = self.settings
        if settings.schedule == "constant":
            return ConstantSchedule(settings.learning_rate)
        steps = settings.epochs * batches
        return CosineSchedule(settings.learning_rate, steps=steps, warmup=int(_WARMUP * steps))


def mean_loss(network: Any, examples: Examples, batch_size: int, ranks: Ranks) -> float:
    """Return the mean loss of examples, without dropout. Collective."""
    return fraction_of(
        examples.map_batches(lambda rows, batch: weighted_loss(network, batch), batch_size, ranks)
    )


def _weight(rows: NDArray[np.int64], batch: Batch) -> float:
    return batch.weight


def split_examples(
    examples: Examples, fraction: float, rng: np.random.Generator, names: Any = None
) -> tuple[Examples, Examples]:
    """Split examples at random into those for training and a fraction for validation.

    Where they have strata, each has its share in both parts, and at least one example in both.

    Raises
    ------
    ValueError
        If there is one example only, of all or of a stratum; the message names its class.
    """
    names = None if examples.strata is None else names
    strata = np.zeros(len(examples), np.int64) if examples.strata is None else examples.strata
    held: list[int] = []
    for stratum in np.unique(strata):
        rows = rng.permutation(np.flatnonzero(strata == stratum))
        if len(rows) < 2:
            what = (
                "the examples" if names is None else f"the class {np.asarray(names).tolist()[int(stratum)]!r}"
            )
            raise ValueError(
                f"y: expected at least 2 examples of each class for a validation split, but {what} has 1; "
                "add one, leave it out, pass validation=(X, y) to fit, or set early_stopping=False"
                if names is not None
                else "X: expected at least 2 sequences for a validation split, got 1; "
                "pass validation=(X, y) to fit, or set early_stopping=False"
            )
        count = min(max(round(fraction * len(rows)), 1), len(rows) - 1)
        held += rows[:count].tolist()
    chosen = np.zeros(len(examples), np.bool_)
    chosen[held] = True
    return examples.subset(np.flatnonzero(~chosen)), examples.subset(np.flatnonzero(chosen))


class _progress:  # used as a function
    """A progress bar on standard error, with a step for each epoch; nothing unless verbose, on rank 0."""

    def __init__(self, settings: FitSettings, ranks: Ranks) -> None:
        self._bar: Any = None
        if settings.verbose and ranks.is_first:
            from tqdm import tqdm

            self._bar = tqdm(total=settings.epochs, unit="epoch", dynamic_ncols=True)

    def __enter__(self) -> _progress:
        return self

    def __exit__(self, *error: object) -> None:
        if self._bar is not None:
            self._bar.close()

    def update(self, history: History) -> None:
        """Show the last entry of each quantity."""
        if self._bar is None:
            return
        names = {"loss": "loss", "validation_loss": "validation", "validation_score": "score"}
        shown = [f"{names[name]} {values[-1]:.4g}" for name, values in history.items() if name in names]
        self._bar.set_postfix_str(", ".join(shown), refresh=False)
        self._bar.update()
