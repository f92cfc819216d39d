"""Drop-in modules for ``torch.nn.RNN``, ``torch.nn.GRU`` and ``torch.nn.LSTM``."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch.nn.utils.rnn import PackedSequence

from fastrnn.interop.torch.autograd import Call, RecurrentFunction, run
from fastrnn.interop.torch.compiled import recurrent
from fastrnn.interop.torch.layout import Layout, PackedLayout, read
from fastrnn.interop.torch.packing import WeightCache
from fastrnn.interop.torch.passes import Plan, plan_of

__all__ = ["GRU", "LSTM", "RNN"]

_PLAIN = (torch.Tensor, torch.nn.Parameter)
_DTYPES = {torch.float32: "float32", torch.float64: "float64"}


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
            result = _native(self, input, hx) if isinstance(input, PackedSequence) else _traced(self, input, hx)
        return self._theirs.forward(self, input, hx) if result is None else result


@torch.compiler.disable
def _native(module: Any, input: Any, hx: Any) -> Any:
    """Run with the kernels; return None to leave what they do not take to PyTorch, its errors included."""
    packed = input if isinstance(input, PackedSequence) else None
    x = input if packed is None else packed.data
    module._update_flat_weights()
    weights = module._flat_weights
    given = _given(module, hx)
    if given is None or torch.jit.is_tracing() or torch._C._are_functorch_transforms_active():
        return None
    if packed is not None and packed.sorted_indices is not None:
        given = [part.index_select(1, packed.sorted_indices) for part in given]
    if torch.is_autocast_enabled("cpu"):
        x, given = _in_dtype(x, weights), [_in_dtype(part, weights) for part in given]
    if not all([type(one) in _PLAIN for one in (x, *given, *weights)]):
        return None
    rows = None if packed is None else int(packed.batch_sizes[0])
    plan = _plan(module, x, given, weights, rows)
    if plan is None:
        return None
    if packed is None:
        layout = Layout(batch_first=module.batch_first, alone=x.dim() == 2)
    else:
        layout = PackedLayout(packed.batch_sizes.numpy())
    call = Call(plan, _packed_weights(module, plan, weights), layout, _keys(plan).tolist(), len(given))
    x = x.resolve_neg()
    if torch.is_grad_enabled() and any([one.requires_grad for one in (x, *given, *weights)]):
        y, *states = RecurrentFunction.apply(call, x, *given, *weights)
    else:
        y, *states = run(call, x, given)
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
    plan = _plan(module, x, given, weights, None)
    if plan is None:
        return None
    alone = x.dim() == 2
    if alone:
        x, given = x.unsqueeze(1), [part.unsqueeze(1) for part in given]
    elif module.batch_first:
        x = x.transpose(0, 1)
    kept, settings = torch.is_grad_enabled(), _settings(module)
    settings = (settings[0], list(settings[1]), str(settings[2]), *settings[3:])
    results = recurrent(x.contiguous(), given, weights, _keys(plan), kept, *settings)
    y, *states = results[: 3 if module._cell == "lstm" else 2]
    if alone:
        y, states = y.squeeze(1), [part.squeeze(1) for part in states]
    elif module.batch_first:
        y = y.transpose(0, 1)
    return y, tuple(states) if len(states) > 1 else states[0]


def _given(module: Any, hx: Any) -> list[Any] | None:
    """Return the tensors of a state that was passed; None if it has not the cell's form."""
    if hx is None:
        return []
    if module._cell != "lstm":
        return [hx] if isinstance(hx, torch.Tensor) else None
    pair = isinstance(hx, (tuple, list)) and len(hx) == 2 and all([isinstance(a, torch.Tensor) for a in hx])
    return list(hx) if pair else None


def _in_dtype(tensor: Any, weights: list[Any]) -> Any:
    """Return a tensor in the dtype of the weights, as autocast would convert it to its own."""
    return tensor.to(weights[0].dtype) if tensor.is_floating_point() else tensor


def _settings(module: Any) -> tuple[Any, ...]:
    """Return the arguments of `plan_of` but the dtype."""
    option = module.proj_size if module._cell == "lstm" else getattr(module, "nonlinearity", "")
    dropout = module.dropout if module.training and module.num_layers > 1 else 0.0
    sizes = (module.input_size, module.hidden_size, module.num_layers)
    return module._cell, sizes, option, module.bidirectional, dropout, module.bias


def _plan(module: Any, x: Any, given: list[Any], weights: list[Any], rows: int | None) -> Plan | None:
    """Return the plan of a call, or None if PyTorch has to run it: other devices, dtypes, shapes.

    `rows`: N of a packed sequence, whose x is [steps of all rows, D].
    """
    settings, dtype = _settings(module), _DTYPES.get(x.dtype)
    if dtype is None or settings[4] >= 1.0 or x.numel() == 0 or x.shape[-1] != module.input_size:
        return None
    for one in (x, *given, *weights):
        if one.dtype is not x.dtype or one.device.type != "cpu" or one.layout is not torch.strided:
            return None
    plan = plan_of(*settings, dtype)
    axes = x.dim()
    if rows is not None:
        batch: tuple[int, ...] = (rows,)
        fits = axes == 2
    else:
        batch = (x.shape[0 if module.batch_first else 1],) if axes == 3 else ()
        fits = axes in (2, 3)
    shapes = [(plan.spec.count, *batch, *one[1:]) for one in plan.spec.state_shapes(1)]
    fits = fits and (not given or [one.shape for one in given] == shapes)
    return plan if fits and [one.shape for one in weights] == plan.shapes else None


def _packed_weights(module: Any, plan: Plan, weights: list[Any]) -> Any:
    if module._cache is None:
        module._cache = WeightCache()
    try:
        versions = [one._version for one in weights]
    except RuntimeError:  # tensors made in inference mode count none
        versions = []
    return module._cache.packed(plan, versions, [read(one) for one in weights])


def _keys(plan: Plan) -> Any:
    """Draw the keys of the dropout masks, int64, from PyTorch's generator."""
    return torch.randint(0, 2**63 - 1, (plan.masks,), dtype=torch.int64)


class LSTM(_Native, torch.nn.LSTM):
    """x"""

    _cell, _theirs = "lstm", torch.nn.LSTM


class GRU(_Native, torch.nn.GRU):
    """x"""

    _cell, _theirs = "gru", torch.nn.GRU


class RNN(_Native, torch.nn.RNN):
    """x"""

    _cell, _theirs = "elman", torch.nn.RNN
