"""What must hold for every layer and batch: the reference's results, and the same bits on every way."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

import fastrnn as fr
from fastrnn.reference.products import as_multiplied

from .batch import Batch, joined
from .masked import draw_mask, packed, unpacked, with_resets
from .plan import Plan
from .steps import steps_of_the_reference
from .subject import TOLERANCE, Arrays, Difference, Growth, Subject, assert_close, describe, parts_of


def check(plan: Plan) -> None:
    """Raise `Difference` if anything that must hold does not, for one plan."""
    before = fr.get_num_threads()
    try:
        fr.set_num_threads(1)
        for _ in check_each(Subject(plan)):
            fr.set_num_threads(1)
    except Growth:  # with masks, which inference does not have
        check(plan.replace(scale=plan.scale / 3))
    finally:
        fr.set_num_threads(before)


def check_each(subject: Subject) -> Iterator[str]:
    """Run all checks; yield the name of each that held."""
    kept = [a.tobytes() for a in _all_arrays(subject)]
    inferred, (trained, tape) = subject.infer(), subject.train()
    assert_close("inference", subject, inferred)
    yield "inference"
    if tape is not None:
        assert_close("training", subject, trained, tape)
    yield "training"
    if [a.tobytes() for a in _all_arrays(subject)] != kept:
        raise Difference("arguments: a pass wrote to them")
    yield "arguments"
    for name, run in CHECKS.items():
        run(name, subject, inferred, trained)
        yield name


def _all_arrays(subject: Subject) -> list[np.ndarray]:
    given = [*subject.given.values(), *subject.gradients_given.values()]
    flat = [part for value in given for part in (value if isinstance(value, tuple) else (value,))]
    return [a for a in flat if isinstance(a, np.ndarray)]


def assert_bits(what: str, got: Arrays, wanted: Arrays) -> None:
    """Compare every byte of the arrays of both."""
    for name in wanted:
        if name not in got:
            raise Difference(f"{what}: {name} is missing")
        if got[name].shape != wanted[name].shape or got[name].tobytes() != wanted[name].tobytes():
            raise Difference(f"{what}: other bits of {name} {describe(got[name], wanted[name])}")


def same_over_threads(what: str, subject: Subject, inferred: Arrays, trained: Arrays) -> None:
    """Threads share work, and change nothing."""
    fr.set_num_threads(subject.plan.threads)
    assert_bits(f"{what}: inference", subject.infer(), inferred)
    assert_bits(f"{what}: training", subject.train()[0], trained)


def same_in_segments(what: str, subject: Subject, inferred: Arrays, trained: Arrays) -> None:
    """`checkpoint_every` changes nothing but memory."""
    fr.set_num_threads(subject.plan.threads if subject.plan.seed % 2 else 1)
    assert_bits(what, subject.train(checkpoint_every=subject.plan.every)[0], trained)


def same_in_any_layout(what: str, subject: Subject, inferred: Arrays, trained: Arrays) -> None:
    """How arguments lie in memory, and integers of which width they are, changes nothing."""
    assert_bits(f"{what}: inference", subject.infer(subject.batch), inferred)
    assert_bits(f"{what}: training", subject.train(subject.batch)[0], trained)


def same_without_dx(what: str, subject: Subject, inferred: Arrays, trained: Arrays) -> None:
    """Without dx, all other gradients are the same."""
    got = subject.train(need_dx=False)[0]
    assert_bits(what, got, {name: a for name, a in trained.items() if name != "dx"})


def same_batch_first(what: str, subject: Subject, inferred: Arrays, trained: Arrays) -> None:
    """The order of the first two axes changes nothing."""
    other = subject.plan.make(batch_first=not subject.rnn.batch_first)
    with other.parameters.edit() as views:
        for name, view in views.items():
            view[...] = subject.parameters[name]
    other = subject.plan.finish(other)
    assert_bits(f"{what}: inference", subject.infer(subject.batch, other), inferred)
    assert_bits(f"{what}: training", subject.train(subject.batch, other)[0], trained)


def same_alone(what: str, subject: Subject, inferred: Arrays, trained: Arrays) -> None:
    """A sequence has the same results in any batch; without masks, which differ, in training too."""
    if not subject.batch.rows:
        return
    row = subject.plan.seed % subject.batch.rows
    rows = slice(row, row + 1)
    alone = subject.batch.part(rows)
    cut = _rows(inferred, rows)
    assert_bits(f"{what}: inference", subject.infer(alone), cut)
    if not subject.random:
        shared = {name: a for name, a in trained.items() if name in _OF_ROWS or name.endswith(("_n", "_0"))}
        got = subject.train(alone)[0]
        assert_bits(f"{what}: training", {n: got[n] for n in shared}, _rows(shared, rows))


_OF_ROWS = ("y", "dx", "dcontext")


def _rows(results: Arrays, rows: slice) -> Arrays:
    first = {name for name, a in results.items() if name == "dcontext" and a.ndim == 2}
    return {name: a[rows] if name in first else a[:, rows] for name, a in results.items()}


def same_in_any_order(what: str, subject: Subject, inferred: Arrays, trained: Arrays) -> None:
    """The order of the rows of a batch changes nothing."""
    order: Any = np.random.default_rng(subject.plan.seed).permutation(subject.batch.rows)
    got = subject.infer(subject.batch.part(order))
    assert_bits(what, got, {name: np.ascontiguousarray(a[:, order]) for name, a in inferred.items()})


def same_with_nan_padding(what: str, subject: Subject, inferred: Arrays, trained: Arrays) -> None:
    """What lies in padding has no effect, and its results are zero."""
    batch, padding = subject.batch, subject.batch.padding()
    if not padding.any():
        return
    for name in ("y", "dx"):
        if name in trained and trained[name][padding].any():
            raise Difference(f"{what}: {name} is not zero there")

    def spoilt(array: Any) -> Any:
        if array is None or array.dtype.kind != "f":
            return array
        array = array.copy()
        array[padding] = np.nan
        return array

    fields = ("state", "lengths", "dstate")
    of_steps = batch.context is not None and batch.context.ndim == 3
    other = Batch(
        x=spoilt(batch.x),
        reset=None if batch.reset is None else batch.reset | padding,
        targets=spoilt(batch.targets),
        context=spoilt(batch.context) if of_steps else batch.context,
        dy=spoilt(batch.dy),
        **{name: getattr(batch, name) for name in fields},
    )
    assert_bits(f"{what}: inference", subject.infer(other), inferred)
    assert_bits(f"{what}: training", subject.train(other)[0], trained)


def same_step_by_step(what: str, subject: Subject, inferred: Arrays, trained: Arrays) -> None:
    """A stream, and two calls with the state carried, do what one call does."""
    rnn, batch = subject.rnn, subject.batch
    if rnn.directions == 2 or rnn.options.reverse or batch.targets is not None or not batch.x.size:
        return
    fields = ("x", "state", "context")
    whole = Batch(
        **{name: getattr(batch, name) for name in fields},
        **dict.fromkeys(("lengths", "reset", "targets", "dy", "dstate")),
    )
    wanted = inferred
    if batch.lengths is not None or batch.reset is not None:
        wanted = subject.infer(whole)
    of_steps = batch.context is not None and batch.context.ndim == 3
    more = {} if batch.context is None or of_steps else {"context": batch.context}
    stream = rnn.stream(batch.rows, **more)
    if batch.state is not None:
        stream.state = joined(batch.state, "plain")
    out = np.empty((batch.rows, rnn.output_size), rnn.dtype)
    steps = []
    for t, x in enumerate(batch.x):
        own = {"context": batch.context[t]} if of_steps else {}
        y = stream.step(x, out=out, **own) if t % 2 else stream.step(x, **own)
        steps.append(np.array(y, copy=True).reshape(out.shape))
    got = Subject.named(rnn, np.stack(steps, axis=1 if rnn.batch_first else 0), stream.state)
    assert_bits(what, got, wanted)
    if batch.steps > 1:
        _assert_two_calls(what, subject, whole, wanted)


def _assert_two_calls(what: str, subject: Subject, whole: Batch, wanted: Arrays) -> None:
    rnn, cut = subject.rnn, 1 + subject.plan.seed % (whole.steps - 1)
    first = subject.infer(whole.part(steps=slice(None, cut)))
    middle = tuple(first[f"{name}_n"] for name in rnn.state_names)
    rest = whole.part(steps=slice(cut, None))
    fields = ("x", "lengths", "reset", "context", "targets", "dy", "dstate")
    second = subject.infer(Batch(state=middle, **{name: getattr(rest, name) for name in fields}))
    got = second | {"y": np.concatenate([first["y"], second["y"]])}
    assert_bits(f"{what}: two calls", got, wanted)


def gradients_add(what: str, subject: Subject, inferred: Arrays, trained: Arrays) -> None:
    """A second backward pass of a tape gives the same, and adds to the gradients."""
    rnn = subject.rnn
    if rnn.quantized:
        return
    subject.rnn.rng.bit_generator.state = subject.rng_state
    rnn.zero_gradients()
    *_, tape = rnn.forward(**subject.given)
    rnn.backward(tape, **subject.gradients_given)
    dx, first = rnn.backward(tape, **subject.gradients_given)
    got = {f"d{n}_0": part for n, part in zip(rnn.state_names, parts_of(first), strict=True)}
    if dx is not None:
        got["dx"] = np.ascontiguousarray(dx.swapaxes(0, 1) if rnn.batch_first else dx)
    assert_bits(what, got, {name: trained[name] for name in got})
    for name, gradient in rnn.gradients.items():
        once = trained[f"d{name}"].astype(float)
        allowed = 3 * TOLERANCE[rnn.dtype.name] * max(1e-3, np.abs(once).max(initial=0))
        if not (np.abs(gradient - 2 * once) <= allowed).all():
            raise Difference(f"{what}: {name} is not twice that of one pass {describe(gradient, 2 * once)}")


def inference_is_training(what: str, subject: Subject, inferred: Arrays, trained: Arrays) -> None:
    """Without masks, a pass with a tape has the same outputs."""
    if not subject.random and not subject.rnn.quantized:
        assert_bits(what, {name: trained[name] for name in inferred}, inferred)


def same_as_quantized(what: str, subject: Subject, inferred: Arrays, trained: Arrays) -> None:
    """A quantized layer has its weights as products round them: rounding them before changes nothing."""
    rnn, precision = subject.rnn, subject.plan.precision
    if precision == "float32":
        return
    small = fr.quantize(rnn, "bfloat16") if precision == "bfloat16" else rnn
    rounded = {n: as_multiplied(a, precision) for n, a in rnn.parameters.items() if n.startswith("weight")}
    assert_bits(f"{what}: weights", dict(small.parameters), rounded)
    assert_bits(f"{what}: inference", subject.infer(rnn=small), inferred)


def same_as_packed(what: str, subject: Subject, inferred: Arrays, trained: Arrays) -> None:
    """Masked steps are left out: the same as the batch of the steps that count."""
    mask = draw_mask(subject)
    if mask is None:
        return
    batch, acting = with_resets(subject, mask)
    counted = packed(batch, mask, acting)
    masking = {"mask": mask.T if subject.rnn.batch_first else mask, "zero_masked": True}
    got = subject.infer(batch, **masking)
    assert_bits(f"{what}: inference", got, unpacked(subject.infer(counted), mask))
    for every in (None, subject.plan.every):
        got = subject.train(batch, checkpoint_every=every, **masking)[0]
        assert_bits(f"{what}: training", got, unpacked(subject.train(counted)[0], mask))


CHECKS: dict[str, Callable[[str, Subject, Arrays, Arrays], None]] = {
    "threads": same_over_threads,
    "segments": same_in_segments,
    "layouts": same_in_any_layout,
    "without dx": same_without_dx,
    "batch first": same_batch_first,
    "a row alone": same_alone,
    "the rows' order": same_in_any_order,
    "padding": same_with_nan_padding,
    "step by step": same_step_by_step,
    "masked steps": same_as_packed,
    "gradients add": gradients_add,
    "inference and training": inference_is_training,
    "quantized": same_as_quantized,
    "steps": steps_of_the_reference,
}
