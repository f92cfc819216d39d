"""The parity self-test: an imported model beside the library that wrote its file, on made inputs."""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from fastrnn._arrays import Array
from fastrnn.interop.imported import Imported
from fastrnn.interop.onnx.model import load_onnx
from fastrnn.interop.parity import Parity, compare
from fastrnn.language import LanguageModel
from fastrnn.layers import Embedding, Linear, Sequential
from fastrnn.layers.base.quantization import in_float32

__all__ = ["compare_with_graph", "compare_with_library"]

_STEPS, _ROWS = 7, 3


def compare_with_library(path: str | os.PathLike[str], library: str, read: Any) -> Parity:
    """Compare an imported model with what its own library computes, on random inputs.

    Parameters
    ----------
    path : path
        The file that was read.
    library : {"PyTorch", "safetensors", "ONNX", "Keras"}
        Whose it is; for safetensors, PyTorch's.
    read : Imported
        What was read: each layer is compared with PyTorch's module, or the model with that of ONNX Runtime or
        Keras.

    Returns
    -------
    parity : Parity

    Raises
    ------
    ImportError
        If the library is not installed.
    """
    return _LIBRARIES[library](path, read)


def _chain_input(first: Any) -> Array:
    """Return random steps [T, N, D], or ids [T, N], that a layer reads as the first of a chain."""
    rng = np.random.default_rng(0)
    if isinstance(first, Embedding):
        return rng.integers(0, first.num_embeddings, (_STEPS, _ROWS))
    width = first.in_features if isinstance(first, Linear) else first.input_size
    return rng.uniform(-1, 1, (_STEPS, _ROWS, width)).astype(first.dtype)


def _session(path: str | os.PathLike[str]) -> Any:
    """Open an ONNX file in ONNX Runtime."""
    runtime = _imported("onnxruntime", "ONNX Runtime", "onnxruntime")
    options = runtime.SessionOptions()
    options.log_severity_level = 4  # what goes wrong is raised, too
    return runtime.InferenceSession(os.fspath(path), options, providers=["CPUExecutionProvider"])


def _run_graph(session: Any, feeds: Mapping[str, Array]) -> dict[str, Any]:
    names = [one.name for one in session.get_outputs()]
    return dict(zip(names, session.run(names, dict(feeds)), strict=True))


def compare_with_graph(path: str | os.PathLike[str], model: Any) -> Parity:
    """Compare a model with the graph that was written of it, in ONNX Runtime.

    Parameters
    ----------
    path : path
        An ONNX file of `save_onnx`.
    model : Sequential, LanguageModel or a model with ``fit``
        What it was written of, compared as it computes in float32; for a model with ``fit``, the graph is run
        by `load_onnx` instead.

    Raises
    ------
    ImportError
        If ONNX Runtime is not installed.
    """
    session, graph = _session(path), load_onnx(path)
    feeds = {value.name: _graph_input(value, graph) for value in graph.inputs}
    fitted = not isinstance(model, (Sequential, LanguageModel))
    first = graph.inputs[0].name
    for name in feeds:
        if name != first and not fitted:
            feeds[name] = np.zeros_like(feeds[name])  # the state: from its usual start
    outputs = _asked("ONNX Runtime", lambda: _run_graph(session, feeds))
    if fitted:
        return graph.check(feeds, outputs)
    wide = in_float32(model)
    found = wide.logits(feeds[first]) if isinstance(wide, LanguageModel) else wide(feeds[first])
    y = next(iter(outputs))
    return compare({y: found[0]}, {y: outputs[y]})


def _asked(library: str, run: Callable[[], Any]) -> Any:
    """Return what another library computes of made inputs; why it fails is said in one line."""
    try:
        return run()
    except Exception as error:
        reason = " ".join(str(error).split())[:300]
        raise ValueError(
            f"{library} cannot run the file on made inputs: {reason}; give a sample of its output"
        ) from error


def _pytorch(path: str | os.PathLike[str], read: Imported) -> Parity:
    torch = _imported("torch", "PyTorch", "torch")
    if Path(path).suffix.lower() == ".safetensors":
        content = importlib.import_module("safetensors.torch").load_file(path)
    else:
        content = _asked("PyTorch", lambda: torch.load(path, map_location="cpu", weights_only=True))
    tensors = dict(_tensors("", content, torch))
    found, expected = {}, {}
    for name, layer in read.layers.items():
        module = _module(torch, layer)
        own = {key: _of_layer(tensors, name, key) for key in layer.parameters}
        if any(value is None for value in own.values()):
            continue  # reordered, or another layer's by a tie: it has no tensor of its own
        module.load_state_dict(own, strict=True)
        x = _chain_input(layer)
        with torch.no_grad():
            result = module(torch.from_numpy(x))
        expected[name] = (result[0] if isinstance(result, tuple) else result).numpy()
        result = layer(x)  # type: ignore[operator]  # every layer can be called
        found[name] = result[0] if isinstance(result, tuple) else result
    return compare(found, expected)


def _tensors(name: str, value: Any, torch: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(value, torch.Tensor):
        yield name, value
    elif isinstance(value, Mapping):
        for key, part in value.items():
            yield from _tensors(f"{name}.{key}" if name else str(key), part, torch)


def _of_layer(tensors: Mapping[str, Any], layer: str, parameter: str) -> Any:
    """Return the tensor of a layer's parameter; a cell's are named without the layer's number."""
    own = (parameter, parameter.removesuffix("_l0"))
    for full in (*(f"{layer}.{key}" for key in own), *own):
        fit = [name for name in tensors if name == full or name.endswith(f".{full}")]
        if len(fit) == 1:
            return tensors[fit[0]]
    return None


def _module(torch: Any, layer: Any) -> Any:
    """Return PyTorch's module like a layer."""
    nn, dtype = torch.nn, getattr(torch, layer.dtype.name)
    if isinstance(layer, Embedding):
        return nn.Embedding(layer.num_embeddings, layer.embedding_dim, dtype=dtype)
    if isinstance(layer, Linear):
        return nn.Linear(layer.in_features, layer.out_features, "bias" in layer.parameters, dtype=dtype)
    kind = type(layer).__name__
    given = {"nonlinearity": layer.nonlinearity} if kind == "RNN" else {}
    given |= {"proj_size": layer.options.proj_size} if kind == "LSTM" else {}
    return getattr(nn, kind)(
        layer.input_size,
        layer.hidden_size,
        layer.num_layers,
        layer.bias,
        bidirectional=layer.bidirectional,
        dtype=dtype,
        **given,
    )


def _onnx(path: str | os.PathLike[str], read: Any) -> Parity:
    feeds = {value.name: _graph_input(value, read) for value in read.inputs}
    parity: Parity = read.check(feeds, _asked("ONNX Runtime", lambda: _run_graph(_session(path), feeds)))
    return parity


def _graph_input(value: Any, read: Any) -> Array:
    """Return random numbers, ids or full lengths for an input of a graph; sizes that may change are 3."""
    rng = np.random.default_rng(0)
    shape = [size if isinstance(size, int) else _ROWS for size in value.shape or ()]
    if np.dtype(value.dtype).kind == "f":
        return np.asarray(rng.uniform(-1, 1, shape), value.dtype)
    if value.name.endswith("lengths"):
        return np.full(shape, _ROWS, value.dtype)
    symbols = [layer.num_embeddings for layer in read.layers.values() if isinstance(layer, Embedding)]
    return rng.integers(0, min(symbols, default=2), shape).astype(value.dtype)


def _keras(path: str | os.PathLike[str], read: Any) -> Parity:
    keras = _imported("keras", "Keras", "keras")
    model = _asked("Keras", lambda: keras.saving.load_model(path, compile=False))
    x = _chain_input(next(iter(read.layers.values()))).swapaxes(0, 1)
    y = _asked("Keras", lambda: keras.ops.convert_to_numpy(model(x)))
    parity: Parity = read.check(x, y, batch_first=True)
    return parity


def _imported(name: str, library: str, package: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise ImportError(
            f"{library} cannot be imported ({error}), so there is nothing to compare with: pip install "
            f"{package}, or give a sample of its output"
        ) from error


_LIBRARIES: dict[str, Callable[[Any, Any], Parity]] = {
    "PyTorch": _pytorch,
    "safetensors": _pytorch,
    "ONNX": _onnx,
    "Keras": _keras,
}
