"""Parameter initialisation, in place; public as ``fastrnn.init``.

The functions take a layer, a `Stack` or any other module, visit every layer in it, and recognise matrices and
biases by name: ``weight_ih_l0``, ``weight_hh_l0``, ``bias_ih_l0``, ``bias_hh_l0`` and so on, ``weight`` and
``bias``. All other parameters stay unchanged. A matrix of several gates is initialised gate by gate. A call
with a seed draws the same numbers each time.

Examples
--------
>>> import fastrnn as fr
>>> stack = fr.Stack(fr.LSTM(3, 8, seed=0), fr.GRU(8, 8, seed=1))
>>> fr.init.xavier_uniform(stack, seed=2)
>>> fr.init.orthogonal(stack, seed=3)
>>> fr.init.forget_bias(stack.layer0, 1.0)
>>> stack.parameters["layer0.bias_ih_l0"][8:16]  # i, f, g, o
array([1., 1., 1., 1., 1., 1., 1., 1.], dtype=float32)
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from fastrnn._arrays import Array
from fastrnn._checks import as_flag, as_generator, as_number
from fastrnn.layers.base.module import Module
from fastrnn.layers.base.module_group import ModuleGroup
from fastrnn.layers.base.random import fill_uniform
from fastrnn.layers.recurrent.layer import Recurrent
from fastrnn.layers.recurrent.lstm import LSTM
from fastrnn.layers.recurrent.rnn import RNN
from fastrnn.layers.recurrent.slstm import SLSTM

if TYPE_CHECKING:
    from fastrnn._checks import Seed
    from fastrnn.layers.base.parameters import Views

__all__ = ["forget_bias", "identity", "orthogonal", "uniform", "xavier_normal", "xavier_uniform"]

_RECURRENT = re.compile(r"weight_hh_l\d+(_reverse)?")
_MATRIX = re.compile(r"weight_(ih|hh)_l\d+(_reverse)?|weight")
_BIAS = re.compile(r"bias_(ih|hh)_l\d+(_reverse)?|bias")


def uniform(module: Module, bound: float | None = None, *, seed: Seed = None) -> None:
    """Draw matrices and biases from the uniform distribution over ``[-bound, bound)``.

    Parameters
    ----------
    module : Module
    bound : float, optional
        Default as in PyTorch, for each layer: ``H**-0.5`` in a recurrent layer, else ``columns**-0.5`` of its
        matrix. Recurrent layers and `Linear` are initialised this way; the same seed draws the same numbers.
    seed : int or numpy.random.Generator, optional

    Raises
    ------
    ValueError
        If the bound is not above 0.
    TypeError
        If `module` is not a module or the bound is not a number.

    Examples
    --------
    >>> import numpy as np
    >>> import fastrnn as fr
    >>> rnn = fr.GRU(3, 5, seed=0)
    >>> before = rnn.parameters.flat.copy()
    >>> fr.init.uniform(rnn, seed=0)
    >>> np.array_equal(rnn.parameters.flat, before)
    True
    """
    bound = None if bound is None else as_number("bound", bound, above=0.0)
    generator = as_generator(seed)
    for layer in _layers(module):
        with layer.parameters.edit() as views:
            own = _default_bound(layer, views) if bound is None else bound
            for name, view in views.items():
                if _MATRIX.fullmatch(name) or _BIAS.fullmatch(name):
                    fill_uniform(view, own, generator)


def xavier_uniform(module: Module, gain: float = 1.0, *, seed: Seed = None) -> None:
    """Draw each gate's matrix from ``[-b, b)``, ``b = gain * sqrt(6 / (rows + columns))``; biases are zero.

    Parameters
    ----------
    module : Module
    gain : float, default 1.0
    seed : int or numpy.random.Generator, optional

    Raises
    ------
    ValueError
        If the gain is not above 0.
    TypeError
        If `module` is not a module or the gain is not a number.

    References
    ----------
    Glorot, Bengio (2010), "Understanding the Difficulty of Training Deep Feedforward Neural Networks",
    equation 16.

    Examples
    --------
    >>> import fastrnn as fr
    >>> linear = fr.Linear(25, 5, seed=0)
    >>> fr.init.xavier_uniform(linear, seed=1)
    >>> bool(0.4 < abs(linear.parameters["weight"]).max() <= (6 / (25 + 5)) ** 0.5)
    True
    >>> linear.parameters["bias"].tolist()
    [0.0, 0.0, 0.0, 0.0, 0.0]
    """
    scale = as_number("gain", gain, above=0.0) * math.sqrt(6.0)

    def draw(generator: np.random.Generator, rows: int, columns: int) -> Array:
        bound = scale / math.sqrt(rows + columns)
        return generator.uniform(-bound, bound, (rows, columns))

    _draw_matrices(module, draw, seed)


def xavier_normal(module: Module, gain: float = 1.0, *, seed: Seed = None) -> None:
    """Draw each gate's matrix from N(0, s^2), ``s = gain * sqrt(2 / (rows + columns))``; biases are zero.

    Parameters
    ----------
    module : Module
    gain : float, default 1.0
    seed : int or numpy.random.Generator, optional

    Raises
    ------
    ValueError
        If the gain is not above 0.
    TypeError
        If `module` is not a module or the gain is not a number.

    References
    ----------
    Glorot, Bengio (2010), "Understanding the Difficulty of Training Deep Feedforward Neural Networks",
    equation 12.

    Examples
    --------
    >>> import fastrnn as fr
    >>> linear = fr.Linear(200, 200, seed=0)
    >>> fr.init.xavier_normal(linear, seed=1)
    >>> round(float(linear.parameters["weight"].std()), 2)
    0.07
    """
    scale = as_number("gain", gain, above=0.0) * math.sqrt(2.0)

    def draw(generator: np.random.Generator, rows: int, columns: int) -> Array:
        return generator.normal(0.0, scale / math.sqrt(rows + columns), (rows, columns))

    _draw_matrices(module, draw, seed)


def orthogonal(module: Module, gain: float = 1.0, *, inputs: bool = False, seed: Seed = None) -> None:
    """Set each gate's matrix of each weight_hh to `gain` times a random orthogonal matrix.

    A matrix that is not square gets orthonormal rows or columns, whichever are fewer. Biases stay unchanged.

    Parameters
    ----------
    module : Module
    gain : float, default 1.0
    inputs : bool, default False
        Initialise all other matrices, weight_ih and weight, in the same way.
    seed : int or numpy.random.Generator, optional

    Raises
    ------
    ValueError
        If the gain is not above 0, or the module has no weight_hh and `inputs` is false.
    TypeError
        If `module` is not a module or the gain is not a number.

    References
    ----------
    Saxe, McClelland, Ganguli (2014), "Exact Solutions to the Nonlinear Dynamics of Learning in Deep Linear
    Neural Networks". Mezzadri (2007), "How to Generate Random Matrices from the Classical Compact Groups",
    for the signs.

    Examples
    --------
    >>> import numpy as np
    >>> import fastrnn as fr
    >>> rnn = fr.GRU(3, 4, seed=0)
    >>> fr.init.orthogonal(rnn, seed=1)
    >>> reset = rnn.parameters["weight_hh_l0"][:4]  # r, z, n
    >>> np.allclose(reset @ reset.T, np.eye(4), atol=1e-6)
    True
    """
    gain = as_number("gain", gain, above=0.0)
    layers, pattern = _layers(module), _MATRIX if as_flag("inputs", inputs) else _RECURRENT
    if not any(pattern.fullmatch(name) for layer in layers for name in layer.parameters):
        other = "" if inputs else "; inputs=True includes other matrices"
        raise ValueError(f"module: expected a {'matrix' if inputs else 'weight_hh'}, got none{other}")
    generator = as_generator(seed)
    for layer in layers:
        with layer.parameters.edit() as views:
            for block in _blocks(layer, views, pattern):
                block[...] = gain * _random_orthogonal(generator, *block.shape)


def identity(module: Module, scale: float = 1.0) -> None:
    """Set each weight_hh of an `RNN` to `scale` times the identity, and its biases to zero: an IRNN.

    Layers that are not recurrent stay unchanged.

    Parameters
    ----------
    module : Module
    scale : float, default 1.0

    Raises
    ------
    ValueError
        If a recurrent layer is not an `RNN`, there is none, or a weight_hh is not square. Nothing is changed.
    TypeError
        If `module` is not a module or the scale is not a number.

    References
    ----------
    Le, Jaitly, Hinton (2015), "A Simple Way to Initialize Recurrent Networks of Rectified Linear Units". The
    paper's scale is 1, 0.01 for tasks without long dependencies; its activation is relu.

    Examples
    --------
    >>> import fastrnn as fr
    >>> rnn = fr.RNN(3, 2, nonlinearity="relu", seed=0)
    >>> fr.init.identity(rnn)
    >>> rnn.parameters["weight_hh_l0"].tolist(), rnn.parameters["bias_hh_l0"].tolist()
    ([[1.0, 0.0], [0.0, 1.0]], [0.0, 0.0])
    """
    scale = as_number("scale", scale)
    layers = _recurrent_layers(module)
    other = [type(layer).__name__ for layer in layers if not isinstance(layer, RNN)]
    if other or not layers:
        raise ValueError(f"module: expected RNN layers, got {other[0] if other else 'none'}")
    for layer in layers:
        for name, value in layer.parameters.items():
            if _RECURRENT.fullmatch(name) and value.shape[0] != value.shape[1]:
                raise ValueError(f"{name}: expected a square matrix, got {list(value.shape)}")
    for layer in layers:
        with layer.parameters.edit() as views:
            for name, view in views.items():
                if _RECURRENT.fullmatch(name):
                    view[...] = scale * np.eye(len(view))
                elif _BIAS.fullmatch(name):
                    view[...] = 0.0


def forget_bias(module: Module, value: float = 1.0) -> None:
    """Set the forget-gate bias of an `LSTM` or `SLSTM`: in bias_ih to `value`, in bias_hh to zero.

    Layers that are not recurrent stay unchanged.

    Parameters
    ----------
    module : Module
    value : float, default 1.0

    Raises
    ------
    TypeError
        If a recurrent layer is of another kind, there is none, `module` is not a module or the value is not a
        number.
    ValueError
        If a layer has no bias, or no forget gate of its own. Nothing is changed.

    References
    ----------
    Gers, Schmidhuber, Cummins (2000), "Learning to Forget: Continual Prediction with LSTM". Jozefowicz,
    Zaremba, Sutskever (2015), "An Empirical Exploration of Recurrent Network Architectures", section 4.3.

    Examples
    --------
    >>> import fastrnn as fr
    >>> rnn = fr.LSTM(3, 2, seed=0)
    >>> fr.init.forget_bias(rnn, 2.0)
    >>> rnn.parameters["bias_ih_l0"][2:4].tolist(), rnn.parameters["bias_hh_l0"][2:4].tolist()
    ([2.0, 2.0], [0.0, 0.0])
    """
    value = as_number("value", value)
    layers = _recurrent_layers(module)
    other = [type(layer).__name__ for layer in layers if not isinstance(layer, (LSTM, SLSTM))]
    if other or not layers:
        raise TypeError(f"module: expected LSTM or SLSTM layers, got {other[0] if other else 'none'}")
    for layer in layers:
        if not layer.bias:
            raise ValueError(f"module: expected a bias, got {layer!r}")
        if layer.options.coupled:
            raise ValueError(f"module: expected a forget gate of its own, got {layer!r}")
    for layer in layers:
        forget = slice(layer.hidden_size, 2 * layer.hidden_size)  # the second gate of four
        with layer.parameters.edit() as views:
            for name, view in views.items():
                if _BIAS.fullmatch(name):
                    view[forget] = value if name.startswith("bias_ih") else 0.0


def _layers(module: Any) -> list[Module]:
    """Return the modules that have parameters of their own."""
    if not isinstance(module, Module):
        raise TypeError(f"module: expected a Module, got {type(module).__name__}")
    if isinstance(module, ModuleGroup):
        return [layer for part in module._modules for layer in _layers(part)]
    return [module]


def _recurrent_layers(module: Any) -> list[Recurrent[Any]]:
    return [layer for layer in _layers(module) if isinstance(layer, Recurrent)]


def _default_bound(layer: Module, views: Views) -> float:
    if isinstance(layer, Recurrent):
        return float(layer.hidden_size**-0.5)
    columns = [view.shape[-1] for name, view in views.items() if _MATRIX.fullmatch(name)]
    return float(max(columns, default=1) ** -0.5)


def _blocks(layer: Module, views: Views, pattern: re.Pattern[str]) -> Iterator[Array]:
    """Yield each gate's block of each matrix whose name matches, writable."""
    for name, view in views.items():
        if pattern.fullmatch(name):
            gates = len(view) // layer.hidden_size if isinstance(layer, Recurrent) else 1
            yield from np.split(view, gates)


def _draw_matrices(
    module: Module, draw: Callable[[np.random.Generator, int, int], Array], seed: Seed
) -> None:
    generator = as_generator(seed)
    for layer in _layers(module):
        with layer.parameters.edit() as views:
            for block in _blocks(layer, views, _MATRIX):
                block[...] = draw(generator, *block.shape)
            for name, view in views.items():
                if _BIAS.fullmatch(name):
                    view[...] = 0.0


def _random_orthogonal(generator: np.random.Generator, rows: int, columns: int) -> Array:
    """Draw a uniformly distributed matrix with orthonormal rows or columns, float64."""
    q, r = np.linalg.qr(generator.standard_normal((max(rows, columns), min(rows, columns))))
    # Without the signs of r the distribution would not be uniform (Mezzadri 2007, section 5).
    q *= np.where(np.diagonal(r) < 0.0, -1.0, 1.0)
    return q if rows >= columns else q.T


def __dir__() -> list[str]:
    return sorted(__all__)
