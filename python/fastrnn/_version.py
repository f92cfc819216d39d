"""The version, in this one place: the build, the wheel and `fastrnn.__version__` read this line."""

__version__ = "0.1.0"
