"""Log-mel features: the energies of sound in bands that are equally wide to the ear."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastrnn._checks import as_flag, as_number, as_size
from fastrnn._foreign import of_others

__all__ = ["log_mel", "mel_filters"]

_BLOCK = 4096  # frames that are transformed at a time
_LEAST_DEVIATION = 1e-5


def mel_filters(
    rate: int, length: int, bands: int, *, low: float = 0.0, high: float | None = None
) -> NDArray[np.float64]:
    """Compute the weights of HTK's mel filterbank.

    ``mel(f) = 2595 log10(1 + f / 700)``. The bands are triangles on the mel scale: band b rises from 0 at
    point b to 1 at point b + 1 and falls to 0 at point b + 2, where points 0 to ``bands + 1`` divide the
    range from ``mel(low)`` to ``mel(high)`` into equal parts.

    Parameters
    ----------
    rate : int
        Samples a second.
    length : int
        Samples of the Fourier transform.
    bands : int
    low, high : float
        The range in Hz; ``high`` is half the rate by default.

    Returns
    -------
    weights : float64 array [bands, length // 2 + 1]

    Raises
    ------
    ValueError
        If the range is not within 0 .. rate / 2, or a band is so narrow that no frequency of the transform is
        in it.

    References
    ----------
    Young et al., The HTK Book, section 5.4, Filterbank Analysis.

    Examples
    --------
    >>> from fastrnn.data import mel_filters
    >>> mel_filters(8000, 8, 2).round(2)
    array([[0.  , 0.6 , 0.  , 0.  , 0.  ],
           [0.  , 0.4 , 0.87, 0.38, 0.  ]])
    """
    rate, bands = as_size("rate", rate), as_size("bands", bands)
    length = as_size("length", length, least=2)
    top = rate / 2 if high is None else as_number("high", high, above=0.0, most=rate / 2)
    bottom = as_number("low", low, least=0.0, below=top)
    points = np.linspace(_mel(bottom), _mel(top), bands + 2)
    step = points[1] - points[0]
    frequencies = _mel(np.arange(length // 2 + 1) * rate / length)
    weights: NDArray[np.float64] = np.maximum(0.0, 1.0 - np.abs(frequencies - points[1:-1, None]) / step)
    empty = np.flatnonzero(~weights.any(axis=1))
    if len(empty):
        raise ValueError(
            f"bands: expected so few that each has a frequency in it, got {bands}; band {empty[0]} has none "
            f"of those {rate / length:.4g} Hz apart: fewer bands or a longer window is needed"
        )
    return weights


def log_mel(
    samples: Any,
    rate: int,
    *,
    window: float = 0.025,
    hop: float = 0.010,
    bands: int = 40,
    low: float = 0.0,
    high: float | None = None,
    floor: float = 1e-10,
    normalize: bool = False,
    deltas: int = 0,
) -> NDArray[np.float32]:
    """Compute the logarithm of the energy of sound in mel bands, frame by frame.

    A frame is multiplied by a Hann window, filled with zeros to a power of two and transformed; its squared
    magnitudes are summed with the weights of `mel_filters`. A frame begins at each multiple of ``hop`` where
    a whole one fits; sound shorter than one is filled with zeros.

    Parameters
    ----------
    samples : float array [T]
        Such as those of `read_wav`.
    rate : int
        Samples a second.
    window, hop : float, default 0.025 and 0.010
        The length of a frame and the distance between two, in seconds.
    bands : int, default 40
    low, high : float
        The range of the bands in Hz; ``high`` is half the rate by default.
    floor : float, default 1e-10
        Smaller energies count as this.
    normalize : bool, default False
        Whether each band has mean 0 and variance 1 over the frames of this sound.
    deltas : int, default 0
        1: append the slope of each band over time, 2: that of the slopes, too (regression over two frames on
        either side, equation 5.16 of the HTK Book).

    Returns
    -------
    features : float32 array [frames, bands * (1 + deltas)]

    Raises
    ------
    ValueError
        If there are no samples, one is not finite, or a number is out of range.
    TypeError
        If the samples are not real numbers.

    References
    ----------
    Young et al., The HTK Book, sections 5.4 and 5.9.

    Examples
    --------
    >>> import numpy as np
    >>> from fastrnn.data import log_mel
    >>> tone = np.sin(2 * np.pi * 1000 * np.arange(8000) / 8000)
    >>> features = log_mel(tone, 8000)
    >>> features.shape, int(features[0].argmax())
    ((98, 40), 18)
    """
    sound = _as_samples(samples)
    rate = as_size("rate", rate)
    size = round(as_number("window", window, above=0.0) * rate)
    step = round(as_number("hop", hop, above=0.0) * rate)
    for name, value in (("window", size), ("hop", step)):
        if value < 1:
            raise ValueError(f"{name}: expected at least one sample, {1 / rate:.3g} s, got less")
    least = as_number("floor", floor, above=0.0)
    order = as_size("deltas", deltas, least=0, most=2)
    length = max(2, 1 << (size - 1).bit_length())
    weights = mel_filters(rate, length, bands, low=low, high=high).T
    if len(sound) < size:
        sound = np.pad(sound, (0, size - len(sound)))
    frames = np.lib.stride_tricks.sliding_window_view(sound, size)[::step]
    hann = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(size) / size)
    blocks = []
    for start in range(0, len(frames), _BLOCK):
        spectrum = np.fft.rfft(frames[start : start + _BLOCK] * hann, length)
        energy = (spectrum.real**2 + spectrum.imag**2) @ weights
        blocks.append(np.log(np.maximum(energy, least)))
    features = np.concatenate(blocks)
    if as_flag("normalize", normalize):
        features = features - features.mean(axis=0)
        features /= np.maximum(features.std(axis=0), _LEAST_DEVIATION)
    parts = [features]
    for _ in range(order):
        parts.append(_slopes(parts[-1]))
    return np.concatenate(parts, axis=1).astype(np.float32)


def _mel(frequency: Any) -> Any:
    return 2595.0 * np.log10(1.0 + frequency / 700.0)


def _slopes(features: NDArray[np.float64]) -> NDArray[np.float64]:
    """Compute the regression over two frames on either side; the first and the last frame go on."""
    wide = np.pad(features, ((2, 2), (0, 0)), mode="edge")
    slopes: NDArray[np.float64] = (wide[3:-1] - wide[1:-3] + 2 * (wide[4:] - wide[:-4])) / 10
    return slopes


def _as_samples(samples: Any) -> NDArray[np.float64]:
    array = np.asarray(of_others("samples", samples))
    if array.dtype.kind != "f":
        raise TypeError(f"samples: expected floats in [-1, 1], got {array.dtype}")
    if array.ndim != 1 or not len(array):
        raise ValueError(f"samples: expected shape [T] with at least one sample, got {list(array.shape)}")
    sound = array.astype(np.float64)
    if not np.isfinite(sound).all():
        place = int(np.flatnonzero(~np.isfinite(sound))[0])
        raise ValueError(f"samples[{place}]: expected a finite number, got {sound[place]}")
    return sound
