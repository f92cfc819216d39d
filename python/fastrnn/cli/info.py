"""The command ``fastrnn info``: version, instruction sets, products of low precision, and threads."""

from __future__ import annotations

import platform

import click
import numpy as np

from fastrnn import _dispatch
from fastrnn._version import __version__
from fastrnn.cli.output import json_option, print_json
from fastrnn.cli.standard_streams import show

__all__ = ["command"]


# How the kernels multiply each precision: with instructions of the CPU, or without them.
PRODUCTS = {
    "bfloat16": ("AVX512_BF16", "widening to float32"),
    "int8": ("AVX512_VNNI", "16-bit multiply-adds"),
}


@click.command(name="info")
@json_option
def command(as_json: bool) -> None:
    """Show the version, the instruction sets, the products of low precision, and the number of threads.

    Products of low precision are those of bfloat16 and int8, for which some CPUs have instructions.
    FASTRNN_ISA selects another instruction set, FASTRNN_NUM_THREADS another number of threads.
    """
    facts = {
        "version": __version__,
        "isa": _dispatch.isa(),
        "available_isas": list(_dispatch.available_isas()),
        "products": products(),
        "threads": _dispatch.get_num_threads(),
        "python": platform.python_version(),
        "numpy": np.__version__,
        "machine": platform.machine(),
    }
    if as_json:
        print_json(facts)
        return
    show(
        f"fastrnn {facts['version']} on Python {facts['python']}, NumPy {facts['numpy']}, {facts['machine']}"
    )
    show(f"instruction set: {facts['isa']} (available: {', '.join(_dispatch.available_isas())})")
    missing = _dispatch.missing_isa()
    if missing:
        show(
            f"this CPU runs {missing} too, which this installation lacks: it was built on another machine; "
            "install it again here, or with -C cmake.define.FASTRNN_ISAS=all"
        )
    show("products: " + ", ".join(f"{precision} by {how}" for precision, how in products().items()))
    show(f"threads: {facts['threads']}")


def products() -> dict[str, str]:
    """Return how the kernels multiply each precision: by an instruction set of the CPU or without one."""
    native = _dispatch.isa() in _dispatch.NATIVE_PRODUCTS
    return {precision: ways[0] if native else ways[1] for precision, ways in PRODUCTS.items()}
