"""The nodes RNN, GRU and LSTM as layers of this package, with NumPy for what no layer has."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from fastrnn.interop.onnx.activations import Activation, activations_of
from fastrnn.interop.onnx.cells import NumpyCell
from fastrnn.layers import GRU, LSTM, RNN

if TYPE_CHECKING:
    from fastrnn._arrays import Array
    from fastrnn.interop.onnx.graph import Node
    from fastrnn.layers import Module

__all__ = ["RECURRENT", "WEIGHTS", "RecurrentNode"]

LAYERS: dict[str, Any] = {"RNN": RNN, "GRU": GRU, "LSTM": LSTM}
RECURRENT = frozenset(LAYERS)
#: The places of the weights among a node's inputs.
WEIGHTS = {"W": 1, "R": 2, "B": 3, "P": 7}
COUNTS = {"RNN": 1, "GRU": 3, "LSTM": 4}
#: ONNX's index of each of our gates, blocks of H rows: GRU z, r, h; LSTM i, o, f, c.
GATES: dict[str, tuple[int, ...]] = {
    "RNN": (0,),
    "GRU": (1, 0, 2),
    "LSTM": (0, 2, 3, 1),
    "LSTM coupled": (0, 3, 1),
}
#: The same for peepholes: i, o, f.
PEEPHOLES: dict[bool, tuple[int, ...]] = {False: (0, 2, 1), True: (0, 1)}
#: Our names of an operator's activations, in its order.
OPTIONS: dict[str, tuple[str, ...]] = {
    "RNN": ("nonlinearity",),
    "GRU": ("gate_activation", "candidate_activation"),
    "LSTM": ("gate_activation", "candidate_activation", "output_activation"),
}


class Part(NamedTuple):
    """One layer or NumPy cell, and the directions of the node that it runs."""

    directions: slice
    layer: Any
    cell: NumpyCell | None


class RecurrentNode:
    """A node, with its attributes checked.

    Parameters
    ----------
    node : Node

    Attributes
    ----------
    reasons : list of str
        Why it, or a direction of it, needs NumPy; empty if layers do it all.

    Raises
    ------
    ValueError, TypeError
        If an attribute is not one of the specification's.
    """

    reasons: list[str]

    def __init__(self, node: Node) -> None:
        self.op: str = node.op
        directions = {"forward": (False,), "reverse": (True,), "bidirectional": (False, True)}
        direction = node.text("direction", "forward").lower()
        if direction not in directions:
            raise ValueError(f"direction: expected one of {', '.join(directions)}, got {direction!r}")
        self.reversed: tuple[bool, ...] = directions[direction]
        self.activations: list[tuple[Activation, ...]] = activations_of(node, len(self.reversed))
        self.clip: Any = node.number("clip")
        if self.clip is not None and not self.clip > 0:
            raise ValueError(f"clip: expected a number above 0, got {self.clip}")
        self.layout: Any = node.integer("layout", 0)
        if self.layout not in (0, 1):
            raise ValueError(f"layout: expected 0 or 1, got {self.layout}")
        self.hidden_size: Any = node.integer("hidden_size")
        variant = {"GRU": "linear_before_reset", "LSTM": "input_forget"}.get(node.op)
        self.variant = variant is not None and node.integer(variant, 0) != 0
        self.reasons = [] if self.clip is None else [f"clip={self.clip:.7g}"]
        self.reasons += [
            f"the activation {one}"
            for one in dict.fromkeys(one for several in self.activations for one in several)
            if one.own is None
        ]

    def bind(self, given: Mapping[str, Array]) -> list[Part]:
        """Return the parts that run the node with these weights.

        Parameters
        ----------
        given : mapping of str to ndarray
            W, R and, where the node has them, B and P.

        Raises
        ------
        ValueError, TypeError
            If shapes or dtypes do not fit the node.
        """
        self._check(given)
        native = [self.clip is None and all(one.own for one in several) for several in self.activations]
        if all(native) and len(set(self.activations)) == 1:
            return [Part(slice(None), self._layer(given, slice(None)), None)]
        parts = []
        for index, ours in enumerate(native):
            own = slice(index, index + 1)
            parts.append(
                Part(own, self._layer(given, own), None)
                if ours
                else Part(own, None, self._cell(given, index, self.activations[index]))
            )
        return parts

    def _check(self, given: Mapping[str, Array]) -> None:
        """Refuse weights whose shapes or dtypes do not fit."""
        W, R = given["W"], given["R"]
        if W.dtype not in (np.float32, np.float64):
            raise TypeError(f"W: expected floats, got {W.dtype}")
        if R.ndim != 3 or W.ndim != 3:
            raise ValueError(f"W, R: expected three axes, got {list(W.shape)} and {list(R.shape)}")
        H, D, count, directions = R.shape[2], W.shape[2], COUNTS[self.op], len(self.reversed)
        if self.hidden_size not in (None, H):
            raise ValueError(f"hidden_size: expected {H}, as R has it, got {self.hidden_size}")
        shapes = {
            "W": (directions, count * H, D),
            "R": (directions, count * H, H),
            "B": (directions, 2 * count * H),
            "P": (directions, 3 * H),
        }
        for name, array in given.items():
            if array.shape != shapes[name]:
                raise ValueError(f"{name}: expected {list(shapes[name])}, got {list(array.shape)}")
            if array.dtype != W.dtype:
                raise TypeError(f"{name}: expected {W.dtype}, as W has it, got {array.dtype}")

    def _layer(self, given: Mapping[str, Array], own: slice) -> Module:
        """Return the layer of one direction or of both."""
        reversed_ = self.reversed[own]
        options: dict[str, Any] = {"reverse": True} if reversed_ == (True,) else {}
        options |= {
            "bidirectional": len(reversed_) == 2,
            "batch_first": self.layout == 1,
            "bias": "B" in given,
            "dtype": given["W"].dtype,
        }
        names = [one.own for one in self.activations[own][0]]
        usual = ["tanh"] if self.op == "RNN" else ["sigmoid", "tanh", "tanh"][: len(names)]
        options |= {
            option: name
            for option, name, other in zip(OPTIONS[self.op], names, usual, strict=True)
            if name != other
        }
        if self.op == "GRU":
            options["reset_after"] = self.variant
        if self.op == "LSTM" and self.variant:
            options["coupled"] = True
        if "P" in given:
            options["peephole"] = True
        layer = LAYERS[self.op](given["W"].shape[2], given["R"].shape[2], **options)
        self._load(layer, {name: array[own] for name, array in given.items()})
        return layer  # type: ignore[no-any-return]

    def _load(self, layer: Any, given: Mapping[str, Array]) -> None:
        """Copy weights into a layer, gates in its order."""
        coupled = self.op == "LSTM" and self.variant
        gates = GATES["LSTM coupled" if coupled else self.op]
        H = layer.hidden_size

        def ordered(array: Array, blocks: tuple[int, ...]) -> Array:
            rows = array.reshape(-1, H, *array.shape[1:])
            return rows[list(blocks)].reshape(-1, *array.shape[1:])

        with layer.parameters.edit() as views:
            for direction, suffix in enumerate(("_l0", "_l0_reverse")[: layer.directions]):
                # A layer of one direction has no suffix, even if it is reversed.
                views[f"weight_ih{suffix}"][...] = ordered(given["W"][direction], gates)
                views[f"weight_hh{suffix}"][...] = ordered(given["R"][direction], gates)
                if "B" in given:
                    both = np.split(given["B"][direction], 2)
                    for name, bias in zip(("bias_ih", "bias_hh"), both, strict=True):
                        views[f"{name}{suffix}"][...] = ordered(bias, gates)
                if "P" in given:
                    rows = given["P"][direction].reshape(3, H)
                    views[f"weight_peephole{suffix}"][...] = rows[list(PEEPHOLES[coupled])]

    def _cell(self, given: Mapping[str, Array], index: int, activations: tuple[Activation, ...]) -> NumpyCell:
        W, R = given["W"][index], given["R"][index]
        B = given["B"][index] if "B" in given else np.zeros(2 * len(W), W.dtype)
        P = given["P"][index] if "P" in given else np.zeros(3 * R.shape[1], W.dtype)
        return NumpyCell(
            op=self.op, activations=activations, W=W, R=R, B=B, P=P, clip=self.clip,
            reverse=self.reversed[index], variant=self.variant,
        )  # fmt: skip

    def run(
        self, parts: list[Part], x: Array, lengths: Array | None, h: Array | None, c: Array | None
    ) -> Any:
        """Run the node: x [T, N, D], states [directions, N, H], or with layout 1 the first two axes swapped.

        Returns
        -------
        Y : ndarray, float [T, directions, N, H], or [N, T, directions, H]
        Y_h, Y_c : ndarray, float [directions, N, H], or [N, directions, H]
            Y_c of an LSTM only.
        """
        if x.ndim != 3:
            raise ValueError(f"X: expected three axes, got {list(x.shape)}")
        if lengths is not None and lengths.dtype.kind not in "iu":
            raise TypeError(f"sequence_lens: expected integers, got {lengths.dtype}")
        states = [None if one is None else (one.swapaxes(0, 1) if self.layout else one) for one in (h, c)]
        if len(parts) == 1 and parts[0].layer is not None:
            y, lasts = self._run_layer(parts[0], x, lengths, states)
        else:
            results = [self._run_part(part, x, lengths, states) for part in parts]
            y = np.concatenate([one[0] for one in results], -2)
            lasts = [np.concatenate(several) for several in zip(*(one[1] for one in results), strict=True)]
        y = y if self.layout else y.swapaxes(1, 2)
        return (y, *(one.swapaxes(0, 1) if self.layout else one for one in lasts))

    def _run_layer(
        self, part: Part, x: Array, lengths: Array | None, states: list[Array | None]
    ) -> tuple[Array, list[Array]]:
        """Run a layer; return y [T, N, directions, H] (or [N, T, ...]) and the last states."""
        layer = part.layer
        state = None
        if any(one is not None for one in states):
            zero = np.zeros((layer.directions, x.shape[1 - self.layout], layer.hidden_size), x.dtype)
            whole = [zero if one is None else one[part.directions] for one in states]
            state = (whole[0], whole[1]) if self.op == "LSTM" else whole[0]
        y, last = layer(x, state, lengths)
        y = y.reshape(*y.shape[:2], layer.directions, layer.hidden_size)
        return y, list(last) if isinstance(last, tuple) else [last]

    def _run_part(
        self, part: Part, x: Array, lengths: Array | None, states: list[Array | None]
    ) -> tuple[Array, list[Array]]:
        """Run a layer or NumPy cell of one direction."""
        cell = part.cell
        if cell is None:
            return self._run_layer(part, x, lengths, states)
        if x.shape[2] != cell.W.shape[1] or x.dtype != cell.W.dtype:
            raise ValueError(
                f"X: expected {cell.W.dtype} [T, N, {cell.W.shape[1]}], got {x.dtype} {list(x.shape)}"
            )
        steps = x.swapaxes(0, 1) if self.layout else x
        shape = (steps.shape[1], cell.R.shape[1])
        own = [np.zeros(shape, x.dtype) if one is None else one[part.directions][0] for one in states]
        if any(one.shape != shape for one in own):
            raise ValueError(f"initial_h, initial_c: expected [N, H] {list(shape)} for each direction")
        if lengths is not None and lengths.shape != shape[:1]:
            raise ValueError(f"sequence_lens: expected {list(shape[:1])}, got {list(lengths.shape)}")
        y, h, c = cell.run(steps, lengths, own[0], own[1])
        y = y[:, :, None]
        lasts = [h[None], c[None]] if self.op == "LSTM" else [h[None]]
        return (y.swapaxes(0, 1) if self.layout else y), lasts
