"""Draw what sequence models see and say; matplotlib is needed."""

from fastrnn.plots.attention import plot_attention
from fastrnn.plots.forecast import plot_forecast
from fastrnn.plots.piano_roll import plot_piano_roll

__all__ = ["plot_attention", "plot_forecast", "plot_piano_roll"]
