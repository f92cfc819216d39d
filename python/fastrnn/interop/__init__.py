"""Models and weights of other libraries, in and out; MIDI files. Each is imported on first use."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fastrnn.interop.conversion import Conversion, convert, load
    from fastrnn.interop.file_error import ModelFileError
    from fastrnn.interop.imported import Imported
    from fastrnn.interop.keras.keras_model import KerasModel
    from fastrnn.interop.keras.load import load_keras
    from fastrnn.interop.keras.to_keras import to_keras_weights
    from fastrnn.interop.midi import write_midi
    from fastrnn.interop.notes import from_notes, to_notes
    from fastrnn.interop.onnx.model import OnnxModel, load_onnx
    from fastrnn.interop.onnx.writing import save_onnx
    from fastrnn.interop.parity import Parity, compare
    from fastrnn.interop.pytorch.from_state_dict import from_state_dict
    from fastrnn.interop.pytorch.load import LoadedState, load_pt
    from fastrnn.interop.pytorch.to_state_dict import to_state_dict

# The module of each name: reading a state dict needs neither the models with ``fit`` nor ONNX.
_HOMES = {
    "Conversion": "conversion",
    "convert": "conversion",
    "load": "conversion",
    "ModelFileError": "file_error",
    "Imported": "imported",
    "KerasModel": "keras.keras_model",
    "load_keras": "keras.load",
    "to_keras_weights": "keras.to_keras",
    "write_midi": "midi",
    "from_notes": "notes",
    "to_notes": "notes",
    "OnnxModel": "onnx.model",
    "load_onnx": "onnx.model",
    "save_onnx": "onnx.writing",
    "Parity": "parity",
    "compare": "parity",
    "from_state_dict": "pytorch.from_state_dict",
    "LoadedState": "pytorch.load",
    "load_pt": "pytorch.load",
    "to_state_dict": "pytorch.to_state_dict",
}

__all__ = [
    "Conversion",
    "Imported",
    "KerasModel",
    "LoadedState",
    "ModelFileError",
    "OnnxModel",
    "Parity",
    "compare",
    "convert",
    "from_notes",
    "from_state_dict",
    "load",
    "load_keras",
    "load_onnx",
    "load_pt",
    "save_onnx",
    "to_keras_weights",
    "to_notes",
    "to_state_dict",
    "write_midi",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'fastrnn.interop' has no attribute {name!r}")
    value = globals()[name] = getattr(importlib.import_module(f"fastrnn.interop.{_HOMES[name]}"), name)
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
