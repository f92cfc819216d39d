"""Words of PyTorch, Keras and NumPy that people type first, each with the line to type here instead."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import wraps
from importlib import import_module
from typing import Any, NoReturn, TypeVar

__all__ = [
    "answers_other_words",
    "hint_of_array",
    "hint_of_module",
    "hint_of_package",
    "refuse_arguments",
]

_NO_DEVICE = "leave it out: fastrnn computes on the CPU"
_NO_MODE = "there is no mode: forward(x) is the pass in training, a call the one without dropout"
_NO_PARTS = "a layer has none; iterate over a Stack's layers or a Sequential's parts"
_NO_HOOK = "leave it out: the tape of forward(x) holds every state and gate"
_FIT = "train with fr.train.Trainer, or use a model that has it, such as fr.models.SequenceClassifier"
_STATE = "write state=, for an LSTM state=(h, c)"
_EDIT = "write parameters[name] = value"
_SIXTEEN = 'write precision="bfloat16" where the layer is made'

# Attributes of layers and models.
_OF_MODULES = {
    **dict.fromkeys(("train", "eval", "training"), _NO_MODE),
    **dict.fromkeys(("to", "cpu", "cuda", "mps", "xpu", "device", "to_empty"), _NO_DEVICE),
    **dict.fromkeys(("modules", "children", "named_modules", "named_children"), _NO_PARTS),
    **dict.fromkeys(("register_forward_hook", "register_full_backward_hook", "register_buffer"), _NO_HOOK),
    **dict.fromkeys(("fit", "predict", "compile"), _FIT),
    **dict.fromkeys(("weights", "all_weights", "get_weights", "trainable_variables"), "write parameters"),
    **dict.fromkeys(("numel", "count_params"), "write num_parameters"),
    **dict.fromkeys(("save", "save_weights"), "write fr.Sequential(layer).save(path)"),
    **dict.fromkeys(("load", "load_weights"), "write load_state_dict(mapping), or fr.Sequential.load(path)"),
    "requires_grad_": "write freeze() or unfreeze()",
    "requires_grad": "write frozen, the names of the parameters that are not trained",
    "trainable": "write freeze() or unfreeze()",
    "double": 'make the layer with dtype="float64" and load_state_dict(layer.state_dict())',
    "float": 'make the layer with dtype="float32" and load_state_dict(layer.state_dict())',
    **dict.fromkeys(("half", "bfloat16"), f'{_SIXTEEN}; for inference fr.quantize(layer, "bfloat16")'),
    **dict.fromkeys(("quantize", "qconfig"), 'write fr.quantize(layer, "int8")'),
    "flatten_parameters": "leave it out: the parameters are one array already, parameters.flat",
    "share_memory": "leave it out: threads share a layer as it is",
    "set_weights": "write load_state_dict(mapping)",
    "grad": "write gradients",
    "apply": "initialise with a function of fr.init, or write to the arrays inside parameters.edit()",
    "reset_parameters": "make the layer again with another seed, or use fr.init",
    "numpy": "write state_dict(): a dict of NumPy arrays",
    "step": "keep the state in a stream: stream = layer.stream(), then stream.step(x_t)",
    "reset_states": "the caller keeps the state: pass state=, or use a stream and its reset()",
    "summary": "print the layer, or its parameters",
}

# Arguments of layers, of their passes and of optimisers.
_ARGUMENTS = {
    **dict.fromkeys(("hx", "hidden", "h_0", "h0", "initial_state", "hc"), _STATE),
    **dict.fromkeys(("sequence_length", "sequence_lengths", "seq_lengths", "seq_lens"), "write lengths="),
    **dict.fromkeys(("units", "hidden_dim", "num_units", "n_hidden"), "write hidden_size="),
    **dict.fromkeys(("n_layers", "nlayers", "layers"), "write num_layers="),
    **dict.fromkeys(("input", "inputs"), "write x"),
    **dict.fromkeys(("requires_grad", "trainable"), "leave it out, or write layer.freeze() afterwards"),
    "training": _NO_MODE,
    "device": _NO_DEVICE,
    "device_map": _NO_DEVICE,
    "activation": "write candidate_activation=, for an RNN nonlinearity=",
    "recurrent_activation": "write gate_activation=",
    "assign": "leave it out: values are always copied",
    "batch_sizes": "write lengths=",
    "enforce_sorted": "leave it out: lengths may have any order",
    "go_backwards": "write reverse=True",
    "input_dim": "write input_size=, or in_features= for a Linear",
    "lr": "write learning_rate=",
    "eps": "write epsilon=",
    "map_location": _NO_DEVICE,
    **dict.fromkeys(("dtype_policy", "autocast"), 'write precision="bfloat16"'),
    "precision": "write it where an LSTM, GRU, RNN, Linear, Head or Softmax is made; others have float32",
    "padding_idx": "leave it out: -1 is the id of a row of zeros",
    "random_state": "write seed=",
    "return_sequences": "leave it out: a call returns y of every step and the last state",
    "return_state": "leave it out: a call returns y of every step and the last state",
    "stateful": "leave it out: pass the state on, or use layer.stream()",
    "time_major": "arrays are [T, N, D]; write batch_first=True for [N, T, D]",
    "use_bias": "write bias=",
}

# Attributes of a parameter's array.
_OF_ARRAYS = {
    **dict.fromkeys(("zero_", "fill_", "copy_", "uniform_", "normal_", "add_", "sub_", "mul_"), _EDIT),
    **dict.fromkeys(("detach", "cpu", "cuda", "numpy", "to"), "leave it out: this is a NumPy array"),
    **dict.fromkeys(("requires_grad", "requires_grad_"), "write layer.freeze(name) or layer.unfreeze(name)"),
    "grad": "write layer.gradients[name]",
    "clone": "write copy()",
    "numel": "write size, without a call",
    "dim": "write ndim, without a call",
}

# The arguments of a pass over a batch.
_PASS = ("x", "state", "lengths", "reset", "context", "mask", "zero_masked", "checkpoint_every")

# Names of the package.
_ARRAY = "write a NumPy array"
_PRODUCTS = 'write precision="bfloat16" where a layer or a model is made'
_INT8 = 'write fr.quantize(model, "int8")'
_SEED = "write seed= where a layer or a model is made"
_LOSSES = "losses are functions: fr.losses.softmax_cross_entropy, mean_squared_error and others"
_OF_PACKAGE = {
    **dict.fromkeys(("tensor", "Tensor", "zeros", "ones", "randn", "rand", "from_numpy", "array"), _ARRAY),
    **dict.fromkeys(("device", "cuda", "set_default_device"), _NO_DEVICE),
    **dict.fromkeys(("manual_seed", "seed"), _SEED),
    **dict.fromkeys(("CrossEntropyLoss", "NLLLoss", "MSELoss", "CTCLoss", "BCEWithLogitsLoss"), _LOSSES),
    **dict.fromkeys(("float32", "float64"), 'write dtype="float32" or dtype="float64"'),
    **dict.fromkeys(("no_grad", "inference_mode"), "leave it out: a call keeps nothing for gradients"),
    **dict.fromkeys(("autocast", "amp", "mixed_precision", "bfloat16", "float16", "half"), _PRODUCTS),
    **dict.fromkeys(("quantize_dynamic", "quantization", "ao", "qint8", "int8"), _INT8),
    "GradScaler": "leave it out: bfloat16 has float32's exponent, so no loss needs a scale",
    "nn": "layers are names of fastrnn itself: fr.LSTM",
    "optim": "write fr.train",
    "Dropout": "write dropout= where a recurrent layer, a Stack or a Head is made",
    "LayerNorm": "write layer_norm=True where a recurrent layer is made",
    "DataLoader": "write fr.ChunkedText, or see fr.data",
    "save": "write fr.train.save_checkpoint, or the save of a model or of a Sequential",
    "load": "write fr.interop.load, or the load of a model's class or of fr.Sequential",
}

FunctionT = TypeVar("FunctionT", bound=Callable[..., Any])


def hint_of_module(name: str) -> str | None:
    """Return what to type instead of an attribute that a layer or model lacks."""
    return _OF_MODULES.get(name)


def hint_of_package(name: str, modules: Iterable[str]) -> str:
    """Return the end of a message about a name that the package lacks: what to type instead, or nothing.

    Parameters
    ----------
    name : str
    modules : iterable of str
        Names of subpackages that may have it; they are imported.

    Examples
    --------
    >>> hint_of_package("nn", [])
    '; layers are names of fastrnn itself: fr.LSTM'
    >>> hint_of_package("Adam", ["models", "train"])
    '; write fr.train.Adam'
    """
    if name in _OF_PACKAGE:
        return f"; {_OF_PACKAGE[name]}"
    for module in modules if not name.startswith("_") else ():
        if name in import_module(f"fastrnn.{module}").__all__:
            return f"; write fr.{module}.{name}"
    return ""


def hint_of_array(name: str) -> str | None:
    """Return what to type instead of an attribute that a parameter's array lacks."""
    return _OF_ARRAYS.get(name)


def refuse_arguments(
    given: Mapping[str, Any], known: Iterable[str] = _PASS, kind: str = "an argument"
) -> NoReturn:
    """Refuse keywords that a function lacks; say what to type instead of the first.

    Raises
    ------
    TypeError
        Always.

    Examples
    --------
    >>> refuse_arguments({"hx": 0})
    Traceback (most recent call last):
    TypeError: hx: not an argument; write state=, for an LSTM state=(h, c)
    >>> refuse_arguments({"length": 3})
    Traceback (most recent call last):
    TypeError: length: not an argument; did you mean lengths?
    """
    name = next(iter(given))
    hint = _ARGUMENTS.get(name)
    if hint is None:
        from difflib import get_close_matches  # only an error needs it, not an import of the layers

        close = get_close_matches(name, list(known), 1)
        hint = f"did you mean {close[0]}?" if close else ""
    raise TypeError(f"{name}: not {kind}" + (f"; {hint}" if hint else ""))


def answers_other_words(function: FunctionT) -> FunctionT:
    """Let a function answer other libraries' keywords with the line to type; for what is not called often."""
    code = function.__code__
    own = code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]

    @wraps(function)
    def checked(*arguments: Any, **given: Any) -> Any:
        other = {name: value for name, value in given.items() if name not in own}
        if other:
            refuse_arguments(other, own[1:])
        return function(*arguments, **given)

    return checked  # type: ignore[return-value]
