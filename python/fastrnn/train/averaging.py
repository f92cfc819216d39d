"""Averages of the parameters over training steps, which often predict better than the final parameters."""

from __future__ import annotations

from fastrnn._checks import as_flag, as_number, as_size
from fastrnn.train.average import Average, ModelT, write_parameters
from fastrnn.train.training_state import TrainingState

__all__ = ["Average", "ExponentialAverage", "NonMonotonicAverage"]


class ExponentialAverage(Average[ModelT]):
    """Exponential moving average: ``average = d * average + (1 - d) * p`` after each step, from the start.

    With `warmup`, d is ``min(decay, (1 + t) / (10 + t))`` at step t, counted from 0: the first steps, whose
    parameters are still nearly random, are quickly forgotten, and the average covers about the last ``t / 9``
    steps until `decay` is reached (0.999: after 9,000 steps). Without `warmup`, the initial parameters keep a
    weight of ``decay ** t``.

    Parameters
    ----------
    model : Module
        The model being trained.
    decay : float, default 0.999
        d, in [0, 1): the average covers about the last ``1 / (1 - d)`` steps.
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

    def __init__(self, model: ModelT, decay: float = 0.999, warmup: bool = True) -> None:
        self.decay: float = as_number("decay", decay, least=0.0, below=1.0)
        self.warmup: bool = as_flag("warmup", warmup)
        super().__init__(model)

    def update(self) -> None:
        """Include the current parameters in the average."""
        decay = min(self.decay, (1 + self.updates) / (10 + self.updates)) if self.warmup else self.decay
        self._move(1.0 - decay)
        self.updates += 1


class NonMonotonicAverage(Average[ModelT]):
    """Mean over all steps since the validation loss stopped improving: NT-ASGD.

    Averaging starts when a validation loss exceeds the lowest loss of all earlier evaluations except the last
    `patience`. The average is then the plain mean of the parameters at that time and after each later step.
    Intended for `SGD` with a constant learning rate.

    Parameters
    ----------
    model : Module
        The model being trained.
    patience : int, default 5
        n of the paper, the non-monotone interval, in evaluations.

    Raises
    ------
    ValueError
        If `patience` is less than 1.

    References
    ----------
    Merity, Keskar, Socher (2017), "Regularizing and Optimizing LSTM Language Models", algorithm 1, as
    the authors' code implements it (the last n losses do not count).

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

    def __init__(self, model: ModelT, patience: int = 5) -> None:
        self.patience: int = as_size("patience", patience)
        self._losses: list[float] = []
        super().__init__(model)

    def update(self) -> None:
        """Include the current parameters in the average, once averaging has started."""
        if self.started:
            self.updates += 1
            self._move(1.0 / self.updates)

    def observe(self, valid_loss: float) -> None:
        """Take note of a validation loss; start averaging if the loss has stopped improving."""
        if self.started:
            return
        known = self._losses[: -self.patience]
        if known and valid_loss > min(known):
            write_parameters(self._averaged, self.model.parameters.flat)
            self.updates = 1
        self._losses.append(valid_loss)

    def state(self) -> TrainingState:
        """Return everything that a new average needs to continue with the same bits."""
        state = super().state()
        state.values["losses"] = list(self._losses)
        return state

    def restore(self, state: TrainingState) -> None:
        """Continue from a state that `state` returned.

        Raises
        ------
        ValueError
            If the state belongs to another kind of average or another model.
        """
        super().restore(state)
        self._losses = [float(loss) for loss in state.values["losses"]]

    def _started(self, updates: int) -> bool:
        return updates > 0  # the parameters at the start are counted as the first update
