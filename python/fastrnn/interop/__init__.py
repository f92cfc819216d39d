"""Models and weights of other libraries, in and out; MIDI files."""

from fastrnn.interop.imported import Imported
from fastrnn.interop.midi import write_midi
from fastrnn.interop.notes import from_notes, to_notes
from fastrnn.interop.onnx.model import OnnxModel, load_onnx
from fastrnn.interop.parity import Parity, compare

__all__ = [
    "Imported",
    "OnnxModel",
    "Parity",
    "compare",
    "from_notes",
    "load_onnx",
    "to_notes",
    "write_midi",
]
