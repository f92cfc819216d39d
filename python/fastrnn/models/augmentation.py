"""Augmentation of features in training: noise, and masks over frames and over features (SpecAugment)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fastrnn._arrays import Array, Ids
from fastrnn._checks import as_number, as_size

__all__ = ["Augmentation"]

_MOST_OF_A_SEQUENCE = 5  # a mask hides at most one fifth of a sequence's frames


@dataclass(frozen=True)
class Augmentation:
    """Change features at random, differently each time they are read.

    Parameters
    ----------
    noise : float
        Standard deviation of the noise.
    time_mask, feature_mask : int
        The maximum width of a mask, in frames and in features.
    count : int
        Masks of each kind for each sequence.

    References
    ----------
    Park et al. (2019), "SpecAugment: A Simple Data Augmentation Method for Automatic Speech Recognition".

    Examples
    --------
    >>> import numpy as np
    >>> augment = Augmentation(noise=0.0, time_mask=3, feature_mask=0, count=1)
    >>> x = augment(np.ones((20, 1, 2)), np.array([20]), np.random.default_rng(1))
    >>> int((x == 0).all(axis=2).sum())
    1
    """

    noise: float
    time_mask: int
    feature_mask: int
    count: int

    @classmethod
    def checked(cls, noise: float, time_mask: int, feature_mask: int, count: int) -> Augmentation:
        """Return one from settings.

        Raises
        ------
        ValueError, TypeError
            If a setting is negative or not a number.
        """
        return cls(
            noise=as_number("noise", noise, least=0.0),
            time_mask=as_size("time_mask", time_mask, least=0),
            feature_mask=as_size("feature_mask", feature_mask, least=0),
            count=as_size("masks", count),
        )

    @property
    def changes(self) -> bool:
        """Whether it does anything."""
        return bool(self.noise or self.time_mask or self.feature_mask)

    def __call__(self, x: Array, lengths: Ids, rng: np.random.Generator) -> Array:
        """Return changed features [T, N, D]; padding stays as it is, or becomes 0.

        Parameters
        ----------
        x : ndarray, float [T, N, D]
            Standardized: what is hidden becomes 0, their mean.
        lengths : ndarray, int64 [N]
        rng : numpy.random.Generator
        """
        if not self.changes:
            return x
        steps, rows, width = x.shape
        time = np.arange(steps)[:, None]
        if self.noise:
            noise = rng.standard_normal(x.shape, np.float32) * np.float32(self.noise)
            x = np.where((time < lengths)[:, :, None], x + noise.astype(x.dtype), x)
        hidden = np.zeros(x.shape, np.bool_)
        for _ in range(self.count):
            if self.time_mask:
                most = np.minimum(self.time_mask, lengths // _MOST_OF_A_SEQUENCE)
                start, stop = _spans(most, lengths, rng)
                hidden |= ((time >= start) & (time < stop))[:, :, None]
            if self.feature_mask:
                most = np.full(rows, min(self.feature_mask, width))
                start, stop = _spans(most, np.full(rows, width), rng)
                column = np.arange(width)
                hidden |= (column >= start[:, None]) & (column < stop[:, None])
        return np.where(hidden, x.dtype.type(0), x)


def _spans(most: Ids, total: Ids, rng: np.random.Generator) -> tuple[Ids, Ids]:
    """Return a span for each row: 0 to `most` wide, somewhere in the first `total` places."""
    width = rng.integers(0, most, endpoint=True)
    start = rng.integers(0, total - width, endpoint=True)
    return start, start + width
