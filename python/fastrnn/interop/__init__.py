"""Convert what other conventions name and shape differently, and back; write MIDI files."""

from fastrnn.interop.midi import write_midi
from fastrnn.interop.notes import from_notes, to_notes

__all__ = ["from_notes", "to_notes", "write_midi"]
