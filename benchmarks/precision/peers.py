"""Layers in each precision: fastrnn's, and those of PyTorch and ONNX Runtime that compute in it."""

from __future__ import annotations

import importlib
import logging
import tempfile
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import fastrnn as fr
from fastrnn.cli.benchmark.cases import Problem
from fastrnn.cli.benchmark.peers import native, onnx_runtime, pytorch
from fastrnn.cli.benchmark.task import Answer, Task, Unsupported

__all__ = ["PEERS", "PRECISIONS", "TOLERANCES", "Peer", "fastrnn_layer"]

PRECISIONS = ("float32", "bfloat16", "int8")
#: Largest difference from the reference in float64, relative to the largest value of an array: of any
#: library, so wide. The tests hold fastrnn to bounds that are derived.
TOLERANCES = {"float32": 1e-4, "bfloat16": 0.1, "int8": 0.1}


class Peer(NamedTuple):
    """A library in one precision.

    Its name is the library, a key of `fastrnn.cli.benchmark.peers.PEERS`, the precision, and what else tells
    it from others, with hyphens between.

    Attributes
    ----------
    library : str
    precision : str
    prepare : callable
        Returns the task of a `Problem`.
    """

    library: str
    precision: str
    prepare: Callable[[Problem], Task]


def fastrnn_layer(problem: Problem, precision: str) -> Any:
    """Return a layer with the problem's parameters that computes in a precision."""
    layer = native.make_layer(problem)
    if precision == "int8":
        return fr.quantize(layer, "int8")
    _, _, D, H, num_layers = problem.case.shape
    options = {} if precision == "float32" else {"precision": precision}
    made = type(layer)(D, H, num_layers, seed=0, **options)
    made.load_state_dict(problem.parameters)
    return made


def own(problem: Problem, precision: str) -> Task:
    """Return fastrnn's task."""
    if problem.training and precision == "int8":
        raise Unsupported("int8 is for inference")
    return native.prepare(problem, layer=fastrnn_layer(problem, precision))


def torch_int8(problem: Problem, engine: str) -> Task:
    """Return the task of a module of PyTorch with weights of bytes; its inputs are quantised at each call."""
    if problem.training:
        raise Unsupported("int8 is for inference")
    if problem.case.cell == "rnn":
        raise Unsupported("PyTorch has no RNN in int8")
    torch = importlib.import_module("torch")
    quantized = torch.backends.quantized
    if engine not in quantized.supported_engines:
        raise Unsupported(f"this build of PyTorch has no engine {engine}")
    quantized.engine = engine
    network = torch.nn.Sequential(pytorch.make_module(problem))  # of a network only the parts are replaced
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # PyTorch announces another library for this
        module = torch.ao.quantization.quantize_dynamic(network, {type(network[0])}, dtype=torch.qint8)[0]
    assert type(module) is not type(network[0]), module
    x = torch.from_numpy(problem.x)

    def before() -> None:
        torch.set_num_threads(problem.threads)
        quantized.engine = engine

    def run() -> Any:
        with torch.inference_mode():
            return module(x)

    def answer(result: Any) -> Answer:
        y, state = result
        state = state if problem.case.cell == "lstm" else (state,)
        return {"y": y.numpy(), **{name: value.numpy() for name, value in zip("hc", state, strict=False)}}

    return Task(run, answer, before)


def onnx_int8(problem: Problem) -> Task:
    """Return the task of ONNX Runtime's operator ``DynamicQuantizeLSTM``."""
    if problem.training:
        raise Unsupported("forward only")
    if problem.case.cell != "lstm":
        raise Unsupported("ONNX Runtime has no such operator for this cell")
    model = onnx_runtime.make_model(problem)
    quantize = importlib.import_module("onnxruntime.quantization").quantize_dynamic
    logging.disable(logging.WARNING)  # it recommends a step that changes nothing here
    with tempfile.TemporaryDirectory() as folder:
        whole, small = Path(folder) / "float32.onnx", Path(folder) / "int8.onnx"
        whole.write_bytes(model.SerializeToString())
        quantize(whole, small, op_types_to_quantize=["LSTM"])
        logging.disable(logging.NOTSET)
        session = onnx_runtime.session_of(small.read_bytes(), problem.threads)
    return onnx_runtime.prepare(problem, session=session)


PEERS = {
    **{f"fastrnn-{name}": Peer("fastrnn", name, partial(own, precision=name)) for name in PRECISIONS},
    "pytorch-float32": Peer("pytorch", "float32", pytorch.prepare),
    "pytorch-bfloat16": Peer("pytorch", "bfloat16", partial(pytorch.prepare, dtype="bfloat16")),
    "pytorch-bfloat16-autocast": Peer("pytorch", "bfloat16", partial(pytorch.prepare, autocast=True)),
    "pytorch-int8-fbgemm": Peer("pytorch", "int8", partial(torch_int8, engine="fbgemm")),
    "pytorch-int8-onednn": Peer("pytorch", "int8", partial(torch_int8, engine="onednn")),
    "onnxruntime-float32": Peer("onnxruntime", "float32", onnx_runtime.prepare),
    "onnxruntime-int8": Peer("onnxruntime", "int8", onnx_int8),
}
