"""`to_state_dict`: the parameters of a model by the names that a PyTorch module has for them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from fastrnn._arrays import Array
from fastrnn._plain import as_mapping, as_text
from fastrnn.language import LanguageModel
from fastrnn.layers import GRU, LSTM, RNN, Module, Recurrent
from fastrnn.layers.recurrent.options import CellOptions

__all__ = ["to_state_dict"]

# Options that change nothing outside training, so that PyTorch's layers compute the same.
_IN_TRAINING = {"recurrent_dropout", "input_dropout", "state_dropout", "output_dropout", "weight_drop"}

_TAIL = re.compile(r"^output\.tail(\d+)\.(project|output)\.")  # of an adaptive softmax


def to_state_dict(model: Module, names: Mapping[str, str] | None = None) -> dict[str, Array]:
    """Return the parameters of a layer or model for ``load_state_dict(..., strict=True)`` in PyTorch.

    The names and shapes of layers are PyTorch's already; what differs are the names of the parts of a model.
    Tied weights, which a model has once, appear under both names, as in PyTorch.

    Parameters
    ----------
    model : Module
        A layer, a `fastrnn.Sequential`, a `fastrnn.LanguageModel` or another model.
    names : mapping of str to str, optional
        The module's names for parts of the model: ``{"embedding": "encoder", "output": "decoder"}``. ``""``
        is the model itself: ``{"": "rnn"}`` puts all parameters of a layer below ``rnn``. Of several that
        fit, the longest counts.

    Returns
    -------
    state : dict of str to ndarray
        Copies; ``torch.from_numpy`` makes tensors of them, without another copy.

    Raises
    ------
    ValueError
        If a recurrent layer has no equivalent in PyTorch, a name is no part of the model, or two parameters
        get one name.
    TypeError
        If it is not a model, or a name is not a str.

    Examples
    --------
    >>> import fastrnn as fr
    >>> sizes = {"embedding_size": 4, "hidden_size": 4, "num_layers": 1}
    >>> model = fr.LanguageModel(5, cell="gru", tied=True, **sizes)
    >>> state = fr.interop.to_state_dict(model, {"embedding": "encoder", "output": "decoder"})
    >>> list(state)[:3], list(state)[-2:]
    (['encoder.weight', 'rnn.weight_ih_l0', 'rnn.weight_hh_l0'], ['decoder.bias', 'decoder.weight'])

    In PyTorch, for a module with an ``nn.Embedding`` encoder, an ``nn.GRU`` rnn and ``nn.Linear`` decoder::

        module.load_state_dict({name: torch.from_numpy(value) for name, value in state.items()})
    """
    if not isinstance(model, Module):
        raise TypeError(f"model: expected a layer or model of fastrnn, got {type(model).__name__}")
    for layer in {id(owner): owner for owner, _ in model._own_parameters()}.values():
        if isinstance(layer, Recurrent):
            _check(layer)
    state = model.state_dict()
    if isinstance(model, LanguageModel):
        state = {_TAIL.sub(_tail, name): value for name, value in state.items()}
        if model.config["tied"]:
            state["output.weight"] = state["embedding.weight"].copy()
    given = {part: as_text("names", name) for part, name in as_mapping("names", names or {}).items()}
    for part in given:
        if part and not any(name.startswith(f"{part}.") for name in state):
            raise ValueError(f"names: expected parts of the model, got {part!r}; it has {', '.join(state)}")
    renamed = {_renamed(name, given): value for name, value in state.items()}
    if len(renamed) < len(state):
        raise ValueError(f"names: expected different names for all parameters, got {', '.join(renamed)}")
    return renamed


def _renamed(name: str, names: Mapping[str, str]) -> str:
    fit = [part for part in names if not part or name.startswith(f"{part}.")]
    if not fit:
        return name
    part = max(fit, key=len)
    rest, prefix = name[len(part) + 1 :] if part else name, names[part]
    return f"{prefix}.{rest}" if prefix else rest


def _tail(match: re.Match[str]) -> str:
    """Return the name that ``nn.AdaptiveLogSoftmaxWithLoss`` has for a part of a tail."""
    return f"output.tail.{match[1]}.{('project', 'output').index(match[2])}."


def _check(layer: Recurrent[Any]) -> None:
    """Refuse a layer that PyTorch cannot compute."""
    kind = type(layer)
    if kind not in (RNN, GRU, LSTM):
        raise ValueError(f"{layer!r}: PyTorch has no such layer; it has RNN, GRU and LSTM")
    if isinstance(layer, GRU) and not layer.reset_after:
        raise ValueError(
            f"{layer!r}: PyTorch's GRU resets after the recurrent product only; train one with "
            "reset_after=True, or export this one with fastrnn.interop.save_onnx"
        )
    allowed = set(_IN_TRAINING) | ({"proj_size"} if kind is LSTM else set())
    if kind is RNN and layer.options.candidate_activation in ("tanh", "relu"):
        allowed.add("candidate_activation")
    usual = CellOptions(layer.options.cell)
    for field in fields(CellOptions):
        value = getattr(layer.options, field.name)
        if field.name not in allowed and value != getattr(usual, field.name):
            name = "nonlinearity" if kind is RNN and field.name == "candidate_activation" else field.name
            raise ValueError(f"{layer!r}: PyTorch's {kind.__name__} has no {name}={value!r}")
