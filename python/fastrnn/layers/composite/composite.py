"""A network of parts by name: a chain, which runs as it is, or the base of a class of one's own."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, ClassVar

from fastrnn._checks import as_flag
from fastrnn.layers.composite.chain import Chain
from fastrnn.layers.composite.file import Description, describe_part, read_file, write_file
from fastrnn.layers.composite.named_parts import PASSES, NamedParts, Passes, layers_of, nested_parts
from fastrnn.layers.composite.stream import SequentialStream

if TYPE_CHECKING:
    from typing_extensions import Self

    from fastrnn.layers.base.module import Module

__all__ = ["Composite", "chain_of", "describe_network", "is_reserved"]

_OWN = ("parts", "recurrent", "output_size", "dtype", "parameters")


class Composite(NamedParts):
    """A network of named parts, with all their parameters in one flat array: ``rnn.weight_ih_l0``, ...

    Give the parts the names that the attributes of a PyTorch module have, and ``load_state_dict`` reads its
    state dict. Parts may be composites. Each part becomes an attribute, and stays usable on its own; its
    parameters and gradients are views of the composite's. A part belongs to one network: for another one
    write ``copy.deepcopy(part)``.

    If the parts are a chain, in which each reads what the one before it returns, the composite runs as
    `Sequential` does: a call, ``forward``, ``backward`` and ``stream`` take and return the same. The layers
    of a part that is a composite are part of the chain. A network that is no chain is a subclass with three
    methods of its own:

    - ``__call__(self, x, ...)`` returns y, or y and more, without dropout.
    - ``forward(self, x, ...)`` returns the same, and in the end a tape: whatever ``backward`` needs.
    - ``backward(self, tape, dy)`` calls the ``backward`` of the parts, in reverse order. They add to
      `gradients`.

    Parameters
    ----------
    **modules : Module
        In the order in which they run, if they are a chain.

    Attributes
    ----------
    parts : dict of str to Module
        Also ``model["rnn"]`` and, by position, ``model[0]``; a loop over the composite yields the parts.

    Raises
    ------
    ValueError
        If there is no part, one appears twice, a name is reserved, or dtypes differ.
    TypeError
        If a part is not a module.

    Examples
    --------
    >>> import numpy as np
    >>> import fastrnn as fr
    >>> model = fr.Composite(embedding=fr.Embedding(10, 4), rnn=fr.GRU(4, 8), fc=fr.Linear(8, 3))
    >>> list(model.parameters)[:2]
    ['embedding.weight', 'rnn.weight_ih_l0']
    >>> y, state = model(np.array([[1, 2], [3, 4]]))  # two steps of two sequences
    >>> y.shape, model.fc, model[0]
    ((2, 2, 3), Linear(8, 3), Embedding(10, 4))

    A class of one's own, which classifies a sequence by its last state:

    >>> class Classifier(fr.Composite):
    ...     def __call__(self, x, lengths=None):
    ...         _, h = self.rnn(x, lengths=lengths)
    ...         return self.fc(h[-1])
    ...
    ...     def forward(self, x, lengths=None):
    ...         _, h, rnn_tape = self.rnn.forward(x, lengths=lengths)
    ...         y, fc_tape = self.fc.forward(h[-1])
    ...         return y, (rnn_tape, fc_tape)
    ...
    ...     def backward(self, tape, dy):
    ...         rnn_tape, fc_tape = tape
    ...         dh = self.fc.backward(fc_tape, dy)
    ...         dx, _ = self.rnn.backward(rnn_tape, None, dh[np.newaxis])
    ...         return dx
    >>> model = Classifier(rnn=fr.GRU(4, 8, dtype="float64"), fc=fr.Linear(8, 3, dtype="float64"))
    >>> x, classes = np.random.default_rng(0).normal(size=(5, 2, 4)), [0, 2]
    >>> y, tape = model.forward(x, lengths=[5, 3])
    >>> loss, dy = fr.losses.softmax_cross_entropy(y, classes)
    >>> dx = model.backward(tape, dy)

    Check such a backward pass in float64, against the loss on both sides of a parameter:

    >>> def loss_at(value):
    ...     with model.parameters.edit() as views:
    ...         views["rnn.weight_ih_l0"][0, 0] = value
    ...     return fr.losses.softmax_cross_entropy(model(x, lengths=[5, 3]), classes)[0]
    >>> w = model.parameters["rnn.weight_ih_l0"][0, 0]
    >>> slope = (loss_at(w + 1e-5) - loss_at(w - 1e-5)) / 2e-5
    >>> bool(abs(slope - model.gradients["rnn.weight_ih_l0"][0, 0]) < 1e-8)
    True
    """

    if TYPE_CHECKING:  # of which parts a composite has, type checkers know nothing

        def __getattr__(self, name: str) -> Any: ...

    def __init__(self, **modules: Module) -> None:
        if not modules:
            call = "Composite" if type(self) is Composite else "super().__init__"
            raise ValueError(f"modules: expected at least one, got none; write {call}(rnn=..., fc=...)")
        for name in modules:
            if is_reserved(name, type(self)):
                raise ValueError(f"modules: {name!r} is reserved; choose another name")
            if "." in name:
                raise ValueError(
                    f"modules: expected names without dots, got {name!r}; nest composites instead"
                )
        self._join(modules)

    def __call__(self, *inputs: Any, **options: Any) -> Any:
        """Run over a batch of sequences without dropout; nothing is kept.

        Parameters
        ----------
        *inputs, **options
            As for `Sequential`: ``x, state=None, lengths=None, reset=None, *, mask=None, zero_masked=False``.

        Returns
        -------
        y : ndarray, float [T, N, output_size]
        state : tuple
            The state after each row's last step: an entry for each recurrent layer.

        Raises
        ------
        TypeError
            If the parts are no chain; the message says what makes them none.
        ValueError, TypeError
            As for the parts.
        """
        return self._chain().infer(*inputs, **options)

    def forward(self, *inputs: Any, **options: Any) -> Any:
        """Run over a batch of sequences in training: with dropout, and with a tape for `backward`.

        Parameters
        ----------
        *inputs, **options
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
        return self._chain().forward(self, *inputs, **options)

    def backward(self, *arguments: Any, **options: Any) -> Any:
        """Backpropagate through all parts; add to `gradients`.

        Parameters
        ----------
        *arguments, **options
            As for `Sequential.backward`: ``tape, dy, dstate=None``.

        Returns
        -------
        dx : ndarray, float, of x's shape, or None
            None if x was ids.
        dstate : tuple
            Gradient with respect to the state before the first step.

        Raises
        ------
        ValueError, TypeError
            As for `Sequential.backward`; TypeError if the parts are no chain.
        """
        return self._chain().backward(self, *arguments, **options)

    _chain_passes: ClassVar[Passes] = (__call__, forward, backward)

    def stream(self, batch_size: int = 1) -> SequentialStream:
        """Return a stream that keeps the state and runs one time step per call.

        Parameters
        ----------
        batch_size : int, default 1
            N, the number of sequences.

        Raises
        ------
        ValueError
            If a part has a reverse direction, which needs the whole sequence; the message names it.
        TypeError
            If the parts are no chain.
        """
        return SequentialStream(self, batch_size)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the network to a safetensors file, atomically: its architecture and its parameters.

        `load` reads it. The file of a chain is that of a `Sequential`, which the C library runs too.

        Parameters
        ----------
        path : path

        Raises
        ------
        TypeError
            If a part, or a class of one's own, cannot be described in a file; the message names it, and the
            line that saves the parameters alone.
        OSError
            If the file cannot be written; an existing file stays as it was.

        Examples
        --------
        >>> import pathlib, tempfile
        >>> import fastrnn as fr
        >>> net = fr.Composite(rnn=fr.LSTM(1, 16), fc=fr.Linear(16, 1))
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = pathlib.Path(folder, "effect.safetensors")
        ...     net.save(path)
        ...     fr.Composite.load(path)
        Composite(rnn=LSTM(1, 16), fc=Linear(16, 1))
        """
        write_file(path, self, describe_network(self))

    @classmethod
    def load(cls, path: str | os.PathLike[str], *, allow_nonfinite: bool = False) -> Self:
        """Read a network from a file that `save` wrote, also that of a `Sequential`.

        Parameters
        ----------
        path : path
        allow_nonfinite : bool, default False
            Take parameters that are NaN or infinite too.

        Raises
        ------
        CheckpointError
            If the file is damaged or holds something else; the message names it.
        TypeError
            If the class has an ``__init__`` of its own, which a file cannot call.
        OSError
            If the file cannot be read.
        """
        if not _made_of_parts(cls):
            raise TypeError(
                f"{cls.__name__}.load: {cls.__name__} has an __init__ of its own, which a file cannot call; "
                f"write fr.Composite.load(path) if it is a chain, or make one and write "
                "model.load_state_dict(safetensors.numpy.load_file(path))"
            )
        return read_file(
            path, cls.__name__, cls._from_parts, allow_nonfinite=as_flag("allow_nonfinite", allow_nonfinite)
        )

    @classmethod
    def _from_parts(cls, parts: dict[str, Any]) -> Self:
        """Return a composite of the layers of a file: those with dots in their names become nested ones."""
        make: Any = cls
        network: Self = make(**nested_parts(parts, Composite))
        return network

    def _chain(self) -> Chain:
        """Return the parts as a chain.

        Raises
        ------
        TypeError
            If they are none, or the class has a pass of its own.
        """
        if self._own_chain is None:
            self.__dict__["_own_chain"] = chain_of(self)
        chain: Chain = self._own_chain
        return chain


def chain_of(network: Composite) -> Chain:
    """Return the parts of a network as a chain, those of nested composites with dotted names.

    Raises
    ------
    TypeError
        If they are none, with the reason and what to do.
    """
    own = network._own_passes()
    kind = type(network).__name__
    if own:
        missing = [name for name in PASSES if name not in own]
        raise TypeError(
            f"{kind}: expected methods of its own for all passes, as it has {' and '.join(own)}; write "
            f"{' and '.join(missing) or 'a stream'} too"
        )
    try:
        return Chain(layers_of(network.parts))
    except (ValueError, TypeError) as error:
        raise TypeError(
            f"{kind}: its parts are no chain: {error}; write a subclass of Composite with __call__, forward "
            "and backward of its own (help(fastrnn.Composite) shows one)"
        ) from None


def describe_network(network: Composite) -> Description:
    """Return what a file says of a network: its kind, its class if it is a user's own, and its parts.

    Raises
    ------
    TypeError
        If the network cannot be described; the message says why, and how to save its parameters.
    """
    own, kind = network._own_passes(), type(network)
    try:
        if own and not _made_of_parts(kind):
            raise TypeError(f"{kind.__name__} has an __init__ of its own, which a file cannot call")
        parts = [describe_part(name, layer) for name, layer in layers_of(network.parts).items()]
        return Description(_file_kind(network), kind.__name__ if own else None, parts)
    except TypeError as error:
        raise TypeError(
            f"save: {error}; write safetensors.numpy.save_file(model.state_dict(), path), and "
            "model.load_state_dict(safetensors.numpy.load_file(path)) to load it"
        ) from None


def is_reserved(name: str, kind: type[Composite] = Composite) -> bool:
    """Return whether a part cannot have this name, as the network has it for something else."""
    return not name or name.startswith("_") or name in _OWN or hasattr(kind, name)


def _file_kind(network: Composite) -> str:
    """Return "Sequential" for a chain, which the C library runs too."""
    try:
        chain_of(network)
    except TypeError:
        return "Composite"
    return "Sequential"


def _made_of_parts(kind: type[Composite]) -> bool:
    """Return whether a class is made of its parts alone: it has no ``__init__`` of its own."""
    own = next(base for base in kind.__mro__ if "__init__" in vars(base))
    return own.__module__.startswith(__package__ or "fastrnn")
