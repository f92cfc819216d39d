"""A layer and a batch under test: its passes, and the comparison with the reference."""

from __future__ import annotations

from typing import Any

import numpy as np

import fastrnn as fr

from .batch import Batch, arguments, draw_batch, gradient_arguments
from .expected import reference_results
from .plan import Plan

Arrays = dict[str, np.ndarray]
#: Largest differences from the reference, relative to an array's largest number or 1. In bfloat16 and int8,
#: last bits of h may flip a rounding, by 2**-8 of a number or a 127th of the largest: times sqrt(24 steps).
TOLERANCE = {"float32": 3e-5, "float64": 1e-10, "bfloat16": 5 * 2.0**-8, "int8": 5 / 127}
#: By what an argument is moved to see how sensitive a layer is.
MOVE = {"float32": 2.0**-22, "float64": 2.0**-51, "bfloat16": 2.0**-8, "int8": 1 / 127}
#: Where a layer is more sensitive than that: how often the effect of rounding its arguments is allowed.
SENSITIVITY = {"float32": 50.0, "float64": 50.0, "bfloat16": 4.0, "int8": 4.0}
#: Numbers in outputs and states; where they grow beyond it, the weights are made smaller.
LARGEST = 1e4
#: Gradients by an sLSTM's zero c, n and m have the factor exp(-log_i): not compared where that is huge.
OF_ZERO = ("dc_0", "dinitial_c")
#: Begins the names of gradients of every step's state, which are compared bit by bit only.
EVERY = "every_d"
#: Where unbounded cells grow: beyond this nothing is compared.
TOO_LARGE = 1e30


class Difference(Exception):
    """Two results that should be equal are not."""


class Growth(Exception):
    """The numbers of a pass grow beyond what can be compared."""


class Subject:
    """A layer and a batch, and its results once they have been computed."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.rnn, self.wanted = self._tame()
        self.parameters = dict(self.rnn.parameters)
        self.batch = draw_batch(plan, self.rnn)
        self.given = arguments(plan, self.rnn, self.batch)
        self.gradients_given = gradient_arguments(plan, self.rnn, self.batch)
        self.rng_state = self.rnn.rng.bit_generator.state
        self.plain = plan.replace(layout="plain", lengths=plan.lengths and "int64", ids=plan.ids and "int64")

    def _tame(self) -> tuple[Any, Arrays]:
        """Make the layer, with smaller weights where its numbers would grow; return what inference gives."""
        made = self.plan.make()
        for _ in range(20):
            rnn = self.plan.finish(made)
            results = reference_results(rnn, dict(rnn.parameters), draw_batch(self.plan, rnn))
            largest = max(np.nanmax(np.abs(a), initial=0) for a in results.values())
            nan = any(np.isnan(a).any() for a in results.values())
            if nan and self.plan.bounded:
                raise Difference("finite: the reference makes NaN of finite numbers")
            if not nan and largest < LARGEST:
                break
            with made.parameters.edit() as views:
                for view in views.values():
                    view *= rnn.dtype.type(0.6)
        return rnn, results

    @property
    def random(self) -> bool:
        """Whether training draws masks."""
        return bool(self.rnn.options.random or (self.rnn.dropout and self.rnn.num_layers > 1))

    @property
    def tolerances(self) -> str:
        """What its results are compared in: the precision of products, or the dtype."""
        return self.rnn.dtype.name if self.plan.precision == "float32" else self.plan.precision

    @property
    def saturated(self) -> bool:
        """Whether the features are those that saturate every gate."""
        return self.batch.x.dtype.kind == "f" and np.abs(self.batch.x).max(initial=0) > 50

    def infer(self, batch: Batch | None = None, rnn: Any = None, **more: Any) -> Arrays:
        """Run inference, of another batch or layer: y and the last state, time-major."""
        rnn = self.rnn if rnn is None else rnn
        given = self.given if batch is None else arguments(self.plain, rnn, batch)
        y, last = rnn(**given, **more)
        return self.named(rnn, y, last)

    def train(self, batch: Batch | None = None, rnn: Any = None, **more: Any) -> tuple[Arrays, Any]:
        """Run both passes with the same masks each time; return all results, time-major, and the tape.

        There are none of a quantized layer.
        """
        rnn = self.rnn if rnn is None else rnn
        if rnn.quantized:
            return {}, None
        given, gradients = self.given, self.gradients_given
        if batch is not None:
            given = arguments(self.plain, rnn, batch)
            gradients = gradient_arguments(self.plain, rnn, batch)
        need_dx = more.pop("need_dx", True)
        rnn.rng.bit_generator.state = self.rng_state
        rnn.zero_gradients()
        y, last, tape = rnn.forward(**given, **more)
        dcontext = None
        if rnn.options.context_size:
            dcontext = np.zeros(np.shape(given["context"]), rnn.dtype)
        every = fr.layers.StateGradients.of(tape)
        dx, first = rnn.backward(tape, **gradients, need_dx=need_dx, dcontext=dcontext, state_gradients=every)
        results = self.named(rnn, y, last)
        results |= {f"{EVERY}h": every.h} | ({} if every.c is None else {f"{EVERY}c": every.c})
        results |= {f"d{name}": gradient.copy() for name, gradient in rnn.gradients.items()}
        for name, part in zip(rnn.state_names, parts_of(first), strict=True):
            results[f"d{name}_0"] = part
        if dx is not None:
            results["dx"] = np.ascontiguousarray(dx.swapaxes(0, 1) if rnn.batch_first else dx)
        if dcontext is not None:
            swapped = rnn.batch_first and dcontext.ndim == 3
            results["dcontext"] = np.ascontiguousarray(dcontext.swapaxes(0, 1)) if swapped else dcontext
        return results, tape

    @staticmethod
    def named(rnn: Any, y: np.ndarray, last: Any) -> Arrays:
        """Return y and the parts of a state by name."""
        results = {"y": np.ascontiguousarray(y.swapaxes(0, 1) if rnn.batch_first else y)}
        return results | {f"{n}_n": part for n, part in zip(rnn.state_names, parts_of(last), strict=True)}


def parts_of(state: Any) -> tuple[np.ndarray, ...]:
    return state if isinstance(state, tuple) else (state,)


def assert_close(what: str, subject: Subject, got: Arrays, tape: Any = None) -> None:
    """Compare with the reference; where that fails, with what rounding its arguments may change."""
    parameters, dtype, kind = subject.parameters, subject.rnn.dtype.name, subject.tolerances
    wanted = subject.wanted
    if tape is not None:
        wanted = reference_results(subject.rnn, parameters, subject.batch, tape)
        if not max(_largest(wanted[name], np.inf) for name in subject.wanted) < 100 * LARGEST:
            raise Growth
    if subject.plan.layer == "SLSTM" and not subject.plan.state and subject.saturated:
        wanted, got = ({n: a for n, a in r.items() if n not in OF_ZERO} for r in (wanted, got))
    got = {name: array for name, array in got.items() if not name.startswith(EVERY)}  # the reference has none
    if missing := wanted.keys() ^ got.keys():
        raise Difference(f"{what}: {sorted(missing)} are in one of the two only")
    allowed = {name: TOLERANCE[kind] * max(1.0, _largest(a)) for name, a in wanted.items()}
    if subject.batch.x.dtype.kind == "f":  # a product of a gate's gradient, which rounding moves, and x
        for name in allowed.keys() & {"dweight_ih_l0", "dweight_ih_l0_reverse"}:
            allowed[name] = max(allowed[name], TOLERANCE[kind] * _largest(subject.batch.x))
    if not _beyond(got, wanted, allowed):
        return
    for seed in range(8):  # in the layer's dtype, so that rounding inside the passes counts too
        moved = _moved(subject, parameters, seed)
        other = reference_results(subject.rnn, moved[0], moved[1], tape, dtype=dtype)
        for name in wanted:
            with np.errstate(invalid="ignore"):
                change = float(np.nanmax(np.abs(other[name] - wanted[name]), initial=0))
            allowed[name] = max(allowed[name], SENSITIVITY[kind] * change)
    if name := _beyond(got, wanted, allowed):
        raise Difference(f"{what}: {name} differs from the reference {describe(got[name], wanted[name])}")


def _moved(subject: Subject, parameters: Arrays, seed: int) -> tuple[Arrays, Batch]:
    """Return parameters and batch in float64, each number moved by about one rounding error."""
    random = np.random.default_rng(seed)
    epsilon = MOVE[subject.tolerances]

    def move(array: Any) -> Any:
        if array is None or array.dtype.kind != "f":
            return array
        return array.astype(float) * (1 + epsilon * random.uniform(-1, 1, size=array.shape))

    batch = subject.batch
    state = None if batch.state is None else tuple(map(move, batch.state))
    moved = Batch(
        x=move(batch.x),
        state=state,
        lengths=batch.lengths,
        reset=batch.reset,
        context=move(batch.context),
        targets=move(batch.targets),
        dy=batch.dy,
        dstate=batch.dstate,
    )
    return {name: move(a) for name, a in parameters.items()}, moved


def _largest(array: np.ndarray, most: float = TOO_LARGE) -> float:
    size = np.abs(array)
    return float(size[~(size > most)].max(initial=0))


def _beyond(got: Arrays, wanted: Arrays, allowed: dict[str, float]) -> str:
    """Return the name of an array that is too far away, or ""; gradients of exponentials may be too large."""
    for name, array in wanted.items():
        if got[name].shape != array.shape:
            return name
        with np.errstate(invalid="ignore"):
            close = np.abs(got[name].astype(float) - array) <= allowed[name]
        if not (close | (np.abs(array) > TOO_LARGE)).all() or np.isnan(array).any():
            return name
    return ""


def describe(got: np.ndarray, wanted: np.ndarray) -> str:
    if got.shape != wanted.shape:
        return f"in its shape: {got.shape}, expected {wanted.shape}"
    off = np.abs(got.astype(float) - wanted)
    place = np.unravel_index(np.nanargmax(np.where(np.isnan(off), np.inf, off)), off.shape)
    where = [int(index) for index in place]
    return f"by {off.max():.3g} at {where}: {got[place]!r}, expected {wanted[place]!r}"
