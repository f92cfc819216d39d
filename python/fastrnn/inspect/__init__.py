"""Look inside recurrent networks: gradients through time, gates and states, reports."""

from fastrnn.inspect.gradients import state_gradients
from fastrnn.layers.recurrent.engine.state_gradients import StateGradients

__all__ = ["StateGradients", "state_gradients"]
