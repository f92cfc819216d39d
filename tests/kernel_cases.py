"""Run the compiled kernels on the cases of `recurrent_cases` and compare them with the reference."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

import fastrnn as fr
from fastrnn import _dispatch
from recurrent_cases import GATES, VARIANTS, Case, make_case

kernels = _dispatch.kernels
PARAMETERS = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")

#: Kinds of batches: options of `make_case`.
MODES: dict[str, dict[str, Any]] = {
    "dense": {},
    "ids": {"ids": True, "resets": True},
    "ragged": {"ragged": True, "reverse": True, "bias": "none"},
    "everything": {"ids": True, "ragged": True, "resets": True, "reverse": True},
}


def pack(case: Case) -> Any:
    """Return the kernels' packed copy of a case's weights."""
    return getattr(kernels, f"{case.cell}_pack")(*case.weights, **case.options)


def forward(case: Case, packed: Any = None, *, training: bool = True) -> tuple[Any, Any, Any]:
    """Run the kernels' forward pass: y, state_n, tape."""
    packed = pack(case) if packed is None else packed
    results = kernels.recurrent_forward(
        [packed], case.x, [case.state], case.lengths, case.reset, training, case.reverse
    )
    (result,) = results
    return result


def zero_gradients(case: Case) -> dict[str, np.ndarray | None]:
    """Return zero gradients with the shapes of the weights, by name."""
    pairs = zip(PARAMETERS, case.weights, strict=True)
    return {name: None if w is None else np.zeros_like(w) for name, w in pairs}


def backward_into(gradients: Any, case: Case, tape: Any, packed: Any, *, need_dx: bool = True) -> Any:
    """Run the kernels' backward pass, which adds to the gradients: dx, dstate."""
    results = kernels.recurrent_backward([packed], [tape], case.dy, [case.dstate_n], [gradients], need_dx)
    (result,) = results
    return result


def backward(case: Case, tape: Any, packed: Any = None) -> tuple[Any, Any, Any]:
    """Run the kernels' backward pass: dx, dstate, dweights."""
    packed, gradients = pack(case) if packed is None else packed, zero_gradients(case)
    dx, dstate = backward_into(gradients, case, tape, packed)
    return dx, dstate, tuple(gradients.values())


def both_passes(case: Case) -> dict[str, np.ndarray]:
    """Return everything that the kernels compute for a case, by name."""
    packed = pack(case)
    y, state_n, tape = forward(case, packed)
    return named(y, state_n, tape, *backward(case, tape, packed))


def expected(case: Case) -> dict[str, np.ndarray]:
    """Return the same from the reference, in float64."""
    exact = widened(case)
    y, state_n, tape = exact.forward()
    return named(y, state_n, tape, *exact.backward(tape))


def named(y, state_n, tape, dx, dstate, dweights) -> dict[str, np.ndarray]:
    """Return the results of both passes by name, without those that are None."""
    everything = {"y": y, "c": tape.c, "gates": tape.gates, "dx": dx}
    for letter, last, first in zip("hc", state_n, dstate, strict=False):
        everything |= {f"{letter}_n": last, f"d{letter}0": first}
    everything |= {f"d{name}": value for name, value in zip(PARAMETERS, dweights, strict=True)}
    return {name: value for name, value in everything.items() if value is not None}


def widened(case: Case) -> Case:
    """Return the case with its floats in float64."""

    def wide(array):
        return array.astype(np.float64) if array is not None and array.dtype.kind == "f" else array

    tuples = {name: tuple(map(wide, getattr(case, name))) for name in ("weights", "state", "dstate_n")}
    return replace(case, x=wide(case.x), dy=wide(case.dy), **tuples)


def multiply_adds(case: Case) -> int:
    """Count the multiply-adds of the forward pass."""
    T, N, H = case.dy.shape
    tokens = T * N if case.lengths is None else int(case.lengths.sum())
    return tokens * GATES[case.cell] * H * (case.weights[0].shape[1] + H)


def assert_same_bits(got: dict[str, np.ndarray], wanted: dict[str, np.ndarray]) -> None:
    """Assert that arrays of the same name have the same bytes."""
    assert got.keys() == wanted.keys()
    different = [name for name in got if got[name].tobytes() != wanted[name].tobytes()]
    assert not different, f"different bits in {different}"


def with_threads(threads: int, run: Callable[[], Any]) -> Any:
    """Return the result of `run()` on that many threads, and restore the setting."""
    before = fr.get_num_threads()
    try:
        fr.set_num_threads(threads)
        return run()
    finally:
        fr.set_num_threads(before)


def results_without_cell(dtype: str) -> dict[str, np.ndarray]:
    """Return the results of all kernels without a cell, at sizes large enough for two threads."""
    random = np.random.default_rng(6)

    def normal(*shape):
        return random.normal(size=shape).astype(dtype)

    x, weight, bias, dy = normal(130, 70), normal(123, 70), normal(123), normal(130, 123)
    targets = random.integers(-1, 123, size=130)
    results = {"linear": kernels.linear_forward(kernels.linear_pack(weight, bias), x)}
    for name, need in (("linear", True), ("linear without dx", False)):
        dweight, dbias = normal(123, 70), normal(123)
        results[f"{name}: dx"] = kernels.linear_backward(x, weight, dy, dweight, dbias, need)
        results |= {f"{name}: dweight": dweight, f"{name}: dbias": dbias}
    dweight, dbias = normal(123, 70), normal(123)
    losses = kernels.linear_cross_entropy(x, weight, bias, targets, 0.25, dweight, dbias, True)
    results |= {"losses": losses[0], "loss: dh": losses[1], "loss: dweight": dweight, "loss: dbias": dbias}
    results["softmax"], results["dlogits"] = kernels.softmax_cross_entropy(dy, targets)
    weighted = kernels.softmax_cross_entropy(dy, targets, 0.25, 0.1, abs(dy[0]))
    results |= {"weighted softmax": weighted[0], "weighted dlogits": weighted[1]}
    answers, pos_weight = random.integers(-1, 2, size=(130, 123)).astype(dtype), np.abs(normal(123))
    for name, weights in (("logistic", pos_weight), ("logistic without weights", None)):
        pair = kernels.binary_cross_entropy(10 * dy, answers, weights, 0.25, 0.1)
        results |= {name: pair[0], f"{name}: dlogits": pair[1]}
    dweight, dbias = normal(123, 70), normal(123)
    losses = kernels.linear_binary_cross_entropy(
        x, weight, bias, answers, pos_weight, 0.25, dweight, dbias, True
    )
    results |= {"answers": losses[0], "answers: dh": losses[1]}
    results |= {"answers: dweight": dweight, "answers: dbias": dbias}
    crf = (normal(30, 40, 29), normal(29, 29), normal(29), normal(29))
    sums, ends = [normal(29, 29), normal(29), normal(29)], random.integers(0, 31, size=40)
    pair = kernels.crf_loss(*crf, random.integers(-1, 29, size=(30, 40)), ends, 0.25, True, *sums)
    results |= {"crf": pair[0], "crf: demissions": pair[1], "crf: dtransitions": sums[0]}
    results |= {"crf: dstart": sums[1], "crf: dend": sums[2]}
    results["marginals"], results["log partition"] = kernels.crf_marginals(*crf, ends)
    results["paths"], results["path scores"] = kernels.crf_viterbi(*crf, ends)
    for kind in ("squared", "absolute", "huber", "quantile"):
        pair = kernels.regression_loss(dy, dy[:, 0].copy(), targets > 0, kind, pos_weight, 0.25)
        results |= {kind: pair[0], f"{kind}: gradient": pair[1]}
    there = random.random((450, 450)) < 0.9
    indices, indptr = np.flatnonzero(there) % 450, np.r_[0, np.cumsum(there.sum(axis=1))]
    rows = normal(len(indices)) / 20, indices, indptr
    for unit, N in (("tanh", 1), ("sigmoid", 21)):
        reservoir = kernels.sparse_reservoir_pack(*rows, np.abs(normal(450)) / 5, unit)
        states, state = normal(9, N, 450), normal(N, 450)
        kernels.sparse_reservoir_run(reservoir, states, state)
        results |= {f"reservoir {unit}": states, f"reservoir {unit}: state": state}
    dtable = normal(123, 70)
    kernels.embedding_backward(np.abs(targets), x, dtable)
    results |= {"embedding": kernels.embedding_forward(np.abs(targets), weight), "dtable": dtable}
    wide = (normal(40_000) * 30).astype(dtype)
    results |= {"sigmoid": kernels.sigmoid(wide), "tanh": kernels.tanh(wide)}
    results |= optimised(random, dtype)
    return {name: value for name, value in results.items() if value is not None}


def optimised(random: np.random.Generator, dtype: str) -> dict[str, np.ndarray]:
    """Return flat arrays large enough for two threads after each optimiser, norm and kind of clipping."""
    p, g, m, v = (random.normal(size=900_001).astype(dtype) for _ in range(4))
    v *= v
    steps = {
        "sgd": lambda p, g, m, v: kernels.sgd_step(p, g, m, 0.1, 0.9, 0.01, True),
        "rmsprop": lambda p, g, m, v: kernels.rmsprop_step(p, g, v, 0.1, 0.9, 1e-8, 0.01),
        "adam": lambda p, g, m, v: kernels.adam_step(p, g, m, v, 3, 0.1, 0.9, 0.999, 1e-8, 0.01, False),
        "adamw": lambda p, g, m, v: kernels.adam_step(p, g, m, v, 3, 0.1, 0.9, 0.999, 1e-8, 0.01, True),
        "scale": lambda p, g, m, v: kernels.scale(p, 0.3),
        "clip": lambda p, g, m, v: kernels.clip_value(p, 0.3),
    }
    results = {"norm": np.array(kernels.norm(g))}
    for name, step in steps.items():
        after = [a.copy() for a in (p, g, m, v)]
        step(*after)
        results |= {f"{name}: {letter}": a for letter, a in zip("pgmv", after, strict=True)}
    return results


def save(path: str) -> None:
    """Write the results of every kernel to an .npz file, for comparison with another module's."""
    results = {}
    sizes = ((9, 7, 5, 35), (4, 17, 33, 16), (30, 3, 1, 65), (3, 9, 600, 17))
    for dtype in ("float32", "float64"):
        results |= {f"{dtype} {name}": value for name, value in results_without_cell(dtype).items()}
        for variant in VARIANTS:
            for size, (mode, given) in zip(sizes, MODES.items(), strict=True):
                values = both_passes(make_case(variant, size, dtype=dtype, **given))
                results |= {f"{dtype} {variant} {mode} {name}": value for name, value in values.items()}
    np.savez(path, **results)
