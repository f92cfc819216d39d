"""Optimisers with PyTorch's formulas; each step is one native pass over a module's flat buffers.

With a sparse embedding (``Embedding(..., sparse=True)``) all of them are lazy, as PyTorch's ``SparseAdam``: a
step changes the rows that the gradient has and the moments of these rows; all other rows and their moments
stand still, however many steps pass. The step count of Adam's bias correction is that of the whole run.
Weight decay would have to change all rows and is refused.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastrnn import _dispatch
from fastrnn._checks import as_flag, as_number
from fastrnn._other_words import answers_other_words
from fastrnn.train.modules import Modules
from fastrnn.train.optimizer import Moments, Optimizer

__all__ = ["SGD", "Adam", "AdamW", "RMSprop"]


class SGD(Optimizer):
    """Stochastic gradient descent with optional momentum.

    ``g += weight_decay * p;  m = momentum * m + g;  p -= learning_rate * m``; with Nesterov momentum
    ``p -= learning_rate * (g + momentum * m)``.

    Of a sparse embedding only the rows that the gradient has get this update: a row's momentum does not decay
    in the steps between.

    Parameters
    ----------
    module : Module or iterable of Module
        The module to train, or several.
    learning_rate : float, default 0.1
    momentum : float, default 0.0
        In [0, 1).
    weight_decay : float, default 0.0
        L2 penalty.
    nesterov : bool, default False

    Raises
    ------
    ValueError
        If a number is out of range.

    References
    ----------
    Sutskever, Martens, Dahl, Hinton (2013), "On the importance of initialization and momentum in deep
    learning".

    Examples
    --------
    >>> import numpy as np
    >>> from fastrnn.layers import Linear
    >>> from fastrnn.train import SGD
    >>> layer = Linear(1, 1, bias=False, seed=0)
    >>> layer.parameters["weight"] = np.array([[1.0]], dtype=np.float32)
    >>> layer.gradients["weight"][...] = 2.0
    >>> SGD(layer, learning_rate=0.25).step()
    >>> layer.parameters["weight"]
    array([[0.5]], dtype=float32)
    """

    @answers_other_words
    def __init__(
        self,
        module: Modules,
        learning_rate: float = 0.1,
        *,
        momentum: float = 0.0,
        weight_decay: float = 0.0,
        nesterov: bool = False,
    ) -> None:
        self.momentum: float = as_number("momentum", momentum, least=0.0, below=1.0)
        self.nesterov: bool = as_flag("nesterov", nesterov)
        if self.nesterov and self.momentum == 0.0:
            raise ValueError("nesterov: needs a momentum above 0")
        self.moment_names: tuple[str, ...] = ("momentum",) if self.momentum > 0.0 else ()
        super().__init__(module, learning_rate, weight_decay)

    def _update(
        self,
        parameters: NDArray[Any],
        gradients: NDArray[Any],
        moments: Moments,
        step: int,
        learning_rate: float,
        gradient_scale: float,
    ) -> None:
        _dispatch.kernels.sgd_step(
            parameters,
            gradients,
            moments.get("momentum"),
            learning_rate,
            self.momentum,
            self.weight_decay,
            self.nesterov,
            gradient_scale,
        )


class RMSprop(Optimizer):
    """Gradient descent with each step divided by a running root mean square of the gradient.

    ``v = alpha * v + (1 - alpha) * g^2;  p -= learning_rate * g / (sqrt(v) + epsilon)``

    Parameters
    ----------
    module : Module or iterable of Module
        The module to train, or several.
    learning_rate : float, default 1e-2
    alpha : float, default 0.99
        Decay of the average, in [0, 1).
    epsilon : float, default 1e-8
    weight_decay : float, default 0.0
        L2 penalty.

    Raises
    ------
    ValueError
        If a number is out of range.

    References
    ----------
    Tieleman, Hinton (2012), "Lecture 6.5: RMSProp", COURSERA: Neural Networks for Machine Learning.

    Examples
    --------
    >>> from fastrnn.layers import Linear
    >>> from fastrnn.train import RMSprop
    >>> optimizer = RMSprop(Linear(3, 2, seed=0))
    >>> optimizer.step()
    >>> optimizer.steps
    1
    """

    moment_names: tuple[str, ...] = ("square",)

    @answers_other_words
    def __init__(
        self,
        module: Modules,
        learning_rate: float = 1e-2,
        *,
        alpha: float = 0.99,
        epsilon: float = 1e-8,
        weight_decay: float = 0.0,
    ) -> None:
        self.alpha: float = as_number("alpha", alpha, least=0.0, below=1.0)
        self.epsilon: float = as_number("epsilon", epsilon, least=0.0)
        super().__init__(module, learning_rate, weight_decay)

    def _update(
        self,
        parameters: NDArray[Any],
        gradients: NDArray[Any],
        moments: Moments,
        step: int,
        learning_rate: float,
        gradient_scale: float,
    ) -> None:
        _dispatch.kernels.rmsprop_step(
            parameters,
            gradients,
            moments["square"],
            learning_rate,
            self.alpha,
            self.epsilon,
            self.weight_decay,
            gradient_scale,
        )


class Adam(Optimizer):
    """Adam: steps from bias-corrected running averages of the gradient and its square.

    ``m = beta1 * m + (1 - beta1) * g;  v = beta2 * v + (1 - beta2) * g^2``
    ``p -= learning_rate * (m / (1 - beta1^t)) / (sqrt(v / (1 - beta2^t)) + epsilon)``

    Of a sparse embedding only the rows that the gradient has get this update, with t the steps of the whole
    run. That is PyTorch's ``SparseAdam``, except that its epsilon is added before v is corrected.

    Parameters
    ----------
    module : Module or iterable of Module
        The module to train, or several.
    learning_rate : float, default 1e-3
    betas : pair of float, default (0.9, 0.999)
        Each in [0, 1).
    epsilon : float, default 1e-8
    weight_decay : float, default 0.0
        L2 penalty, added to the gradient.

    Raises
    ------
    ValueError
        If a number is out of range.

    References
    ----------
    Kingma, Ba (2015), "Adam: A Method for Stochastic Optimization".

    Examples
    --------
    >>> from fastrnn.layers import Linear
    >>> from fastrnn.train import Adam
    >>> optimizer = Adam(Linear(3, 2, seed=0), 2e-3)
    >>> optimizer.step()
    >>> sorted(optimizer.state_dict())
    ['first', 'second', 'steps']
    >>> optimizer = Adam([Linear(3, 2, seed=0), Linear(2, 2, seed=1)])
    >>> sorted(optimizer.state_dict())
    ['0.first', '0.second', '1.first', '1.second', 'steps']
    """

    moment_names: tuple[str, ...] = ("first", "second")
    _decoupled = False

    @answers_other_words
    def __init__(
        self,
        module: Modules,
        learning_rate: float = 1e-3,
        *,
        betas: tuple[float, float] = (0.9, 0.999),
        epsilon: float = 1e-8,
        weight_decay: float = 0.0,
    ) -> None:
        if not isinstance(betas, (tuple, list, np.ndarray)):
            raise TypeError(f"betas: expected a pair of numbers, got {type(betas).__name__}")
        if len(betas) != 2:
            raise ValueError(f"betas: expected a pair of numbers, got {len(betas)}")
        beta1, beta2 = (as_number(f"betas[{i}]", beta, least=0.0, below=1.0) for i, beta in enumerate(betas))
        self.betas: tuple[float, float] = (beta1, beta2)
        self.epsilon: float = as_number("epsilon", epsilon, least=0.0)
        super().__init__(module, learning_rate, weight_decay)

    def _update(
        self,
        parameters: NDArray[Any],
        gradients: NDArray[Any],
        moments: Moments,
        step: int,
        learning_rate: float,
        gradient_scale: float,
    ) -> None:
        _dispatch.kernels.adam_step(
            parameters,
            gradients,
            moments["first"],
            moments["second"],
            step,
            learning_rate,
            *self.betas,
            self.epsilon,
            self.weight_decay,
            self._decoupled,
            gradient_scale,
        )


class AdamW(Adam):
    """Adam with decoupled weight decay: ``p -= learning_rate * weight_decay * p`` first.

    Parameters
    ----------
    module : Module or iterable of Module
        The module to train, or several.
    learning_rate : float, default 1e-3
    betas : pair of float, default (0.9, 0.999)
        Each in [0, 1).
    epsilon : float, default 1e-8
    weight_decay : float, default 1e-2
        0 with a sparse embedding.

    Raises
    ------
    ValueError
        If a number is out of range.

    References
    ----------
    Loshchilov, Hutter (2019), "Decoupled Weight Decay Regularization".

    Examples
    --------
    >>> from fastrnn.layers import Linear
    >>> from fastrnn.train import AdamW
    >>> AdamW(Linear(3, 2, seed=0)).weight_decay
    0.01
    """

    _decoupled = True

    @answers_other_words
    def __init__(
        self,
        module: Modules,
        learning_rate: float = 1e-3,
        *,
        betas: tuple[float, float] = (0.9, 0.999),
        epsilon: float = 1e-8,
        weight_decay: float = 1e-2,
    ) -> None:
        super().__init__(module, learning_rate, betas=betas, epsilon=epsilon, weight_decay=weight_decay)
