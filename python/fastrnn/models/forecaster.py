"""Forecast time series: the next step's distribution, and several steps in closed loop."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fastrnn._checks import as_choice, as_flag, as_number, as_size
from fastrnn._plain import as_fields, as_list, as_mapping
from fastrnn.models.backtest import Backtest
from fastrnn.models.base.encoder import SequenceEncoder
from fastrnn.models.base.estimator import SequenceModel
from fastrnn.models.base.examples import Examples, as_batch, fraction_of, weighted_loss
from fastrnn.models.closed_loop import ClosedLoop
from fastrnn.models.forecast_network import ForecastBatch, ForecastNetwork
from fastrnn.models.number_targets import r2_score
from fastrnn.models.series_panel import as_panel, check_long_enough, check_positive
from fastrnn.models.series_transform import SeriesTransform

if TYPE_CHECKING:
    from typing_extensions import Self

    from fastrnn.train.distributed import Ranks

__all__ = ["Forecaster"]

Floats = NDArray[np.float64]


@dataclass(eq=False, repr=False, kw_only=True)
class Forecaster(SequenceModel):
    """Forecast one series or several: the next step, or many steps in closed loop, with quantiles.

    The network reads the last `window` steps and gives quantiles of the next step (the quantile loss at every
    step). Several steps ahead are simulated: a path draws its next step from them, reads its own draw, and
    keeps its state; the quantiles of many paths are those of the forecast (as Salinas et al. 2020, with
    quantiles in place of a parametric distribution). Of several columns, each is drawn by itself given the
    past. The settings that all models share are those of `fastrnn.models.SequenceModel`, without those of
    symbols and without ``bidirectional``; the others:

    Parameters
    ----------
    window : int, default 48
        Steps that are read for a forecast; all windows of the series are examples.
    transform : {"log"}, optional
        Of the series, before differences.
    difference : int or sequence of int, optional
        Read and forecast differences to the value so many steps before, such as 1, 12 (seasonal), or both.
    levels : int, default 19
        Q, the quantiles of the next step: evenly spaced, at 1 / (Q + 1), ..., Q / (Q + 1).

    Raises
    ------
    ValueError, TypeError
        By ``fit``, if a setting is wrong, a number is not finite, or a series is too short.

    References
    ----------
    Salinas et al. (2020), "DeepAR: Probabilistic forecasting with autoregressive recurrent networks".
    Wen et al. (2017), "A Multi-Horizon Quantile Recurrent Forecaster", for the quantile loss at every step.

    Examples
    --------
    >>> import numpy as np
    >>> import fastrnn as fr
    >>> series = 50 + 10 * np.sin(np.arange(120) * 2 * np.pi / 12)
    >>> model = fr.models.Forecaster(window=24, hidden_size=8, epochs=15, learning_rate=0.02, random_state=0)
    >>> model = model.fit(series)
    >>> model.predict(12).shape
    (12,)
    >>> bands = model.predict(12, quantiles=(0.1, 0.5, 0.9))
    >>> sorted(bands), bool((bands[0.1] <= bands[0.9]).all())
    ([0.1, 0.5, 0.9], True)
    """

    window: int = 48
    transform: str | None = None
    difference: int | Sequence[int] | None = None
    levels: int = 19

    def fit(
        self,
        X: Any,
        exogenous: Any = None,
        *,
        validation: tuple[Any, Any] | None = None,
        ranks: Ranks | None = None,
    ) -> Self:
        """Train the model from the beginning.

        Parameters
        ----------
        X : array_like, float [T] or [T, D], or list of such
            The series.
        exogenous : array_like, float [T, E] or [T], or list of such, optional
            What is known of each step beforehand, such as the month.
        validation : (series, exogenous), optional
            Default with `early_stopping`: the last windows.
        ranks : Ranks, optional
            The processes that train the model together; see `SequenceModel.fit`.

        Returns
        -------
        self
        """
        return super().fit(X, exogenous, validation=validation, ranks=ranks)

    def predict(
        self,
        steps: int = 1,
        history: Any = None,
        exogenous: Any = None,
        *,
        quantiles: Sequence[float] | None = None,
        paths: int = 500,
        seed: int = 0,
    ) -> Any:
        """Return the steps after a series, in closed loop.

        Parameters
        ----------
        steps : int
            S.
        history : series, as for `fit`, optional
            Default: those of training.
        exogenous : as for `fit`, if it was given there
            Of the history and of the S steps after it; of these alone if there is no history.
        quantiles : sequence of float, optional
            Levels, in (0, 1).
        paths, seed : int
            The number of simulated paths, and where they start from: the same seed gives the same quantiles.

        Returns
        -------
        forecast : ndarray, float64 [S] or [S, D], or list of such
            Without `quantiles`: each step is the middle of its distribution, and is fed back.
        quantiles : dict of float to such
            With `quantiles`.
        """
        self._check_fitted("predict")
        count, wanted = as_size("steps", steps), _as_levels(quantiles)
        if history is None:
            single, panel = self._single, self._tails
            future = self._known(exogenous, single, [count] * len(panel))
            known = [np.concatenate(pair) for pair in zip(self._known_tails, future, strict=True)]
        else:
            panel, single = self._panel(history, "history", self._transform.lost + 1)
            known = self._known(exogenous, single, [len(one) + count for one in panel])
        results = []
        for series, own in zip(panel, known, strict=True):
            drawn = self._simulate(series, own, [len(series)], count, wanted, as_size("paths", paths), seed)
            results.append(_only(drawn, wanted, self._flat))
        return results[0] if single else results

    def one_step_predictions(self, series: Any, exogenous: Any = None) -> Any:
        """Return the forecast of each step from the true steps before it.

        Returns
        -------
        forecasts : ndarray, float64, of the shape of the series, or list of such
            NaN for the first steps, which have no past of which a difference can be made.
        """
        self._check_fitted("one_step_predictions")
        panel, single = self._panel(series, "series", self._transform.lost + 2)
        known = self._known(exogenous, single, [len(one) for one in panel])
        results = []
        for one, own in zip(panel, known, strict=True):
            first = self._transform.lost + 1
            forecast = np.full(one.shape, np.nan)
            forecast[first:] = self._simulate(one, own, range(first, len(one)), 1, None, 1, 0)[None][:, 0]
            results.append(forecast[:, 0] if self._flat else forecast)
        return results[0] if single else results

    def backtest(
        self,
        series: Any,
        steps: int,
        start: int,
        exogenous: Any = None,
        *,
        quantiles: Sequence[float] = (0.1, 0.5, 0.9),
        paths: int = 200,
        seed: int = 0,
    ) -> Backtest:
        """Return forecasts of S steps from every origin of one series, from step `start` on."""
        self._check_fitted("backtest")
        count, wanted = as_size("steps", steps), _as_levels(quantiles)
        panel, single = self._panel(series, "series", self._transform.lost + 1 + count)
        if not single:
            raise ValueError("series: expected one series, got a list")
        one = panel[0]
        known = self._known(exogenous, True, [len(one)])[0]
        first = as_size("start", start, least=self._transform.lost + 1, most=len(one) - count)
        origins = np.arange(first, len(one) - count + 1)
        drawn = self._simulate(one, known, origins, count, wanted, as_size("paths", paths), seed)
        truth = np.stack([one[origin : origin + count] for origin in origins])
        if self._flat:
            truth, drawn = truth[..., 0], {level: values[..., 0] for level, values in drawn.items()}
        return Backtest(origins, truth, {level: drawn[level] for level in wanted or ()})

    def score(self, series: Any, exogenous: Any = None) -> float:
        """Return R^2 of the one-step forecasts, over all steps of all series."""
        panel, single, _ = as_panel("series", series)
        found = self.one_step_predictions(series, exogenous)
        rows = [found] if single else found
        forecasts = [np.reshape(one, own.shape) for one, own in zip(rows, panel, strict=True)]
        first = self._transform.lost + 1
        return r2_score(
            np.concatenate([one[first:] for one in panel]), np.concatenate([one[first:] for one in forecasts])
        )

    # ---- what the base class asks for

    def _learn(self, X: Any, y: Any, rng: np.random.Generator) -> None:
        if self.bidirectional:
            raise ValueError("bidirectional: expected False, as a forecast cannot read the future, got True")
        window, lags = as_size("window", self.window), self._lags()
        as_size("levels", self.levels, least=3)
        if self.transform is not None:
            as_choice("transform", self.transform, ("log",))
        panel, self._single, self._flat = as_panel("series", X)
        self._transform = SeriesTransform(self.transform == "log", lags, np.zeros(1), np.ones(1))
        self._check(panel, "series", self._single, self._transform.lost + 2)
        self._transform = SeriesTransform.learn(panel, log=self._transform.log, lags=lags)
        self._known_width, self._known_mean, self._known_scale = 0, np.zeros(0), np.ones(0)
        if y is not None:
            known, _, _ = as_panel("exogenous", y)
            every = np.concatenate(known)
            self._known_width = every.shape[1]
            self._known_mean, self._known_scale = every.mean(axis=0), every.std(axis=0)
            self._known_scale[self._known_scale <= 1e-12 * np.abs(self._known_mean)] = 1.0
            if not (np.isfinite(self._known_mean).all() and np.isfinite(self._known_scale).all()):
                raise ValueError("exogenous: the numbers are too large to standardize; divide them first")
        kept = window + self._transform.lost + 1
        self._tails = [series[-kept:] for series in panel]
        own = self._known(y, self._single, [len(series) for series in panel])
        self._known_tails = [one[-kept:] for one in own]
        self.network_: Any = self._new_network(rng)

    def _make_network(self, rng: np.random.Generator) -> ForecastNetwork:
        width = len(self._transform.mean)
        encoder = SequenceEncoder(
            width + self._known_width, embedding_size=None, cell=self.cell, hidden_size=self.hidden_size,
            num_layers=self.num_layers, bidirectional=False, dropout=self.dropout,
            cell_options=self.cell_options, dtype=self.dtype, rng=rng,
        )  # fmt: skip
        levels = np.arange(1, self.levels + 1) / (self.levels + 1)
        return ForecastNetwork(encoder, width, levels=levels, rng=rng)

    def _examples(self, X: Any, y: Any) -> Examples:
        panel, single = self._panel(X, "series", self._transform.lost + 2)
        known = self._known(y, single, [len(series) for series in panel])
        inputs, targets = [], []
        for series, own in zip(panel, known, strict=True):
            x, z = self._inputs(series, own), self._transform.encode(series)[1:].astype(self.dtype)
            size = min(self.window, len(z))
            for start in range(len(z) - size + 1):
                inputs.append(x[start : start + size])
                targets.append(z[start : start + size])

        def make(rows: NDArray[np.int64]) -> ForecastBatch:
            return ForecastBatch(*as_batch(inputs, rows), as_batch(targets, rows)[0])

        return Examples([len(one) for one in inputs], make)

    def _split(self, training: Examples, rng: np.random.Generator) -> tuple[Examples, Examples]:
        """Hold out the last windows: windows overlap, so a random part would be known from its neighbours."""
        count = max(round(self.validation_fraction * len(training)), 1)
        last = len(training) - count
        if last - self.window < 1:
            raise ValueError(
                f"series: expected more than {count + self.window} windows to hold out the last {count}, got "
                f"{len(training)}; pass validation=(series, exogenous) to fit, or set early_stopping=False"
            )
        first = training.subset(np.arange(last - self.window + 1))
        return first, training.subset(np.arange(last, len(training)))

    def _measure(self, rows: NDArray[np.int64], batch: ForecastBatch) -> tuple[float, float]:
        return weighted_loss(self.network_, batch)

    def _score_of(self, measured: list[tuple[float, float]]) -> float:
        return -fraction_of(measured)

    def _learned(self) -> dict[str, Any]:
        return {
            "transform": self._transform.to_plain(), "single": self._single, "flat": self._flat,
            "known_mean": self._known_mean.tolist(), "known_scale": self._known_scale.tolist(),
            "tails": [one.tolist() for one in self._tails],
            "known_tails": [one.tolist() for one in self._known_tails],
        }  # fmt: skip

    def _restore(self, values: Mapping[str, Any]) -> None:
        numbers = partial(as_list, check=as_number)
        tables = partial(as_list, check=partial(as_list, check=numbers))
        checks: dict[str, Any] = {
            "transform": as_mapping, "single": as_flag, "flat": as_flag, "known_mean": numbers,
            "known_scale": numbers, "tails": tables, "known_tails": tables,
        }  # fmt: skip
        fields = as_fields("learned", values, checks)
        self._transform = SeriesTransform.from_plain(fields["transform"])
        self._single, self._flat = fields["single"], fields["flat"]
        self._known_mean, self._known_scale = np.array(fields["known_mean"]), np.array(fields["known_scale"])
        self._known_width, width = len(self._known_mean), len(self._transform.mean)
        self._tails = [np.array(one, np.float64).reshape(-1, width) for one in fields["tails"]]
        self._known_tails = [
            np.array(own, np.float64).reshape(len(one), self._known_width)
            for one, own in zip(self._tails, fields["known_tails"], strict=True)
        ]

    # ---- series

    def _lags(self) -> tuple[int, ...]:
        if self.difference is None:
            return ()
        if isinstance(self.difference, (list, tuple)):
            return tuple(as_size(f"difference[{i}]", lag) for i, lag in enumerate(self.difference))
        return (as_size("difference", self.difference),)

    def _check(self, panel: list[Floats], name: str, single: bool, least: int) -> None:
        why = f" with difference={self.difference}" if self._transform.lost else ""
        check_long_enough(name, panel, single, least, why)
        if self._transform.log:
            check_positive(name, panel, single)

    def _panel(self, series: Any, name: str, least: int) -> tuple[list[Floats], bool]:
        panel, single, _ = as_panel(name, series)
        width = len(self._transform.mean)
        if panel[0].shape[1] != width:
            raise ValueError(f"{name}: expected {width} columns as in training, got {panel[0].shape[1]}")
        self._check(panel, name, single, least)
        return panel, single

    def _known(self, exogenous: Any, single: bool, steps: list[int]) -> list[Floats]:
        """Return what is known of each step, standardized at reading, [T, E] for each series."""
        if not self._known_width:
            if exogenous is not None:
                raise ValueError("exogenous: expected None, as in training, got inputs")
            return [np.zeros((count, 0)) for count in steps]
        if exogenous is None:
            raise ValueError(f"exogenous: expected {steps[0]} steps of {self._known_width} inputs, got None")
        known, own_single, _ = as_panel("exogenous", exogenous)
        if own_single != single or len(known) != len(steps):
            raise ValueError(f"exogenous: expected inputs for {len(steps)} series, got {len(known)}")
        for row, (one, count) in enumerate(zip(known, steps, strict=True)):
            if one.shape != (count, self._known_width):
                name = "exogenous" if single else f"exogenous[{row}]"
                raise ValueError(f"{name}: expected shape {[count, self._known_width]}, got {[*one.shape]}")
        return known

    def _inputs(self, series: Floats, known: Floats) -> NDArray[Any]:
        """Return what is read: each value but the last, with what is known of the next, [-1, D + E]."""
        z, own = self._transform.encode(series), (known - self._known_mean) / self._known_scale
        return np.concatenate([z[:-1], own[self._transform.lost + 1 :]], axis=1).astype(self.dtype)

    def _simulate(
        self,
        series: Floats,
        known: Floats,
        origins: Sequence[int] | NDArray[np.int64],
        steps: int,
        levels: tuple[float, ...] | None,
        paths: int,
        seed: int,
    ) -> dict[float | None, Floats]:
        known = (known - self._known_mean) / self._known_scale
        loop = ClosedLoop(self.network_, self._transform, self.window, series, known)
        return loop.run(origins, steps, levels, paths, np.random.default_rng(seed))


def _as_levels(quantiles: Sequence[float] | None) -> tuple[float, ...] | None:
    if quantiles is None:
        return None
    if isinstance(quantiles, (str, bytes)) or not hasattr(quantiles, "__iter__"):
        raise TypeError(
            f"quantiles: expected a sequence of levels, got {type(quantiles).__name__}; write [{quantiles!r}]"
        )
    levels = tuple(as_number(f"quantiles[{i}]", q, above=0.0, below=1.0) for i, q in enumerate(quantiles))
    if not levels:
        raise ValueError("quantiles: expected at least one level, such as 0.5, got none")
    return levels


def _only(drawn: dict[Any, Floats], levels: tuple[float, ...] | None, flat: bool) -> Any:
    own = {level: values[0, :, 0] if flat else values[0] for level, values in drawn.items()}
    return own[None] if levels is None else own
