"""The linear-chain conditional random field: an output layer whose tags depend on each other."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from fastrnn._arrays import Array, Ids, as_dtype, as_floats, as_ids, as_lengths, as_mask
from fastrnn._checks import as_generator, as_number, as_size
from fastrnn._dispatch import kernels
from fastrnn._other_words import answers_other_words
from fastrnn.layers.base.module import Module
from fastrnn.layers.base.random import fill_uniform

if TYPE_CHECKING:
    from numpy.typing import DTypeLike

    from fastrnn._checks import Seed

__all__ = ["CRF"]


class CRF(Module):
    """A linear-chain conditional random field over the tags of a sequence.

    The score of a sequence of tags is the sum of its emissions, its transitions, ``start`` of the first tag
    and ``end`` of the last; its probability is exp(score) over the sum of that for all sequences. Emissions
    come from the layer below, usually a `Linear`. Parameters are ``transitions [K, K]`` (from, to),
    ``start [K]`` and ``end [K]``, initially uniform in [-0.1, 0.1).

    Scores of any size are safe: nothing overflows, and what underflows does not count. Sequences of length 0
    have loss 0.

    Parameters
    ----------
    num_tags : int
        K.
    allowed : array_like, bool [K, K] or [K + 1, K + 1], optional
        Which tag may follow which (from, to); the last row and column, if there, are from the beginning and
        to the end. What is not allowed has probability 0 and is never decoded. `allowed_transitions` makes it
        from the names of BIO and BIOES tags. It is not a parameter, and not saved with them.
    dtype : {"float32", "float64"}
        Of parameters, emissions and losses.
    seed : int or numpy.random.Generator, optional
        Initialises the parameters.

    Attributes
    ----------
    allowed : ndarray, bool [K + 1, K + 1], or None
        Read-only.

    Raises
    ------
    ValueError
        If `num_tags` is less than 1, or `allowed` does not fit or allows no sequence.
    TypeError
        If an argument is of the wrong kind.

    References
    ----------
    Lafferty, McCallum, Pereira (2001), "Conditional Random Fields: Probabilistic Models for Segmenting and
    Labeling Sequence Data". Huang, Xu, Yu (2015), "Bidirectional LSTM-CRF Models for Sequence Tagging".

    Examples
    --------
    >>> import numpy as np
    >>> import fastrnn as fr
    >>> tags = ["O", "B", "I"]
    >>> crf = fr.CRF(3, allowed=fr.layers.allowed_transitions(tags), seed=0)
    >>> emissions = np.zeros((4, 1, 3), np.float32)  # four steps of one sequence
    >>> emissions[:2, 0, 2] = 5  # I twice, but I cannot come first
    >>> paths, scores = crf.decode(emissions)
    >>> [tags[tag] for tag in paths[0][:2]]
    ['B', 'I']
    >>> losses, demissions = crf.losses_and_gradients(emissions, np.array([[1], [2], [0], [0]]))
    >>> losses.shape, demissions.shape, bool(losses[0] > 0)
    ((1,), (4, 1, 3), True)
    """

    num_tags: int

    @answers_other_words
    def __init__(
        self, num_tags: int, *, allowed: Any = None, dtype: DTypeLike = "float32", seed: Seed = None
    ) -> None:
        K = self.num_tags = as_size("num_tags", num_tags)
        self.allowed: Array | None = None if allowed is None else _mask(allowed, K)
        super().__init__({"transitions": (K, K), "start": (K,), "end": (K,)}, as_dtype(dtype))
        fill_uniform(self.parameters._writable_flat(), 0.1, as_generator(seed))

    def losses(self, emissions: Any, targets: Any, lengths: Any = None) -> Array:
        """Return the negative log-likelihood of each sequence's tags.

        Parameters
        ----------
        emissions : array_like, float [T, N, K]
            The score of each tag at each step.
        targets : array_like, int [T, N]
            In ``0 .. K - 1``; -1 means that the tag is not known: the loss is then that of all ways to fill
            it in together. What comes after the end of a sequence is not read.
        lengths : array_like, int [N], optional
            Steps of each sequence; default T.

        Returns
        -------
        losses : ndarray, float [N]
            In nats; 0 of a sequence of length 0 or without a known tag.

        Raises
        ------
        ValueError
            If a shape does not fit, a target or length is out of range, an emission is not finite, or the
            targets are not allowed; then nothing is added to gradients.
        TypeError
            If the emissions have another dtype, or targets or lengths are not integers.
        """
        arguments = self._checked(emissions, targets, lengths)
        losses, _ = kernels.crf_loss(*arguments, 0.0, False)
        return losses

    def losses_and_gradients(
        self, emissions: Any, targets: Any, lengths: Any = None, *, scale: float = 1.0
    ) -> tuple[Array, Array]:
        """Return the loss of each sequence and add the gradients of their scaled sum.

        Parameters
        ----------
        emissions, targets, lengths
            As for `losses`.
        scale : float, default 1.0
            Factor of the sum whose gradients are computed.

        Returns
        -------
        losses : ndarray, float [N]
            In nats.
        demissions : ndarray, float [T, N, K]
            Zero after the end of a sequence.

        Raises
        ------
        ValueError, TypeError
            As for `losses`.
        """
        factor = as_number("scale", scale)
        arguments = self._checked(emissions, targets, lengths)
        gradients = [self.gradients[name] for name in ("transitions", "start", "end")]
        losses, demissions = kernels.crf_loss(*arguments, factor, True, *gradients)
        assert demissions is not None
        return losses, demissions

    def decode(self, emissions: Any, lengths: Any = None) -> tuple[list[Ids], Array]:
        """Return the most probable tags of each sequence (Viterbi's algorithm).

        Parameters
        ----------
        emissions, lengths
            As for `losses`.

        Returns
        -------
        paths : list of N ndarrays, int64 [length]
        scores : ndarray, float [N]
            Of these tags; less the log partition (`marginals`) it is their log-probability.

        Raises
        ------
        ValueError, TypeError
            As for `losses`.
        """
        rows, ends = self._checked_batch(emissions, lengths)
        paths, scores = kernels.crf_viterbi(rows, *self._scores(), ends)
        return [paths[:length, n].copy() for n, length in enumerate(ends)], scores

    def marginals(self, emissions: Any, lengths: Any = None) -> tuple[Array, Array]:
        """Return the probability of each tag at each step, given the whole sequence.

        Parameters
        ----------
        emissions, lengths
            As for `losses`.

        Returns
        -------
        marginals : ndarray, float [T, N, K]
            Zero after the end of a sequence.
        log_partition : ndarray, float [N]
            Log of the sum of exp(score) over all sequences of tags; 0 of a sequence of length 0.

        Raises
        ------
        ValueError, TypeError
            As for `losses`.
        """
        rows, ends = self._checked_batch(emissions, lengths)
        return kernels.crf_marginals(rows, *self._scores(), ends)

    def _scores(self) -> tuple[Array, Array, Array]:
        """Return transitions, start and end, -inf where not allowed."""
        transitions, start, end = (self.parameters[name] for name in ("transitions", "start", "end"))
        if self.allowed is None:
            return transitions, start, end
        never = self.dtype.type(-np.inf)
        allowed = self.allowed
        return (
            np.where(allowed[:-1, :-1], transitions, never),
            np.where(allowed[-1, :-1], start, never),
            np.where(allowed[:-1, -1], end, never),
        )

    def _checked_batch(self, emissions: Any, lengths: Any) -> tuple[Array, Ids]:
        rows = as_floats("emissions", emissions, self.dtype, ("T", "N", self.num_tags))
        steps, count = rows.shape[:2]
        ends = as_lengths(lengths, steps, count)
        return rows, np.full(count, steps, np.int64) if ends is None else ends

    def _checked(
        self, emissions: Any, targets: Any, lengths: Any
    ) -> tuple[Array, Array, Array, Array, Ids, Ids]:
        rows, ends = self._checked_batch(emissions, lengths)
        return rows, *self._scores(), as_ids("targets", targets, rows.shape[:2]), ends

    def __repr__(self) -> str:
        options = "" if self.allowed is None else ", allowed=..."
        options += "" if self.dtype.name == "float32" else f", dtype={self.dtype.name!r}"
        return f"CRF({self.num_tags}{options})"


def _mask(allowed: Any, num_tags: int) -> Array:
    """Return which transitions are allowed [K + 1, K + 1], with those from the beginning and to the end."""
    mask = as_mask("allowed", allowed, ("K + 1", "K + 1"))
    if mask.shape == (num_tags, num_tags):
        mask = np.pad(mask, (0, 1), constant_values=True)
    if mask.shape != (num_tags + 1, num_tags + 1):
        sizes = f"[{num_tags}, {num_tags}] or [{num_tags + 1}, {num_tags + 1}]"
        raise ValueError(f"allowed: expected {sizes}, got {list(mask.shape)}")
    for what, row in (("first", mask[-1, :-1]), ("last", mask[:-1, -1])):
        if not row.any():
            raise ValueError(f"allowed: expected a tag that may come {what}, got none")
    mask.flags.writeable = False
    return mask
