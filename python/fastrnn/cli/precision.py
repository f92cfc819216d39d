"""The option ``--precision``: of a training, and of commands that quantize a model after loading it."""

from __future__ import annotations

from typing import Any, TypeVar

import click

from fastrnn.cli.command_line import command_line
from fastrnn.files.quantized_tensors import QUANTIZED
from fastrnn.layers import quantize

__all__ = [
    "QuantizedPrecision",
    "TrainedPrecision",
    "in_precision",
    "network_of",
    "precision_option",
    "quantized",
]

T = TypeVar("T")


class TrainedPrecision(click.Choice):  # type: ignore[type-arg]  # in click 8.1 it takes none
    """A precision that models are trained in; for int8 the message has what to type instead."""

    def __init__(self) -> None:
        super().__init__(["float32", "bfloat16"])

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the precision."""
        if value == "int8":
            line = command_line("quantize", "MODEL", "--out", "SMALL")
            self.fail(f"int8 is for inference; train without it, then type: {line}", param, ctx)
        return super().convert(value, param, ctx)


class QuantizedPrecision(click.Choice):  # type: ignore[type-arg]  # in click 8.1 it takes none
    """A precision that models are quantized to; for float32 the message says how to do without."""

    def __init__(self) -> None:
        super().__init__(QUANTIZED)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the precision."""
        if value == "float32":
            self.fail("float32 quantizes nothing; leave --precision out", param, ctx)
        return super().convert(value, param, ctx)


precision_option = click.option(
    "--precision",
    type=QuantizedPrecision(),
    show_default="that of MODEL",
    help="Quantize the weights before use: products take less time, and results differ a little.",
)


def in_precision(path: str, model: T, precision: str | None) -> T:
    """Return a model as ``--precision`` asks for it: itself, or a quantized copy.

    Parameters
    ----------
    path : str
        The file that it is from.
    model : LanguageModel or a model with ``fit``
    precision : str or None
        None: as it is.

    Raises
    ------
    ValueError
        If it is quantized to another precision already, or has nothing to quantize.
    """
    network = network_of(model)
    if precision is None or (network.quantized and network.precision == precision):
        return model
    return quantized(path, model, precision, otherwise="type it without --precision, or ")


def quantized(path: str, model: T, precision: str, *, otherwise: str = "") -> T:
    """Return a quantized copy of a model.

    Parameters
    ----------
    path, model, precision
        As for `in_precision`.
    otherwise : str, default ""
        What else to do than to quantize another model, for the message.

    Raises
    ------
    ValueError
        If it is quantized already, or has nothing to quantize.
    """
    network = network_of(model)
    if network.quantized:
        line = command_line("quantize", "MODEL", "--precision", precision, "--out", "SMALL")
        raise ValueError(
            f"--precision {precision}: {path}: is quantized to {network.precision} already; {otherwise}"
            f"quantize the MODEL that it was made of: {line}"
        )
    return quantize(model, precision)


def network_of(model: Any) -> Any:
    """Return the module of a model with ``fit``, or the module itself."""
    return getattr(model, "network_", model)
