"""Conversion of model files: any known format in, fastrnn's or ONNX out, and the same outputs checked."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from fastrnn._version import __version__
from fastrnn.data.vocabulary import Vocabulary
from fastrnn.files.tensor_file import CheckpointError
from fastrnn.interop.imported import Imported
from fastrnn.interop.keras.load import load_keras
from fastrnn.interop.onnx.model import load_onnx
from fastrnn.interop.onnx.writing import save_onnx
from fastrnn.interop.parity import Parity, compare
from fastrnn.interop.peers import compare_with_graph, compare_with_library
from fastrnn.interop.pytorch.from_state_dict import from_state_dict
from fastrnn.interop.pytorch.load import load_pt
from fastrnn.layers import Sequential
from fastrnn.models.base.model_file import kind_of_file
from fastrnn.train import Checkpoint, load_checkpoint, save_checkpoint

__all__ = ["READS", "WRITES", "Conversion", "convert", "load"]

#: The library whose files end so.
READS = {
    ".pt": "PyTorch",
    ".pth": "PyTorch",
    ".ckpt": "PyTorch",
    ".bin": "PyTorch",
    ".safetensors": "safetensors",
    ".onnx": "ONNX",
    ".keras": "Keras",
    ".h5": "Keras",
    ".hdf5": "Keras",
}
#: How names of files end that `convert` writes.
WRITES = (".safetensors", ".onnx")


class Conversion(NamedTuple):
    """What `convert` did.

    Attributes
    ----------
    model : Sequential, LanguageModel or a model with ``fit``
        What was written.
    notes : list of str
        What was converted or left out, a sentence each.
    parity : dict of str to Parity
        With `check`: what the source's library computes and what was written, each compared with `model`.
    size : int
        Bytes of the file written.
    """

    model: Any
    notes: list[str]
    parity: dict[str, Parity]
    size: int


def load(path: str | os.PathLike[str]) -> Any:
    """Load a model from a file of any known format, told by the end of its name.

    Parameters
    ----------
    path : path
        ``.pt``, ``.pth``, ``.ckpt``, ``.bin`` (PyTorch's state dicts), ``.safetensors`` (the same, or a model
        of fastrnn), ``.onnx`` (extra ``onnx``), ``.keras``, ``.h5`` or ``.hdf5``.

    Returns
    -------
    model : Imported, Checkpoint, Sequential or a model with ``fit``
        An `Imported` for other libraries' files (`OnnxModel`, `KerasModel` for theirs).

    Raises
    ------
    ValueError
        If the format is unknown, or the file is damaged or refused; the message names it.
    ImportError
        If the extra that reads it is not installed.
    OSError
        If the file cannot be read.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> import fastrnn as fr
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = pathlib.Path(folder, "effect.safetensors")
    ...     fr.Sequential(fr.LSTM(1, 16), fr.Linear(16, 1)).save(path)
    ...     fr.interop.load(path)
    Sequential({'part0': LSTM(1, 16), 'part1': Linear(16, 1)})
    """
    library = _library(path)
    if library == "ONNX":
        return load_onnx(path)
    if library == "Keras":
        return load_keras(path)
    own = _kind(path) if library == "safetensors" else None
    return from_state_dict(load_pt(path)) if own is None else _load_own(path, own)


def convert(
    source: str | os.PathLike[str],
    target: str | os.PathLike[str],
    *,
    vocabulary: Sequence[str] | Vocabulary | None = None,
    order: Sequence[str] | None = None,
    check: bool = False,
    sample: Mapping[str, Any] | None = None,
) -> Conversion:
    """Read a model's file and write it in another format.

    Parameters
    ----------
    source : path
        As for `load`.
    target : path
        ``.safetensors``: a file of a `Sequential`, or with a vocabulary of a `LanguageModel`, for `load`, the
        commands and the C library; PyTorch reads its tensors too. ``.onnx``: a graph.
    vocabulary : sequence of str or Vocabulary, optional
        The symbols of a language model, which other libraries' files do not have.
    order : sequence of str, optional
        The order of the layers, see `Imported.in_order`.
    check : bool, default False
        Run the source in its own library, where that is installed, or compare with `sample`; then read back
        what was written.
    sample : mapping of str to array_like, optional
        An input ``x`` of the source and the output ``y`` that it should give.

    Raises
    ------
    ValueError
        If a format is unknown, a file is refused, layers are missing or do not form a chain, or the outputs
        differ from the source's. Nothing is written then.
    ImportError
        If a library is needed that is not installed.
    OSError
        If a file cannot be read or written.
    """
    if Path(target).suffix.lower() not in WRITES:
        raise ValueError(f"{os.fspath(target)}: expected a name that ends in {' or '.join(WRITES)}")
    read = load(source)
    if order is not None:
        read = _imported(source, read).in_order(*order)
    parity = {}
    if isinstance(read, Imported) and (check or sample is not None):
        parity["source"] = _compare_with_source(source, read, sample)
        if not parity["source"].equal:
            raise ValueError(f"{os.fspath(source)}: {parity['source']}; nothing was written")
    model = _model_of(read, vocabulary)
    _write(target, model)
    if check:
        parity["target"] = _compare_with_target(target, model)
    return Conversion(model, _notes(read, target), parity, os.path.getsize(target))


def _library(path: str | os.PathLike[str]) -> str:
    suffix = Path(path).suffix.lower()
    if suffix not in READS:
        raise ValueError(f"{os.fspath(path)}: expected a name that ends in {', '.join(READS)}")
    return READS[suffix]


def _kind(path: str | os.PathLike[str]) -> str | None:
    """Return the kind of a model of fastrnn in a safetensors file; None if the file is not of fastrnn."""
    try:
        return kind_of_file(path)
    except CheckpointError:
        return None


def _load_own(path: str | os.PathLike[str], kind: str) -> Any:
    import fastrnn.models

    if kind == "LanguageModel":
        return load_checkpoint(path)
    if kind == "Sequential":
        return Sequential.load(path)
    if kind not in fastrnn.models.__all__:
        raise ValueError(f"{os.fspath(path)}: expected a model of this version of fastrnn, got {kind!r}")
    return getattr(fastrnn.models, kind).load(path)


def _imported(source: str | os.PathLike[str], read: Any) -> Imported:
    if not isinstance(read, Imported):
        raise ValueError(f"{os.fspath(source)}: is a model of fastrnn, which keeps its order")
    return read


def _model_of(read: Any, vocabulary: Any) -> Any:
    """Return what is to be written: a language model with its vocabulary, a chain, or a model with fit."""
    if not isinstance(read, Imported):
        if vocabulary is not None:
            raise ValueError("vocabulary: expected None, as the source is a model of fastrnn")
        return read
    if vocabulary is None:
        return read.to_sequential()
    language_model, symbols = read.to_language_model(vocabulary)
    return Checkpoint(language_model, symbols, None, __version__)


def _write(target: str | os.PathLike[str], model: Any) -> None:
    if Path(target).suffix.lower() == ".onnx":
        if isinstance(model, Checkpoint):
            save_onnx(target, model.model, vocabulary=model.vocabulary)
        else:
            save_onnx(target, model)
    elif isinstance(model, Checkpoint):
        save_checkpoint(target, model.model, model.vocabulary)
    else:
        model.save(target)


def _notes(read: Any, target: str | os.PathLike[str]) -> list[str]:
    if not isinstance(read, Imported):
        precision = _network(read).precision
        widened = Path(target).suffix.lower() == ".onnx" and precision != "float32"
        return [f"products in {precision} became float32"] if widened else []
    return [*read.notes, *(f"{name}: left out: {reason}" for name, reason in read.unplaced.items())]


def _compare_with_source(
    source: str | os.PathLike[str], read: Imported, sample: Mapping[str, Any] | None
) -> Parity:
    if sample is None:
        return compare_with_library(source, _library(source), read)
    if set(sample) != {"x", "y"}:
        raise ValueError(f"sample: expected the arrays x and y, got {', '.join(map(str, sample)) or 'none'}")
    return read.check(sample["x"], sample["y"])


def _compare_with_target(target: str | os.PathLike[str], model: Any) -> Parity:
    """Compare what a file computes with the model that was written; of our own files, the parameters."""
    if Path(target).suffix.lower() != ".onnx":
        return compare(_parameters(load(target)), _parameters(model), tolerance=0.0)
    network = model.model if isinstance(model, Checkpoint) else model
    return compare_with_graph(target, network)


def _parameters(model: Any) -> dict[str, Any]:
    return {"parameters": _network(model).parameters.flat}


def _network(model: Any) -> Any:
    return model.model if isinstance(model, Checkpoint) else getattr(model, "network_", model)
