"""PyTorch's recurrent modules on fastrnn's kernels: ``torch.nn`` replaced in one line.

::

    import torch
    import fastrnn.interop.torch as ft

    rnn = ft.LSTM(40, 128)  # was torch.nn.LSTM(40, 128)

`RNN`, `GRU` and `LSTM` are subclasses of PyTorch's of the same names, with other passes forward and backward.
PyTorch 2.13 is tested, and must be installed: fastrnn does not bring it along.
"""

try:
    import torch as _torch  # noqa: F401
except ImportError as error:
    raise ImportError(
        "fastrnn.interop.torch: expected PyTorch, which is not installed; pip install torch"
    ) from error

from fastrnn.interop.torch.layers import GRU, LSTM, RNN

__all__ = ["GRU", "LSTM", "RNN"]
