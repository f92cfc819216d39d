"""Parameters from elsewhere, in the names, shapes and conventions of fastrnn."""

from fastrnn.interop.notes import from_notes

__all__ = ["from_notes"]
