"""Training on several processes of one machine or of many, with the result of one process.

``mpiexec -n 4 python script.py`` starts four processes; in each, `start` finds the others. Only `start`
imports MPI, and only if a launcher started several processes.
"""

from fastrnn.train.distributed.gradient_sum import GradientSum
from fastrnn.train.distributed.launch import launched_size
from fastrnn.train.distributed.ranks import OneProcess, Ranks
from fastrnn.train.distributed.shards import shard_rows
from fastrnn.train.distributed.start import start

__all__ = ["GradientSum", "OneProcess", "Ranks", "launched_size", "shard_rows", "start"]


def __dir__() -> list[str]:
    return sorted(__all__)
