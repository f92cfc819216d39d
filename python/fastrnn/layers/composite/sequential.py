"""A chain of layers as one network: embedding, recurrent layers, linear layers, activations."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from fastrnn._other_words import answers_other_words
from fastrnn.layers.base.module import Module
from fastrnn.layers.composite.chain import Chain, SequentialState, SequentialTape
from fastrnn.layers.composite.composite import Composite, is_reserved
from fastrnn.layers.composite.named_parts import Passes, layers_of

if TYPE_CHECKING:
    from typing_extensions import Never, Self

    from fastrnn._arrays import Array

__all__ = ["Sequential"]


class Sequential(Composite):
    """A chain of layers as one network: each reads what the one before it returns.

    A `Composite` is the same by keyword, and need not be a chain. Parameters are named after the parts:
    ``encoder.weight``, ``rnn.weight_ih_l0``, ... ``net[0]`` and ``net["encoder"]`` are a part, ``len(net)``
    is their number; a loop over the network goes through them.

    Parameters
    ----------
    *parts : Module, or one mapping of str to Module
        In order: `Embedding` (first only), recurrent layers, `Stack`, `Linear`, `Head`, `Activation`, and
        chains of these. Without a mapping, their names are ``part0``, ``part1``, ...

    Attributes
    ----------
    parts : dict of str to Module
    recurrent : tuple of Recurrent or Stack
        The layers with a state, those of nested chains too.
    output_size : int
        Width of y.

    Raises
    ------
    ValueError
        If there is no part, a name is reserved, widths or dtypes do not fit, or one part is batch-first and
        another is not.
    TypeError
        If a part is of another kind.

    Examples
    --------
    >>> import numpy as np
    >>> import fastrnn as fr
    >>> parts = {"encoder": fr.Embedding(10, 4), "rnn": fr.GRU(4, 8), "decoder": fr.Linear(8, 10)}
    >>> net = fr.Sequential(parts)
    >>> y, state = net(np.array([[1], [2], [3]]))
    >>> y.shape, state[0].shape
    ((3, 1, 10), (1, 1, 8))
    >>> stream = net.stream()
    >>> np.array_equal([stream.step(i) for i in (1, 2, 3)], y[:, 0])
    True
    """

    @answers_other_words
    def __init__(self, *parts: Module | Mapping[str, Module]) -> None:
        named = _named(parts)
        chain = Chain(layers_of(named))
        self._join(named)
        self.recurrent: tuple[Any, ...] = chain.recurrent
        self.output_size: int = chain.output_size

    def __call__(
        self,
        x: Any,
        state: SequentialState | None = None,
        lengths: Any = None,
        reset: Any = None,
        *,
        mask: Any = None,
        zero_masked: bool = False,
        **other: Never,
    ) -> tuple[Array, SequentialState]:
        """Run over a batch of sequences without dropout; nothing is kept.

        Parameters
        ----------
        x : array_like, float [T, N, D] or integer ids [T, N]
            As the first part reads it; with ``batch_first`` layers [N, T, D] or [N, T]. One sequence may come
            without the axis N.
        state : tuple, optional
            An entry for each recurrent part: its own state before the first step, or None.
        lengths : array_like, int [N], optional
            Steps of each row. What recurrent parts return after a row's end is zero; what the parts after the
            last of them make of it has no meaning.
        reset : array_like, bool [T, N], optional
            Where true, the row restarts from `state` at this step.
        mask : array_like, bool [T, N], optional
            True where a step counts, as for `RNN`; of all recurrent parts.
        zero_masked : bool, default False
            Whether what recurrent parts return is zero at masked steps, not what it was before.

        Returns
        -------
        y : ndarray, float [T, N, output_size]
        state : tuple
            The state after each row's last step: an entry for each recurrent part.

        Raises
        ------
        ValueError, TypeError
            As for the parts.
        """
        options = {"mask": mask, "zero_masked": zero_masked, **other}
        return self._chain().infer(x, state, lengths, reset, **options)

    def forward(
        self,
        x: Any,
        state: SequentialState | None = None,
        lengths: Any = None,
        reset: Any = None,
        *,
        mask: Any = None,
        zero_masked: bool = False,
        **other: Never,
    ) -> tuple[Array, SequentialState, SequentialTape]:
        """Run over a batch of sequences in training: with dropout, and with a tape for `backward`.

        Parameters
        ----------
        x, state, lengths, reset, mask, zero_masked
            As for a call.

        Returns
        -------
        y, state
            As for a call; y is read-only.
        tape : SequentialTape

        Raises
        ------
        ValueError, TypeError
            As for a call.
        """
        options = {"mask": mask, "zero_masked": zero_masked, **other}
        return self._chain().forward(self, x, state, lengths, reset, **options)

    def backward(
        self, tape: SequentialTape, dy: Any, dstate: SequentialState | None = None
    ) -> tuple[Array | Any, SequentialState]:
        """Backpropagate through all parts; add to `gradients`.

        Parameters
        ----------
        tape : SequentialTape
            From `forward`; it is not changed.
        dy : array_like, float, of y's shape, or None
            Gradient of the loss with respect to y; None for zero.
        dstate : as the state, optional
            Gradient with respect to the last state; default zero.

        Returns
        -------
        dx : ndarray, float, of x's shape, or None
            None if x was ids.
        dstate : as the state
            Gradient with respect to the state before the first step.

        Raises
        ------
        ValueError
            If the tape is another network's, an array has a wrong shape, or `dy` and `dstate` are both None.
        TypeError
            If an array has a wrong dtype.
        """
        return self._chain().backward(self, tape, dy, dstate)

    _chain_passes: ClassVar[Passes] = (__call__, forward, backward)

    @classmethod
    def _from_parts(cls, parts: dict[str, Any]) -> Self:
        """Return a network of the layers of a file, under their own names."""
        make: Any = cls
        network: Self = make(parts)
        return network

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.parts!r})"


def _named(parts: tuple[Any, ...]) -> dict[str, Any]:
    """Return the parts by name."""
    if len(parts) == 1 and isinstance(parts[0], Mapping):
        named = dict(parts[0])
    else:
        named = {f"part{index}": part for index, part in enumerate(parts)}
    if not named:
        raise ValueError("parts: expected at least one, got none")
    for name in named:
        if not isinstance(name, str):
            raise TypeError(f"parts: expected names of type str, got {type(name).__name__}")
        if is_reserved(name):
            raise ValueError(f"parts: {name!r} is reserved; choose another name")
    return named
