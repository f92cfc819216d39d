"""Exit codes, and operating system errors as one line."""

from __future__ import annotations

__all__ = ["BAD_INPUT", "FAILED", "INTERRUPTED", "describe_os_error"]

FAILED, BAD_INPUT, INTERRUPTED = 1, 2, 130


def describe_os_error(error: OSError) -> str:
    """Return a message that begins with the file, as all other messages do."""
    if error.filename is None or error.strerror is None:
        return str(error)
    return f"{error.filename}: {error.strerror}"
