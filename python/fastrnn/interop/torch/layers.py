"""Drop-in modules for ``torch.nn.RNN``, ``torch.nn.GRU`` and ``torch.nn.LSTM``."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import torch
from torch.autograd import forward_ad
from torch.nn.utils.rnn import PackedSequence

from fastrnn.interop.torch.autograd import Call, RecurrentFunction, run
from fastrnn.interop.torch.compiled import recurrent
from fastrnn.interop.torch.layout import Layout, PackedLayout
from fastrnn.interop.torch.packing import WeightCache
from fastrnn.interop.torch.passes import Plan, plan_of

__all__ = ["GRU", "LSTM", "RNN"]

_PLAIN = (torch.Tensor, torch.nn.Parameter)
_DTYPES: dict[Any, str] = {
    torch.float32: "float32",
    torch.float64: "float64",
    np.dtype(np.float32): "float32",
    np.dtype(np.float64): "float64",
}


class _Native:
    """The forward of the modules. The class of ``torch.nn`` that comes after it has everything else."""

    _cell: ClassVar[str]
    _theirs: ClassVar[Any]
    _cache: WeightCache | None = None

    def forward(self, input: Any, hx: Any = None) -> Any:
        """Run sequences; the arguments and results are those of the class of ``torch.nn``."""
        result = None
        if not torch.compiler.is_compiling():
            result = _native(self, input, hx)
        elif not torch.compiler.is_exporting():
            result = (_native if isinstance(input, PackedSequence) else _traced)(self, input, hx)
        return self._theirs.forward(self, input, hx) if result is None else result


@torch.compiler.disable
def _native(module: Any, input: Any, hx: Any) -> Any:
    """Run with the kernels; return None to leave what they do not take to PyTorch, its errors included."""
    packed = input if isinstance(input, PackedSequence) else None
    x, weights, given = input if packed is None else packed.data, _weights(module), _given(module, hx)
    if given is None or torch.jit.is_tracing() or _transforms():
        return None
    if packed is not None and packed.sorted_indices is not None:
        given = [part.index_select(1, packed.sorted_indices) for part in given]
    if torch.is_autocast_enabled("cpu"):
        x, given = _in_dtype(x, weights), [_in_dtype(part, weights) for part in given]
    tensors = [x, *given, *weights]
    try:
        if not all(type(one) in _PLAIN for one in tensors):
            return None
        arrays = [one.detach().numpy() for one in tensors]
    except (TypeError, RuntimeError):  # on another device, of a dtype that NumPy lacks, sparse, ...
        return None
    of_state = len(given)
    rows = None if packed is None else _rows(packed)
    if rows == 0 or not _fits(module, arrays[0], arrays[1 : 1 + of_state], rows):
        return None
    plan = plan_of(*_settings(module), _DTYPES[arrays[0].dtype])
    if not _fit(plan, arrays[1 + of_state :]):
        return None
    if packed is None:
        layout = Layout(batch_first=module.batch_first, alone=x.dim() == 2)
    else:
        layout = PackedLayout(packed.batch_sizes.numpy())
    taped = torch.is_grad_enabled() and any(one.requires_grad for one in tensors)
    cached = _packed_weights(module, plan, weights, arrays[1 + of_state :], taped)
    call = Call(plan, cached, layout, _keys(plan.masks).tolist() if plan.masks else [], of_state)
    if taped:
        y, *states = RecurrentFunction.apply(call, *tensors)
    else:
        y, *states = run(call, *arrays[: 1 + of_state])
    if packed is not None:
        if packed.unsorted_indices is not None:
            states = [part.index_select(1, packed.unsorted_indices) for part in states]
        y = PackedSequence(y, packed.batch_sizes, packed.sorted_indices, packed.unsorted_indices)
    return y, tuple(states) if len(states) > 1 else states[0]


def _traced(module: Any, x: Any, hx: Any) -> Any:
    """Do what `_native` does where ``torch.compile`` traces: as one operator of its graph."""
    given, weights = _given(module, hx), [getattr(module, name) for name in module._flat_weights_names]
    if given is None:
        return None
    if torch.is_autocast_enabled("cpu"):
        x, given = _in_dtype(x, weights), [_in_dtype(part, weights) for part in given]
    for one in (x, *given, *weights):
        if one.dtype is not x.dtype or one.device.type != "cpu" or one.layout is not torch.strided:
            return None
    if not _fits(module, x, given, None):
        return None
    alone = x.dim() == 2
    if alone:
        x, given = x.unsqueeze(1), [part.unsqueeze(1) for part in given]
    elif module.batch_first:
        x = x.transpose(0, 1)
    cell, sizes, option, bidirectional, dropout, bias = _settings(module)
    keys = _keys(module.num_layers - 1 if dropout else 0)
    settings = (cell, list(sizes), str(option), bidirectional, dropout, bias)
    results = recurrent(x.contiguous(), given, weights, keys, torch.is_grad_enabled(), *settings)
    y, *states = results[: 3 if cell == "lstm" else 2]
    if alone:
        y, states = y.squeeze(1), [part.squeeze(1) for part in states]
    elif module.batch_first:
        y = y.transpose(0, 1)
    return y, tuple(states) if len(states) > 1 else states[0]


def _rows(packed: PackedSequence) -> int:
    """Return N of a packed sequence, 0 if its batch sizes are not those of its data."""
    sizes = packed.batch_sizes.numpy()
    falling = sizes.size and sizes[-1] >= 0 and (sizes[1:] <= sizes[:-1]).all()
    return int(sizes[0]) if falling and sizes.sum() == len(packed.data) else 0


def _transforms() -> bool:
    """Whether PyTorch differentiates forward, or a transform of ``torch.func`` is at work."""
    return bool(forward_ad._current_level >= 0 or torch._C._are_functorch_transforms_active())


def _given(module: Any, hx: Any) -> list[Any] | None:
    """Return the tensors of a state that was passed; None if it has not the cell's form."""
    if hx is None:
        return []
    if module._cell != "lstm":
        return [hx] if isinstance(hx, torch.Tensor) else None
    pair = isinstance(hx, (tuple, list)) and len(hx) == 2 and all(isinstance(a, torch.Tensor) for a in hx)
    return list(hx) if pair else None


def _in_dtype(tensor: Any, weights: list[Any]) -> Any:
    """Return a tensor in the dtype of the weights, as autocast would convert both to its own."""
    return tensor.to(weights[0].dtype) if tensor.is_floating_point() else tensor


def _settings(module: Any) -> tuple[Any, ...]:
    """Return the arguments of `plan_of` but the dtype."""
    option = module.proj_size if module._cell == "lstm" else getattr(module, "nonlinearity", "")
    dropout = module.dropout if module.training and module.num_layers > 1 else 0.0
    sizes = (module.input_size, module.hidden_size, module.num_layers)
    return module._cell, sizes, option, module.bidirectional, dropout, module.bias


def _fits(module: Any, x: Any, given: list[Any], rows: int | None) -> bool:
    """Whether the kernels take x and the first state, arrays or tensors, of any dtype.

    `rows`: N of a packed sequence, whose x is [steps of all rows, D].
    """
    shape = tuple(x.shape)
    if x.dtype not in _DTYPES or 0 in shape or len(shape) not in (2, 3) or shape[-1] != module.input_size:
        return False
    if module.training and module.dropout >= 1.0:
        return False
    if rows is not None:
        batch: tuple[int, ...] = (rows,)
    else:
        batch = (shape[0 if module.batch_first else 1],) if len(shape) == 3 else ()
    first = (module.num_layers * (2 if module.bidirectional else 1), *batch)
    widths = (module.proj_size or module.hidden_size, module.hidden_size)
    for part, width in zip(given, widths, strict=False):
        if part.dtype != x.dtype or tuple(part.shape) != (*first, width):
            return False
    return True


def _fit(plan: Plan, arrays: list[Any]) -> bool:
    """Whether arrays of weights have the dtype and the shapes of a plan."""
    return [one.shape for one in arrays] == plan.shapes and all(one.dtype == plan.dtype for one in arrays)


def _weights(module: Any) -> list[Any]:
    """Return the weights as they are now, whatever is in the places of the parameters."""
    parameters = module._parameters
    weights = [parameters.get(name) for name in module._flat_weights_names]
    if not all(one is not None for one in weights):
        module._update_flat_weights()
        weights = module._flat_weights
    return weights


def _packed_weights(module: Any, plan: Plan, weights: list[Any], arrays: list[Any], taped: bool) -> Any:
    if module._cache is None:
        module._cache = WeightCache()
    try:
        versions = [one._version for one in weights]
    except RuntimeError:  # tensors made in inference mode count none
        versions = []
    return module._cache.packed(plan, versions, arrays, taped=taped)


def _keys(count: int) -> Any:
    """Draw the keys of dropout masks, int64, from PyTorch's generator."""
    return torch.randint(0, 2**63 - 1, (count,), dtype=torch.int64, device="cpu")


class LSTM(_Native, torch.nn.LSTM):
    """``torch.nn.LSTM`` with fastrnn's passes forward and backward.

    Constructor, attributes, names and shapes of the parameters, state dict, results, gradients and errors are
    those of ``torch.nn.LSTM``, of which this is a subclass: PyTorch's documentation is this class's, too. A
    state dict of either loads into the other with ``strict=True``.

    Parameters
    ----------
    input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional, proj_size, device, dtype
        As of ``torch.nn.LSTM``.

    Notes
    -----
    **What runs natively.** Tensors of float32 or float64 on the CPU, batched or not, padded or a
    ``PackedSequence``. Everything else is left to PyTorch's own passes, as if the module were PyTorch's:
    other devices and dtypes, empty batches, ``dropout=1``, subclasses of tensors, ``torch.func``,
    forward-mode differentiation, tracing and export. Under autocast the passes stay in the dtype of the
    weights.

    **Threads.** fastrnn has its own: ``fastrnn.set_num_threads``, not ``torch.set_num_threads``. Results have
    the same bits for any number of them.

    **Memory.** x, y and the states are shared with the kernels, not copied, except for an x or dy that is not
    contiguous in the order of time (with ``batch_first`` and more than one sequence) and padded copies of
    packed sequences. As the y of a call with gradients is also what the backward pass reads, writing to it
    in place before that is an error, as with cuDNN.

    **Weights** are read at each call, so that parametrizations, weight norm, ``torch.func.functional_call``
    and shared parameters work. Packed forms are kept for the next call and used if all bits are the same. A
    backward pass uses the weights of its forward pass even if an optimizer has changed them since.

    **Dropout** masks are not PyTorch's, but depend on ``torch.manual_seed`` likewise.

    **Not there** are second derivatives, which raise an error; use ``torch.nn.LSTM`` for them.

    **Speed** is gained in the steps of a sequence. A call by itself costs more than one of PyTorch's, so pass
    sequences, not single steps.

    **torch.compile** leaves this class out of its graphs, as all subclasses of ``torch.nn.LSTM``, and calls
    it. With ``torch._dynamo.config.allow_rnn = True`` it is one operator of a full graph, except for packed
    sequences.

    Examples
    --------
    >>> import torch
    >>> import fastrnn.interop.torch as ft
    >>> rnn, same = ft.LSTM(3, 5, num_layers=2), torch.nn.LSTM(3, 5, num_layers=2)
    >>> same.load_state_dict(rnn.state_dict())
    <All keys matched successfully>
    >>> x = torch.randn(4, 2, 3, requires_grad=True)
    >>> y, (h, c) = rnn(x)
    >>> y.sum().backward()
    >>> x.grad.shape, rnn.weight_hh_l1.grad.shape
    (torch.Size([4, 2, 3]), torch.Size([20, 5]))
    >>> torch.allclose(y, same(x)[0], atol=1e-6)
    True
    """

    _cell, _theirs = "lstm", torch.nn.LSTM


class GRU(_Native, torch.nn.GRU):
    """``torch.nn.GRU`` with fastrnn's passes forward and backward; see `LSTM` for what that means.

    Parameters
    ----------
    input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional, device, dtype
        As of ``torch.nn.GRU``.

    Examples
    --------
    >>> import torch
    >>> import fastrnn.interop.torch as ft
    >>> rnn = ft.GRU(3, 5, bidirectional=True)
    >>> rnn
    GRU(3, 5, bidirectional=True)
    >>> rows = [torch.randn(4, 3), torch.randn(2, 3)]
    >>> y, h = rnn(torch.nn.utils.rnn.pack_sequence(rows))
    >>> y.data.shape, h.shape
    (torch.Size([6, 10]), torch.Size([2, 2, 5]))
    """

    _cell, _theirs = "gru", torch.nn.GRU


class RNN(_Native, torch.nn.RNN):
    """``torch.nn.RNN`` with fastrnn's passes forward and backward; see `LSTM` for what that means.

    Parameters
    ----------
    input_size, hidden_size, num_layers, nonlinearity, bias, batch_first, dropout, bidirectional, device,
    dtype
        As of ``torch.nn.RNN``.

    Examples
    --------
    >>> import torch
    >>> import fastrnn.interop.torch as ft
    >>> y, h = ft.RNN(3, 5, nonlinearity="relu")(torch.randn(4, 2, 3))
    >>> bool((y >= 0).all()), torch.equal(y[-1:], h)
    (True, True)
    """

    _cell, _theirs = "elman", torch.nn.RNN
