"""The error of a model file that cannot be used."""

from __future__ import annotations

__all__ = ["ModelFileError"]


class ModelFileError(ValueError):
    """A file of another library cannot be read, or is refused; the message names the file and the reason."""
