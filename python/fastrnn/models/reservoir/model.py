"""The base class of echo state models: reservoirs, a readout in closed form or online, and training on."""

from __future__ import annotations

import copy
from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from fastrnn._checks import as_flag, as_number, as_size
from fastrnn.models.base.fitting import FitSettings, History
from fastrnn.models.reservoir.build import ReservoirSettings, make_groups
from fastrnn.models.reservoir.noise import NoisyReservoirs
from fastrnn.models.reservoir.passes import Carried, Pass
from fastrnn.models.reservoir.readouts import ReadoutSettings, accumulate, check_one_pass, solve
from fastrnn.models.reservoir.rls import RecursiveLeastSquares
from fastrnn.models.reservoir.training_on import Data, TrainableReservoir
from fastrnn.train.distributed import OneProcess

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["EchoStateModel"]


@dataclass(eq=False, repr=False, kw_only=True)
class EchoStateModel(TrainableReservoir):
    """The base class of echo state models, not for direct use, with the settings that they share.

    A reservoir is a random recurrent layer that is not trained::

        h = (1 - leak_rate) h' + leak_rate tanh(W_in x + W h' + W_back y' + b)

    where h' and y' are the state and the output before the step. A linear readout of its states is fitted in
    closed form. `unfreeze` makes the whole network trainable, and `fit_further` trains it on by
    backpropagation through time, from the solution that there is.

    Parameters
    ----------
    hidden_size : int, default 100
        H, the units of each reservoir layer.
    topology : {"random", "small_world", "cycle", "orthogonal"}
        Which units are connected. "random": each pair with the probability `density`. "small_world": a ring
        of nearest neighbours, ``density * H`` of them, each connection moved to a random unit with the
        probability `rewiring`. "cycle": one ring, all weights equal; its input weights are all of one size,
        with random signs. "orthogonal": a random rotation.
    density : float, default 0.1
        In (0, 1]; 1.0 is a dense reservoir.
    rewiring : float, default 0.1
    spectral_radius : float or sequence of float, default 0.9
        The largest modulus of the eigenvalues of W; or one for each layer.
    leak_rate : float or sequence of float, default 1.0
        In (0, 1]: the fraction of the state that is new at each step. `fastrnn.RNN` calls 1 - leak_rate the
        leak.
    input_scaling : float or sequence of float, default 1.0
        Input weights are uniform in [-input_scaling, input_scaling); or one for each feature.
    bias_scaling : float, default 0.0
        The same of biases.
    layer_scaling : float, default 1.0
        The same of what a layer reads from the one below.
    nonlinearity : {"tanh", "relu", "identity", "sigmoid"}
    noise : float, default 0.0
        Standard deviation of Gaussian noise that each unit adds up with its inputs, while the readout is
        fitted in closed form.
    num_layers : int, default 1
        Layers of a deep reservoir; each reads the states of the one below, the readout all.
    num_reservoirs : int, default 1
        Reservoirs side by side, with weights of their own.
    input_groups : sequence of sequence of int, optional
        The columns that each of them reads; default: all.
    washout : int, default 0
        So many steps at the start of each sequence do not count for the readout.
    input_to_readout : bool, default True
        Whether the readout reads the features too.
    readout : {"ridge", "rls"}
        "ridge": ridge regression, from moments that are accumulated in float64. "rls": recursive least
        squares, one step after the other.
    ridge : float, "loo" or sequence of float, default 1e-6
        The penalty of the squared weights, added to sums over steps; the bias is not penalised. Several
        candidates, or "loo" for 15 powers of ten: the one of the smallest exact leave-one-out error; states
        are then computed a second time.
    forgetting : float, default 1.0
        For "rls": the weight of a step falls by this factor with each step after it.
    batch_size : int, default 32
        Sequences, or windows, that run at once.
    epochs, learning_rate, schedule, weight_decay, clip_norm, early_stopping, validation_fraction, \
n_iter_no_change
        Of `fit_further`, as for `fastrnn.models.SequenceModel`.
    window : int, default 100
        Of `fit_further`: steps after which backpropagation through time is truncated; the state is carried
        on.
    solve_readout : bool, default False
        Of `fit_further`: train the reservoirs alone, and solve the readout in closed form, with `ridge_`,
        before each epoch, before validation and at the end (variable projection). For large readout weights,
        to which small changes of the states matter; best with few large batches.
    random_state : int, numpy.random.Generator, numpy.random.RandomState or None
        With an int, ``fit`` is repeatable.
    dtype : {"float64", "float32"}
        Of states and readout. float32 is faster and needs a larger ridge. Reservoirs have no
        ``precision``: all their products are of this dtype.
    verbose : bool, default False
        Show a progress bar in `fit_further`.

    Attributes
    ----------
    network_ : Module
        The reservoirs and the readout.
    unfrozen_ : bool
        Whether `unfreeze` was called.
    ridge_ : float
        The ridge that was used.
    ridge_errors_ : dict of float to float
        The leave-one-out mean squared error of each candidate; empty if there was one ridge.
    history_ : dict of str to list of float
        "loss": the mean squared error in training, of each call of ``fit`` and ``partial_fit`` (for "rls", of
        each step before it was learned), and of each epoch of `fit_further`.
    n_iter_ : int
        The number of these.
    """

    hidden_size: int = 100
    topology: str = "random"
    density: float = 0.1
    rewiring: float = 0.1
    spectral_radius: float | Sequence[float] = 0.9
    leak_rate: float | Sequence[float] = 1.0
    input_scaling: float | Sequence[float] = 1.0
    bias_scaling: float = 0.0
    layer_scaling: float = 1.0
    nonlinearity: str = "tanh"
    noise: float = 0.0
    num_layers: int = 1
    num_reservoirs: int = 1
    input_groups: Sequence[Sequence[int]] | None = None
    washout: int = 0
    input_to_readout: bool = True
    readout: str = "ridge"
    ridge: float | str | Sequence[float] = 1e-6
    forgetting: float = 1.0
    batch_size: int = 32
    epochs: int = 10
    learning_rate: float = 0.001
    schedule: str = "cosine"
    weight_decay: float = 0.0
    clip_norm: float | None = 1.0
    early_stopping: bool = False
    validation_fraction: float = 0.1
    n_iter_no_change: int = 5
    window: int = 100
    solve_readout: bool = False
    random_state: Any = None
    dtype: str = "float64"
    verbose: bool = False

    # Set by `fit`.
    network_: Any = field(init=False)
    history_: History = field(init=False)
    n_iter_: int = field(init=False)
    unfrozen_: bool = field(init=False)
    ridge_: float = field(init=False)
    ridge_errors_: dict[float, float] = field(init=False)

    @property
    def _pooling(self) -> str | None:
        """How states become one vector for each sequence; None if there is an output at each step."""
        return None

    # ---- what a model defines

    @abstractmethod
    def _learn(self, X: Any, y: Any, **known: Any) -> tuple[int, int, int]:
        """Check the training data; set the learned attributes; return D, the outputs fed back, and O.

        `known` is what a first ``partial_fit`` says of later calls.

        Called on a blank copy of the model: nothing is lost if it raises.
        """

    # ---- what users call

    def fit(self, X: Any, y: Any = None) -> Self:
        """Make the reservoirs and fit the readout.

        Parameters
        ----------
        X, y
            The data; see the class.

        Returns
        -------
        self
            If an error is raised, the model is as it was before.

        Raises
        ------
        ValueError, TypeError
            If a setting is wrong, the data are, a sequence is not longer than the washout, or a ridge of 0
            leaves the readout undetermined.
        """
        fresh = self._blank()
        fresh._begin(X, y)
        fresh._add(fresh._data(X, y), choose=True)
        self._adopt(fresh)
        return self

    # ---- the closed form

    def _fit_part(self, X: Any, y: Any, *, carry: bool = False, **known: Any) -> Self:
        """Do what ``partial_fit`` does; the first time `_learn` gets what is known of later calls."""
        carry = as_flag("carry", carry)
        if self.__sklearn_is_fitted__() and self.unfrozen_:
            if carry:
                raise ValueError("carry: expected False after unfreeze, got True")
            one = OneProcess()
            return self._train(X, y, None, one, epochs=1, schedule="constant", early_stopping=False)
        check_one_pass(ReadoutSettings.of(self))
        if self.__sklearn_is_fitted__():
            further = copy.copy(self)
            further._accumulator = copy.deepcopy(self._accumulator)
            further.history_ = {name: list(values) for name, values in self.history_.items()}
            further._add(further._data(X, y), carry=carry)
            self.__dict__.update(further.__dict__)
            return self
        if carry:
            raise ValueError(
                "carry: expected False in the first call, which has nothing to go on from, got True"
            )
        fresh = self._blank()
        fresh._begin(X, y, **known)
        fresh._add(fresh._data(X, y))
        self._adopt(fresh)
        return self

    def _begin(self, X: Any, y: Any, **known: Any) -> None:
        """Check the settings, learn the shapes of the data and make the network."""
        self._settings()
        rng = self._generator()
        self._inputs, self._feedback, self._outputs = self._learn(X, y, **known)
        settings = ReservoirSettings.of(self)
        groups = make_groups(settings, self._inputs, self._feedback, rng)
        self.network_ = self._network(settings, groups, rng)
        self._washout = self.washout
        self._noise_seed = int(rng.integers(2**63))
        self._accumulator = ReadoutSettings.of(self).accumulator(self.network_.width, self._outputs)
        self._carried: Carried | None = None
        self._optimizer: Any = None
        self.history_, self.n_iter_, self.unfrozen_ = {"loss": []}, 0, False

    def _add(self, data: Data, *, carry: bool = False, choose: bool = False) -> None:
        """Accumulate data and set the readout; nothing that existed before changes if it raises."""
        settings, carried = ReadoutSettings.of(self), self._carried if carry else None
        if carry and (carried is None or len(carried.steps) != len(data.inputs)):
            before = 0 if carried is None else len(carried.steps)
            raise ValueError(f"carry: expected {before} series, as in the last call, got {len(data.inputs)}")
        if not carry:
            self._check_washout(data)
        here, sums = self._pass(data, carried), self._accumulator
        assert sums is not None
        rows, error = accumulate(sums, here.blocks())
        learned = solve(settings, sums, self._pass(data, carried) if choose else here)
        loss = error / max(rows, 1)
        if not isinstance(sums, RecursiveLeastSquares):
            loss = sums.training_error(learned.readout)
        self._carried = self._end(data, carried, here)
        self.ridge_, self.ridge_errors_ = learned.ridge, learned.errors
        self.history_["loss"].append(loss)
        self.n_iter_ += 1
        self.network_.set_readout(*learned.readout)

    def _pass(self, data: Data, carried: Carried | None = None) -> Pass:
        noisy = None
        if self.noise:
            rng = np.random.default_rng([self._noise_seed, self.n_iter_])
            noisy = NoisyReservoirs(self.network_, self.noise, rng)
        inputs = data.inputs
        if carried is not None and self._feedback:  # the first step reads the last output before it
            inputs = [one.copy() for one in inputs]
            for one, last in zip(inputs, carried.outputs, strict=True):
                one[0, self._inputs :] = last
        return Pass(
            self.network_, inputs, data.targets, washout=self._washout, batch_size=self.batch_size,
            noisy=noisy, carried=carried,
        )  # fmt: skip

    def _end(self, data: Data, carried: Carried | None, here: Pass) -> Carried | None:
        """Return where series stopped, if they ran as one batch."""
        if here.finals is None or self._pooling is not None:
            return None
        steps = np.array([len(one) for one in data.inputs]) + (0 if carried is None else carried.steps)
        return Carried(here.finals, steps.astype(np.int64), np.stack([one[-1] for one in data.targets]))

    # ---- settings

    def _settings(self) -> FitSettings:
        ReservoirSettings.of(self)
        ReadoutSettings.of(self)
        as_number("noise", self.noise, least=0.0)
        as_size("washout", self.washout, least=0)
        as_size("window", self.window)
        as_flag("input_to_readout", self.input_to_readout)
        as_flag("solve_readout", self.solve_readout)
        return self._training_settings()
