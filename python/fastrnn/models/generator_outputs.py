"""The output layers of a generator: the losses of its steps, and steps drawn from its logits."""

from __future__ import annotations

import math
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from fastrnn._arrays import Array
from fastrnn.decode import Sampling, next_probabilities
from fastrnn.decode.categorical import sample_categorical
from fastrnn.layers import Linear, Logistic, Softmax
from fastrnn.models.generator_steps import END, UNKNOWN

__all__ = ["LabelOutput", "NumberOutput", "Output", "Random", "SharedRandom", "TokenOutput", "make_output"]

_WIDEST = 7.0  # a Gaussian's scale is at most e^7, and at least e^-7, of the standard deviation in training


class Random(Protocol):
    """Random numbers for each sequence of a batch."""

    def uniform(self, columns: int) -> NDArray[np.float64]:
        """Return numbers in [0, 1), float64 [N, columns]."""

    def normal(self, columns: int) -> NDArray[np.float64]:
        """Return numbers of the standard normal distribution, float64 [N, columns]."""


class SharedRandom:
    """Random numbers for a batch from one generator."""

    def __init__(self, rows: int, generator: np.random.Generator) -> None:
        self._rows, self._generator = rows, generator

    def uniform(self, columns: int) -> NDArray[np.float64]:
        """Return numbers in [0, 1), float64 [N, columns]."""
        return self._generator.random((self._rows, columns))

    def normal(self, columns: int) -> NDArray[np.float64]:
        """Return numbers of the standard normal distribution, float64 [N, columns]."""
        return self._generator.standard_normal((self._rows, columns))


class Output(Protocol):
    """An output layer. Rows h [M, H] are the recurrent layers' outputs at real steps."""

    end: bool

    def __call__(self, h: Any) -> Array:
        """Return the outputs z [M, F]."""

    def nats(self, h: Array, targets: Array) -> NDArray[np.float64]:
        """Return the loss of each row, float64 [M, 2]: of the step itself, and of its being the end.

        Of tokens the end is one more token: the second column is zero.
        """

    def nats_and_gradients(self, h: Array, targets: Array, scale: float) -> tuple[NDArray[np.float64], Array]:
        """Return the loss of each row, [M], and `scale` times the gradient by h; add the parameters'."""

    def draw(
        self, z: Array, sampling: Sampling, random: Random, *, may_end: bool
    ) -> tuple[Array, NDArray[np.bool_]]:
        """Return a step for each row of z, and where the sequence ends instead."""


class TokenOutput(Softmax):
    """A softmax over all ids. The end is one of them."""

    def __init__(self, hidden: int, width: int, *, end: bool, dtype: Any, seed: Any) -> None:
        super().__init__(hidden, width, dtype=dtype, seed=seed)
        self.end = end

    def nats(self, h: Array, targets: Array) -> NDArray[np.float64]:
        """Return the loss of each row: of the step, and of its being the end, float64 [M, 2]."""
        losses = self.losses(h, targets).astype(np.float64)
        return np.stack([losses, np.zeros_like(losses)], axis=1)

    def nats_and_gradients(self, h: Array, targets: Array, scale: float) -> tuple[NDArray[np.float64], Array]:
        """Return the loss of each row [M] and the gradient by h; add the parameters'."""
        losses, dh = self.losses_and_gradients(h, targets, scale=scale)
        return losses.astype(np.float64), dh

    def draw(
        self, z: Array, sampling: Sampling, random: Random, *, may_end: bool
    ) -> tuple[Array, NDArray[np.bool_]]:
        """Return a step for each row of z, and where the sequence ends instead."""
        banned = (UNKNOWN,) if may_end and self.end else (UNKNOWN, END)
        chosen = Sampling(sampling.temperature, sampling.top_k, sampling.top_p, banned=banned)
        ids = sample_categorical(next_probabilities(z, chosen), random.uniform(1)[:, 0])
        return ids, ids == END


class LabelOutput(Logistic):
    """A logistic question for each label, and one for the end."""

    end: bool
    width: int

    def __init__(self, hidden: int, width: int, *, end: bool, dtype: Any, seed: Any) -> None:
        super().__init__(hidden, width + end, dtype=dtype, seed=seed)
        self.end, self.width = end, width

    def nats(self, h: Array, targets: Array) -> NDArray[np.float64]:
        """Return the loss of each row: of the step, and of its being the end, float64 [M, 2]."""
        losses = self.losses(h, targets).astype(np.float64)
        return np.stack([losses[:, : self.width].sum(axis=1), losses[:, self.width :].sum(axis=1)], axis=1)

    def nats_and_gradients(self, h: Array, targets: Array, scale: float) -> tuple[NDArray[np.float64], Array]:
        """Return the loss of each row [M] and the gradient by h; add the parameters'."""
        losses, dh = self.losses_and_gradients(h, targets, scale=scale)
        return losses.astype(np.float64).sum(axis=1), dh

    def draw(
        self, z: Array, sampling: Sampling, random: Random, *, may_end: bool
    ) -> tuple[Array, NDArray[np.bool_]]:
        """Return a step for each row of z, and where the sequence ends instead."""
        if sampling.top_p is not None:
            raise ValueError(
                "top_p: expected None, as a step has several labels; write top_k=k for at most k of them"
            )
        logits, points = z.astype(np.float64), random.uniform(z.shape[1])
        chosen = _yes(logits, sampling.temperature, points)
        labels = chosen[:, : self.width]
        if sampling.top_k is not None and sampling.top_k < self.width:
            order = np.argsort(-logits[:, : self.width], axis=1, kind="stable")
            np.put_along_axis(labels, order[:, sampling.top_k :], False, axis=1)
        ended = chosen[:, -1] & may_end if self.end else np.zeros(len(z), np.bool_)
        return labels.astype(z.dtype), ended


class NumberOutput(Linear):
    """Numbers, the logarithms of their scales if Gaussian, and a logistic question for the end.

    The loss of a number is ``ln scale + ((target - mean) / scale)^2 / 2 + ln(2 pi) / 2``; without Gaussian
    scales, the scale is 1 in training.

    Attributes
    ----------
    noise : ndarray, float64 [D]
        Without Gaussian scales, the scale by which numbers are judged and drawn after training.
    """

    gaussian: bool
    end: bool
    width: int
    noise: NDArray[np.float64]

    def __init__(self, hidden: int, width: int, *, gaussian: bool, end: bool, dtype: Any, seed: Any) -> None:
        super().__init__(hidden, width * (1 + gaussian) + end, dtype=dtype, seed=seed)
        self.gaussian, self.end, self.width, self.noise = gaussian, end, width, np.ones(width)

    def nats(self, h: Array, targets: Array) -> NDArray[np.float64]:
        """Return the loss of each row: of the step, and of its being the end, float64 [M, 2]."""
        return self._losses(self(h), targets, self.noise)[0]

    def nats_and_gradients(self, h: Array, targets: Array, scale: float) -> tuple[NDArray[np.float64], Array]:
        """Return the loss of each row [M] and the gradient by h; add the parameters'."""
        z, tape = self.forward(h)
        losses, dz = self._losses(z, targets, np.ones(self.width))
        dh = self.backward(tape, (dz * scale).astype(self.dtype))
        assert dh is not None
        return losses.sum(axis=1), dh

    def errors(self, h: Array, targets: Array) -> NDArray[np.float64]:
        """Return the error of each number of real steps, float64 [M, D]."""
        real = targets[:, -1] == 0 if self.end else np.ones(len(h), np.bool_)
        z = self(h)[real, : self.width].astype(np.float64)
        return targets[real, : self.width] - z

    def draw(
        self, z: Array, sampling: Sampling, random: Random, *, may_end: bool
    ) -> tuple[Array, NDArray[np.bool_]]:
        """Return a step for each row of z, and where the sequence ends instead."""
        for name in ("top_k", "top_p"):
            if getattr(sampling, name) is not None:
                raise ValueError(f"{name}: expected None, as steps are numbers; lower the temperature")
        wide, D = z.astype(np.float64), self.width
        points, normal = random.uniform(1)[:, 0], random.normal(D)
        scale = np.exp(_bounded(wide[:, D : 2 * D])) if self.gaussian else self.noise
        numbers = wide[:, :D] + sampling.temperature * scale * normal
        ended = np.zeros(len(z), np.bool_)
        if self.end and may_end:
            ended = _yes(wide[:, -1], sampling.temperature, points)
        return numbers.astype(z.dtype), ended

    def _losses(
        self, z: Array, targets: Array, noise: NDArray[np.float64]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return the losses [M, 2] of outputs, and their gradients by the outputs, [M, F]."""
        D, wide, wanted = self.width, z.astype(np.float64), targets.astype(np.float64)
        dz, losses = np.zeros_like(wide), np.zeros((len(z), 2))
        real = np.ones((len(z), 1))
        if self.end:
            logit, ended = wide[:, -1], wanted[:, -1]
            losses[:, 1] = np.logaddexp(0.0, logit) - ended * logit
            dz[:, -1] = 0.5 * (1 + np.tanh(0.5 * logit)) - ended
            real = 1.0 - wanted[:, -1:]
        raw = wide[:, D : 2 * D]
        log_scale = _bounded(raw) if self.gaussian else np.log(noise)
        error = (wide[:, :D] - wanted[:, :D]) * np.exp(-log_scale)
        each = log_scale + 0.5 * error * error + 0.5 * math.log(2 * math.pi)
        losses[:, 0] = (each * real).sum(axis=1)
        dz[:, :D] = error * np.exp(-log_scale) * real
        if self.gaussian:
            dz[:, D : 2 * D] = (1.0 - error * error) * (1.0 - (log_scale / _WIDEST) ** 2) * real
        return losses, dz


def make_output(
    kind: str, hidden: int, width: int, *, gaussian: bool, end: bool, dtype: Any, seed: Any
) -> TokenOutput | LabelOutput | NumberOutput:
    """Return the output layer for a kind of steps."""
    if kind == "tokens":
        return TokenOutput(hidden, width, end=end, dtype=dtype, seed=seed)
    if kind == "labels":
        return LabelOutput(hidden, width, end=end, dtype=dtype, seed=seed)
    return NumberOutput(hidden, width, gaussian=gaussian, end=end, dtype=dtype, seed=seed)


def _bounded(raw: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the logarithm of a scale: like `raw` near 0, and within bounds."""
    result: NDArray[np.float64] = _WIDEST * np.tanh(raw / _WIDEST)
    return result


def _yes(logits: NDArray[np.float64], temperature: float, points: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Return the answers to logistic questions; at temperature 0 the likelier ones."""
    if temperature == 0.0:
        return logits > 0.0
    probabilities = 0.5 * (1.0 + np.tanh(0.5 * logits / temperature))
    answers: NDArray[np.bool_] = points < probabilities
    return answers
