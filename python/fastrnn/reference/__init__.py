"""A plain NumPy implementation of everything that fastrnn computes natively, written gate by gate.

It is for reading, for testing (every kernel is compared with it) and for benchmarking. Each function computes
one layer and one direction, keeps no hidden state and changes an argument only where it says so:

- cells: `elman_step`, `elman_forward`, `elman_backward`, and the same for `gru` and `lstm`
- their variants, with every option of a layer: `variant_forward`, `variant_backward`
- stacked layers: `stack_forward`, `stack_backward`
- inputs and outputs: `linear_forward`, `embedding_forward`, `softmax_cross_entropy`, `linear_cross_entropy`,
  `binary_cross_entropy`, `squared_error`, `absolute_error`, `huber`, `quantile_loss`, `ctc_loss`
- sequences of tags: `crf_loss`, `crf_marginals`, `crf_viterbi`
- reservoirs: `reservoir_forward`
- attention: `attention_forward`, `attention_backward`
- products of fewer bits, for the ``precision`` of cells, linear layer and loss: `bfloat16_product`,
  `int8_product`; their operands: `round_to_bfloat16`, `quantize_rows`, `quantize_activations`
- training: `sgd_step`, `rmsprop_step`, `adam_step`, `adamw_step`, `rows_step`, `clip_norm`, `clip_value`

Letters: T time steps, N sequences in a batch, D input width, H hidden width, G gates, V vocabulary size.
Arrays are row-major and time-major, [T, N, D]; names, shapes and the order of gates are PyTorch's. The tape
and the loop over time, with lengths, resets and reverse, are described in `fastrnn.reference.time_loop`.

Examples
--------
>>> import numpy as np
>>> from fastrnn import reference
>>> random = np.random.default_rng(0)
>>> T, N, D, H = 7, 2, 3, 5
>>> weights = [random.normal(size=shape) for shape in ((4 * H, D), (4 * H, H), (4 * H,), (4 * H,))]
>>> y, (h, c), tape = reference.lstm_forward(random.normal(size=(T, N, D)), tuple(weights))
>>> dx, (dh, dc), dweights = reference.lstm_backward(tuple(weights), tape, np.ones_like(y))
>>> y.shape, dx.shape, dweights[1].shape, tape.gates.shape
((7, 2, 5), (7, 2, 3), (20, 5), (7, 2, 4, 5))
"""

from fastrnn.reference.activations import drelu, dsigmoid, dtanh, relu, sigmoid, tanh
from fastrnn.reference.attention import AttentionGradients, attention_backward, attention_forward
from fastrnn.reference.bfloat16 import bfloat16_product, round_to_bfloat16
from fastrnn.reference.clip import clip_norm, clip_value, global_norm, sum_of_squares
from fastrnn.reference.crf import CrfGradients, crf_loss, crf_marginals, crf_viterbi
from fastrnn.reference.ctc import ctc_loss
from fastrnn.reference.elman import elman_backward, elman_forward, elman_step
from fastrnn.reference.embedding import embedding_backward, embedding_forward, one_hot
from fastrnn.reference.gru import gru_backward, gru_forward, gru_step
from fastrnn.reference.int8 import int8_product, quantize_activations, quantize_rows
from fastrnn.reference.linear import linear_backward, linear_forward
from fastrnn.reference.loss import (
    LinearCrossEntropy,
    binary_cross_entropy,
    linear_cross_entropy,
    softmax_cross_entropy,
)
from fastrnn.reference.lstm import lstm_backward, lstm_forward, lstm_step
from fastrnn.reference.optim import adam_step, adamw_step, rmsprop_step, rows_step, sgd_step
from fastrnn.reference.regression import absolute_error, huber, quantile_loss, squared_error
from fastrnn.reference.reservoir import dense_from_rows, reservoir_forward
from fastrnn.reference.stack import CELLS, Cell, Rows, stack_backward, stack_forward
from fastrnn.reference.time_loop import Tape
from fastrnn.reference.variants import VariantTape, variant_backward, variant_forward

__all__ = [
    "CELLS",
    "AttentionGradients",
    "Cell",
    "CrfGradients",
    "LinearCrossEntropy",
    "Rows",
    "Tape",
    "VariantTape",
    "absolute_error",
    "adam_step",
    "adamw_step",
    "attention_backward",
    "attention_forward",
    "bfloat16_product",
    "binary_cross_entropy",
    "clip_norm",
    "clip_value",
    "crf_loss",
    "crf_marginals",
    "crf_viterbi",
    "ctc_loss",
    "dense_from_rows",
    "drelu",
    "dsigmoid",
    "dtanh",
    "elman_backward",
    "elman_forward",
    "elman_step",
    "embedding_backward",
    "embedding_forward",
    "global_norm",
    "gru_backward",
    "gru_forward",
    "gru_step",
    "huber",
    "int8_product",
    "linear_backward",
    "linear_cross_entropy",
    "linear_forward",
    "lstm_backward",
    "lstm_forward",
    "lstm_step",
    "one_hot",
    "quantile_loss",
    "quantize_activations",
    "quantize_rows",
    "relu",
    "reservoir_forward",
    "rmsprop_step",
    "round_to_bfloat16",
    "rows_step",
    "sgd_step",
    "sigmoid",
    "softmax_cross_entropy",
    "squared_error",
    "stack_backward",
    "stack_forward",
    "sum_of_squares",
    "tanh",
    "variant_backward",
    "variant_forward",
]


def __dir__() -> list[str]:
    return sorted(__all__)
