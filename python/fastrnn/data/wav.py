"""Sound files: reading uncompressed WAV as floats."""

from __future__ import annotations

import io
import os
import sys
import wave

import numpy as np
from numpy.typing import NDArray

from fastrnn._files import read_regular
from fastrnn.data.numbered_lines import source_name

__all__ = ["read_wav"]

_UNKNOWN_SIZE = 0x7FFF0000  # bytes: a program that writes to a pipe puts a size from here on into the header
_PCM, _EXTENSIBLE = b"\1\0", b"\xfe\xff"


def read_wav(path: str | os.PathLike[str]) -> tuple[NDArray[np.float32], int]:
    """Read a WAV file of 8, 16, 24 or 32 bit PCM; several channels are mixed down to their mean.

    Parameters
    ----------
    path : path
        ``"-"`` is standard input.

    Returns
    -------
    samples : float32 array [T]
        In [-1, 1].
    rate : int
        Samples a second.

    Raises
    ------
    ValueError
        If it is not a WAV file, is compressed or holds floats, is cut off, or has no samples.
    OSError
        If it cannot be read.

    Examples
    --------
    >>> import pathlib, tempfile, wave
    >>> from fastrnn.data import read_wav
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = pathlib.Path(folder, "a.wav")
    ...     with wave.open(str(path), "wb") as file:
    ...         file.setparams((1, 2, 8000, 0, "NONE", ""))
    ...         file.writeframes(bytes([0, 0, 0, 64, 0, 128]))
    ...     read_wav(path)
    (array([ 0. ,  0.5, -1. ], dtype=float32), 8000)
    """
    name = source_name(path)
    return _decode(name, sys.stdin.buffer.read() if os.fspath(path) == "-" else read_regular(path))


def _decode(name: str, file: bytes) -> tuple[NDArray[np.float32], int]:
    try:
        with wave.open(io.BytesIO(_plain_format(file)), "rb") as sound:
            channels, width, rate, expected = sound.getparams()[:4]
            content = sound.readframes(expected)
    except (wave.Error, EOFError, RuntimeError) as error:  # the last of a seek beyond the end
        reason = str(error) or "the file ends too early"
        raise ValueError(
            f"{name}: expected a WAV file of PCM samples (not compressed, no floats): {reason}"
        ) from None
    if width not in (1, 2, 3, 4) or rate < 1:
        raise ValueError(
            f"{name}: expected samples of 8, 16, 24 or 32 bits at a positive rate, got {8 * width} bits "
            f"at {rate} Hz"
        )
    frame = channels * width
    if expected * frame >= _UNKNOWN_SIZE:
        content = content[: len(content) // frame * frame]
    elif len(content) != expected * frame:
        raise ValueError(
            f"{name}: expected {expected} samples, as its header says, but the file ends after "
            f"{len(content) // frame}"
        )
    if not content:
        raise ValueError(f"{name}: expected at least one sample, got none")
    raw = np.frombuffer(content, np.uint8).reshape(-1, width)
    if width == 1:  # unsigned, unlike all others
        values = (raw[:, 0].astype(np.float64) - 128) / 128
    else:
        whole = np.zeros((len(raw), 4), np.uint8)  # the sample's bytes are the highest of an int32
        whole[:, 4 - width :] = raw
        values = whole.view("<i4")[:, 0] / 2.0**31
    return values.reshape(-1, channels).mean(axis=1).astype(np.float32), int(rate)


def _plain_format(file: bytes) -> bytes:
    """Return the file with the format PCM in place of "extensible" with PCM in it, as 24 bits often come.

    Python's `wave` knows it from 3.12 on.
    """
    at = 12  # after RIFF, size and WAVE
    while at + 8 <= len(file):
        size = int.from_bytes(file[at + 4 : at + 8], "little")
        if file[at : at + 4] == b"fmt ":
            if file[at + 8 : at + 10] == _EXTENSIBLE and file[at + 32 : at + 34] == _PCM and size >= 40:
                return file[: at + 8] + _PCM + file[at + 10 :]
            return file
        at += 8 + size + size % 2
    return file
