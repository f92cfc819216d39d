"""Arrays of other libraries: the same results at every entry, no copy where possible, clear errors."""

import array
import ctypes
import tracemalloc

import numpy as np
import pytest

import fastrnn as fr
from array_entries import ENTRIES, floats
from fastrnn._arrays import as_floats, as_ids, as_mask

FLOAT32 = np.dtype(np.float32)


class OnlyDlpack:
    """An array that supports DLPack and nothing else; `device` is what it says of itself."""

    def __init__(self, values, device=1, error=None):
        self.values, self.device, self.error = values, device, error

    def __dlpack__(self, **options):
        if self.error:
            raise self.error
        return self.values.__dlpack__(**options)

    def __dlpack_device__(self):
        return self.device, 0


class OnlyArray:
    """An array that NumPy reads by ``__array__`` and nothing else."""

    def __init__(self, values):
        self.values = values

    def __array__(self, dtype=None, copy=None):
        if isinstance(self.values, Exception):
            raise self.values
        return self.values


def read_only(values):
    view = values[...]
    view.flags.writeable = False
    return view


#: Forms of arrays that need no other library.
FORMS = {
    "dlpack": lambda a: OnlyDlpack(a.copy()),
    "__array__": OnlyArray,
    "memoryview": lambda a: memoryview(np.ascontiguousarray(a)),
    "fortran": np.asfortranarray,
    "stride": lambda a: np.repeat(a, 2, axis=0)[::2],
    "negative stride": lambda a: a[::-1].copy()[::-1],
    "read-only": read_only,
}


def flat(result):
    """Return the numbers of a nested result; every array must be NumPy's own."""
    if isinstance(result, dict):
        result = list(result.values())
    if isinstance(result, (list, tuple)):
        return [part for one in result for part in flat(one)]
    assert type(result) is np.ndarray or np.ndim(result) == 0
    return [result.tobytes() if isinstance(result, np.ndarray) else result]


_wanted: dict[str, list] = {}


def check(name, of):
    """Compare the results of an entry with those of plain arrays."""
    if name not in _wanted:
        _wanted[name] = flat(ENTRIES[name](lambda values: values))
    assert flat(ENTRIES[name](of)) == _wanted[name]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("name", ENTRIES)
def test_every_entry_reads_every_form(name, form):
    check(name, FORMS[form])


@pytest.mark.parametrize("name", ENTRIES)
def test_every_entry_reads_tensors_of_pytorch(torch, name):
    def tensor(values):
        made = torch.from_numpy(np.array(values))
        return made.requires_grad_() if made.is_floating_point() else made

    check(name, tensor)


def columns(make_series, make_frame):
    """Return a converter of arrays of one or two axes; others stay as they are."""
    return lambda a: make_series(a) if a.ndim == 1 else make_frame(a) if a.ndim == 2 else a


@pytest.mark.parametrize("name", ENTRIES)
def test_every_entry_reads_columns_and_tables_of_pandas(pandas, name):
    check(name, columns(pandas.Series, pandas.DataFrame))


NULLABLE = {"float32": "Float32", "float64": "Float64", "int64": "Int64", "bool": "boolean"}


@pytest.mark.parametrize("name", ENTRIES)
def test_every_entry_reads_pandas_dtypes_that_can_be_missing(pandas, name):
    def nullable(values):
        return columns(pandas.Series, pandas.DataFrame)(values).astype(NULLABLE[str(values.dtype)])

    check(name, lambda values: nullable(values) if values.ndim in (1, 2) else values)


@pytest.mark.parametrize("name", ENTRIES)
def test_every_entry_reads_columns_and_tables_of_polars(polars, name):
    check(name, columns(polars.Series, polars.DataFrame))


def test_buffers_of_the_standard_library_are_read():
    assert as_floats("x", array.array("f", [1, 2]), FLOAT32, ("T",)).tolist() == [1, 2]
    assert as_floats("x", memoryview((ctypes.c_float * 2)(1, 2)), FLOAT32, ("T",)).tolist() == [1, 2]
    assert as_ids("x", array.array("H", [1, 2]), ("T",)).tolist() == [1, 2]
    assert as_mask("x", memoryview(np.array([True])), ("T",)).tolist() == [True]
    with pytest.raises(TypeError, match=r"x: expected float32, got float64; write x.astype\(np.float32\)"):
        as_floats("x", array.array("d", [1, 2]), FLOAT32, ("T",))
    for wrong in (b"ab", bytearray(4), {1.0}, "ab", None, iter([1.0])):
        with pytest.raises(TypeError, match="x: expected an array, got "):
            as_floats("x", wrong, FLOAT32, ("T",))


def reads_in_place(values, of):
    """Return whether another library's array of the same memory is read without a copy."""
    return np.shares_memory(as_floats("x", of, FLOAT32, ("T",) * values.ndim), values)


def test_contiguous_floats_are_read_where_they_lie():
    values = floats(6, 2)
    for of in (values, read_only(values), memoryview(values), OnlyDlpack(values), OnlyArray(values)):
        assert reads_in_place(values, of)
    for of in (np.asfortranarray(values), values[::-1]):
        assert not reads_in_place(values, of)
    numbers = array.array("f", [1, 2])
    assert np.shares_memory(as_floats("x", numbers, FLOAT32, ("T",)), np.frombuffer(numbers, FLOAT32))


def test_a_call_over_another_librarys_array_makes_no_copy_of_it():
    rnn = fr.RNN(100, 1, seed=0)
    x = floats(2000, 2, 100)
    for of in (x, OnlyDlpack(x), memoryview(x)):
        rnn(of)
        tracemalloc.start()
        rnn(of)
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert most < x.nbytes / 4


def test_tensors_are_read_where_they_lie(torch):
    values = floats(6, 2)
    assert reads_in_place(values, torch.from_numpy(values))
    assert reads_in_place(values, torch.from_numpy(values).requires_grad_())
    assert reads_in_place(values, torch.nn.Parameter(torch.from_numpy(values)))
    assert not reads_in_place(values, torch.from_numpy(values).T.contiguous().T)


def test_columns_of_pandas_are_read_where_they_lie(pandas):
    column = pandas.Series(floats(6))
    assert reads_in_place(column.to_numpy(), column)


def test_columns_of_polars_are_read_where_they_lie(polars):
    column = polars.Series(floats(6))
    assert reads_in_place(column.to_numpy(), column)


def refused(values, kind, message, read=None):
    with pytest.raises(kind, match=message):
        (read or (lambda: as_floats("x", values, FLOAT32, ("T", "D"))))()


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (
            OnlyDlpack(floats(2, 2), 2),
            r"^x: expected an array on the CPU, got one on .* 2 \(CUDA\)$",
        ),
        (OnlyDlpack(floats(2, 2), 99), r"^x: expected an array on the CPU, got one on DLPack device 99$"),
        (OnlyDlpack(floats(2, 2), error=BufferError("no")), "x: expected an array that NumPy can read: no"),
        (OnlyDlpack(floats(2, 2), error=KeyError("no")), "x: expected an array that NumPy can read: 'no'"),
        (OnlyDlpack(floats(2, 2), "no"), "x: expected an array that NumPy can read: invalid literal"),
        (OnlyArray(KeyError("no")), "x: expected an array that NumPy can read: 'no'"),
        (OnlyArray([1.0]), "x: expected an array that NumPy can read: "),
        (
            OnlyArray(floats(2, 2).astype("f2")),
            r"x: expected float32, got float16; write x.astype\(np.float32\)",
        ),
        (floats(2, 2).astype(">f4"), r"x: expected float32, got >f4; write x.astype\(np.float32\)"),
        (np.zeros(2, [("a", "f4")]), r"x: expected float32, got \[\('a', '<f4'\)\]$"),
        ([[1.0, None]], "x: expected float32, got object, with a missing value at position 1"),
    ],
)
def test_what_cannot_be_read_is_refused_with_the_reason(values, message):
    refused(values, TypeError, message)


def test_pinned_memory_is_read():
    assert as_floats("x", OnlyDlpack(floats(2, 2), 3), FLOAT32, (2, 2)).tolist() == floats(2, 2).tolist()


def test_tensors_that_numpy_has_not_are_refused_with_the_line_to_write(torch):
    x = torch.from_numpy(floats(3, 2))
    refused(x.bfloat16(), TypeError, r"x: expected a dtype .*, got torch.bfloat16; write x.float\(\)")
    refused(x.half(), TypeError, r"x: expected float32, got float16; write x.float\(\)")
    refused(x.to_sparse(), TypeError, "x: expected an array that NumPy can read: .*to_dense")
    refused(x.to("meta"), TypeError, "x: expected a tensor on the CPU, got one on meta; it holds no numbers")
    refused(torch.complex(x, x).conj(), TypeError, "x: expected float32, got complex64")
    negative = torch.complex(x, x).conj().imag
    assert negative.is_neg()
    np.testing.assert_array_equal(as_floats("x", negative, FLOAT32, (3, 2)), -floats(3, 2))
    rows = [row.clone().requires_grad_() for row in x]
    np.testing.assert_array_equal(as_floats("x", rows, FLOAT32, (3, 2)), floats(3, 2))


class OnDevice:
    """A tensor on an accelerator, as PyTorch's describe themselves."""

    is_cpu, device = False, "cuda:0"

    def detach(self):
        return self

    def __array__(self, dtype=None, copy=None):
        raise AssertionError("was read")


def test_a_tensor_on_an_accelerator_is_refused_with_the_line_to_write():
    refused(OnDevice(), TypeError, r"x: expected a tensor on the CPU, got one on cuda:0; write x.cpu\(\)")


def test_missing_values_of_pandas_are_refused(pandas):
    table = pandas.DataFrame({"a": pandas.array([1.5, None], dtype="Float32")})
    refused(table, ValueError, r"^x: expected no missing values, got 1; write x.fillna\(0\)$")
    refused(None, ValueError, "ids: expected no missing values, got 1", lambda: as_ids(
        "ids", pandas.Series([1, None], dtype="Int64"), ("T",)))  # fmt: skip
    refused(None, ValueError, "mask: expected no missing values, got 1", lambda: as_mask(
        "mask", pandas.Series([True, None], dtype="boolean"), ("T",)))  # fmt: skip
    number = pandas.Series([1.0, np.nan], dtype="float32")  # a number, if not one of use
    assert np.isnan(as_floats("x", number, FLOAT32, ("T",))[1])
    model = fr.models.SequenceRegressor(hidden_size=2, epochs=1)
    sequences = [pandas.Series([1.0, None], dtype="Float64")]
    refused(None, ValueError, r"X\[0\]: expected no missing values", lambda: model.fit(sequences, [1.0]))
    refused(None, ValueError, "series: expected no missing values, got 1", lambda: fr.models.Forecaster(
        window=2).fit(pandas.Series([1.0, None, 2.0], dtype="Float64")))  # fmt: skip


def test_missing_values_of_polars_are_refused(polars):
    column = polars.Series([1.5, None], dtype=polars.Float32)
    refused(column, ValueError, r"^x: expected no missing values, got 1; write x.fill_null\(0\)$")
    refused(polars.DataFrame({"a": column}), ValueError, "x: expected no missing values, got 1")
    refused([column], ValueError, r"x\[0\]: expected no missing values, got 1")
    model = fr.models.SequenceClassifier(hidden_size=2, epochs=1)
    refused(None, ValueError, "y: expected no missing values, got 1", lambda: model.fit(["ab", "b"], column))


def test_models_read_tables_by_rows_and_unknown_tags(polars):
    words, tags = ["ab", "ba", "ab", "ba"], [["x", None], ["y", "x"], ["x", "y"], ["y", None]]
    table = polars.DataFrame({"word": words, "tags": tags})
    settings = {"hidden_size": 3, "epochs": 1, "random_state": 0}
    wanted = fr.models.SequenceTagger(**settings).fit(words, tags).predict_proba(words)
    model = fr.models.SequenceTagger(**settings).fit(table["word"], table["tags"])
    for one, other in zip(model.predict_proba(table["word"]), wanted, strict=True):
        np.testing.assert_array_equal(one, other)
    flags = polars.DataFrame({"a": [0, 1, 0, 1], "b": [1, 1, 0, 0]})
    several = fr.models.SequenceClassifier(**settings).fit(words, flags)
    assert several.multilabel_
    assert several.predict(words).shape == (4, 2)
