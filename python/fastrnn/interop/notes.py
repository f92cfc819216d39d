"""Weights in course notes' conventions: matrices per gate over state and input, and update gate u = 1 - z."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import numpy as np

from fastrnn._arrays import Array, as_array
from fastrnn._checks import as_choice
from fastrnn.layers import GRU, LSTM, RNN
from fastrnn.layers.recurrent.options import CELLS, CellOptions

__all__ = ["from_notes", "to_notes"]

# The gates in the order of PyTorch's matrices and in the notes' letters. Of a GRU, z is 1 - u.
_GATES = {"rnn": "a", "gru": "ruc", "lstm": "ufco"}
_RELEVANCE = "r"  # of an LSTM; after the other gates
_PEEPHOLES = "ufo"
FORMS = ("stacked", "split", "separate")
# Options whose effect on the equations the notes cannot write.
_LACKING = ("proj_size", "layer_norm", "zoneout", "skip", "context_size", "coupled", "leak", "cell_clip")


class _Names(NamedTuple):
    """The names of one gate's matrices, over state and input, and of its bias."""

    state: str
    input: str
    bias: str

    def of(self) -> set[str]:
        return set(self)


def from_notes(
    cell: str, weights: Mapping[str, Any], *, suffix: str = "_l0", recurrent: str | None = None
) -> dict[str, Array]:
    """Convert one layer's weights from a convention of course notes to that of a `fastrnn` layer.

    In the notes (Ng, "Sequence Models", 2018) a gate is ``sigmoid(W [h', x] + b)``, with one matrix over the
    state and the input, and a GRU's new state is ``c = u * n + (1 - u) * c'``, with the reset before the
    product. PyTorch and fastrnn use z = 1 - u instead of u. Because ``sigmoid(-v) = 1 - sigmoid(v)``, the
    weights of z are those of u with the opposite sign.

    Parameters
    ----------
    cell : {"rnn", "gru", "lstm"}
    weights : mapping of str to array_like
        For each gate ``b<gate> [H]`` or [H, 1], and one of

        - ``W<gate> [H, H + D]``, state columns first;
        - ``W<gate>a [H, H]`` over the state and ``W<gate>x [H, D]`` over the input, as ``Waa`` and ``Wax``;
        - ``U<gate>`` and ``W<gate>``, see `recurrent`; for the vanilla cell also without a letter, ``U``,
          ``W`` and ``b``.

        The gates are a for the vanilla cell; u, r, c for the GRU; u, f, o, c for the LSTM, where u is the
        input gate and c the candidate. An LSTM may have a relevance gate r, and peepholes ``Pu``, ``Pf`` and
        ``Po``, each [H] or [H, 1].
    suffix : str, default "_l0"
        Suffix of the returned names.
    recurrent : {"U", "W"}, optional
        Which of U and W multiplies the state; the other one multiplies the input. Needed only if both are
        square, because texts differ: Goodfellow, Bengio and Courville write ``W h' + U x``, others ``U h' +
        W x``.

    Returns
    -------
    state : dict of str to ndarray
        weight_ih, weight_hh, bias_ih, bias_hh (zero) and, with peepholes, weight_peephole, for
        ``load_state_dict`` of `fastrnn.RNN`, ``fastrnn.GRU(reset_after=False)`` or `fastrnn.LSTM`, with
        ``relevance=True`` and `peephole` where the weights have them: "previous" where o reads c of the step
        before, as in the notes. An LSTM with ``a = o * c`` needs ``output_activation="identity"``.

    Raises
    ------
    ValueError
        If the cell is unknown, a matrix is missing or unknown, a shape does not match, or U and W are both
        square and `recurrent` is not given.

    See Also
    --------
    to_notes : The inverse.

    Examples
    --------
    >>> import numpy as np
    >>> import fastrnn as fr
    >>> random = np.random.default_rng(0)
    >>> H, D = 4, 3
    >>> notes = {f"W{g}": random.normal(size=(H, H + D)) for g in "urc"}
    >>> notes |= {f"b{g}": random.normal(size=H) for g in "urc"}
    >>> rnn = fr.GRU(D, H, reset_after=False, dtype="float64")
    >>> rnn.load_state_dict(fr.interop.from_notes("gru", notes))
    UnmatchedKeys(missing_keys=[], unexpected_keys=[])
    >>> c, x = random.normal(size=H), random.normal(size=D)
    >>> def sigmoid(v):
    ...     return 1 / (1 + np.exp(-v))
    >>> u = sigmoid(notes["Wu"] @ [*c, *x] + notes["bu"])
    >>> r = sigmoid(notes["Wr"] @ [*c, *x] + notes["br"])
    >>> n = np.tanh(notes["Wc"] @ [*(r * c), *x] + notes["bc"])
    >>> y, _ = rnn(x[None, None], c[None, None])
    >>> np.allclose(y[0, 0], u * n + (1 - u) * c)
    True
    """
    if cell not in _GATES:
        raise ValueError(f"cell: expected one of {', '.join(_GATES)}, got {cell!r}")
    gates = _GATES[cell]
    if cell == "lstm" and {name[:2] for name in weights} & {"Wr", "Ur", "br"}:
        gates += _RELEVANCE
    spelled = _spelling(gates, weights)
    peepholes = [f"P{gate}" for gate in _PEEPHOLES]
    expected = set().union(*(names.of() for names in spelled.values()))
    if cell == "lstm" and weights.keys() & set(peepholes):
        expected |= set(peepholes)
    if wrong := expected ^ weights.keys():
        raise ValueError(
            f"weights: expected {', '.join(sorted(expected))}; missing or unknown: {sorted(wrong)}"
        )
    arrays = {name: as_array(name, value) for name, value in weights.items()}
    first = spelled[gates[0]]
    H = len(arrays[first.state])
    pairs = {gate: _matrices(names, arrays, H, recurrent) for gate, names in spelled.items()}
    width = pairs[gates[0]][1].shape[1]
    for gate, (over_state, over_input) in pairs.items():
        for name, array, shape in (
            (spelled[gate].state, over_state, (H, H)),
            (spelled[gate].input, over_input, (H, width)),
        ):
            if array.shape != shape:
                raise ValueError(f"{name}: expected {list(shape)}, got {list(array.shape)}")
    both = {kind: [_sign(cell, gate) * pairs[gate][kind] for gate in gates] for kind in (0, 1)}
    bias = [_sign(cell, gate) * _vector(spelled[gate].bias, arrays, H) for gate in gates]
    state = {
        f"weight_ih{suffix}": np.concatenate(both[1]),
        f"weight_hh{suffix}": np.concatenate(both[0]),
        f"bias_ih{suffix}": np.concatenate(bias),
        f"bias_hh{suffix}": np.zeros(len(gates) * H, bias[0].dtype),
    }
    if peepholes[0] in expected:
        state[f"weight_peephole{suffix}"] = np.stack([_vector(name, arrays, H) for name in peepholes])
    return state


def to_notes(
    rnn: RNN | GRU | LSTM, *, suffix: str = "_l0", form: str = "stacked", recurrent: str = "U"
) -> dict[str, Array]:
    """Return the weights of a layer as course notes write them, the inverse of `from_notes`.

    What `from_notes` has converted comes back to the last bit. Of a layer with two biases for each gate, the
    notes' bias is their sum, and a layer with the weights that `from_notes` makes of it yields the same bits.

    Parameters
    ----------
    rnn : RNN, GRU or LSTM
        A GRU needs ``reset_after=False``, because the notes' form has no other. A layer normalisation,
        projection, connection over several steps, leak, coupled gate, zoneout or context has no place in the
        notes.
    suffix : str, default "_l0"
        Which layer and direction: "_l1", "_l0_reverse", ...
    form : {"stacked", "split", "separate"}
        One matrix ``W<gate> [H, H + D]``, state columns first; two, ``W<gate>a [H, H]`` and
        ``W<gate>x [H, D]``; or two, ``U<gate>`` and ``W<gate>``, of the vanilla cell ``U`` and ``W``.
    recurrent : {"U", "W"}
        Which of the latter multiplies the state.

    Returns
    -------
    weights : dict of str to ndarray
        Copies, by the names that `from_notes` takes; biases and peepholes are columns [H, 1].

    Raises
    ------
    ValueError
        If the layer has an option that the notes lack, or no parameters with this suffix.
    TypeError
        If it is not an RNN, a GRU or an LSTM.

    Examples
    --------
    >>> import fastrnn as fr
    >>> rnn = fr.RNN(3, 4, seed=0)
    >>> {name: array.shape for name, array in fr.interop.to_notes(rnn, form="split").items()}
    {'Waa': (4, 4), 'Wax': (4, 3), 'ba': (4, 1)}
    >>> list(fr.interop.to_notes(fr.LSTM(3, 4, relevance=True)))[:5]
    ['Wu', 'bu', 'Wf', 'bf', 'Wc']
    """
    form = as_choice("form", form, FORMS)
    recurrent = as_choice("recurrent", recurrent, ("U", "W"))
    cell = _cell_of(rnn)
    found = {
        name.removesuffix(suffix): np.array(array)
        for name, array in rnn.parameters.items()
        if name.endswith(suffix)
    }
    if "weight_ih" not in found:
        known = ", ".join(name.removeprefix("weight_ih") for name in rnn.parameters if "weight_ih" in name)
        raise ValueError(f"suffix: expected one of {known}, got {suffix!r}")
    gates, H = _GATES[cell] + _RELEVANCE * rnn.options.relevance, rnn.hidden_size
    bias = np.zeros(len(gates) * H, rnn.dtype)
    if rnn.bias:
        one, two = found["bias_ih"], found["bias_hh"]
        bias = np.where(two == 0, one, one + two)  # not a sum with zero, which has no negative zero
    weights: dict[str, Array] = {}
    for index, gate in enumerate(gates):
        rows, sign = slice(index * H, (index + 1) * H), rnn.dtype.type(_sign(cell, gate))
        over_state, over_input = sign * found["weight_hh"][rows], sign * found["weight_ih"][rows]
        if form == "stacked":
            weights[f"W{gate}"] = np.concatenate([over_state, over_input], axis=1)
        else:
            bare = form == "separate" and cell == "rnn"
            names = _separate(gate, recurrent, bare=bare) if form == "separate" else _split(gate)
            weights |= {names.state: over_state, names.input: over_input}
        weights["b" if form == "separate" and cell == "rnn" else f"b{gate}"] = (sign * bias[rows])[:, None]
    if "weight_peephole" in found:
        weights |= {
            f"P{g}": row[:, None] for g, row in zip(_PEEPHOLES, found["weight_peephole"], strict=True)
        }
    return weights


def _cell_of(rnn: Any) -> str:
    """Check that the notes can write a layer; return the name of its cell."""
    if not isinstance(rnn, (RNN, GRU, LSTM)):
        raise TypeError(f"rnn: expected an RNN, a GRU or an LSTM, got {type(rnn).__name__}")
    for name in _LACKING:
        value, usual = getattr(rnn.options, name), getattr(CellOptions, name)
        if value != usual:
            raise ValueError(f"{name}: expected {usual!r}, as the notes have no such option, got {value!r}")
    if isinstance(rnn, GRU) and rnn.options.reset_after:
        raise ValueError(
            "reset_after: expected False, as the notes reset the state before the product, got True"
        )
    return CELLS[rnn.options.cell].name


def _sign(cell: str, gate: str) -> int:
    return -1 if cell == "gru" and gate == "u" else 1


def _split(gate: str) -> _Names:
    return _Names(f"W{gate}a", f"W{gate}x", f"b{gate}")


def _separate(gate: str, recurrent: str, *, bare: bool) -> _Names:
    letter = "" if bare else gate
    names = (f"U{letter}", f"W{letter}")
    return _Names(*(names if recurrent == "U" else names[::-1]), f"b{letter}")


def _spelling(gates: str, names: Iterable[str]) -> dict[str, _Names]:
    """Return the names of each gate in the form that the given names have; the same twice if stacked."""
    given = set(names)
    if any(name.startswith("U") for name in given):
        return {gate: _separate(gate, "U", bare="U" in given) for gate in gates}
    if any(name in given for gate in gates for name in _split(gate)[:2]):
        return {gate: _split(gate) for gate in gates}
    return {gate: _Names(f"W{gate}", f"W{gate}", f"b{gate}") for gate in gates}


def _matrices(
    names: _Names, arrays: Mapping[str, Array], H: int, recurrent: str | None
) -> tuple[Array, Array]:
    """Return a gate's matrices over the state and over the input."""
    one, two = arrays[names.state], arrays[names.input]
    for name, matrix in ((names.state, one), (names.input, two)):
        if matrix.ndim != 2 or len(matrix) != H:
            raise ValueError(f"{name}: expected [{H}, columns], got {list(matrix.shape)}")
    if names.state == names.input:
        if one.shape[1] <= H:
            raise ValueError(f"{names.state}: expected [H, H + D] with D >= 1, got {list(one.shape)}")
        return one[:, :H], one[:, H:]
    if not names.state.startswith("U"):
        return one, two
    if recurrent is None and one.shape == two.shape:
        raise ValueError(
            f"recurrent: {names.state} and {names.input} have one shape, {list(one.shape)}; pass "
            "recurrent='U' for U h' + W x, or recurrent='W' for W h' + U x"
        )
    by_shape = "U" if one.shape[1] == H else "W"
    if as_choice("recurrent", recurrent or by_shape, ("U", "W")) == "U":
        return one, two
    return two, one


def _vector(name: str, arrays: Mapping[str, Array], H: int) -> Array:
    array = arrays[name]
    if array.shape not in ((H,), (H, 1)):
        raise ValueError(f"{name}: expected {[H]}, got {list(array.shape)}")
    return array.reshape(H)
