"""The report: one HTML file in which to look at every unit of a model while it reads a text."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fastrnn._checks import as_number, as_size
from fastrnn.data import Vocabulary
from fastrnn.files.atomic_files import check_writable, write_atomically
from fastrnn.inspect.properties import standard_properties
from fastrnn.inspect.report_contents import Contents
from fastrnn.inspect.report_page import build_page
from fastrnn.inspect.text_trace import trace_text
from fastrnn.inspect.trace import Trace
from fastrnn.inspect.units import UnitScore, as_property
from fastrnn.train import Checkpoint

__all__ = ["Report", "report"]


class Report(NamedTuple):
    """What `report` has written, in figures.

    Attributes
    ----------
    path : str
    size : int
        Bytes of the file.
    symbols : int
        T, the symbols of the text that it shows.
    loss : float or None
        Mean loss of the predicted symbols, in nats; None if the model predicts none.
    units : dict of str to int
        For each layer, how many of its units the file holds.
    left_out : dict of str to int
        For each layer with units that the file has no room for, their number.
    best : dict of str to UnitScore
        For each property, the gate or state of a unit with the strongest correlation.
    """

    path: str
    size: int
    symbols: int
    loss: float | None
    units: dict[str, int]
    left_out: dict[str, int]
    best: dict[str, UnitScore]


def report(
    model: Any,
    text: Any,
    path: str | os.PathLike[str],
    *,
    vocabulary: Vocabulary | None = None,
    length: int = 3000,
    properties: Mapping[str, Any] | None = None,
    title: str | None = None,
    max_size: float = 8e6,
) -> Report:
    """Write one HTML file in which to look at every unit of a model while it reads a text.

    The file needs no network and no server. It shows the text coloured by any gate or state of any unit, by
    the loss, or by a property; the units ranked by how well they track a property; the likeliest next
    symbols; the norm of the gradient against lag; and how much is saturated. What comes from the model or the
    text is shown as text, whatever it contains: nothing of it runs.

    Parameters
    ----------
    model : LanguageModel, Checkpoint or a model with ``fit`` that reads symbols
        As for `trace`.
    text : str or sequence of str
        As for `trace`.
    path : path
        The file to write, atomically; one that exists is replaced.
    vocabulary : Vocabulary, optional
        Of a language model; a Checkpoint has it.
    length : int, default 3000
        Symbols to show, the first of the text.
    properties : mapping of str to array_like, float [T], optional
        Further properties by which to rank units: a number for each of the symbols shown.
    title : str, optional
        The page's heading.
    max_size : float, default 8e6
        Bytes for the values of gates and states. If there is no room for all units, the file has those of
        each layer that track a property best.

    Returns
    -------
    report : Report

    Raises
    ------
    ValueError
        If the text is empty or has a symbol that the model lacks, the model reads numbers or computes NaN, or
        a property has another length.
    TypeError
        If the model is of a kind that cannot be traced; the message lists those that can. If `properties` is
        no mapping of names to numbers.
    OSError
        If the file cannot be written.

    Notes
    -----
    Values are rounded to a byte: gates in 0 .. 1 to 1/255, values in -1 .. 1 to 1/127, others to 1/127 of a
    unit's largest. Losses, probabilities and correlations are float32.

    References
    ----------
    Karpathy, Johnson, Li (2015), "Visualizing and Understanding Recurrent Networks", for units coloured over
    a text and the shares of saturated gates.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> import fastrnn as fr
    >>> vocabulary = fr.Vocabulary.from_text("to be or not")
    >>> model = fr.LanguageModel(len(vocabulary), hidden_size=4, num_layers=1, seed=0)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = pathlib.Path(folder, "report.html")
    ...     written = fr.inspect.report(model, "not to be", path, vocabulary=vocabulary)
    ...     page = path.read_text(encoding="utf-8")
    >>> written.symbols, written.units, page.startswith("<!doctype html>")
    (9, {'l0': 4}, True)
    """
    check_writable(path)
    if isinstance(model, Checkpoint):
        model, vocabulary = model.model, model.vocabulary if vocabulary is None else vocabulary
    count = as_size("length", length)
    room = as_number("max_size", max_size, above=0.0)
    read = trace_text(model, text, vocabulary, count)
    seen = read.trace
    assert seen.symbols is not None
    known = standard_properties(seen.symbols) | _checked(seen, properties or {})
    contents = Contents(model, read, known, int(room))
    page = build_page(title or f"Report of a {type(model).__name__}", contents.to_plain()).encode()
    write_atomically(path, page)
    return Report(
        os.fspath(path),
        len(page),
        seen.steps,
        contents.loss,
        {layer: len(kept) for layer, kept in contents.units.items()},
        contents.left_out,
        contents.tracking.best(contents.signals),
    )


def _checked(seen: Trace, properties: Mapping[str, Any]) -> dict[str, NDArray[np.float64]]:
    """Return a user's properties, checked."""
    if not isinstance(properties, Mapping):
        raise TypeError(f"properties: expected a mapping of names to arrays, got {type(properties).__name__}")
    found = {}
    for name, values in properties.items():
        try:
            found[str(name)] = as_property(seen, values)
        except (ValueError, TypeError) as error:
            text = str(error).removeprefix("property: ")
            raise type(error)(f"properties[{name!r}]: {text}") from None
    return found
