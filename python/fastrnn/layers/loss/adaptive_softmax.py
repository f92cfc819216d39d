"""The adaptive softmax: an output layer that spends most work on frequent words."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from fastrnn._arrays import Array, as_dtype, as_floats, as_ids
from fastrnn._checks import as_generator, as_integers, as_number, as_size
from fastrnn._memory import check_memory, named_memory
from fastrnn._other_words import answers_other_words
from fastrnn.layers.base.kept import frozen
from fastrnn.layers.base.module_group import ModuleGroup
from fastrnn.layers.base.precision import Precision
from fastrnn.layers.dense.linear import Linear
from fastrnn.layers.loss.softmax import Softmax

if TYPE_CHECKING:
    from numpy.typing import DTypeLike

    from fastrnn._arrays import Ids
    from fastrnn._checks import Seed

__all__ = ["AdaptiveSoftmax", "adaptive_shapes"]


class _Tail(ModuleGroup):
    """A cluster: a projection to a narrower vector and a softmax over its ids."""

    project: Linear
    output: Softmax


class AdaptiveSoftmax(ModuleGroup):
    """A two-level softmax over ids sorted by decreasing frequency.

    The head predicts one of the most frequent ids, below ``cutoffs[0]``, or a cluster of the others. Cluster
    ``i``, with ids ``cutoffs[i] .. cutoffs[i+1] - 1``, has a softmax over a narrower vector::

        p(w | h) = softmax(W_head h)[w]                                           w < cutoffs[0]
                 = softmax(W_head h)[cluster i] * softmax(W_i P_i h)[w - cutoffs[i]]

    with ``P_i [K // div_value^(i+1), K]``. A token costs the head and, if it is rare, one cluster.

    Its only precision is float32.

    Parameters are ``head.weight [cutoffs[0] + clusters, K]`` and, for each cluster ``i``, the projection
    ``tail{i}.project.weight`` and ``tail{i}.output.weight``. There are no biases, as in PyTorch.

    Parameters
    ----------
    in_features : int
        K, the width of h.
    out_features : int
        V, the number of ids.
    cutoffs : sequence of int
        The ids where clusters begin: increasing, each in ``1 .. V - 1``.
    div_value : float, default 4.0
        Ratio of the widths of successive clusters.
    dtype : {"float32", "float64"}
    seed : int or numpy.random.Generator, optional

    Raises
    ------
    ValueError
        If the cutoffs do not increase or are out of range, or a size or `div_value` is less than 1.
    TypeError
        If a size or a cutoff is not an integer, or the dtype is not supported.

    References
    ----------
    Grave, Joulin, Cissé, Grangier, Jégou (2017), "Efficient softmax approximation for GPUs".

    Examples
    --------
    >>> import numpy as np
    >>> from fastrnn.layers import AdaptiveSoftmax
    >>> output = AdaptiveSoftmax(8, 100, [10, 40], seed=0)
    >>> h = np.ones((1, 8), np.float32)
    >>> log_p = output(h)
    >>> log_p.shape, round(float(np.exp(log_p).sum()), 5)
    ((1, 100), 1.0)
    >>> bool(np.isclose(output.losses(h, np.array([50]))[0], -log_p[0, 50]))
    True
    >>> output.num_parameters  # 12 * 8; 2 * 8 + 30 * 2; 1 * 8 + 60 * 1: a tenth of 800
    240
    """

    head: Softmax
    tails: tuple[_Tail, ...]

    @answers_other_words
    def __init__(
        self,
        in_features: int,
        out_features: int,
        cutoffs: Sequence[int],
        *,
        div_value: float = 4.0,
        dtype: DTypeLike = "float32",
        seed: Seed = None,
    ) -> None:
        self.in_features: int = as_size("in_features", in_features)
        self.out_features: int = as_size("out_features", out_features)
        self.cutoffs: tuple[int, ...] = as_cutoffs(cutoffs, self.out_features)
        self.div_value: float = as_number("div_value", div_value, least=1.0)
        generator, chosen = as_generator(seed), as_dtype(dtype)
        shapes = adaptive_shapes(self.in_features, self.out_features, self.cutoffs, self.div_value)
        check_memory("parameters", shapes, chosen)
        self._bounds = (*self.cutoffs, self.out_features)
        first = self.cutoffs[0] + len(self.cutoffs)
        head = Softmax(self.in_features, first, False, dtype=chosen, seed=generator)
        tails = []
        for index, (begin, end) in enumerate(pairwise(self._bounds)):
            width = _tail_width(self.in_features, self.div_value, index)
            project = Linear(self.in_features, width, False, dtype=chosen, seed=generator)
            output = Softmax(width, end - begin, False, dtype=chosen, seed=generator)
            tails.append(_Tail(project=project, output=output))
        super().__init__(head=head, **{f"tail{index}": tail for index, tail in enumerate(tails)})
        self.tails = tuple(tails)

    def _set_precision(self, precision: Precision) -> None:
        """Do nothing: all products are in float32."""

    @named_memory("log_p", "use fewer rows at a time")
    def __call__(self, h: Any) -> Array:
        """Return the log-probability of every id.

        Parameters
        ----------
        h : array_like, float [..., K]

        Returns
        -------
        log_p : ndarray, float [..., V]

        Raises
        ------
        ValueError
            If h has another width.
        TypeError
            If h has another dtype.
        """
        h = as_floats("h", h, self.dtype, ("...", self.in_features))
        rows = h.reshape(-1, self.in_features)
        head = _log_softmax(self.head(rows))
        first = self.cutoffs[0]
        parts = [head[:, :first]]
        for index, tail in enumerate(self.tails):
            within = _log_softmax(tail.output(tail.project(rows)))
            parts.append(head[:, first + index, None] + within)
        return np.concatenate(parts, axis=1).reshape(*h.shape[:-1], self.out_features)

    def losses(self, h: Array, targets: Ids) -> Array:
        """Return the cross-entropy of each token, as `Softmax.losses` does."""
        h, targets = self._checked(h, targets)
        losses = self.head.losses(h, self._head_targets(targets))
        for tail, rows, within in self._tail_targets(targets):
            losses[rows] += tail.output.losses(tail.project(h[rows]), within)
        return losses

    @named_memory("losses", "use fewer rows at a time")
    def losses_and_gradients(
        self, h: Array, targets: Ids, *, scale: float = 1.0, smoothing: float = 0.0
    ) -> tuple[Array, Array]:
        """Return the cross-entropy of each token and add gradients, as `Softmax.losses_and_gradients` does.

        Raises
        ------
        ValueError
            As there, and if `smoothing` is not 0: it would need every id's probability.
        """
        if smoothing:
            raise ValueError(f"smoothing: expected 0 with an adaptive softmax, got {smoothing}")
        h, targets = self._checked(h, targets)
        losses, dh = self.head.losses_and_gradients(h, self._head_targets(targets), scale=scale)
        for tail, rows, within in self._tail_targets(targets):
            narrow, tape = tail.project.forward(frozen(h[rows]))
            own, dnarrow = tail.output.losses_and_gradients(narrow, within, scale=scale)
            losses[rows] += own
            dh[rows] += tail.project.backward(tape, dnarrow)
        return losses, dh

    def _checked(self, h: Any, targets: Any) -> tuple[Array, Ids]:
        ids = as_ids("targets", targets, ("M",))
        if ids.size and not (ids.min() >= -1 and ids.max() < self.out_features):
            wrong = ids[(ids < -1) | (ids >= self.out_features)][0]
            raise ValueError(f"targets: expected ids in 0 .. {self.out_features - 1} (-1: none), got {wrong}")
        return as_floats("h", h, self.dtype, ("M", self.in_features)), ids

    def _head_targets(self, targets: Ids) -> Ids:
        """Return the head's targets: an id or a cluster each."""
        cluster = np.searchsorted(self.cutoffs, targets, side="right")
        return np.where(cluster == 0, targets, self.cutoffs[0] + cluster - 1)

    def _tail_targets(self, targets: Ids) -> list[tuple[_Tail, Ids, Ids]]:
        """Return each cluster that occurs, with the rows it occurs in and its targets there."""
        found = []
        for tail, (begin, end) in zip(self.tails, pairwise(self._bounds), strict=True):
            rows = np.flatnonzero((targets >= begin) & (targets < end))
            if rows.size:
                found.append((tail, rows, targets[rows] - begin))
        return found

    def __repr__(self) -> str:
        return f"AdaptiveSoftmax({self.in_features}, {self.out_features}, {list(self.cutoffs)})"


def as_cutoffs(cutoffs: Any, count: int) -> tuple[int, ...]:
    """Check the cutoffs for `count` ids.

    Raises
    ------
    ValueError, TypeError
        As `AdaptiveSoftmax`.
    """
    given = tuple(as_integers("cutoffs", cutoffs))
    if not given or given[0] < 1 or given[-1] >= count or any(one >= two for one, two in pairwise(given)):
        raise ValueError(f"cutoffs: expected increasing ids in 1 .. {count - 1}, got {list(given)}")
    return given


def adaptive_shapes(
    in_features: int, out_features: int, cutoffs: Sequence[int], div_value: float
) -> dict[str, tuple[int, ...]]:
    """Return the name and shape of each parameter of an `AdaptiveSoftmax`."""
    shapes: dict[str, tuple[int, ...]] = {"head.weight": (cutoffs[0] + len(cutoffs), in_features)}
    for index, (begin, end) in enumerate(pairwise((*cutoffs, out_features))):
        width = _tail_width(in_features, div_value, index)
        shapes[f"tail{index}.project.weight"] = (width, in_features)
        shapes[f"tail{index}.output.weight"] = (end - begin, width)
    return shapes


def _tail_width(in_features: int, div_value: float, index: int) -> int:
    try:
        return max(1, int(in_features // div_value ** (index + 1)))
    except OverflowError:  # a power beyond all floats
        return 1


def _log_softmax(logits: Array) -> Array:
    shifted = logits - logits.max(axis=1, keepdims=True)
    log_p: Array = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    return log_p
