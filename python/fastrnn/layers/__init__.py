"""Layers: named parameters, forward and backward passes, and single steps.

Arrays are time-major, ``[T, N, D]``: T time steps, N sequences, D the width of the input; H is the hidden
width.

They may be other libraries': PyTorch's CPU tensors, JAX's arrays, columns and tables of pandas and polars,
whatever has ``__array__`` or ``__dlpack__``, ``array.array`` and ``memoryview``. Floats that are C-contiguous
and of the layer's dtype are read where they lie, without a copy; in another order of memory they are copied
once, and so are ids, lengths and masks, and what a training pass keeps but others could write to. A dtype is
never converted in silence, and columns with missing values are refused. Results are NumPy arrays.
"""

from fastrnn.layers import init
from fastrnn.layers.base.loading import UnmatchedKeys
from fastrnn.layers.base.module import Module
from fastrnn.layers.base.parameters import Gradients, Parameters
from fastrnn.layers.base.quantization import quantize
from fastrnn.layers.composite.chain import SequentialTape
from fastrnn.layers.composite.composite import Composite
from fastrnn.layers.composite.sequential import Sequential
from fastrnn.layers.composite.stream import SequentialStream
from fastrnn.layers.dense.activation import Activation
from fastrnn.layers.dense.attention import AdditiveAttention, MultiplicativeAttention
from fastrnn.layers.dense.attention_memory import AttentionMemory, AttentionTape
from fastrnn.layers.dense.attention_pooling import AttentionPooling, PoolingTape
from fastrnn.layers.dense.embedding import Embedding
from fastrnn.layers.dense.head import Head, HeadTape
from fastrnn.layers.dense.linear import Linear, LinearTape
from fastrnn.layers.loss.activity_penalties import activity_penalties
from fastrnn.layers.loss.adaptive_softmax import AdaptiveSoftmax
from fastrnn.layers.loss.crf import CRF
from fastrnn.layers.loss.cross_entropy import softmax_cross_entropy
from fastrnn.layers.loss.ctc import CTCAlignment, ctc_align, ctc_loss
from fastrnn.layers.loss.logistic import Logistic, binary_cross_entropy
from fastrnn.layers.loss.regression import (
    huber,
    mean_absolute_error,
    mean_squared_error,
    quantile_loss,
)
from fastrnn.layers.loss.softmax import Softmax, TiedSoftmax
from fastrnn.layers.loss.tag_schemes import allowed_transitions
from fastrnn.layers.recurrent.engine.segments import CheckpointedTape
from fastrnn.layers.recurrent.engine.state_gradients import StateGradients
from fastrnn.layers.recurrent.engine.stream import Stream
from fastrnn.layers.recurrent.engine.tape import LayerTape, Tape
from fastrnn.layers.recurrent.gru import GRU
from fastrnn.layers.recurrent.jordan import Jordan
from fastrnn.layers.recurrent.layer import Recurrent
from fastrnn.layers.recurrent.lstm import LSTM
from fastrnn.layers.recurrent.minimal import MinGRU, MinLSTM
from fastrnn.layers.recurrent.rnn import RNN
from fastrnn.layers.recurrent.slstm import SLSTM
from fastrnn.layers.stack.stack import Stack, StackTape
from fastrnn.layers.stack.stream import StackStream

__all__ = [
    "CRF",
    "GRU",
    "LSTM",
    "RNN",
    "SLSTM",
    "Activation",
    "AdaptiveSoftmax",
    "AdditiveAttention",
    "AttentionMemory",
    "AttentionPooling",
    "AttentionTape",
    "CTCAlignment",
    "CheckpointedTape",
    "Composite",
    "Embedding",
    "Gradients",
    "Head",
    "HeadTape",
    "Jordan",
    "LayerTape",
    "Linear",
    "LinearTape",
    "Logistic",
    "MinGRU",
    "MinLSTM",
    "Module",
    "MultiplicativeAttention",
    "Parameters",
    "PoolingTape",
    "Recurrent",
    "Sequential",
    "SequentialStream",
    "SequentialTape",
    "Softmax",
    "Stack",
    "StackStream",
    "StackTape",
    "StateGradients",
    "Stream",
    "Tape",
    "TiedSoftmax",
    "UnmatchedKeys",
    "activity_penalties",
    "allowed_transitions",
    "binary_cross_entropy",
    "ctc_align",
    "ctc_loss",
    "huber",
    "init",
    "mean_absolute_error",
    "mean_squared_error",
    "quantile_loss",
    "quantize",
    "softmax_cross_entropy",
]


def __dir__() -> list[str]:
    return sorted(__all__)
