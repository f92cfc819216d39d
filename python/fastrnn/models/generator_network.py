"""The network of sequence generators: layers that read the steps so far, and an output for the next."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fastrnn._arrays import Array, Ids
from fastrnn.decode import Sampling
from fastrnn.layers import Linear, Module
from fastrnn.layers.base.module_group import ModuleGroup
from fastrnn.layers.base.random import rows_generator
from fastrnn.models.base.encoder import SequenceEncoder
from fastrnn.models.base.examples import steps_inside
from fastrnn.models.generator_outputs import LabelOutput, NumberOutput, SharedRandom, TokenOutput, make_output
from fastrnn.models.generator_steps import Steps
from fastrnn.models.initial_state import StateLayout

__all__ = ["GeneratorBatch", "GeneratorNetwork", "GeneratorStream"]

_LEAST_NOISE = 1e-6  # of standardized numbers that the model foresees without error


class GeneratorBatch(NamedTuple):
    """A batch of sequences to learn.

    Attributes
    ----------
    inputs : ndarray, int64 [T, N] or float [T, N, 1 + width]
        The start, then every step but the last one read.
    lengths : ndarray, int64 [N]
        Targets of each sequence: its steps, and its end.
    targets : ndarray, int64 [T, N] or float [T, N, F]
    condition : ndarray, float [N, C], or None
    """

    inputs: Array
    lengths: Ids
    targets: Array
    condition: Array | None

    @property
    def weight(self) -> float:
        """The number of targets."""
        return float(self.lengths.sum())

    @property
    def real(self) -> NDArray[np.bool_]:
        """Where there is a target, bool [T, N]."""
        return steps_inside(len(self.inputs), self.lengths)


class GeneratorNetwork(ModuleGroup):
    """Foresee each step of a sequence from those before it and a condition.

    Parameters
    ----------
    encoder : SequenceEncoder
        Reads the steps; its cell has a `context_size` if the condition is an input.
    steps : Steps
    gaussian : bool
        Whether numbers have scales that the network foresees.
    end : bool
        Whether the network learns where sequences end.
    condition_size : int
        C; 0 for none.
    condition_as : {"state", "input", "both"}
    scheduled_sampling : float
        The probability, in the last epoch, of reading a step that the network has drawn itself.
    rng : numpy.random.Generator

    Attributes
    ----------
    output : TokenOutput, LabelOutput or NumberOutput
    initial : Linear or None
        Maps a condition to the h, and c if the cell has one of that width, of all layers.
    probability : float
        Of reading a step that the network has drawn, now.

    References
    ----------
    Bengio, Vinyals, Jaitly, Shazeer (2015), "Scheduled Sampling for Sequence Prediction with Recurrent Neural
    Networks". The gradient takes the steps that were drawn as given.
    """

    steps: Steps
    rng: np.random.Generator
    scheduled_sampling: float

    encoder: SequenceEncoder
    output: TokenOutput | LabelOutput | NumberOutput
    initial: Linear | None
    probability: float

    def __init__(
        self,
        encoder: SequenceEncoder,
        steps: Steps,
        *,
        gaussian: bool,
        end: bool,
        condition_size: int,
        condition_as: str,
        scheduled_sampling: float,
        rng: np.random.Generator,
    ) -> None:
        parts: dict[str, Module] = {"encoder": encoder}
        self._layout = StateLayout(encoder.rnn)
        self.initial = None
        if condition_size and condition_as != "input":
            parts["initial"] = Linear(condition_size, self._layout.size, dtype=encoder.dtype, seed=rng)
        parts["output"] = make_output(
            steps.kind, encoder.output_size, steps.width, gaussian=gaussian, end=end, dtype=encoder.dtype,
            seed=rng,
        )  # fmt: skip
        super().__init__(**parts)
        self.steps, self.rng = steps, rng
        self.reads_condition: bool = bool(condition_size) and condition_as != "state"
        self.scheduled_sampling, self.probability = scheduled_sampling, 0.0

    def start_epoch(self, epoch: int, epochs: int) -> None:
        """Set the probability of reading what was drawn: it rises linearly from 0, in the first epoch."""
        self.probability = self.scheduled_sampling * epoch / max(epochs - 1, 1)

    def loss(self, batch: GeneratorBatch) -> float:
        """Return the mean loss of a target, after the true steps and without dropout."""
        return float(self.nats(batch)[batch.real].sum()) / batch.weight

    def nats(self, batch: GeneratorBatch) -> NDArray[np.float64]:
        """Return the loss of each target, float64 [T, N, 2]: of the step, and of its being the end."""
        y, real = self.outputs(batch), batch.real
        result = np.zeros((*real.shape, 2))
        result[real] = self.output.nats(y[real], batch.targets[real])
        return result

    def outputs(self, batch: GeneratorBatch) -> Array:
        """Return the outputs of the recurrent layers, [T, N, H], without dropout."""
        state, context = self._condition(batch.condition)
        return self.encoder(batch.inputs, batch.lengths, state=state, context=context)[0]

    def errors(self, batch: GeneratorBatch) -> NDArray[np.float64]:
        """Return the errors of the numbers of all steps, float64 [M, D]."""
        assert isinstance(self.output, NumberOutput)
        y, real = self.outputs(batch), batch.real
        return self.output.errors(y[real], batch.targets[real])

    def measure_noise(self, batches: Iterable[GeneratorBatch]) -> list[float]:
        """Return the root mean square of the errors of each number."""
        errors = np.concatenate([*map(self.errors, batches)])
        noise: list[float] = np.maximum(np.sqrt((errors * errors).mean(axis=0)), _LEAST_NOISE).tolist()
        return noise

    def loss_and_gradients(self, batch: GeneratorBatch, scale: float = 1.0) -> float:
        """Return the mean loss of a target in training, and add `scale` times its gradients."""
        if self.probability > 0.0:
            batch = batch._replace(inputs=self.drawn_inputs(batch))
        state, context, tape = None, batch.condition if self.reads_condition else None, None
        if self.initial is not None:
            values, tape = self.initial.forward(batch.condition)
            state = self._layout.state(values)
        y, _, encoder_tape = self.encoder.forward(batch.inputs, batch.lengths, state=state, context=context)
        real = batch.real
        losses, dh = self.output.nats_and_gradients(y[real], batch.targets[real], scale / batch.weight)
        dy = np.zeros_like(y)
        dy[real] = dh
        _, dstate = self.encoder.backward(encoder_tape, dy)
        if self.initial is not None:
            assert tape is not None
            self.initial.backward(tape, self._layout.gradient(dstate), need_dx=False)
        return float(losses.sum()) / batch.weight

    def drawn_inputs(self, batch: GeneratorBatch) -> Array:
        """Return inputs of which each, with the probability of now, is what the network itself has drawn.

        Step by step: what is drawn follows from what was read before, drawn or true, as in the paper.
        """
        rows, inputs = len(batch.lengths), batch.inputs.copy()
        stream = self.stream(rows, batch.condition)
        random = SharedRandom(rows, rows_generator(self.rng))
        for step in range(1, len(inputs)):
            drawn, _ = self.output.draw(stream.step(inputs[step - 1]), Sampling(), random, may_end=False)
            chosen = random.uniform(1)[:, 0] < self.probability
            inputs[step, chosen] = self.steps.as_inputs(drawn)[chosen]
        return inputs

    def stream(self, rows: int, condition: Array | None) -> GeneratorStream:
        """Return the network at the beginning of some sequences, to be run step by step.

        Parameters
        ----------
        rows : int
        condition : ndarray, float [rows, C], or None
        """
        return GeneratorStream(self, rows, condition)

    def _condition(self, condition: Array | None) -> tuple[Any, Array | None]:
        """Return the initial state and the context."""
        state = None if self.initial is None else self._layout.state(self.initial(condition))
        return state, condition if self.reads_condition else None


class GeneratorStream:
    """A generator that runs step by step over a batch of sequences.

    Attributes
    ----------
    batch_size : int
    """

    batch_size: int

    def __init__(self, network: GeneratorNetwork, rows: int, condition: Array | None) -> None:
        self._network, self.batch_size = network, rows
        state, self._context = network._condition(condition)
        self._stream = network.encoder.rnn.stream(rows, context=self._context)
        if state is not None:
            self._stream.state = state

    def step(self, inputs: Array) -> Array:
        """Read a step of each sequence; return the outputs for the next, [N, F]."""
        encoder = self._network.encoder
        x = inputs if encoder.embedding is None else encoder.embedding(inputs)
        return self._network.output(self._stream.step(x).reshape(self.batch_size, -1))

    def keep(self, rows: NDArray[np.intp]) -> None:
        """Keep some of the sequences, in the order of their row numbers."""
        state = self._stream.state
        own = tuple(part[:, rows] for part in state) if isinstance(state, tuple) else state[:, rows]
        self._context = None if self._context is None else self._context[rows]
        self._stream = self._network.encoder.rnn.stream(len(rows), context=self._context)
        self._stream.state, self.batch_size = own, len(rows)
