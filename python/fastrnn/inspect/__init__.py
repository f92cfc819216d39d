"""Look inside recurrent networks: gradients through time, gates and states, reports."""

from fastrnn.inspect import properties
from fastrnn.inspect.gradients import state_gradients
from fastrnn.inspect.trace import NextSteps, Trace, trace
from fastrnn.inspect.units import UnitScore, chance_correlations, rank_units
from fastrnn.layers import StateGradients

__all__ = [
    "NextSteps",
    "StateGradients",
    "Trace",
    "UnitScore",
    "chance_correlations",
    "properties",
    "rank_units",
    "state_gradients",
    "trace",
]
