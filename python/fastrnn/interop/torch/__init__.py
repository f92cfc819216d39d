"""PyTorch's recurrent modules with fastrnn's kernels inside: ``import fastrnn.interop.torch as ft``, then ``ft.LSTM``."""

from fastrnn.interop.torch.layers import GRU, LSTM, RNN

__all__ = ["GRU", "LSTM", "RNN"]
