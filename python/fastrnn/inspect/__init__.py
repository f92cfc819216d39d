"""Look inside recurrent networks: gradients through time, gates and states, reports."""

from fastrnn.train.update_ratios import update_ratios

__all__ = ["update_ratios"]
