"""The peers, with one interface: ``prepare(problem)`` returns a `Task`.

`PEERS` lists them. A peer is imported only when it is used.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from fastrnn.cli.benchmark.cases import Problem
    from fastrnn.cli.benchmark.task import Task

__all__ = ["PEERS", "Peer", "installed"]


class Peer(NamedTuple):
    """A library to measure.

    Attributes
    ----------
    title : str
    module : str
        The module of this package that holds ``prepare``.
    needs : tuple of str
        Packages, by the name that both pip and Python's import use.
    tolerance : float
        See `fastrnn.cli.benchmark.verify.verify`.
    options : dict
        Keyword arguments of ``prepare``.
    """

    title: str
    module: str
    needs: tuple[str, ...] = ()
    tolerance: float = 1e-4
    options: dict[str, Any] = {}  # noqa: RUF012 - never modified

    def prepare(self, problem: Problem) -> Task:
        """Return the peer's task.

        Raises
        ------
        Unsupported
            If the peer does not support the problem.
        """
        task: Task = importlib.import_module(f"{__name__}.{self.module}").prepare(problem, **self.options)
        return task


PEERS = {
    "fastrnn": Peer("fastrnn", "native"),
    # Numbers of fewer bits: the answers differ by what rounding their factors costs.
    "fastrnn-bfloat16": Peer("fastrnn bfloat16", "native", (), 0.1, {"precision": "bfloat16"}),
    "fastrnn-int8": Peer("fastrnn int8", "native", (), 0.1, {"precision": "int8"}),
    "numpy": Peer("NumPy reference", "numpy_reference"),
    "pytorch": Peer("PyTorch", "pytorch", ("torch",)),
    # With eight bits of mantissa the answer differs: measured with the others, but never ranked with them.
    "pytorch-bf16": Peer("PyTorch bfloat16", "pytorch", ("torch",), 0.1, {"autocast": True}),
    "jax": Peer("JAX", "jax_scan", ("jax",)),
    "onnxruntime": Peer("ONNX Runtime", "onnx_runtime", ("onnxruntime", "onnx")),
}


def installed(names: Iterable[str]) -> tuple[list[str], dict[str, str]]:
    """Return which peers can be imported, and why the others cannot.

    Parameters
    ----------
    names : iterable of str
        Keys of `PEERS`.

    Returns
    -------
    present : list of str
    missing : dict of str to str
        The reason for each of the others.

    Examples
    --------
    >>> installed(["fastrnn", "numpy"])
    (['fastrnn', 'numpy'], {})
    """
    present, missing = [], {}
    for name in names:
        try:
            for package in PEERS[name].needs:
                importlib.import_module(package)
            present.append(name)
        except ImportError as error:
            missing[name] = f"{error} (pip install {' '.join(PEERS[name].needs)})"
    return present, missing
