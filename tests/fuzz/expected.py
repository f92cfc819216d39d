"""What the NumPy reference says about a layer and a batch: layers, directions and masks put together."""

from __future__ import annotations

from typing import Any

import numpy as np

from fastrnn import reference
from fastrnn.layers.recurrent.options import CELLS
from fastrnn.layers.recurrent.shapes import suffixes

from .batch import Batch
from .jordan import jordan_backward, jordan_forward

Arrays = dict[str, np.ndarray]
#: The weights of a cell without options, in the reference's order.
PLAIN_WEIGHTS = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
#: The reference's names of a pass's masks.
MASKS = {
    "input_mask": "x",
    "state_mask": "h",
    "candidate_mask": "candidate",
    "zone_h": "zone_h",
    "zone_c": "zone_c",
}


def reference_results(
    rnn: Any, parameters: Arrays, batch: Batch, tape: Any = None, *, dtype: str = "float64"
) -> Arrays:
    """Return all results of the reference by name: of inference, or with a tape of training.

    Parameters
    ----------
    rnn : Recurrent
        Its options count, not its parameters.
    parameters : mapping
        Its parameters.
    batch : Batch
    tape : Tape, optional
        Of the layer's own forward pass, whose masks are taken.
    dtype : str
        What the reference computes in.
    """
    dtype = dtype if rnn.precision == "float32" else "float32"  # a precision is one of float32's products
    arrays = {name: a.astype(dtype) for name, a in parameters.items()}
    run = _Stack(rnn, arrays, batch, tape, dtype)
    with np.errstate(all="ignore"):
        results = run.forward()
        return results if tape is None else {**results, **run.backward()}


class _Stack:
    """The layers and directions of one pass."""

    def __init__(self, rnn: Any, parameters: Arrays, batch: Batch, tape: Any, dtype: str) -> None:
        self.rnn, self.parameters, self.batch, self.tape = rnn, parameters, batch, tape
        self.dtype, self.options, self.directions = dtype, rnn.options, rnn.directions
        self.ends = suffixes(rnn.num_layers, rnn.directions)
        self.runs: list[_Run] = []

    def forward(self) -> Arrays:
        batch = self.batch
        x = batch.x.astype(self.dtype)
        if batch.x.ndim == 2:  # ids; -1 is a vector of zeros
            x = (batch.x[:, :, None] == np.arange(self.rnn.input_size)).astype(self.dtype)
        for first in range(0, len(self.ends), self.directions):
            mask = self.dropout(first)
            x = x if mask is None else x * mask
            runs = [_Run(self, i, x) for i in range(first, first + self.directions)]
            self.runs += runs
            x = self.merged([run.y for run in runs])
        named = {"y": x}
        for place, name in enumerate(self.rnn.state_names):
            named[f"{name}_n"] = np.stack([run.last[place] for run in self.runs])
        return named

    def dropout(self, first: int) -> Any:
        """Return the mask between layers before the layer and direction `first`."""
        if self.tape is None or first == 0:
            return None
        mask = self.tape.dropout[first // self.directions - 1]
        return None if mask is None else mask.astype(self.dtype)

    def merged(self, outputs: list[np.ndarray]) -> np.ndarray:
        if len(outputs) == 1:
            return outputs[0]
        if self.options.merge == "concat":
            return np.concatenate(outputs, axis=2)
        return sum(outputs) * (1.0 if self.options.merge == "sum" else 0.5)

    def unmerged(self, dy: np.ndarray) -> list[np.ndarray]:
        if self.directions == 1:
            return [dy]
        if self.options.merge == "concat":
            return np.split(dy, 2, axis=2)
        return [dy * (1.0 if self.options.merge == "sum" else 0.5)] * 2

    def backward(self) -> Arrays:
        batch, gradients, firsts = self.batch, {}, {}
        width = self.rnn.output_size
        dy = np.zeros((*batch.x.shape[:2], width)) if batch.dy is None else batch.dy
        dy = dy.astype(self.dtype)
        dcontext: Any = 0
        for first in reversed(range(0, len(self.ends), self.directions)):
            dxs = []
            for i, part in enumerate(self.unmerged(dy)):
                run = self.runs[first + i]
                dx, firsts[first + i], dweights = run.backward(part)
                dxs.append(dx)
                if "context" in dweights:
                    dcontext = dcontext + dweights.pop("context")
                gradients |= {f"d{name}{run.end}": d for name, d in dweights.items()}
            dy = sum(dxs)
            mask = self.dropout(first)
            dy = dy if mask is None else dy * mask
        named = gradients if batch.x.ndim == 2 else {**gradients, "dx": dy}
        if self.options.context_size:
            named["dcontext"] = dcontext
        for place, name in enumerate(self.rnn.state_names):
            named[f"d{name}_0"] = np.stack([firsts[i][place] for i in range(len(self.ends))])
            if self.options.learn_state:
                shape = self.parameters[f"initial_{name}"].shape
                learned = named[f"d{name}_0"].sum(axis=1) if batch.state is None else np.zeros(shape)
                named[f"dinitial_{name}"] = learned
        return named


class _Run:
    """One layer and direction: the reference's forward pass at once, its backward pass later."""

    def __init__(self, stack: _Stack, index: int, x: np.ndarray) -> None:
        self.stack, self.index, self.end = stack, index, stack.ends[index]
        self.options, self.batch, dtype = stack.options, stack.batch, stack.dtype
        self.x, self.reverse = x, stack.options.reverse or (stack.directions == 2 and index % 2 == 1)
        self.weights = {
            name.removesuffix(self.end): a for name, a in stack.parameters.items() if name.endswith(self.end)
        }
        self.masks, self.output, self.dropped = {}, 1.0, None
        if stack.tape is not None:
            arrays = stack.tape.layers[index].options or {}
            self.masks = {own: arrays[name].astype(dtype) for name, own in MASKS.items() if name in arrays}
            self.output = arrays["output_mask"].astype(dtype) if "output_mask" in arrays else 1.0
            drops = stack.tape._weights.weight_masks
            self.dropped = None if drops is None else drops[index].astype(dtype)
        if self.dropped is not None:
            self.weights["weight_hh"] = self.weights["weight_hh"] * self.dropped
        self.weight_context = self.weights.pop("weight_context", None)
        if isinstance(self.options.leak, tuple):
            with np.errstate(divide="ignore"):
                leak = np.array(self.options.leak).astype(stack.rnn.dtype).astype(dtype)
                self.weights["leak"] = np.log(leak) - np.log1p(-leak)
        self.state = self.initial()
        y, self.last, self.kept = self.forward()
        self.y = y * self.output

    def initial(self) -> tuple[np.ndarray, ...] | None:
        stack, i = self.stack, self.index
        if self.batch.state is not None:
            return tuple(part[i].astype(stack.dtype) for part in self.batch.state)
        if not self.options.learn_state:
            return None
        learned = [stack.parameters[f"initial_{name}"][i : i + 1] for name in stack.rnn.state_names]
        return tuple(np.repeat(part, self.batch.rows, axis=0) for part in learned)

    @property
    def context_is_bias(self) -> bool:
        """Whether a context comes after a normalisation; else it is more features of every step."""
        after = self.options.layer_norm and self.options.cell not in ("elman", "jordan")
        return self.weight_context is not None and after and self.batch.rows > 0

    def context(self, rows: slice) -> np.ndarray:
        """Return the context of some rows, [N, C] or [T, N, C]."""
        context = self.batch.context
        return context[:, rows] if context.ndim == 3 else context[rows]

    def parts(self) -> list[slice]:
        """Return the rows that run together: alone where a context is a bias of each row's own."""
        rows = range(self.batch.rows)
        return [slice(n, n + 1) for n in rows] if self.context_is_bias else [slice(None)]

    def forward(self) -> tuple[np.ndarray, tuple[np.ndarray, ...], list[Any]]:
        results = [self.part_forward(rows) for rows in self.parts()]
        if len(results) == 1:
            return (*results[0][:2], [results[0][2]])
        y = np.concatenate([y for y, _, _ in results], axis=1)
        last = tuple(np.concatenate(parts) for parts in zip(*[s for _, s, _ in results], strict=True))
        return y, last, [kept for _, _, kept in results]

    def part_forward(self, rows: slice) -> tuple[Any, Any, Any]:
        batch, x, weights, masks = self.batch, self.x[:, rows], dict(self.weights), {}
        for name, mask in self.masks.items():
            masks[name] = mask[rows] if name in ("x", "h") else mask[:, rows]
        if self.weight_context is not None:
            context = self.context(rows).astype(x.dtype)
            if self.context_is_bias:
                bias = weights.get("bias_ih", 0)
                weights["bias_ih"] = bias + (context @ self.weight_context.T)[0]
            else:
                x = np.concatenate([x, np.broadcast_to(context, (*x.shape[:2], context.shape[-1]))], axis=2)
                weights["weight_ih"] = np.concatenate([weights["weight_ih"], self.weight_context], axis=1)
                if "x" in masks:
                    ones = np.ones((x.shape[1], context.shape[-1]), x.dtype)
                    masks["x"] = np.concatenate([masks["x"], ones], axis=1)
        state = None if self.state is None else tuple(part[rows] for part in self.state)
        lengths = None if batch.lengths is None else batch.lengths[rows]
        reset = None if batch.reset is None else np.ascontiguousarray(batch.reset[:, rows])
        given = (state, lengths, reset, self.reverse)
        if self.options.cell == "jordan":
            targets = None if batch.targets is None else batch.targets[:, rows].astype(x.dtype)
            zoneout = self.options.zoneout if self.stack.tape is None else (0.0, 0.0)
            more = {"masks": masks, "targets": targets, "options": self.options, "zoneout": zoneout}
            return self.kept_with(weights, jordan_forward(x, weights, *given, **more))
        if self.stack.rnn.precision != "float32":
            ran = self.plain.forward(x, self.plain_weights(weights), *given, **plain_options(self.stack.rnn))
            return self.kept_with(weights, ran)
        training = self.stack.tape is not None
        ran = reference.variant_forward(
            self.options.cell, x, weights, *given, masks=masks, training=training, **self.reference_options()
        )
        return self.kept_with(weights, ran)

    @staticmethod
    def kept_with(weights: Any, ran: Any) -> tuple[Any, Any, Any]:
        y, last, tape = ran
        return y, last, (weights, tape)

    def backward(self, dy: np.ndarray) -> tuple[np.ndarray, tuple[np.ndarray, ...], Arrays]:
        dy, dlast = dy * self.output, None
        if self.batch.dstate is not None:
            dlast = tuple(part[self.index].astype(dy.dtype) for part in self.batch.dstate)
        results = []
        for rows, kept in zip(self.parts(), self.kept, strict=True):
            own = None if dlast is None else tuple(np.ascontiguousarray(d[rows]) for d in dlast)
            results.append(self.part_backward(rows, np.ascontiguousarray(dy[:, rows]), own, kept))
        dx = np.concatenate([dx for dx, _, _ in results], axis=1)
        first = tuple(np.concatenate(parts) for parts in zip(*[f for _, f, _ in results], strict=True))
        dweights = {name: sum(d[name] for _, _, d in results) for name in results[0][2] if name != "context"}
        if self.weight_context is not None:
            dweights["context"] = np.concatenate([d["context"] for _, _, d in results])
            if not self.stack.rnn.bias:
                dweights.pop("bias_ih", None)
        if isinstance(self.options.leak, tuple):
            dweights.pop("leak")
        if self.dropped is not None:
            dweights["weight_hh"] = dweights["weight_hh"] * self.dropped
        return dx, first, dweights

    def part_backward(self, rows: slice, dy: np.ndarray, dlast: Any, kept: Any) -> tuple[Any, Any, Arrays]:
        (weights, tape), cell = kept, self.options.cell
        if cell == "jordan":
            dx, first, dweights = jordan_backward(weights, tape, dy, dlast)
        elif self.stack.rnn.precision != "float32":
            dx, first, rest = self.plain.backward(
                self.plain_weights(weights), tape, dy, dlast, **plain_options(self.stack.rnn)
            )
            dweights = {name: d for name, d in zip(PLAIN_WEIGHTS, rest, strict=True) if d is not None}
        else:
            dx, first, dweights = reference.variant_backward(cell, weights, tape, dy, dlast)
        if self.weight_context is None:
            return dx, first, dweights
        if self.context_is_bias:
            d = dweights["bias_ih"][None]
            dweights["weight_context"] = d.T @ self.batch.context[rows].astype(d.dtype)
            dweights["context"] = d @ self.weight_context
            return dx, first, dweights
        D = self.x.shape[2]
        dweights["weight_context"] = np.ascontiguousarray(dweights["weight_ih"][:, D:])
        dweights["weight_ih"] = np.ascontiguousarray(dweights["weight_ih"][:, :D])
        dweights["context"] = dx[:, :, D:] if self.batch.context.ndim == 3 else dx[:, :, D:].sum(axis=0)
        return dx[:, :, :D], first, dweights

    @property
    def plain(self) -> reference.Cell:
        """The passes of the cell without options, which take a precision."""
        return reference.CELLS[self.options.cell]

    @staticmethod
    def plain_weights(weights: Arrays) -> Any:
        return tuple(weights.get(name) for name in PLAIN_WEIGHTS)

    def reference_options(self) -> dict[str, Any]:
        """Return the options as the reference takes them."""
        options, cell = self.options, self.options.cell
        given: dict[str, Any] = {"zoneout": options.zoneout, "layer_norm": options.layer_norm}
        if CELLS[cell].has_product:
            given["skip"] = options.skip
        if cell == "lstm":
            names = ("coupled", "relevance", "gate_activation", "candidate_activation", "output_activation")
            given |= {name: getattr(options, name) for name in names}
            given |= {"cell_clip": options.cell_clip or None, "peephole": options.peephole or "gers"}
        elif cell != "slstm":
            given["nonlinearity"] = options.candidate_activation
        if cell == "gru":
            given |= {"reset_after": options.reset_after, "gate_activation": options.gate_activation}
        if cell == "elman" and not isinstance(options.leak, (str, tuple)):
            given["leak"] = options.leak
        return given


def plain_options(rnn: Any) -> dict[str, Any]:
    """Return the options of a plain cell's passes, as the reference takes them."""
    options, given = rnn.options, {"precision": rnn.precision}
    if options.cell == "elman":
        given["nonlinearity"] = options.candidate_activation
    elif options.cell == "gru":
        given["reset_after"] = options.reset_after
    return given
