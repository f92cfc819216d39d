"""The library ``onnx``, imported where a file is read or written and not before."""

from __future__ import annotations

import importlib
from typing import Any

__all__ = ["onnx_library"]


def onnx_library(module: str = "onnx") -> Any:
    """Import the library or one of its modules.

    Raises
    ------
    ImportError
        If it is not installed; the message says what to type.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise ImportError(
            f'ONNX files need the package onnx: pip install "fastrnn[onnx]" ({error})'
        ) from error
