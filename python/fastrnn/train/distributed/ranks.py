"""The processes that train one model together, as each of them sees them; and one process alone."""

from __future__ import annotations

import pickle
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar, cast

from fastrnn._checks import as_choice, as_size
from fastrnn.train.distributed.shards import MOST_SHARDS, divisors

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fastrnn._arrays import Array

__all__ = ["REDUCTIONS", "WIRES", "OneProcess", "Ranks"]

REDUCTIONS = ("ordered", "fastest")
WIRES = ("float32", "bfloat16")

_T = TypeVar("_T")
_Item = TypeVar("_Item")


class Ranks(ABC):
    """The processes ("ranks") that train one model together. Create them with `start`.

    Each of them has the whole model, computes its shards of every batch, and makes the same step with the sum
    of all gradients. A method marked as collective is to be called by all ranks in the same order.

    Parameters
    ----------
    rank, size : int
        The number of this process, and how many there are.
    shards : int, optional
        S, the parts of a batch whose gradients are computed one by one and added in a fixed order; a multiple
        of `size`, at most 65,536. The results depend on S, never on `size`. Default: `size`.
    reduction : {"ordered", "fastest"}
        How gradients are added over the ranks: in the fixed order, or in whichever order MPI finds fastest.
    wire : {"float32", "bfloat16"}
        What gradients are sent as. bfloat16 halves the bytes, and rounds what ranks send, so that the results
        depend on `size` too.

    Raises
    ------
    ValueError
        If `size` does not divide `shards`, there are too many, or an option is none of its choices.
    """

    rank: int
    size: int
    shards: int
    reduction: str
    wire: str

    def __init__(
        self,
        rank: int,
        size: int,
        *,
        shards: int | None = None,
        reduction: str = "ordered",
        wire: str = "float32",
    ) -> None:
        self.rank, self.size = rank, size
        self.shards = size if shards is None else as_size("shards", shards, most=MOST_SHARDS)
        self.reduction = as_choice("reduction", reduction, REDUCTIONS)
        self.wire = as_choice("wire", wire, WIRES)
        if self.shards % size:
            raise ValueError(
                f"shards: {size} processes do not divide {self.shards} shards; "
                f"start {_listed(divisors(self.shards))} of them, or give a multiple of {size} shards"
            )
        if wire != "float32" and reduction != "ordered":
            raise ValueError(f"wire: expected float32 with reduction='fastest', got {wire!r}")

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.rank} of {self.size}: {self.shards} shards>"

    @property
    def is_first(self) -> bool:
        """Whether this is rank 0, which writes and prints."""
        return self.rank == 0

    @property
    def own_shards(self) -> range:
        """The shards that this rank computes."""
        return self.shards_of(self.rank)

    def shards_of(self, rank: int) -> range:
        """Return the shards that a rank computes."""
        count = self.shards // self.size
        return range(rank * count, (rank + 1) * count)

    def any(self, flag: bool) -> bool:
        """Return whether a flag is true on any rank. Collective."""
        return bool(max(self.gather(flag)))

    def broadcast(self, value: _T) -> _T:
        """Return the value that rank 0 has. Collective."""
        result: Any = self.gather(value if self.is_first else None)[0]
        return cast("_T", result)

    def on_first(
        self, action: Callable[[], _T], raised_by_all: tuple[type[Exception], ...] = (Exception,)
    ) -> _T:
        """Run an action on rank 0; return its result, or raise its exception, on every rank. Collective.

        Parameters
        ----------
        action : callable
        raised_by_all : tuple of exception types
            Others are raised on rank 0 alone, and are to end all ranks.

        Examples
        --------
        >>> OneProcess().on_first(lambda: 6 * 7)
        42
        """
        result: Any = None
        error: BaseException | None = None
        if self.is_first:
            try:
                result = action()
            except raised_by_all as raised:
                error = raised
        sent = self.broadcast((result, _sendable(error)))
        error = error or sent[1]
        if error is not None:
            raise error
        value: _T = result if self.is_first else sent[0]
        return value

    def map(self, action: Callable[[_Item], _T], items: Sequence[_Item]) -> list[_T]:
        """Return what an action makes of each item, in their order, on every rank. Collective.

        Each rank does every K-th item. If an action fails, every rank raises the exception of the first rank
        on which one does.

        Examples
        --------
        >>> OneProcess().map(abs, [3, -2])
        [3, 2]
        """
        own: list[_T] = []
        error: BaseException | None = None
        try:
            own = [action(item) for item in items[self.rank :: self.size]]
        except Exception as raised:
            error = raised
        found = self.gather((own, _sendable(error)))
        for rank, (_, sent) in enumerate(found):
            if sent is not None:
                raise error if error is not None and rank == self.rank else sent
        results: list[Any] = [None] * len(items)
        for rank, (values, _) in enumerate(found):
            results[rank :: self.size] = values
        return results

    def check_same(self, what: str, value: object) -> None:
        """Check that all ranks have the same value; what it is, the message says. Collective.

        Raises
        ------
        ValueError
            On every rank, if a rank has another than rank 0.
        """
        values = self.gather(value)
        others = [str(rank) for rank, other in enumerate(values) if other != values[0]]
        if others:
            ranks = f"rank{'s' * (len(others) > 1)} {', '.join(others)}"
            raise ValueError(f"{what}: expected the same on all ranks, got another on {ranks}")

    @abstractmethod
    def gather(self, value: _T) -> list[_T]:
        """Return the values of all ranks in their order; they can be pickled, and are small. Collective."""

    @abstractmethod
    def abort(self, code: int) -> NoReturn:
        """End all ranks at once, with an exit code."""

    @abstractmethod
    def exchange(
        self, sent: NDArray[Any], counts: list[int], received: NDArray[Any], received_counts: list[int]
    ) -> None:
        """Send consecutive parts of an array to the ranks, and receive one from each. Collective.

        Parameters
        ----------
        sent, received : ndarray, 1-D
            Of one dtype.
        counts, received_counts : list of int
            Elements of each rank's part.
        """

    @abstractmethod
    def join(self, parts: NDArray[Any], counts: list[int]) -> None:
        """Fill an array of which each rank has its part. Collective.

        Parameters
        ----------
        parts : ndarray, 1-D
            Of all ranks' parts, one after the other; this rank's is there, the others' are written.
        counts : list of int
            Elements of each rank's part.
        """

    @abstractmethod
    def swap(self, other: int, sent: NDArray[Any], received: NDArray[Any]) -> None:
        """Send an array to another rank, and receive one from it, which calls this too.

        Parameters
        ----------
        other : int
            The other rank.
        sent, received : ndarray, 1-D
            Of one dtype; the second one is as long as the first one of the other rank.
        """

    @abstractmethod
    def add_up(self, values: Array) -> None:
        """Replace an array by the sum over the ranks, in whichever order is fastest. Collective."""


class OneProcess(Ranks):
    """One process alone, with the interface of many.

    Parameters
    ----------
    shards : int, default 1
        With more than 1 the result has the bits of a training on as many processes; see `Ranks`.

    Examples
    --------
    >>> import fastrnn as fr
    >>> ranks = fr.train.distributed.OneProcess(shards=4)
    >>> ranks, ranks.own_shards, ranks.gather("a")
    (<OneProcess 0 of 1: 4 shards>, range(0, 4), ['a'])
    """

    def __init__(self, shards: int = 1, *, reduction: str = "ordered", wire: str = "float32") -> None:
        super().__init__(0, 1, shards=shards, reduction=reduction, wire=wire)

    def gather(self, value: _T) -> list[_T]:
        """Return a list of the value."""
        return [value]

    def abort(self, code: int) -> NoReturn:
        """End the process."""
        raise SystemExit(code)

    def exchange(
        self, sent: NDArray[Any], counts: list[int], received: NDArray[Any], received_counts: list[int]
    ) -> None:
        """Copy an array."""
        received[:] = sent

    def join(self, parts: NDArray[Any], counts: list[int]) -> None:
        """Do nothing: all parts are this process's."""

    def swap(self, other: int, sent: NDArray[Any], received: NDArray[Any]) -> None:
        """Refuse: there is no other process."""
        raise ValueError(f"other: expected another rank, got {other} of one process")

    def add_up(self, values: Array) -> None:
        """Do nothing: the sum over one process."""


def _listed(numbers: list[int]) -> str:
    *before, last = map(str, numbers)
    return f"{', '.join(before)} or {last}" if before else last


def _sendable(error: BaseException | None) -> BaseException | None:
    """Return an exception that can be pickled."""
    try:
        copied: BaseException | None = pickle.loads(pickle.dumps(error))
        return copied
    except Exception:  # of a class whose arguments do not make another one
        return RuntimeError(f"{type(error).__name__}: {error}")
