"""The grid: shapes x cells x modes. Threads are chosen when it is run."""

from fastrnn.cli.benchmark.cases import CELLS, MODES, Case, Shape

__all__ = ["CELLS", "MODES", "SHAPES", "WIDE_SHAPES", "cases"]

SHAPES = (
    Shape(T=1, N=1, D=64, H=128),  # one step of one sequence
    Shape(T=100, N=1, D=40, H=128),  # one sequence: audio features
    Shape(T=63, N=1, D=24, H=32),
    Shape(T=100, N=1, D=256, H=512),  # one sequence, weights beyond L2
    Shape(T=50, N=50, D=128, H=128, layers=2),  # char-rnn's default
    Shape(T=20, N=20, D=200, H=200, layers=2),  # Zaremba et al. 2014: small
    Shape(T=35, N=20, D=650, H=650, layers=2),  # medium
    Shape(T=128, N=32, D=64, H=256),
    Shape(T=64, N=64, D=512, H=512),
    Shape(T=32, N=64, D=1024, H=1024),
    Shape(T=1000, N=8, D=32, H=64),  # long and narrow
    Shape(T=300, N=20, D=800, H=800),
    Shape(T=37, N=13, D=70, H=100),  # nothing is a multiple of a vector
    Shape(T=50, N=33, D=96, H=150, layers=2),
)

# For comparing instruction sets: batches that fill the registers.
WIDE_SHAPES = tuple(shape for shape in SHAPES if shape.N >= 16 and shape.layers == 1 and shape.T <= 128)


def cases(shapes: tuple[Shape, ...], cells: tuple[str, ...], modes: tuple[str, ...]) -> list[Case]:
    """Return all cases, shape by shape."""
    return [Case(cell, mode, shape) for shape in shapes for mode in modes for cell in cells]
