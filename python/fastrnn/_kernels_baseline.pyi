# The compiled modules' face, the same for every instruction set. All arrays are C-contiguous NumPy arrays of
# one float dtype (float32 or float64) in a call; ids, targets and lengths are int64, resets bool. The letters
# are the design's: T time steps, N sequences, D input width, H hidden width, V vocabulary size; M rows and K,
# F widths of any kind.
from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

_Floats: TypeAlias = NDArray[Any]
_Ids: TypeAlias = NDArray[np.int64]
_Mask: TypeAlias = NDArray[np.bool_]
_State: TypeAlias = tuple[_Floats, ...]  # (h,), for LSTM (h, c), each [N, H]
_Gradients: TypeAlias = tuple[_Floats | None, ...]  # of weight_ih, weight_hh, bias_ih, bias_hh: added to
_Segment: TypeAlias = tuple[int, int, _State | None]  # first step, steps of the whole pass, where resets lead
_Panels: TypeAlias = Panels32 | Panels64

isa: str

def get_num_threads() -> int: ...
def set_num_threads(threads: int) -> None: ...

# --- recurrent layers: an immutable packed snapshot of weights, and one layer and direction over a sequence
# ---
class Panels32:
    @property
    def input_size(self) -> int: ...
    @property
    def hidden_size(self) -> int: ...
    @property
    def cell(self) -> str: ...
    @property
    def dtype(self) -> str: ...
    @property
    def nbytes(self) -> int: ...

class Panels64:
    @property
    def input_size(self) -> int: ...
    @property
    def hidden_size(self) -> int: ...
    @property
    def cell(self) -> str: ...
    @property
    def dtype(self) -> str: ...
    @property
    def nbytes(self) -> int: ...

class Tape:
    @property
    def x(self) -> NDArray[Any]: ...
    @property
    def y(self) -> _Floats: ...
    @property
    def state(self) -> _State: ...
    @property
    def lengths(self) -> _Ids | None: ...
    @property
    def reset(self) -> _Mask | None: ...
    @property
    def reverse(self) -> bool: ...
    @property
    def c(self) -> _Floats | None: ...
    @property
    def gates(self) -> _Floats | None: ...
    @property
    def segment(self) -> _Segment | None: ...

def elman_pack(
    weight_ih: _Floats,
    weight_hh: _Floats,
    bias_ih: _Floats | None,
    bias_hh: _Floats | None,
    nonlinearity: str = "tanh",
) -> _Panels: ...
def gru_pack(
    weight_ih: _Floats,
    weight_hh: _Floats,
    bias_ih: _Floats | None,
    bias_hh: _Floats | None,
    reset_after: bool = True,
) -> _Panels: ...
def lstm_pack(
    weight_ih: _Floats, weight_hh: _Floats, bias_ih: _Floats | None, bias_hh: _Floats | None
) -> _Panels: ...
def elman_forward(
    panels: _Panels,
    x: NDArray[Any],  # floats [T, N, D] or ids [T, N]
    state: _State | None = None,
    lengths: _Ids | None = None,
    reset: _Mask | None = None,
    reverse: bool = False,
    training: bool = False,
    segment: _Segment | None = None,
) -> tuple[_Floats, _State, Tape | None]: ...
def gru_forward(
    panels: _Panels,
    x: NDArray[Any],
    state: _State | None = None,
    lengths: _Ids | None = None,
    reset: _Mask | None = None,
    reverse: bool = False,
    training: bool = False,
    segment: _Segment | None = None,
) -> tuple[_Floats, _State, Tape | None]: ...
def lstm_forward(
    panels: _Panels,
    x: NDArray[Any],
    state: _State | None = None,
    lengths: _Ids | None = None,
    reset: _Mask | None = None,
    reverse: bool = False,
    training: bool = False,
    segment: _Segment | None = None,
) -> tuple[_Floats, _State, Tape | None]: ...
def elman_backward(
    panels: _Panels,
    tape: Tape,
    dy: _Floats | None,
    dstate_n: _State | None,
    gradients: _Gradients,
    need_dx: bool,
    drestart: _State | None = None,  # added to: what resets of a segment send back to the very first state
) -> tuple[_Floats | None, _State]: ...
def gru_backward(
    panels: _Panels,
    tape: Tape,
    dy: _Floats | None,
    dstate_n: _State | None,
    gradients: _Gradients,
    need_dx: bool,
    drestart: _State | None = None,  # added to: what resets of a segment send back to the very first state
) -> tuple[_Floats | None, _State]: ...
def lstm_backward(
    panels: _Panels,
    tape: Tape,
    dy: _Floats | None,
    dstate_n: _State | None,
    gradients: _Gradients,
    need_dx: bool,
    drestart: _State | None = None,  # added to: what resets of a segment send back to the very first state
) -> tuple[_Floats | None, _State]: ...
def elman_forward_layers(
    panels: list[Any],  # each reads the one before it
    x: NDArray[Any],
    states: list[_State] | None,
    lengths: _Ids | None,
    reset: _Mask | None,
    training: bool,
) -> list[tuple[_Floats, _State, Tape | None]]: ...
def elman_backward_layers(
    panels: list[Any],
    tapes: Sequence[Tape],
    dy: _Floats | None,
    dstates: list[_State] | None,
    gradients: list[_Gradients],
    need_dx: bool,
) -> list[tuple[_Floats | None, _State]]: ...
def elman_forward_directions(
    panels: list[Any],  # two, the second reversed
    x: NDArray[Any],
    states: list[_State] | None,
    lengths: _Ids | None,
    reset: _Mask | None,
    training: bool,
) -> list[tuple[_Floats, _State, Tape | None]]: ...
def elman_backward_directions(
    panels: list[Any],
    tapes: Sequence[Tape],
    dy: _Floats | None,  # [T, N, 2 H]
    dstates: list[_State] | None,
    gradients: list[_Gradients],
    need_dx: bool,
) -> list[tuple[_Floats | None, _State]]: ...
def gru_forward_layers(
    panels: list[Any],  # each reads the one before it
    x: NDArray[Any],
    states: list[_State] | None,
    lengths: _Ids | None,
    reset: _Mask | None,
    training: bool,
) -> list[tuple[_Floats, _State, Tape | None]]: ...
def gru_backward_layers(
    panels: list[Any],
    tapes: Sequence[Tape],
    dy: _Floats | None,
    dstates: list[_State] | None,
    gradients: list[_Gradients],
    need_dx: bool,
) -> list[tuple[_Floats | None, _State]]: ...
def gru_forward_directions(
    panels: list[Any],  # two, the second reversed
    x: NDArray[Any],
    states: list[_State] | None,
    lengths: _Ids | None,
    reset: _Mask | None,
    training: bool,
) -> list[tuple[_Floats, _State, Tape | None]]: ...
def gru_backward_directions(
    panels: list[Any],
    tapes: Sequence[Tape],
    dy: _Floats | None,  # [T, N, 2 H]
    dstates: list[_State] | None,
    gradients: list[_Gradients],
    need_dx: bool,
) -> list[tuple[_Floats | None, _State]]: ...
def lstm_forward_layers(
    panels: list[Any],  # each reads the one before it
    x: NDArray[Any],
    states: list[_State] | None,
    lengths: _Ids | None,
    reset: _Mask | None,
    training: bool,
) -> list[tuple[_Floats, _State, Tape | None]]: ...
def lstm_backward_layers(
    panels: list[Any],
    tapes: Sequence[Tape],
    dy: _Floats | None,
    dstates: list[_State] | None,
    gradients: list[_Gradients],
    need_dx: bool,
) -> list[tuple[_Floats | None, _State]]: ...
def lstm_forward_directions(
    panels: list[Any],  # two, the second reversed
    x: NDArray[Any],
    states: list[_State] | None,
    lengths: _Ids | None,
    reset: _Mask | None,
    training: bool,
) -> list[tuple[_Floats, _State, Tape | None]]: ...
def lstm_backward_directions(
    panels: list[Any],
    tapes: Sequence[Tape],
    dy: _Floats | None,  # [T, N, 2 H]
    dstates: list[_State] | None,
    gradients: list[_Gradients],
    need_dx: bool,
) -> list[tuple[_Floats | None, _State]]: ...

# --- a stack of layers, one step a call, the state kept ---
class Stream32:
    @property
    def batch_size(self) -> int: ...
    # floats [N, D] or ids [N] -> [N, H]: out, or a new array
    def step(self, x: NDArray[Any], out: _Floats | None = None) -> _Floats: ...
    def get_state(self) -> list[_State]: ...
    def set_state(self, state: list[_State]) -> None: ...
    def copy(self) -> Stream32: ...

class Stream64:
    @property
    def batch_size(self) -> int: ...
    def step(self, x: NDArray[Any], out: _Floats | None = None) -> _Floats: ...
    def get_state(self) -> list[_State]: ...
    def set_state(self, state: list[_State]) -> None: ...
    def copy(self) -> Stream64: ...

def Stream(panels: list[Any], batch_size: int) -> Stream32 | Stream64: ...

# --- the other layers; gradients dweight, dbias are added to ---
class LinearPanels32: ...
class LinearPanels64: ...

def linear_pack(weight: _Floats, bias: _Floats | None) -> LinearPanels32 | LinearPanels64: ...
def linear_forward(panels: LinearPanels32 | LinearPanels64, x: _Floats) -> _Floats: ...
def linear_backward(
    x: _Floats, weight: _Floats, dy: _Floats, dweight: _Floats, dbias: _Floats | None, need_dx: bool
) -> _Floats | None: ...
def embedding_forward(ids: _Ids, weight: _Floats) -> _Floats: ...
def embedding_backward(ids: _Ids, dy: _Floats, dweight: _Floats) -> None: ...

# --- losses in nats a row; a target of -1 is not counted ---
def softmax_cross_entropy(logits: _Floats, targets: _Ids) -> tuple[_Floats, _Floats]: ...
def linear_cross_entropy(
    h: _Floats,
    weight: _Floats,
    bias: _Floats | None,
    targets: _Ids,
    scale: float,
    dweight: _Floats | None,
    dbias: _Floats | None,
    need_dh: bool,
    smoothing: float = 0.0,
) -> tuple[_Floats, _Floats | None]: ...

# --- optimisers and clipping: flat arrays, in place ---
def sgd_step(
    p: _Floats,
    g: _Floats,
    m: _Floats | None,
    learning_rate: float,
    momentum: float,
    weight_decay: float,
    nesterov: bool,
    gradient_scale: float = 1.0,
) -> None: ...
def rmsprop_step(
    p: _Floats,
    g: _Floats,
    v: _Floats,
    learning_rate: float,
    alpha: float,
    epsilon: float,
    weight_decay: float,
    gradient_scale: float = 1.0,
) -> None: ...
def adam_step(
    p: _Floats,
    g: _Floats,
    m: _Floats,
    v: _Floats,
    step: int,
    learning_rate: float,
    beta1: float,
    beta2: float,
    epsilon: float,
    weight_decay: float,
    decoupled: bool,
    gradient_scale: float = 1.0,
) -> None: ...
def sum_of_squares(g: _Floats) -> float: ...
def scale(g: _Floats, factor: float) -> None: ...
def clip_value(g: _Floats, limit: float) -> None: ...

# --- the kernels' own activations ---
def sigmoid(x: _Floats) -> _Floats: ...
def tanh(x: _Floats) -> _Floats: ...

# --- variants of the cells: a snapshot of weights and options, one layer and direction over its gates' input
# parts ---
class VariantPanels32: ...
class VariantPanels64: ...

_VariantPanels: TypeAlias = VariantPanels32 | VariantPanels64

def variant_pack(
    kind: str, hidden_size: int, weights: dict[str, Any], options: dict[str, Any], wide: bool
) -> _VariantPanels: ...
def variant_forward(
    panels: _VariantPanels,
    gx: _Floats,  # [T, N, G*H]
    state: _State,  # h [N, P], c [N, H] and past [N, skip, P] where the cell has them
    lengths: _Ids | None,
    reset: _Mask | None,
    reverse: bool,
    training: bool,
    segment: _Segment | None,
    masks: dict[str, Any],
) -> tuple[_Floats, _State, dict[str, Any]]: ...  # y [T, N, P], (h,) or (h, c), what backward reads
def variant_backward(
    panels: _VariantPanels,
    saved: dict[str, Any],
    state: _State,
    lengths: _Ids | None,
    reset: _Mask | None,
    reverse: bool,
    segment: _Segment | None,
    masks: dict[str, Any],
    dy: _Floats,
    dstate_n: _State,
    drestart: _State | None,
) -> dict[str, Any]: ...
