"""Look inside recurrent networks: gradients through time, gates and states, reports."""

from fastrnn.inspect import properties
from fastrnn.inspect.dynamics import jacobian_norms, jacobian_product, lyapunov_exponents
from fastrnn.inspect.gradients import state_gradients
from fastrnn.inspect.powers import power_norms
from fastrnn.inspect.report import Report, report
from fastrnn.inspect.saturation import Saturation, saturation
from fastrnn.inspect.trace import NextSteps, Trace, trace
from fastrnn.inspect.units import UnitScore, chance_correlations, rank_units
from fastrnn.layers import StateGradients
from fastrnn.layers.spectrum import eigenvalues, spectral_radius
from fastrnn.train.update_ratios import update_ratios

__all__ = [
    "NextSteps",
    "Report",
    "Saturation",
    "StateGradients",
    "Trace",
    "UnitScore",
    "chance_correlations",
    "eigenvalues",
    "jacobian_norms",
    "jacobian_product",
    "lyapunov_exponents",
    "power_norms",
    "properties",
    "rank_units",
    "report",
    "saturation",
    "spectral_radius",
    "state_gradients",
    "trace",
    "update_ratios",
]


def __dir__() -> list[str]:
    return sorted(__all__)
