"""The read-only arrays of parameters: a write says how to write, and what is computed from them is plain."""

import copy
import pickle

import numpy as np
import pytest

import fastrnn as fr


def in_place(array):
    array -= 1


@pytest.mark.parametrize(
    "write",
    [
        lambda w: w.__setitem__((0, 0), 1),
        lambda w: w[0].__setitem__(0, 1),
        lambda w: w.T.__setitem__(..., 1),
        in_place,
        lambda w: np.add(w, 1, out=w),
        lambda w: np.add.at(w, (0, 0), 1),
        lambda w: np.copyto(w, 1),
        lambda w: np.put(w, 0, 1),
        lambda w: np.clip(w, 0, 1, out=w),
        lambda w: w.fill(0),
        lambda w: w.sort(),
        lambda w: w.put(0, 1),
    ],
)
@pytest.mark.parametrize(
    "read",
    [
        lambda linear: linear.parameters["weight"],
        lambda linear: linear.weight,
        lambda linear: linear.parameters.flat[:6].reshape(2, 3),
    ],
)
def test_a_write_outside_edit_says_edit(read, write):
    linear = fr.Linear(3, 2, seed=0)
    before = linear.parameters.flat.copy()
    with pytest.raises(ValueError, match=r"^parameters: expected a write inside edit\(\), .* as views"):
        write(read(linear))
    assert np.array_equal(linear.parameters.flat, before)


def test_writing_a_difference_back_by_name_is_a_write():
    linear = fr.Linear(3, 2, seed=0)
    before, version = linear.state_dict(), linear.parameters.version
    linear.parameters["bias"] = linear.parameters["bias"] - 1
    linear.parameters.flat = linear.parameters.flat * 2
    assert np.array_equal(linear.weight, before["weight"] * 2)
    assert np.array_equal(linear.bias, (before["bias"] - 1) * 2)
    assert linear.parameters.version > version


@pytest.mark.parametrize(
    "compute",
    [
        lambda w: w * 2,
        lambda w: w @ w.T,
        lambda w: -w,
        lambda w: np.sqrt(abs(w)),
        lambda w: w.copy(),
        copy.copy,
        copy.deepcopy,
        lambda w: pickle.loads(pickle.dumps(w)),
        lambda w: w.astype(np.float64),
        lambda w: w.flatten(),
        lambda w: w.sum(axis=0),
        lambda w: w.mean(axis=0),
        np.zeros_like,
        np.array,
        np.asarray,
        lambda w: np.concatenate([w, w]),
        lambda w: np.where(w > 0, w, 0),
        lambda w: np.dot(w, w.T),
        lambda w: np.einsum("ij,kj->ik", w, w),
        lambda w: w[[1, 0]],
        lambda w: w[w > 0],
        lambda w: w.argsort(),
        lambda w: w.argpartition(1),
        lambda w: w.byteswap(),
        lambda w: w.compress([True, False], axis=0),
        lambda w: w.ravel("F"),
        lambda w: w.T.reshape(-1),
    ],
)
def test_what_is_computed_from_parameters_is_a_plain_array(compute):
    linear = fr.Linear(3, 2, seed=0)
    result = compute(linear.parameters["weight"])
    assert type(result) is np.ndarray
    np.testing.assert_array_equal(result, compute(np.array(linear.parameters["weight"])))


def test_parameters_look_as_arrays_do_and_answer_the_words_of_tensors():
    weight = fr.Linear(3, 2, seed=0).weight
    assert repr(weight) == repr(np.array(weight))
    assert str(weight[0]) == str(np.array(weight)[0])
    for name, answer in (
        ("grad", r"write layer.gradients\[name\]"),
        ("zero_", r"write parameters\[name\] = value"),
    ):
        with pytest.raises(
            AttributeError, match=f"^'numpy.ndarray' object has no attribute '{name}'; {answer}"
        ):
            getattr(weight, name)
    assert not hasattr(weight, "detach")
