"""Models and weights of other libraries, in and out; MIDI files."""

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
