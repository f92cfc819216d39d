"""Files and state dicts of PyTorch, in and out, without PyTorch."""
