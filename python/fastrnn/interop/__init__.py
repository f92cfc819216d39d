"""Convert parameters from other conventions to the names and shapes of fastrnn, and back; write MIDI files."""

from fastrnn.interop.midi import write_midi
from fastrnn.interop.notes import from_notes, to_notes

__all__ = ["from_notes", "to_notes", "write_midi"]
