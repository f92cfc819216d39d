"""Arguments that the other kernels refuse: each message has the name, what was expected and what came."""

import numpy as np
import pytest

from kernel_cases import kernels


def read_only(array):
    array.flags.writeable = False
    return array


x23, w43, ids2 = np.zeros((2, 3)), np.zeros((4, 3)), np.zeros(2, np.int64)
flat, other, whole = np.zeros(7), np.zeros(8), np.zeros(7, np.int64)
OTHERS = {
    "linear width": (
        lambda k: k.linear_forward(k.linear_pack(w43, None), np.zeros((2, 5))),
        r"x: expected \[M, 3\], got \[2, 5\]",
    ),
    "linear bias": (lambda k: k.linear_pack(w43, np.zeros(3)), r"bias: expected \[4\], got \[3\]"),
    "linear dtype": (
        lambda k: k.linear_forward(k.linear_pack(w43, None), x23.astype("f")),
        "x: expected float64, got float32",
    ),
    "linear dy": (
        lambda k: k.linear_backward(x23, w43, np.zeros((2, 3)), w43.copy(), None, True),
        r"dy: expected \[2, 4\], got \[2, 3\]",
    ),
    "embedding id": (
        lambda k: k.embedding_forward(ids2 + 4, w43),
        r"ids: expected ids in 0 .. 3 \(-1: none\), got 4",
    ),
    "embedding gradient": (
        lambda k: k.embedding_backward(ids2 - 2, x23, w43.copy()),
        r"ids: expected ids in 0 .. 3 \(-1: none\), got -2",
    ),
    "embedding dy": (
        lambda k: k.embedding_backward(ids2, np.zeros((2, 4)), w43.copy()),
        r"dy: expected \[2, 3\], got \[2, 4\]",
    ),
    "target above": (
        lambda k: k.softmax_cross_entropy(x23, ids2 + 3),
        r"targets: expected ids in 0 .. 2 \(-1: none\), got 3",
    ),
    "target below": (lambda k: k.softmax_cross_entropy(x23, ids2 - 2), "targets: .* got -2"),
    "no logits": (
        lambda k: k.softmax_cross_entropy(np.zeros((2, 0)), ids2 - 1),
        "logits: expected .* V >= 1",
    ),
    "loss target": (
        lambda k: k.linear_cross_entropy(x23, w43, None, ids2 + 4, 1.0, None, None, False),
        r"targets: expected ids in 0 .. 3 \(-1: none\), got 4",
    ),
    "loss rows": (
        lambda k: k.linear_cross_entropy(x23, w43, None, np.zeros(3, np.int64), 1.0, None, None, False),
        r"targets: expected \[2\], got \[3\]",
    ),
    "gradient's length": (
        lambda k: k.sgd_step(flat, other, None, 0.1, 0, 0, False),
        r"g: expected \[7\], got \[8\]",
    ),
    "parameters' rank": (
        lambda k: k.sgd_step(x23, x23, None, 0.1, 0, 0, False),
        r"p: expected \[n\], got \[2, 3\]",
    ),
    "momentum": (lambda k: k.sgd_step(flat, flat, None, 0.1, 0.9, 0, False), "m: expected an array"),
    "moment": (lambda k: k.rmsprop_step(flat, flat, other, 0.1, 0.9, 0, 0), r"v: expected \[7\], got \[8\]"),
    "step": (
        lambda k: k.adam_step(flat, flat, flat, flat, 0, 0.1, 0.9, 0.9, 0, 0, True),
        "step: expected 1 or more, got 0",
    ),
    "integers": (lambda k: k.scale(whole, 2.0), "g: expected float32, got int64"),
    "read-only": (lambda k: k.clip_value(read_only(flat.copy()), 2.0), "g: expected a writable array"),
    "activation": (lambda k: k.sigmoid(whole), "x: expected float32 or float64, got int64"),
    "threads": (lambda k: k.set_num_threads(0), "threads: expected 1 or more, got 0"),
}


@pytest.mark.parametrize("name", OTHERS)
def test_other_kernels(name):
    call, message = OTHERS[name]
    with pytest.raises((TypeError, ValueError), match=message) as caught:
        call(kernels)
    assert (caught.type is TypeError) == ("float32, got" in message or "float64, got" in message)


def test_memory_that_cannot_be_allocated():
    """Allocate for arrays of width 0, of which only the length matters."""
    many = 1 << 40
    with pytest.raises(MemoryError, match=f"cannot allocate {8 * many} bytes"):
        kernels.linear_pack(np.zeros((many, 0)), None)
    with pytest.raises(MemoryError, match=f"y: cannot allocate {8 * many * 1024} bytes"):
        kernels.linear_forward(kernels.linear_pack(np.zeros((1024, 0)), None), np.zeros((many, 0)))
