"""The network of `Seq2Seq`: an encoder, a decoder with weights of its own, and attention between them."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fastrnn._arrays import Array, Ids
from fastrnn._dispatch import kernels
from fastrnn.layers import (
    AdditiveAttention,
    Linear,
    Module,
    MultiplicativeAttention,
    Softmax,
)
from fastrnn.layers.base.kept import frozen
from fastrnn.layers.base.module_group import ModuleGroup
from fastrnn.layers.base.random import even_draws
from fastrnn.models.base.encoder import SequenceEncoder, hidden_state, state_gradient
from fastrnn.models.base.examples import steps_inside
from fastrnn.models.initial_state import StateLayout

__all__ = ["Seq2SeqBatch", "Seq2SeqNetwork"]


class Seq2SeqBatch(NamedTuple):
    """A batch of sources and targets.

    Attributes
    ----------
    sources : ndarray, int64 [S, N] or float [S, N, D]
    source_lengths : ndarray, int64 [N]
    inputs, targets : ndarray, int64 [T, N]
        What the decoder reads, the start symbol first, and what comes next, the end symbol last.
    lengths : ndarray, int64 [N]
        Steps of the targets.
    """

    sources: Array
    source_lengths: Ids
    inputs: Ids
    targets: Ids
    lengths: Ids

    @property
    def weight(self) -> float:
        """The number of targets."""
        return float(self.lengths.sum())

    @property
    def real(self) -> NDArray[np.bool_]:
        """Where there is a target, bool [T, N]."""
        return steps_inside(len(self.inputs), self.lengths)


class _StepTape(NamedTuple):
    """What one pass of the decoder, over all steps or over one, keeps."""

    decoder: Any
    attention: Any
    combine: Any
    attended: Array | None


class Seq2SeqNetwork(ModuleGroup):
    """Read a source, then foresee each symbol of the target from those before it.

    ::

        final   = the last h of each direction of the encoder, values = all its outputs
        state_0 = tanh(W final + b)                            context "state" and "both"
        d_t     = decoder([e_t; a_t'], state, final)           context "input" and "both" read final
        c_t     = attention of d_t to values
        a_t     = tanh(W_c [c_t; d_t])                         d_t itself without attention
        p_t     = softmax(W_o a_t + b_o)

    where e_t is the vector of the symbol before, and a_t' that of the step before with input feeding; nothing
    without, and then the decoder runs over all steps in one call.

    Parameters
    ----------
    encoder, decoder : SequenceEncoder
    symbols : int
        Of the target, the reserved ones included.
    context : {"state", "input", "both"}
    attention : {None, "additive", "multiplicative"}
    input_feeding : bool
    label_smoothing : float
    rng : numpy.random.Generator

    References
    ----------
    Sutskever, Vinyals, Le (2014), "Sequence to Sequence Learning with Neural Networks". Bahdanau, Cho, Bengio
    (2015), "Neural Machine Translation by Jointly Learning to Align and Translate", for additive scores.
    Luong, Pham, Manning (2015), "Effective Approaches to Attention-based Neural Machine Translation",
    equations 5 to 7 for the attentional vector a_t, and section 3.3 for input feeding.
    """

    reads_context: bool
    feeds: bool
    label_smoothing: float
    rng: np.random.Generator

    encoder: SequenceEncoder
    decoder: SequenceEncoder
    initial: Linear | None
    attention: AdditiveAttention | MultiplicativeAttention | None
    combine: Linear | None
    output: Softmax

    def __init__(
        self,
        encoder: SequenceEncoder,
        decoder: SequenceEncoder,
        symbols: int,
        *,
        context: str,
        attention: str | None,
        input_feeding: bool,
        label_smoothing: float,
        rng: np.random.Generator,
    ) -> None:
        dtype, values, width = encoder.dtype, encoder.output_size, decoder.output_size
        self.layout: StateLayout = StateLayout(decoder.rnn)
        parts: dict[str, Module] = {"encoder": encoder, "decoder": decoder}
        self.initial = self.attention = self.combine = None
        if context != "input":
            parts["initial"] = Linear(values, self.layout.size, dtype=dtype, seed=rng)
        if attention is not None:
            parts["attention"] = (
                AdditiveAttention(width, values, width, dtype=dtype, seed=rng)
                if attention == "additive"
                else MultiplicativeAttention(width, values, dtype=dtype, seed=rng)
            )
            parts["combine"] = Linear(values + width, width, bias=False, dtype=dtype, seed=rng)
        parts["output"] = Softmax(width, symbols, dtype=dtype, seed=rng)
        super().__init__(**parts)
        self.reads_context, self.feeds = context != "state", input_feeding and attention is not None
        self.label_smoothing, self.rng = label_smoothing, rng

    def loss(self, batch: Seq2SeqBatch) -> float:
        """Return the mean loss of a target, in nats, without dropout and label smoothing."""
        return float(self.nats(batch).sum()) / batch.weight

    def nats(self, batch: Seq2SeqBatch) -> NDArray[np.float64]:
        """Return the loss of each target, float64 [T, N]; zero after the end."""
        y, encoded = self.encoder(batch.sources, batch.source_lengths)
        memory = None if self.attention is None else self.attention.prepare(y, batch.source_lengths)
        start = self.start(encoded)
        real = batch.real
        if self.feeds:
            state, fed, parts = start.state, self.no_vector(len(batch.lengths)), []
            for inputs in batch.inputs:
                d, state = self.decoder(inputs[None], None, fed[None], state=state, context=start.context)
                fed = self.attend(d, memory)[0][0]
                parts.append(fed)
            a = np.stack(parts)
        else:
            d, _ = self.decoder(batch.inputs, batch.lengths, state=start.state, context=start.context)
            a = self.attend(d, memory)[0]
        result = np.zeros(real.shape)
        result[real] = self.output.losses(a[real], batch.targets[real])
        return result

    def loss_and_gradients(self, batch: Seq2SeqBatch, scale: float = 1.0) -> float:
        """Return the mean loss of a target in training, and add `scale` times its gradients."""
        y, encoded, encoder_tape = self.encoder.forward(batch.sources, batch.source_lengths)
        memory = None if self.attention is None else self.attention.prepare(y, batch.source_lengths)
        final, start, initial_tape, state0 = hidden_state(self.encoder.rnn, encoded), None, None, None
        if self.initial is not None:
            values, initial_tape = self.initial.forward(final)
            start = frozen(kernels.tanh(values))
            state0 = self.layout.state(start)
        context = final if self.reads_context else None
        tapes: list[_StepTape] = []
        a = self._decode(batch, memory, state0, context, tapes)
        real = batch.real
        losses, dh = self.output.losses_and_gradients(
            a[real], batch.targets[real], scale=scale / batch.weight, smoothing=self.label_smoothing
        )
        da = np.zeros_like(a)
        da[real] = dh
        dfinal = np.zeros_like(final)
        dfirst = self._decode_backward(tapes, memory, da, dfinal if self.reads_context else None)
        if self.initial is not None:
            assert start is not None
            assert initial_tape is not None
            dstart = self.layout.gradient(dfirst) * (1 - start * start)
            dvalues = self.initial.backward(initial_tape, dstart)
            assert dvalues is not None
            dfinal += dvalues
        dy = None
        if self.attention is not None:
            assert memory is not None
            dy = self.attention.backward_memory(memory)
        self.encoder.backward(encoder_tape, dy, state_gradient(self.encoder.rnn, encoded, dfinal))
        return float(losses.sum()) / batch.weight

    def _decode(
        self, batch: Seq2SeqBatch, memory: Any, state: Any, context: Array | None, tapes: list[_StepTape]
    ) -> Array:
        """Return the vectors that the output reads, [T, N, H]; append what backward needs."""
        if not self.feeds:
            d, _, tape = self.decoder.forward(batch.inputs, batch.lengths, state=state, context=context)
            a, step = self._attend_forward(d, memory, tape)
            tapes.append(step)
            return a
        fed, vectors = self.no_vector(len(batch.lengths)), []
        with even_draws(self.rng):  # each step draws masks
            for inputs in batch.inputs:
                given = inputs[None], None, fed[None]
                d, state, tape = self.decoder.forward(*given, state=state, context=context)
                a, step = self._attend_forward(d, memory, tape)
                fed = a[0]
                vectors.append(fed)
                tapes.append(step)
        return np.stack(vectors)

    def _decode_backward(self, tapes: list[_StepTape], memory: Any, da: Array, dcontext: Array | None) -> Any:
        """Return the gradient of the decoder's first state; add that of the context to `dcontext`."""
        if not self.feeds:
            dd = self._attend_backward(tapes[0], memory, da)
            return self.decoder.backward(tapes[0].decoder, dd, dcontext=dcontext)[1]
        dstate, dfed = None, np.zeros_like(da[0])
        for step in range(len(tapes) - 1, -1, -1):
            dd = self._attend_backward(tapes[step], memory, (da[step] + dfed)[None])
            djoined, dstate = self.decoder.backward(tapes[step].decoder, dd, dstate, dcontext=dcontext)
            assert djoined is not None
            dfed = djoined[0]
        return dstate

    def _attend_forward(self, d: Array, memory: Any, tape: Any) -> tuple[Array, _StepTape]:
        if self.attention is None:
            return d, _StepTape(tape, None, None, None)
        assert self.combine is not None
        attended, _, attention_tape = self.attention.forward(d, memory)
        z, combine_tape = self.combine.forward(frozen(np.concatenate([attended, d], axis=2)))
        a = frozen(kernels.tanh(z))
        return a, _StepTape(tape, attention_tape, combine_tape, a)

    def _attend_backward(self, tape: _StepTape, memory: Any, da: Array) -> Array:
        """Return the gradient of the decoder's outputs; that of the memory stays in it."""
        if self.attention is None:
            return da
        assert self.combine is not None
        assert tape.attended is not None
        joined = self.combine.backward(tape.combine, da * (1 - tape.attended * tape.attended))
        assert joined is not None
        dattended, dd = np.split(joined, [self.encoder.output_size], axis=2)
        dqueries = self.attention.backward(tape.attention, np.ascontiguousarray(dattended))
        assert dqueries is not None
        result: Array = dd + dqueries
        return result

    def start(self, encoded: Any) -> DecoderStart:
        """Return what the decoder begins with, from the encoder's final state, without dropout."""
        final = hidden_state(self.encoder.rnn, encoded)
        state = None
        if self.initial is not None:
            state = self.layout.state(kernels.tanh(self.initial(final)))
        return DecoderStart(state, final if self.reads_context else None)

    def attend(self, d: Array, memory: Any) -> tuple[Array, Array | None]:
        """Return the vectors that the output reads, and the attention's weights [T, N, S] or None."""
        if self.attention is None:
            return d, None
        assert self.combine is not None
        attended, weights = self.attention(d, memory)
        return kernels.tanh(self.combine(np.concatenate([attended, d], axis=2))), weights

    def no_vector(self, rows: int) -> Array:
        """Return what the first step is fed with, where there is input feeding."""
        return np.zeros((rows, self.decoder.output_size), self.dtype)


class DecoderStart(NamedTuple):
    """The state and the context that a decoder begins with."""

    state: Any
    context: Array | None
