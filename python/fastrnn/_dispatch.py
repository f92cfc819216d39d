"""The compiled module, chosen once when fastrnn is imported. No other file names a compiled module.

`MODULES` lists the instruction sets, best first, and the compiled module that serves each. The best one that
this CPU supports and this installation contains is loaded; the environment variable ``FASTRNN_ISA`` selects
another. ``avx512_bf16`` is the module of ``avx512``, told to use the CPU's own products of bfloat16 and of
bytes. ``FASTRNN_NUM_THREADS`` sets the number of threads; the default is the number of CPUs that this process
may use, or fewer if a control group has a quota (`_cpus`).
"""

from __future__ import annotations

import importlib
import importlib.util
import os
from typing import TYPE_CHECKING

from fastrnn import _cpu
from fastrnn._checks import as_size
from fastrnn._cpus import count_cpus

if TYPE_CHECKING:
    from types import ModuleType

__all__ = [
    "MODULES",
    "NATIVE_PRODUCTS",
    "available_isas",
    "get_num_threads",
    "isa",
    "kernels",
    "set_num_threads",
    "suggest_num_threads",
    "thread_counters",
]

MODULES = {
    "avx512_bf16": "_kernels_avx512",
    "avx512": "_kernels_avx512",
    "avx2": "_kernels_avx2",
    "baseline": "_kernels_baseline",
}
# The sets with products of low precision of their own: a module uses them only if told to, and lacks them if
# its compiler does not know these instructions.
NATIVE_PRODUCTS = ("avx512_bf16",)
MAX_THREADS = 1024


def available_isas() -> list[str]:
    """Return the instruction sets that this CPU supports and this installation contains, best first.

    Returns
    -------
    names : list of str
        Each is a valid value of the environment variable ``FASTRNN_ISA``.

    Examples
    --------
    >>> import fastrnn as fr
    >>> fr.available_isas()[-1]  # every CPU supports it
    'baseline'
    """
    return [name for name in _cpu.supported() if _is_built(name)]


def missing_isa() -> str | None:
    """Return the best instruction set that this CPU supports, if this installation lacks its module."""
    best = _cpu.supported()[0]
    return None if MODULES.get(best) in map(MODULES.get, available_isas()) else best


def _is_built(name: str) -> bool:
    if name not in MODULES or (name in NATIVE_PRODUCTS and not _cpu.native_products):
        return False
    return importlib.util.find_spec(f"fastrnn.{MODULES[name]}") is not None


def _choose() -> str:
    """Return the instruction set that ``FASTRNN_ISA`` names, or else the best one available."""
    wanted = os.environ.get("FASTRNN_ISA")
    if wanted:
        return _checked(wanted)
    for name in _cpu.supported():
        if _is_built(name):
            return name
    raise ImportError("fastrnn: this installation contains no compiled module; reinstall it")


def _checked(name: str) -> str:
    if name not in MODULES:
        raise ValueError(f"FASTRNN_ISA: expected one of {', '.join(MODULES)}, got {name!r}")
    if name not in _cpu.supported():
        raise ImportError(
            f"FASTRNN_ISA: this CPU cannot run {name}; available: {', '.join(available_isas())}"
        )
    if not _is_built(name):
        raise ImportError(
            f"FASTRNN_ISA: this installation lacks {name}; available: {', '.join(available_isas())} "
            "(to build all sets: pip install . -C cmake.define.FASTRNN_ISAS=all)"
        )
    return name


def _load(name: str) -> ModuleType:
    module = importlib.import_module(f"fastrnn.{MODULES[name]}")
    if name in NATIVE_PRODUCTS:
        module.use_native_products(True)
    return module


_isa = _choose()
if TYPE_CHECKING:
    from fastrnn import _kernels_baseline as kernels
else:
    kernels = _load(_isa)


def isa() -> str:
    """Return the instruction set that the kernels use.

    Returns
    -------
    name : str
        One of `available_isas`.

    Examples
    --------
    >>> import fastrnn as fr
    >>> fr.isa() in fr.available_isas()
    True
    """
    return _isa


def get_num_threads() -> int:
    """Return the maximum number of threads that a kernel uses.

    Returns
    -------
    threads : int
        At import ``FASTRNN_NUM_THREADS``, or else the number of CPUs that this process may use: those of its
        affinity mask, or fewer if a control group, such as a container's, has a CPU quota. A fraction of a
        CPU counts as one. Ranks of `fastrnn.train.distributed` divide those of their machine.

    Examples
    --------
    >>> import fastrnn as fr
    >>> fr.get_num_threads() >= 1
    True
    """
    return kernels.get_num_threads()


def set_num_threads(threads: int) -> None:
    """Set the maximum number of threads that a kernel uses. Results do not depend on it, to the last bit.

    Parameters
    ----------
    threads : int
        In ``1 .. 1024``. Never more run than there are CPUs to run them; small tasks use fewer, and so does a
        call that would not be faster on several, because it is short or the machine is busy (see
        `thread_counters`). Threads that the system refuses are done without, with a `RuntimeWarning`, and
        asked for again a second later. For the default see `get_num_threads`.

    Raises
    ------
    ValueError
        If it is out of range.
    TypeError
        If it is not an integer.

    Examples
    --------
    >>> import fastrnn as fr
    >>> before = fr.get_num_threads()
    >>> fr.set_num_threads(1)
    >>> fr.get_num_threads()
    1
    >>> fr.set_num_threads(before)
    """
    global _threads_are_chosen
    kernels.set_num_threads(as_size("threads", threads, most=MAX_THREADS))
    _threads_are_chosen = True


def suggest_num_threads(threads: int) -> None:
    """Set the number of threads unless `set_num_threads` or ``FASTRNN_NUM_THREADS`` has set it.

    Parameters
    ----------
    threads : int
        More than 1024 count as 1024.
    """
    if not _threads_are_chosen:
        kernels.set_num_threads(min(threads, MAX_THREADS))


def thread_counters() -> dict[str, int]:
    """Return what happened to calls on several threads since this process began.

    Returns
    -------
    counters : dict
        ``shared_calls``
            ran on several threads;
        ``lone_calls``
            were large enough for several and ran on one: that is faster for such calls, or other threads have
            stalled lately, or another Python thread uses them;
        ``brief_calls``
            likewise, because to wake a thread would have cost more;
        ``wakes``
            of sleeping threads;
        ``taken_over``
            pieces of other threads that the calling thread did;
        ``went_alone``
            times that a call went on without the other threads, which did not come or had stalled;
        ``stalls``, ``stalled_us``
            waits for a thread that had lost its CPU to another program, and their microseconds.

    Examples
    --------
    >>> import fastrnn as fr
    >>> fr.thread_counters()["stalls"] >= 0
    True
    """
    counters: dict[str, int] = kernels.thread_counters()
    return counters


def _threads_at_start() -> int:
    text = os.environ.get("FASTRNN_NUM_THREADS")
    if text:
        if not (text.isascii() and text.isdigit() and 1 <= int(text) <= MAX_THREADS):
            raise ValueError(f"FASTRNN_NUM_THREADS: expected an integer in 1 .. {MAX_THREADS}, got {text!r}")
        return int(text)
    return min(count_cpus(), MAX_THREADS)


_threads_are_chosen = bool(os.environ.get("FASTRNN_NUM_THREADS"))
kernels.set_num_threads(_threads_at_start())
