"""Training a fitted echo state model on: all weights, by backpropagation through time."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fastrnn._arrays import Array
from fastrnn._checks import as_flag
from fastrnn.models.base.examples import Examples
from fastrnn.models.base.fitted_model import validation_examples
from fastrnn.models.base.fitting import fit_network, mean_loss, new_optimizer
from fastrnn.models.base.same_data import check_same
from fastrnn.models.reservoir.passes import Pass
from fastrnn.models.reservoir.saved_reservoir import SavedReservoir
from fastrnn.models.reservoir.settling import SettledReadout
from fastrnn.models.reservoir.windows import Windows, whole_sequences
from fastrnn.train.distributed.agreement import as_ranks

if TYPE_CHECKING:
    from typing_extensions import Self

    from fastrnn.train.distributed import Ranks

__all__ = ["Data", "TrainableReservoir"]


class Data(NamedTuple):
    """Encoded sequences and their targets.

    Attributes
    ----------
    inputs : list of ndarray, float [T, D] or int64 [T]
        What the network reads, fed-back outputs included.
    targets : list of ndarray, float64 [T, O] or [O]
    name : str
        What messages call the sequences; "" if there is one series.
    """

    inputs: list[Array]
    targets: list[NDArray[np.float64]]
    name: str


class TrainableReservoir(SavedReservoir):
    """A fitted model of reservoirs that can be unfrozen and trained on."""

    _washout: int
    window: int
    solve_readout: bool
    batch_size: int
    validation_fraction: float

    @abstractmethod
    def _data(self, X: Any, y: Any) -> Data:
        """Encode data for training."""

    def unfreeze(self) -> Self:
        """Make the reservoirs trainable: `fit_further` and `partial_fit` then train all weights by gradient.

        Predictions stay as they are; those of a sparse reservoir to rounding, as its kernels are the dense
        ones from now on. Recurrent weights that are 0 stay 0. What the closed form has
        accumulated is dropped, as its states are about to change.

        Returns
        -------
        self

        Raises
        ------
        NotFittedError
            If the model is not fitted.
        """
        self._check_fitted("unfreeze")
        network = self.network_.to_dense()
        network.unfreeze()
        network.freeze("*.bias_hh_l0")  # bias_ih is enough
        self.network_, self.unfrozen_, self._accumulator, self._carried = network, True, None, None
        return self

    def fit_further(
        self,
        X: Any,
        y: Any = None,
        *,
        validation: tuple[Any, Any] | None = None,
        ranks: Ranks | None = None,
    ) -> Self:
        """Train the unfrozen network on by backpropagation through time, for `epochs` passes.

        The loss is the mean squared error, as of the ridge regression. Series are cut into windows of
        `window` steps, each starting in the state in which the network reaches it; outputs that are fed back
        are the true ones. Sequences with one target each are not cut. With `solve_readout` gradients move the
        reservoirs alone.

        Parameters
        ----------
        X, y
            As for `fit`.
        validation : (X, y), optional
            Measured after each epoch; with `early_stopping` it decides when to stop.
        ranks : Ranks, optional
            What `fastrnn.train.distributed.start` returned: the processes that share the gradients, each with
            the same fitted model and data. The closed form is solved by each of them.

        Returns
        -------
        self

        Raises
        ------
        NotFittedError, ValueError, TypeError
            Also if the model is not unfrozen.
        TrainingDiverged
            If a loss is not finite; the weights are those before the call.
        """
        ranks = as_ranks(ranks)
        self._check_fitted("fit_further")
        if not self.unfrozen_:
            raise ValueError("fit_further: expected an unfrozen model; call unfreeze() first")
        own: Any = self  # a dataclass
        settings = {name: value for name, value in own.get_params().items() if name != "verbose"}
        check_same(ranks, {"X": X, "y": y, "validation": validation, **settings})
        check_same(ranks, {"parameters": self.network_.parameters.flat})
        solve = as_flag("solve_readout", self.solve_readout)
        return self._train(X, y, validation, ranks, solve=solve)

    def _train(
        self, X: Any, y: Any, validation: Any, ranks: Ranks, *, solve: bool = False, **changes: Any
    ) -> Self:
        """Train the unfrozen network; it is as before if that fails. `solve`: the readout in closed form."""
        settings, data = replace(self._settings(), **changes), self._data(X, y)
        if solve and settings.early_stopping and validation is None:
            raise ValueError(
                "validation: expected a pair (X, y) with early_stopping and solve_readout, as the readout is "
                "solved on all of X, got None"
            )
        network = self.network_
        settle = SettledReadout(network, partial(self._plain_pass, data), self.ridge_) if solve else None
        training, held_out = self._examples(data, settle), None
        if validation is not None:
            held_out = validation_examples(
                validation, lambda X, y: self._examples(self._data(X, y), settle, follow=True)
            )
        elif settings.early_stopping:
            training, held_out = self._split(training)
        before, frozen = network.parameters.flat.copy(), network.frozen
        network.keep_pattern()
        if solve:
            network.freeze("readout")
        optimizer = self._optimizer
        if optimizer is None or changes == {}:
            optimizer = new_optimizer(network, settings)
        try:
            history = fit_network(
                network, training, held_out, settings,
                score=self._score_examples, optimizer=optimizer, ranks=ranks,
            )  # fmt: skip
            if settle is not None:
                settle()
        except BaseException:
            network.parameters._writable_flat()[...] = before
            raise
        finally:
            network.before_epoch = None
            network.unfreeze()
            network.freeze(*frozen)
        self._optimizer = None if solve else optimizer
        for name, values in history.items():
            self.history_.setdefault(name, []).extend(values)
        self.n_iter_ = len(self.history_["loss"])
        return self

    def _examples(
        self, data: Data, settle: SettledReadout | None = None, *, follow: bool = False
    ) -> Examples:
        self._check_washout(data)
        network = self.network_
        if self._pooling is not None:
            if not follow:
                network.before_epoch = settle
            own = settle if follow else None
            return whole_sequences(network, data.inputs, data.targets, self._washout, own)
        windows = Windows(
            network, data.inputs, data.targets, washout=self._washout, window=self.window,
            batch_size=self.batch_size, follow=follow, settle=settle,
        )  # fmt: skip
        if not follow:
            network.before_epoch = windows.refresh
        return windows.examples()

    def _plain_pass(self, data: Data) -> Pass:
        return Pass(
            self.network_, data.inputs, data.targets, washout=self._washout, batch_size=self.batch_size
        )

    def _split(self, training: Examples) -> tuple[Examples, Examples]:
        """Hold out the last windows or sequences."""
        count = max(round(self.validation_fraction * len(training)), 1)
        if count >= len(training):
            raise ValueError(
                f"X: expected at least 2 sequences, or windows of {self.window} steps, to hold out one, got "
                f"{len(training)}; pass validation=(X, y), or set early_stopping=False"
            )
        rows = np.arange(len(training))
        return training.subset(rows[:-count]), training.subset(rows[-count:])

    def _score_examples(self, examples: Examples, ranks: Ranks) -> float:
        return -mean_loss(self.network_, examples, self.batch_size, ranks)

    def _check_washout(self, data: Data) -> None:
        for row, one in enumerate(data.inputs):
            if len(one) <= self._washout:
                name = f"{data.name}[{row}]" if data.name else "X"
                raise ValueError(
                    f"{name}: expected more than {self._washout} steps, the washout, got {len(one)}; lower "
                    "washout" + (", or leave it out" if data.name else "")
                )
