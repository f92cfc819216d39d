"""The command ``fastrnn info``: version, instruction sets and threads."""

from __future__ import annotations

import platform

import click
import numpy as np

from fastrnn import _dispatch
from fastrnn._version import __version__
from fastrnn.cli.output import json_option, print_json
from fastrnn.cli.standard_streams import show

__all__ = ["command"]


@click.command(name="info")
@json_option
def command(as_json: bool) -> None:
    """Show the version, the available and selected instruction sets, and the number of threads.

    FASTRNN_ISA selects another instruction set, FASTRNN_NUM_THREADS another number of threads.
    """
    facts = {
        "version": __version__,
        "isa": _dispatch.isa(),
        "available_isas": list(_dispatch.available_isas()),
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
    show(f"threads: {facts['threads']}")
