"""Echo state networks for series: a target at each step, the next step, and generation in closed loop."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fastrnn._checks import as_flag, as_size
from fastrnn._plain import as_fields, as_mapping, optional
from fastrnn.models.base.scikit_estimator import regressor_tags
from fastrnn.models.number_targets import r2_score
from fastrnn.models.reservoir.build import ReservoirSettings, make_groups
from fastrnn.models.reservoir.closed_loop import continue_outputs, continue_series, step_outputs
from fastrnn.models.reservoir.memory_capacity import MemoryCapacity, measure_capacity
from fastrnn.models.reservoir.model import EchoStateModel
from fastrnn.models.reservoir.network import ReservoirNetwork
from fastrnn.models.reservoir.series_arrays import as_series, check_columns
from fastrnn.models.reservoir.training_on import Data
from fastrnn.models.series_panel import check_long_enough

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["EchoStateNetwork"]

Floats = NDArray[np.float64]


@dataclass(eq=False, repr=False, kw_only=True)
class EchoStateNetwork(EchoStateModel):
    """Predict a target at each step of a series, or its next step, by a reservoir with a linear readout.

    Data are one series, an array [T] or [T, D], or a list of several. Without targets the target of each step
    is the next one.

    The settings that echo state models share are those of `fastrnn.models.EchoStateModel`; the others:

    Parameters
    ----------
    feedback_scaling : float or sequence of float, default 0.0
        Scale of the weights W_back by which outputs are fed back into the reservoirs, or one for each output.
        Above 0, the true outputs are fed back in training (teacher forcing), the predicted ones later.

    Raises
    ------
    ValueError, TypeError
        By ``fit``, if a setting is wrong, a number is not finite, or a series is not longer than the washout.

    References
    ----------
    Jaeger (2001), "The 'echo state' approach to analysing and training recurrent neural networks". Jaeger,
    Haas (2004), "Harnessing Nonlinearity". Lukoševičius (2012), "A Practical Guide to Applying Echo State
    Networks". Gallicchio, Micheli, Pedrelli (2017), "Deep Reservoir Computing: A Critical Experimental
    Analysis".

    Examples
    --------
    The input five steps before, from the states of 50 units:

    >>> import numpy as np
    >>> import fastrnn as fr
    >>> x = np.random.default_rng(0).uniform(-0.5, 0.5, 1000)
    >>> model = fr.models.EchoStateNetwork(hidden_size=50, input_scaling=0.1, washout=50, random_state=0)
    >>> model = model.fit(x, np.roll(x, 5))
    >>> model.score(x, np.roll(x, 5)) > 0.99
    True

    Without a target it learns the next step, and generates:

    >>> wave = np.sin(0.3 * np.arange(600))
    >>> model = fr.models.EchoStateNetwork(hidden_size=50, washout=50, random_state=0).fit(wave[:500])
    >>> path = model.generate(100, warmup=wave[:500])
    >>> bool(np.abs(path - wave[500:]).max() < 0.01)
    True

    Unfrozen, the same object is trained on by backpropagation through time:

    >>> model.unfreeze().set_params(epochs=2).fit_further(wave[:500]).unfrozen_
    True
    """

    feedback_scaling: float | Sequence[float] = 0.0

    def partial_fit(self, X: Any, y: Any = None, *, carry: bool = False) -> Self:
        """Fit the readout to further data, and those before: in one pass, as if all had been there at once.

        Once unfrozen, train for one pass over the data by backpropagation through time.

        Parameters
        ----------
        X, y
            As for `fit`.
        carry : bool, default False
            Whether the series go on where those of the last call ended, with their states; there must be as
            many. Default: they are others, each with its washout.

        Returns
        -------
        self

        Raises
        ------
        ValueError, TypeError
            As for `fit`, or if there are several ridges to choose from.
        """
        return self._fit_part(X, y, carry=carry)

    def predict(self, X: Any = None, *, steps: int | None = None) -> Any:
        """Return the output at each step.

        Parameters
        ----------
        X : array_like, float [T] or [T, D], or list of such
            None for a model that was fitted without inputs.
        steps : int, optional
            T, where there are no inputs.

        Returns
        -------
        y : ndarray, float64 [T] or [T, O], or list of such
            As the targets were in training. At the steps of the washout too.

        Raises
        ------
        NotFittedError, ValueError, TypeError
        """
        self._check_fitted("predict")
        panel, single = self._panel(X, steps)
        found = [one[:, 0] if self._flat else one for one in self._predicted(panel)]
        return found[0] if single else found

    def generate(self, steps: int, warmup: Any, inputs: Any = None) -> Any:
        """Return the steps after a series, in closed loop: each prediction is read again.

        Parameters
        ----------
        steps : int
            S.
        warmup : array_like, float [T] or [T, D], or list of such
            The series so far, with true values. With `feedback_scaling`, the outputs so far, [T, O].
        inputs : array_like, float [T + S] or [T + S, D], or list of such, optional
            With `feedback_scaling` and inputs: those of all steps.

        Returns
        -------
        path : ndarray, float64 [S] or [S, O], or list of such

        Raises
        ------
        NotFittedError, ValueError, TypeError
            Also if the model has other outputs than inputs, and no feedback.
        """
        self._check_fitted("generate")
        count, back = as_size("steps", steps), self._feedback
        if not back and self._outputs != self._inputs:
            raise ValueError(
                f"generate: expected a model whose outputs are its next inputs, got {self._inputs} inputs "
                f"and {self._outputs} outputs; fit(series) without y makes one, or set feedback_scaling"
            )
        past, single, flat = as_series("warmup", warmup)
        check_columns("warmup", past, back or self._inputs)
        if back and self._inputs:
            known = self._known("inputs", inputs, [len(one) + count for one in past])
        elif inputs is not None:
            raise ValueError("inputs: expected None, as nothing but outputs is read, got inputs")
        else:
            known = [np.zeros((len(one) + count, 0)) for one in past]
        if back:
            paths = continue_outputs(self.network_, past, known, count)
        else:
            paths = continue_series(self.network_, past, count)
        found = [path[:, 0] if flat else path for path in paths]
        return found[0] if single else found

    def states(self, X: Any) -> Any:
        """Return the states of all reservoirs at each step, for looking.

        Parameters
        ----------
        X : as for `predict`
            Not for a model with `feedback_scaling`, whose states depend on outputs.

        Returns
        -------
        states : ndarray, float [T, K], or list of such
            Those of each reservoir's layers in turn.
        """
        self._check_fitted("states")
        if self._feedback:
            raise ValueError(
                "states: expected a model without feedback_scaling, whose states need the outputs"
            )
        panel, single = self._panel(X, None)
        found = []
        for one in panel:
            x = one.astype(self.network_.dtype)[:, None]
            parts, _ = self.network_.states(x, None)
            found.append((np.concatenate(parts, axis=2) if len(parts) > 1 else parts[0])[:, 0])
        return found[0] if single else found

    def memory_capacity(
        self, max_delay: int | None = None, *, steps: int = 10_000, seed: int = 0
    ) -> MemoryCapacity:
        """Measure how well past inputs can be read linearly from the states (Jaeger 2001).

        Random inputs, uniform in [-0.5, 0.5), drive the reservoirs; for each delay k a readout of the states
        alone is fitted to the input k steps before. Its capacity is the squared correlation with that input
        on a second, independent series: on the series of the fit, chance would add the number of units over
        `steps` to each delay, here it adds ``1 / steps``. The model's own readout and washout have no part in
        it; a model that is not fitted makes its reservoirs for one input, as ``fit`` would.

        Parameters
        ----------
        max_delay : int, optional
            Default: twice the number of units.
        steps : int, default 10000
            T, of each series, after as many steps as the largest delay, and at least 100, of washout.
        seed : int

        Returns
        -------
        capacity : MemoryCapacity
            ``total``, the sum over delays, and ``by_delay``, float64 [max_delay], from delay 1 on.

        Raises
        ------
        ValueError
            If the model reads more than one input, or feeds outputs back.

        References
        ----------
        Jaeger (2001), "Short term memory in echo state networks".

        Examples
        --------
        A linear reservoir of H units remembers H inputs at most, the present one among them:

        >>> import fastrnn as fr
        >>> model = fr.models.EchoStateNetwork(
        ...     hidden_size=20, topology="orthogonal", nonlinearity="identity", random_state=0
        ... )
        >>> 18.5 < model.memory_capacity(steps=2000).total < 19.1
        True
        """
        network = self.__dict__.get("network_")
        if network is None:
            network = self._blank()._network_of_one_input()
        elif self._inputs != 1 or self._feedback:
            raise ValueError(
                f"memory_capacity: expected a model of one input without feedback, got {self._inputs} inputs "
                f"and {self._feedback} outputs fed back"
            )
        delays = None if max_delay is None else as_size("max_delay", max_delay)
        return measure_capacity(network, delays, as_size("steps", steps), seed)

    def score(self, X: Any, y: Any = None) -> float:
        """Return R^2 of the predictions of all steps after the washout; the mean over several outputs."""
        self._check_fitted("score")
        data = self._data(X, y)
        self._check_washout(data)
        found = self._predicted([one[:, : self._inputs].astype(np.float64) for one in data.inputs])
        pairs = [
            (one[self._washout :], own[self._washout :]) for one, own in zip(data.targets, found, strict=True)
        ]
        return r2_score(*(np.concatenate(parts) for parts in zip(*pairs, strict=True)))

    def __sklearn_tags__(self) -> Any:
        tags = regressor_tags(super().__sklearn_tags__())
        tags.target_tags.required = False
        tags.input_tags.string = False
        return tags

    # ---- what the base class asks for

    def _learn(self, X: Any, y: Any, **known: Any) -> tuple[int, int, int]:
        settings = ReservoirSettings.of(self)
        if settings.has_feedback and y is None:
            raise ValueError(
                "y: expected the targets, as feedback_scaling feeds them back, got None; write fit(X, y), or "
                "fit(None, y) without inputs"
            )
        inputs = 0
        if X is not None:
            panel, _, flat = as_series("X", X)
            inputs = panel[0].shape[1]
            if not (y is None or flat):
                self.n_features_in_: int = inputs
        elif not settings.has_feedback:
            raise ValueError("X: expected a series or a list of series, got None")
        if y is None:
            self._flat = flat
            return inputs, 0, inputs
        targets, _, self._flat = as_series("y", y)
        outputs = targets[0].shape[1]
        return inputs, outputs if settings.has_feedback else 0, outputs

    def _features(self) -> int:
        return self._inputs

    def _data(self, X: Any, y: Any) -> Data:
        if y is None:
            if self._feedback or self._outputs != self._inputs:
                raise ValueError("y: expected targets as in training, got None")
            panel, single, _ = as_series("X", X)
            check_columns("X", panel, self._inputs)
            check_long_enough("X", panel, single, 2, ", one of them the last target")
            inputs, targets = [one[:-1] for one in panel], [one[1:] for one in panel]
            return Data([one.astype(self.network_.dtype) for one in inputs], targets, "" if single else "X")
        targets, single, _ = as_series("y", y)
        check_columns("y", targets, self._outputs)
        panel = self._known("X", X, [len(one) for one in targets])
        if self._feedback:
            before = [np.concatenate([np.zeros((1, self._outputs)), one[:-1]]) for one in targets]
            panel = [np.concatenate(pair, axis=1) for pair in zip(panel, before, strict=True)]
        return Data([one.astype(self.network_.dtype) for one in panel], targets, "" if single else "X")

    # ---- series

    def _panel(self, X: Any, steps: int | None) -> tuple[list[Floats], bool]:
        """Return series of inputs, without columns for a model that reads none."""
        if not self._inputs:
            if X is not None or steps is None:
                raise ValueError("X: expected None and steps=..., as in training, which had no inputs")
            return [np.zeros((as_size("steps", steps), 0))], True
        if steps is not None:
            raise ValueError("steps: expected None, as X has as many, got a number")
        panel, single, _ = as_series("X", X)
        check_columns("X", panel, self._inputs)
        return panel, single

    def _known(self, name: str, X: Any, lengths: list[int]) -> list[Floats]:
        """Return inputs, of which the number of series and their lengths are known."""
        if not self._inputs:
            if X is not None:
                raise ValueError(f"{name}: expected None, as in training, got inputs")
            return [np.zeros((length, 0)) for length in lengths]
        panel, single, _ = as_series(name, X)
        check_columns(name, panel, self._inputs)
        if len(panel) != len(lengths):
            raise ValueError(f"{name}: expected {len(lengths)} series, got {len(panel)}")
        for row, (one, length) in enumerate(zip(panel, lengths, strict=True)):
            if len(one) != length:
                where = name if single else f"{name}[{row}]"
                raise ValueError(f"{where}: expected {length} steps, as there are targets, got {len(one)}")
        return panel

    def _predicted(self, panel: list[Floats]) -> list[Floats]:
        """Return the outputs of series, [T, O] for each."""
        if not self._feedback:
            return step_outputs(self.network_, panel, self.batch_size)
        nothing = [np.zeros((0, self._feedback))] * len(panel)
        most = max(len(one) for one in panel)
        known = [np.concatenate([one, np.zeros((most - len(one), one.shape[1]))]) for one in panel]
        paths = continue_outputs(self.network_, nothing, known, most)
        return [path[: len(one)] for path, one in zip(paths, panel, strict=True)]

    def _network_of_one_input(self) -> ReservoirNetwork:
        settings = ReservoirSettings.of(self)
        if settings.has_feedback:
            raise ValueError("memory_capacity: expected feedback_scaling=0, got a model with feedback")
        self._inputs, self._feedback, self._outputs = 1, 0, 1
        rng = self._generator()
        return self._network(settings, make_groups(settings, 1, 0, rng), rng)

    def _learned(self) -> dict[str, Any]:
        return {
            "base": super()._learned(),
            "flat": self._flat,
            "features": self.__dict__.get("n_features_in_"),
        }

    def _restore(self, values: Mapping[str, Any]) -> None:
        checks: dict[str, Any] = {"base": as_mapping, "flat": as_flag, "features": optional(as_size)}
        fields = as_fields("learned", values, checks)
        super()._restore(fields["base"])
        self._flat = fields["flat"]
        if fields["features"] is not None:
            self.n_features_in_ = fields["features"]
