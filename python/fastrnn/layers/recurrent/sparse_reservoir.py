"""A reservoir of leaky units with sparse recurrent weights, run by the native kernel."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from fastrnn._arrays import Array, Ids, as_array, as_dtype, as_floats, as_ids
from fastrnn._checks import as_choice, as_number
from fastrnn._dispatch import kernels
from fastrnn._memory import FEWER_TOKENS, named_memory, out_of_memory

__all__ = ["RESERVOIR_UNITS", "CompressedRows", "SparseReservoir"]

RESERVOIR_UNITS = ("tanh", "relu", "identity", "sigmoid")


class CompressedRows(NamedTuple):
    """A sparse square matrix W [H, H] in compressed rows (CSR); SciPy's CSR arrays have the same attributes.

    Row i has the elements ``data[indptr[i]:indptr[i + 1]]`` in the columns ``indices[...]`` of the same
    slice, in any order. Columns that occur twice are added up.
    """

    data: Any  # float [K]
    indices: Any  # int [K]
    indptr: Any  # int [H + 1]


class SparseReservoir:
    """A reservoir of leaky units with sparse recurrent weights.

    ::

        h_t = (1 - a) h_{t-1} + a f(W h_{t-1} + u_t)

    The inputs u_t are everything that does not depend on the state: input weights times input, bias, noise.
    Its weights cannot change, and it keeps no state between calls.

    Every product is summed in the order in which W holds its elements. So results are the same to the last
    bit for any number of threads, for a sequence alone or in a batch, at once or step by step.

    Parameters
    ----------
    weight : scipy.sparse CSR matrix or array, CompressedRows, or a triple (data, indices, indptr)
        W [H, H]. The dtype of its data, float32 or float64, is that of everything else. It is copied.
    leak_rate : float or array_like, float [H]
        a, in ``0 .. 1``: the fraction of each state that is new. 1 is a reservoir without memory of its own.
        (The `leak` of `fastrnn.RNN` is the fraction that is kept, 1 - a.)
    nonlinearity : {"tanh", "relu", "identity", "sigmoid"}
        f.

    Attributes
    ----------
    hidden_size : int
        H.
    connections : int
        K, the number of elements that W holds.
    dtype : numpy.dtype

    Raises
    ------
    ValueError
        If W is not square, or its rows or columns are inconsistent, or a leak rate is out of range.
    TypeError
        If an argument is of another kind or dtype.
    MemoryError
        If the packed weights cannot be allocated.

    References
    ----------
    Lukoševičius (2012), "A Practical Guide to Applying Echo State Networks", equations 2 and 3.

    Examples
    --------
    A ring of three units, the first of which gets an impulse:

    >>> import numpy as np
    >>> ring = CompressedRows(np.full(3, 0.5, "float32"), [2, 0, 1], [0, 1, 2, 3])
    >>> reservoir = SparseReservoir(ring, nonlinearity="identity")
    >>> inputs = np.zeros((3, 1, 3), "float32")
    >>> inputs[0, 0, 0] = 1
    >>> states, state = reservoir.run(inputs)
    >>> states[:, 0]
    array([[1.  , 0.  , 0.  ],
           [0.  , 0.5 , 0.  ],
           [0.  , 0.  , 0.25]], dtype=float32)
    """

    hidden_size: int
    connections: int
    dtype: np.dtype[Any]

    def __init__(self, weight: Any, *, leak_rate: Any = 1.0, nonlinearity: str = "tanh") -> None:
        data, indices, indptr = _compressed_rows(weight)
        self.hidden_size, self.connections, self.dtype = len(indptr) - 1, len(data), data.dtype
        self.nonlinearity: str = as_choice("nonlinearity", nonlinearity, RESERVOIR_UNITS)
        leak = _leak_rates(leak_rate, self.hidden_size, self.dtype)
        self._packed = kernels.sparse_reservoir_pack(data, indices, indptr, leak, self.nonlinearity)

    def run(self, inputs: Any, state: Any = None, *, overwrite: bool = False) -> tuple[Array, Array]:
        """Run all steps.

        Parameters
        ----------
        inputs : array_like, float [T, N, H]
            u.
        state : array_like, float [N, H], optional
            h_0. Default: zeros.
        overwrite : bool
            Whether the states may take the place of the inputs, so that no other array of their size is
            needed. The inputs must be a writable C-contiguous array then. If the run is interrupted, they are
            lost.

        Returns
        -------
        states : ndarray, float [T, N, H]
            h_1 to h_T; the array `inputs` itself if it is overwritten.
        state : ndarray, float [N, H]
            h_T.

        Raises
        ------
        ValueError
            If a shape is wrong, or `inputs` cannot be overwritten.
        TypeError
            If an argument is of another dtype.
        MemoryError
            If the states cannot be allocated.

        Examples
        --------
        >>> import numpy as np
        >>> loop = CompressedRows(np.array([0.5]), [0], [0, 1])
        >>> reservoir = SparseReservoir(loop, leak_rate=0.5, nonlinearity="identity")
        >>> states, state = reservoir.run(np.ones((2, 1, 1)))
        >>> states.ravel().tolist(), state.tolist()
        ([0.5, 0.875], [[0.875]])
        """
        H = self.hidden_size
        given = as_floats("inputs", inputs, self.dtype, ("T", "N", H))
        if overwrite and not (given is inputs and given.flags.writeable):
            raise ValueError("inputs: expected a writable C-contiguous array, to be overwritten")
        states = given if overwrite else _writable_copy("states", given)
        last = self._start(state, states.shape[1])
        kernels.sparse_reservoir_run(self._packed, states, last)
        return states, last

    def step(self, inputs: Any, state: Any) -> Array:
        """Run one step: the same as `run` with ``inputs[None]``, with less overhead.

        Parameters
        ----------
        inputs : array_like, float [N, H]
            u_t.
        state : array_like, float [N, H]
            h_{t-1}.

        Returns
        -------
        state : ndarray, float [N, H]
            h_t.

        Raises
        ------
        ValueError, TypeError, MemoryError
            As for `run`.

        Examples
        --------
        >>> import numpy as np
        >>> loop = CompressedRows(np.array([0.5]), [0], [0, 1])
        >>> SparseReservoir(loop, nonlinearity="identity").step(np.array([[1.0]]), np.array([[4.0]]))
        array([[3.]])
        """
        given = as_floats("inputs", inputs, self.dtype, ("N", self.hidden_size))
        last = self._start(state, len(given))
        kernels.sparse_reservoir_run(self._packed, _writable_copy("states", given[np.newaxis]), last)
        return last

    def _start(self, state: Any, rows: int) -> Array:
        """Return a copy of h_0."""
        if state is None:
            with named_memory("state", FEWER_TOKENS):
                return np.zeros((rows, self.hidden_size), self.dtype)
        return _writable_copy("state", as_floats("state", state, self.dtype, (rows, self.hidden_size)))


def _writable_copy(name: str, array: Array) -> Array:
    try:  # not `named_memory`, which takes as long as a short step
        return array.copy()
    except MemoryError:
        raise out_of_memory(name, array.nbytes, FEWER_TOKENS) from None


def _compressed_rows(weight: Any) -> tuple[Array, Ids, Ids]:
    """Return data, indices and indptr of a square matrix."""
    form = getattr(weight, "format", "csr")
    if form != "csr":
        raise TypeError(f"weight: expected compressed rows (CSR), got {form}; write weight.tocsr()")
    if isinstance(weight, tuple) and len(weight) == 3:
        weight = CompressedRows(*weight)
    if not all(hasattr(weight, name) for name in CompressedRows._fields):
        raise TypeError(
            "weight: expected a CSR matrix of SciPy, or (data, indices, indptr), got "
            f"{type(weight).__name__}; write scipy.sparse.csr_array(weight)"
        )
    values = as_array("data", weight.data)
    data = as_floats("data", values, as_dtype(values.dtype), ("K",))
    indptr = as_ids("indptr", weight.indptr, ("H + 1",))
    if len(indptr) < 2:
        raise ValueError("indptr: expected the beginnings of 1 row or more, and the end, got too few")
    H = len(indptr) - 1
    if getattr(weight, "shape", (H, H)) != (H, H):
        raise ValueError(f"weight: expected a square matrix, got {list(weight.shape)}")
    return data, as_ids("indices", weight.indices, (len(data),)), indptr


def _leak_rates(value: Any, size: int, dtype: np.dtype[Any]) -> Array:
    """Return a leak rate for each unit."""
    if np.ndim(value) == 0:
        value = np.full(size, as_number("leak_rate", value, least=0, most=1), dtype)
    rates = as_floats("leak_rate", value, dtype, (size,))
    wrong = ~((rates >= 0) & (rates <= 1))
    if wrong.any():
        raise ValueError(f"leak_rate: expected numbers in 0 .. 1, got {rates[int(wrong.argmax())]}")
    return rates
