"""The peers behind one interface: ``prepare(problem)`` gives a `Task`.

`PEERS` lists them. Nothing of a peer is imported before it is asked for.
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
    """Who is measured.

    Attributes
    ----------
    title : str
    module : str
        The file here that holds ``prepare``.
    needs : tuple of str
        Packages, by the name under which pip installs and Python imports them.
    tolerance : float
        See `fastrnn.cli.benchmark.verify.verify`.
    options : dict
        For ``prepare``.
    """

    title: str
    module: str
    needs: tuple[str, ...] = ()
    tolerance: float = 1e-4
    options: dict[str, Any] = {}  # noqa: RUF012 - a default that nobody changes

    def prepare(self, problem: Problem) -> Task:
        """Make the peer's task.

        Raises
        ------
        Unsupported
            If it cannot do the problem.
        """
        task: Task = importlib.import_module(f"{__name__}.{self.module}").prepare(problem, **self.options)
        return task


PEERS = {
    "fastrnn": Peer("fastrnn", "native"),
    "numpy": Peer("NumPy reference", "numpy_reference"),
    "pytorch": Peer("PyTorch", "pytorch", ("torch",)),
    # Eight bits of mantissa: another answer, measured beside the others and never counted among them.
    "pytorch-bf16": Peer("PyTorch bfloat16", "pytorch", ("torch",), 0.1, {"autocast": True}),
    "jax": Peer("JAX", "jax_scan", ("jax",)),
    "onnxruntime": Peer("ONNX Runtime", "onnx_runtime", ("onnxruntime", "onnx")),
}


def installed(names: Iterable[str]) -> tuple[list[str], dict[str, str]]:
    """Find out which peers can be imported.

    Parameters
    ----------
    names : iterable of str
        Keys of `PEERS`.

    Returns
    -------
    present : list of str
    missing : dict of str to str
        Each other one, and why.

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
