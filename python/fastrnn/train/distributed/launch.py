"""How many processes a launcher such as mpiexec started, from its environment variables."""

from __future__ import annotations

import os
from collections.abc import Mapping

__all__ = ["launched_size"]

_SIZES = ("PMI_SIZE", "OMPI_COMM_WORLD_SIZE", "MV2_COMM_WORLD_SIZE")


def launched_size(environment: Mapping[str, str] | None = None) -> int:
    """Return the number of processes that a launcher started, this one included; 1 without a launcher."""
    values = os.environ if environment is None else environment
    return next((int(values[name]) for name in _SIZES if name in values), 1)
