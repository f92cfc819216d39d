"""Draw what sequence models see and say; matplotlib is needed."""

from fastrnn.plots.activations import plot_gates, plot_unit
from fastrnn.plots.attention import plot_attention
from fastrnn.plots.forecast import plot_forecast
from fastrnn.plots.gradient_norms import plot_gradient_norms
from fastrnn.plots.piano_roll import plot_piano_roll
from fastrnn.plots.training_curves import plot_training

__all__ = [
    "plot_attention",
    "plot_forecast",
    "plot_gates",
    "plot_gradient_norms",
    "plot_piano_roll",
    "plot_training",
    "plot_unit",
]


def __dir__() -> list[str]:
    return sorted(__all__)
