# The interface of the compiled modules, the same for every instruction set. All arrays are C-contiguous NumPy
# arrays, of one float dtype (float32 or float64) per call; ids, targets and lengths are int64, resets bool.
# T time steps, N sequences, D input width, H hidden width, P output width, V vocabulary size; M rows, and K
# and F any widths.
from collections.abc import Mapping
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

_Floats: TypeAlias = NDArray[Any]
_Ids: TypeAlias = NDArray[np.int64]
_Mask: TypeAlias = NDArray[np.bool_]
_State: TypeAlias = tuple[_Floats, ...]  # h [N, P]; also c [N, width], past [N, skip, P] if the cell has them
_Gradients: TypeAlias = Mapping[str, _Floats]  # by parameter name; added to
_Options: TypeAlias = dict[str, _Floats]  # arrays of options in a pass: masks, context, targets
_Packed: TypeAlias = Packed32 | Packed64

isa: str
native_products: str

def get_num_threads() -> int: ...
def set_num_threads(threads: int) -> None: ...
def use_native_products(use: bool) -> None: ...
def thread_counters() -> dict[str, int]: ...
def meeting_time(threads: int, meetings: int, work: float) -> float: ...

# --- recurrent layers: an immutable packed snapshot of the weights of one layer and direction, and passes
# over a sequence ---
class Packed32:
    @property
    def input_size(self) -> int: ...
    @property
    def hidden_size(self) -> int: ...
    @property
    def cell(self) -> str: ...
    @property
    def dtype(self) -> str: ...
    @property
    def precision(self) -> str: ...
    @property
    def nbytes(self) -> int: ...

class Packed64:
    @property
    def input_size(self) -> int: ...
    @property
    def hidden_size(self) -> int: ...
    @property
    def cell(self) -> str: ...
    @property
    def dtype(self) -> str: ...
    @property
    def precision(self) -> str: ...
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
    def options(self) -> _Options | None: ...
    @property
    def segment(self) -> tuple[int, int] | None: ...
    @property
    def nbytes(self) -> int: ...

def elman_pack(
    weight_ih: _Floats,
    weight_hh: _Floats,
    bias_ih: _Floats | None,
    bias_hh: _Floats | None,
    nonlinearity: str = "tanh",
    precision: str = "float32",
) -> _Packed: ...
def gru_pack(
    weight_ih: _Floats,
    weight_hh: _Floats,
    bias_ih: _Floats | None,
    bias_hh: _Floats | None,
    reset_after: bool = True,
    precision: str = "float32",
) -> _Packed: ...
def lstm_pack(
    weight_ih: _Floats,
    weight_hh: _Floats,
    bias_ih: _Floats | None,
    bias_hh: _Floats | None,
    precision: str = "float32",
) -> _Packed: ...
def slstm_pack(
    weight_ih: _Floats,
    weight_hh: _Floats,
    bias_ih: _Floats | None,
    bias_hh: _Floats | None,
    precision: str = "float32",
) -> _Packed: ...

class PackedReservoir: ...

def sparse_reservoir_pack(  # of W [H, H] in compressed rows
    data: _Floats,
    indices: _Ids,
    indptr: _Ids,
    leak: _Floats,
    nonlinearity: str,
    gathers: bool | None = None,  # gather instructions: whether to use them, or whether they are faster here
) -> PackedReservoir: ...
def sparse_reservoir_run(packed: PackedReservoir, states: _Floats, state: _Floats) -> None: ...  # in place
def variant_pack(
    kind: str, hidden_size: int, weights: dict[str, Any], options: dict[str, Any]
) -> _Packed: ...
def recurrent_forward(
    packed: list[Any],  # consecutive layers, or both directions of one layer
    x: NDArray[Any],  # floats [T, N, D] or ids [T, N]
    states: list[Any] | None = None,
    lengths: _Ids | None = None,
    reset: _Mask | None = None,
    training: bool = False,
    reverse: bool = False,  # with one direction; of two, the second is reversed
    directions: int = 1,
    options: list[Any] | None = None,  # _Options or None for each
    segment: tuple[int, int] | None = None,  # first step, and steps of the whole pass
    restarts: list[Any] | None = None,  # in a segment: the states after a reset
) -> list[tuple[_Floats, _State, Tape | None]]: ...
def recurrent_backward(
    packed: list[Any],
    tapes: list[Any],
    dy: _Floats | None,  # [T, N, 2 P] with two directions
    dstates: list[Any] | None,
    gradients: list[Any],  # _Gradients for each
    need_dx: bool,
    directions: int = 1,
    drestarts: list[Any] | None = None,  # added to: what a segment's resets send back to the first state
    # for each (h [T, N, P], c [T, N, carried] where there is one): written, the gradients of all states
    state_gradients: list[Any] | None = None,
) -> list[tuple[_Floats | None, _State]]: ...

# --- a stack of layers, one step per call, with its own state ---
class Stream32:
    @property
    def batch_size(self) -> int: ...
    # floats [N, D] or ids [N] -> [N, P]: out, or a new array
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

def Stream(packed: list[Any], batch_size: int, options: list[Any] | None = None) -> Stream32 | Stream64: ...

# --- the other layers; gradients dweight, dbias are added to ---
class PackedLinear32:
    @property
    def precision(self) -> str: ...

class PackedLinear64:
    @property
    def precision(self) -> str: ...

def linear_pack(
    weight: _Floats, bias: _Floats | None, precision: str = "float32"
) -> PackedLinear32 | PackedLinear64: ...
def linear_forward(panels: PackedLinear32 | PackedLinear64, x: _Floats) -> _Floats: ...
def linear_weight(panels: PackedLinear32 | PackedLinear64) -> _Floats: ...
def linear_backward(
    x: _Floats,
    weight: _Floats,
    dy: _Floats,
    dweight: _Floats,
    dbias: _Floats | None,
    need_dx: bool,
    precision: str = "float32",
) -> _Floats | None: ...
def kept(array: NDArray[Any], name: str) -> NDArray[Any]: ...
def embedding_forward(ids: _Ids, weight: _Floats) -> _Floats: ...
def embedding_backward(ids: _Ids, dy: _Floats, dweight: _Floats) -> None: ...

# --- attention: queries [T, N, A], memory [R, A] and [R, K]; gradients: dkeys, dvalues, dscore ---
def attention_rows(values: _Floats, lengths: _Ids) -> _Floats: ...
def attention_steps(one: _Floats, two: _Floats | None, lengths: _Ids, steps: int) -> _Floats: ...
def attention_forward(
    queries: _Floats | None,
    keys: _Floats,
    values: _Floats,
    score: _Floats | None,
    scale: float,
    lengths: _Ids,
    rows: _Ids | None,
    steps: int,
) -> tuple[_Floats, _Floats]: ...
def attention_backward(
    queries: _Floats | None,
    keys: _Floats,
    values: _Floats,
    score: _Floats | None,
    scale: float,
    lengths: _Ids,
    weights: _Floats,
    dcontext: _Floats,
    dweights: _Floats | None,
    gradients: tuple[_Floats, _Floats, _Floats | None] | None,
    need_dqueries: bool,
) -> tuple[_Floats | None, tuple[_Floats, _Floats, _Floats | None]]: ...

# --- losses in nats per row; a target of -1 is not counted ---
def softmax_cross_entropy(
    logits: _Floats,
    targets: _Ids,
    scale: float = 1.0,
    smoothing: float = 0.0,
    class_weight: _Floats | None = None,
) -> tuple[_Floats, _Floats]: ...
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
    precision: str = "float32",
) -> tuple[_Floats, _Floats | None]: ...

# --- losses in nats per element, targets in 0 .. 1; a target of -1 is not counted ---
def binary_cross_entropy(
    logits: _Floats, targets: _Floats, pos_weight: _Floats | None, scale: float, smoothing: float = 0.0
) -> tuple[_Floats, _Floats]: ...
def linear_binary_cross_entropy(
    h: _Floats,
    weight: _Floats,
    bias: _Floats | None,
    targets: _Floats,
    pos_weight: _Floats | None,
    scale: float,
    dweight: _Floats | None,
    dbias: _Floats | None,
    need_dh: bool,
    smoothing: float = 0.0,
) -> tuple[_Floats, _Floats | None]: ...

# --- connectionist temporal classification: targets of all rows one after the other, blank in 0 .. V-1 ---
def ctc_loss(
    logits: _Floats,
    targets: _Ids,
    target_lengths: _Ids,
    lengths: _Ids | None,
    blank: int,
    zero_infinity: bool,
    scales: _Floats | None,
) -> tuple[_Floats, _Floats]: ...
def ctc_align(
    logits: _Floats, targets: _Ids, target_lengths: _Ids, lengths: _Ids | None, blank: int
) -> tuple[_Ids, NDArray[np.float64]]: ...

# --- losses of real numbers per element; targets [M] are those of every column of predictions [M, Q] ---
def regression_loss(
    predictions: _Floats,
    targets: _Floats,
    counted: _Mask | None,
    kind: str,
    parameters: _Floats | None,
    scale: float,
) -> tuple[_Floats, _Floats]: ...

# --- linear-chain conditional random field: emissions [T, N, K], transitions [K, K], start and end [K] ---
def crf_loss(
    emissions: _Floats,
    transitions: _Floats,
    start: _Floats,
    end: _Floats,
    targets: _Ids,
    lengths: _Ids,
    scale: float,
    need: bool,
    dtransitions: _Floats | None = None,
    dstart: _Floats | None = None,
    dend: _Floats | None = None,
) -> tuple[_Floats, _Floats | None]: ...
def crf_marginals(
    emissions: _Floats, transitions: _Floats, start: _Floats, end: _Floats, lengths: _Ids
) -> tuple[_Floats, _Floats]: ...
def crf_viterbi(
    emissions: _Floats, transitions: _Floats, start: _Floats, end: _Floats, lengths: _Ids
) -> tuple[_Ids, _Floats]: ...

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
def norm(g: _Floats) -> float: ...
def scale(g: _Floats, factor: float) -> None: ...
def clip_value(g: _Floats, limit: float) -> None: ...

# --- the kernels' own activations ---
def sigmoid(x: _Floats) -> _Floats: ...
def tanh(x: _Floats) -> _Floats: ...

# --- masks: [steps, width], `dropped` where a random number is below the threshold, else `kept` ---
# Of the `total` numbers of a step (-1: width) they are those from `offset` on.
def dropout_mask(
    key: int,
    purpose: int,
    first: int,
    steps: int,
    width: int,
    threshold: int,
    dropped: float,
    kept: float,
    wide: bool,
    offset: int = 0,
    total: int = -1,
) -> _Floats: ...
