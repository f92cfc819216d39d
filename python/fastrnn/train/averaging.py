"""Averages of the parameters over the steps of training, which often predict better than the last ones."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastrnn._checks import as_flag, as_number, as_size
from fastrnn.train.average import Average, write_parameters
from fastrnn.train.state import TrainingState

if TYPE_CHECKING:
    from fastrnn.models import LanguageModel

__all__ = ["Average", "ExponentialAverage", "NonMonotonicAverage"]


class ExponentialAverage(Average):
    """An average that forgets: ``average = d * average + (1 - d) * p`` after each step, from the start on.

    With `warmup` d is ``min(decay, (1 + t) / (10 + t))`` at step t, counted from 0: the first steps, whose
    parameters are still close to random, are forgotten at once, and the average is that of the last ``t / 9``
    steps or so until `decay` is reached (0.999: after 9,000 steps). Without, the parameters before the first
    step keep a part of ``decay ** t``.

    Parameters
    ----------
    model : LanguageModel
        The one that is trained.
    decay : float, default 0.999
        d, in [0, 1): the average is one over the last ``1 / (1 - d)`` steps or so.
    warmup : bool, default True

    Raises
    ------
    ValueError
        If `decay` is out of range.

    References
    ----------
    Polyak, Juditsky (1992), "Acceleration of Stochastic Approximation by Averaging", for averages of
    parameters; the warm-up is that of TensorFlow's ``ExponentialMovingAverage``.

    Examples
    --------
    >>> import fastrnn as fr
    >>> from fastrnn.train.averaging import ExponentialAverage
    >>> model = fr.LanguageModel(3, hidden_size=4, num_layers=1, seed=0)
    >>> model.parameters["output.bias"] = [0, 0, 0]
    >>> average = ExponentialAverage(model, decay=0.75, warmup=False)
    >>> for _ in range(2):
    ...     model.parameters["output.bias"] = [4, 0, 8]  # a step of some optimizer
    ...     average.update()
    >>> average.averaged.parameters["output.bias"]
    array([1.75, 0.  , 3.5 ], dtype=float32)
    >>> with average.applied():
    ...     model.parameters["output.bias"]
    array([1.75, 0.  , 3.5 ], dtype=float32)
    >>> model.parameters["output.bias"]
    array([4., 0., 8.], dtype=float32)
    """

    def __init__(self, model: LanguageModel, decay: float = 0.999, warmup: bool = True) -> None:
        self.decay = as_number("decay", decay, least=0.0, below=1.0)
        self.warmup = as_flag("warmup", warmup)
        super().__init__(model)

    def update(self) -> None:
        """Take the trained parameters in."""
        decay = min(self.decay, (1 + self.updates) / (10 + self.updates)) if self.warmup else self.decay
        self._move(1.0 - decay)
        self.updates += 1


class NonMonotonicAverage(Average):
    """The mean over all steps since validation stopped to get better: NT-ASGD.

    There is no average until a validation loss is above the lowest of all but the `patience` evaluations
    before it. From then on it is the plain mean of the parameters at that time and after each later step.
    The optimizer is meant to be `SGD` with a constant learning rate.

    Parameters
    ----------
    model : LanguageModel
        The one that is trained.
    patience : int, default 5
        n of the paper, the non-monotone interval, in evaluations.

    Raises
    ------
    ValueError
        If `patience` is less than 1.

    References
    ----------
    Merity, Keskar, Socher (2017), "Regularizing and Optimizing LSTM Language Models", algorithm 1, in the
    reading of the authors' program (the last n losses do not count).

    Examples
    --------
    >>> import fastrnn as fr
    >>> from fastrnn.train.averaging import NonMonotonicAverage
    >>> model = fr.LanguageModel(3, hidden_size=4, num_layers=1, seed=0)
    >>> average = NonMonotonicAverage(model, patience=2)
    >>> for valid_loss in (3.0, 2.0, 2.5, 2.5, 2.5):
    ...     print(average.started, end=" ")
    ...     average.observe(valid_loss)
    False False False False False
    >>> average.started
    True
    """

    def __init__(self, model: LanguageModel, patience: int = 5) -> None:
        self.patience = as_size("patience", patience)
        self._losses: list[float] = []
        super().__init__(model)

    def update(self) -> None:
        """Take the trained parameters in, once the average has begun."""
        if self.started:
            self.updates += 1
            self._move(1.0 / self.updates)

    def observe(self, valid_loss: float) -> None:
        """Hear a validation loss; begin to average where it is time."""
        if self.started:
            return
        known = self._losses[: -self.patience]
        if known and valid_loss > min(known):
            write_parameters(self._averaged, self.model.parameters.flat)
            self.updates = 1
        self._losses.append(valid_loss)

    def state(self) -> TrainingState:
        """Give all that another average needs to go on with the same bits."""
        state = super().state()
        state.values["losses"] = list(self._losses)
        return state

    def restore(self, state: TrainingState) -> None:
        """Go on from what `state` gave.

        Raises
        ------
        ValueError
            If it is of an average of another kind, or of another model.
        """
        super().restore(state)
        self._losses = [float(loss) for loss in state.values["losses"]]

    def _started(self, updates: int) -> bool:
        return updates > 0  # the parameters at the beginning are the first ones counted
