"""Layers: named parameters, a forward and a backward pass, and single steps.

Arrays are time-major, ``[T, N, D]``: T time steps, N sequences, D the width of the input; H is the hidden
width.
"""

from fastrnn.layers import initializers as init
from fastrnn.layers.adaptive import AdaptiveSoftmax
from fastrnn.layers.checkpoint import CheckpointedTape
from fastrnn.layers.embedding import Embedding
from fastrnn.layers.gru import GRU
from fastrnn.layers.head import Head, HeadTape
from fastrnn.layers.jordan import Jordan
from fastrnn.layers.layered import Stack, StackTape
from fastrnn.layers.layered_stream import StackStream
from fastrnn.layers.linear import Linear
from fastrnn.layers.loss import softmax_cross_entropy
from fastrnn.layers.lstm import LSTM
from fastrnn.layers.minimal import MinGRU, MinLSTM
from fastrnn.layers.module import Composite, Module
from fastrnn.layers.parameters import Gradients, Parameters
from fastrnn.layers.penalties import activity_penalties
from fastrnn.layers.recurrent import Recurrent
from fastrnn.layers.rnn import RNN
from fastrnn.layers.softmax import Softmax, TiedSoftmax
from fastrnn.layers.stream import Stream
from fastrnn.layers.tape import LayerTape, Tape

__all__ = [
    "GRU",
    "LSTM",
    "RNN",
    "AdaptiveSoftmax",
    "CheckpointedTape",
    "Composite",
    "Embedding",
    "Gradients",
    "Head",
    "HeadTape",
    "Jordan",
    "LayerTape",
    "Linear",
    "MinGRU",
    "MinLSTM",
    "Module",
    "Parameters",
    "Recurrent",
    "Softmax",
    "Stack",
    "StackStream",
    "StackTape",
    "Stream",
    "Tape",
    "TiedSoftmax",
    "activity_penalties",
    "init",
    "softmax_cross_entropy",
]
