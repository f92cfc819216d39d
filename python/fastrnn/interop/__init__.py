"""Convert parameters from other conventions to the names and shapes of fastrnn."""

from fastrnn.interop.notes import from_notes

__all__ = ["from_notes"]
