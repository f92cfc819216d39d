"""Cases and results of the kernels in bfloat16 and int8; what judges their steps is in `fuzz.step_judge`."""

from __future__ import annotations

from typing import Any

import numpy as np

from fastrnn import reference
from kernel_cases import MODES, both_passes, forward, kernels
from recurrent_cases import VARIANTS, Case, make_case

Arrays = dict[str, np.ndarray]
PRECISIONS = ["bfloat16", "int8"]
#: Sizes next to the widths of vectors and tiles: rows, the depth of products, columns or units.
ROWS = (1, 2, 3, 7, 13)
DEPTHS = (1, 2, 3, 15, 17, 33)
WIDTHS = (1, 5, 16, 17, 64, 65)
#: Options of `make_case`.
COMBINATIONS = [
    {"ids": ids, "bias": bias, "ragged": ragged, "resets": resets, "reverse": reverse}
    for ids in (False, True)
    for bias in ("both", "none")
    for ragged in (False, True)
    for resets in (False, True)
    for reverse in (False, True)
]
#: The largest relative error of a number rounded to bfloat16, and its largest change if it was near a tie.
UNIT, FLIP = 2.0**-9, 2.0**-8


def expected_linear(x: np.ndarray, weight: np.ndarray, bias: Any, precision: str) -> np.ndarray:
    """Return the reference's linear layer, NaN and infinity included; without a bias it starts from 0."""
    bias = np.zeros(len(weight), "f") if bias is None else bias
    with np.errstate(invalid="ignore", over="ignore"):
        return reference.linear_forward(x, weight, bias, precision=precision)


def inference_of_every_step(case: Case) -> tuple[np.ndarray, Any]:
    """Return y of one call without a tape, and an LSTM's c after each step: the last of ever longer calls."""
    y, _, _ = forward(case, training=False)
    if case.cell != "lstm":
        return y, None
    T, c = len(y), np.zeros_like(y)
    for t in range(T):
        steps = slice(t, T) if case.reverse else slice(0, t + 1)
        lengths = np.full(y.shape[1], T) if case.lengths is None else case.lengths
        part = case.replace(
            x=np.ascontiguousarray(case.x[steps]),
            lengths=np.maximum(lengths - t, 0) if case.reverse else np.minimum(lengths, t + 1),
            reset=None if case.reset is None else np.ascontiguousarray(case.reset[steps]),
        )
        c[t] = forward(part, training=False)[1][1]
    return y, c


def results_of_linear_layers(precision: str) -> Arrays:
    """Return results of the layers without a cell, which all instruction sets compute alike."""
    random, results = np.random.default_rng(16), {}
    for M, K, F in [(1, 1, 1), (2, 3, 17), (7, 33, 65), (13, 130, 40), (40, 17, 200), (3, 1030, 24)]:
        x, weight, bias = (random.normal(size=s).astype("f") for s in ((M, K), (F, K), (F,)))
        name = f"{precision} {M}x{K}x{F}"
        results[name] = kernels.linear_forward(kernels.linear_pack(weight, bias, precision), x)
        if precision == "bfloat16":
            dy, dweight, dbias = (
                random.normal(size=(M, F)).astype("f"),
                np.zeros_like(weight),
                np.zeros_like(bias),
            )
            results[f"{name} dx"] = kernels.linear_backward(x, weight, dy, dweight, dbias, True, precision)
            results |= {f"{name} dweight": dweight, f"{name} dbias": dbias}
    return results


def results_of_cells(precision: str) -> Arrays:
    """Return results of all cells: of both passes in bfloat16, of inference in int8."""
    results = {}
    sizes = ((9, 7, 5, 35), (4, 17, 33, 16), (30, 3, 1, 65), (3, 9, 600, 17))
    for variant in VARIANTS:
        for size, (mode, given) in zip(sizes, MODES.items(), strict=True):
            case = make_case(variant, size, precision=precision, **given)
            values = both_passes(case) if precision == "bfloat16" else inference(case)
            results |= {f"{precision} {variant} {mode} {name}": value for name, value in values.items()}
    return results


def inference(case: Case) -> Arrays:
    """Return the outputs and the last state of a pass without a tape."""
    y, state_n, _ = forward(case, training=False)
    return {"y": y} | {f"{letter}_n": s for letter, s in zip("hc", state_n, strict=False)}


def save(path: str) -> None:
    """Write results in bfloat16 and int8 to an .npz file, for comparison with another module's."""
    results = {}
    for precision in PRECISIONS:
        results |= results_of_linear_layers(precision) | results_of_cells(precision)
    np.savez(path, **results)
