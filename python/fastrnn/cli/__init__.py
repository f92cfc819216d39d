"""The command line program ``fastrnn``."""

from fastrnn.cli.program import main

__all__ = ["main"]
