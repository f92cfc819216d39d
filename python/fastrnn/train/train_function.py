"""The function `train`: training in one call."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from fastrnn.train.example_network import Loss
from fastrnn.train.optimizer import Optimizer
from fastrnn.train.records import Record, Validation
from fastrnn.train.trainer import Trainer

if TYPE_CHECKING:
    from fastrnn.data.batching import TrainingData
    from fastrnn.layers.base.module import Module

__all__ = ["train"]


def train(
    model: Module,
    data: TrainingData,
    steps: int,
    optimizer: Optimizer | None = None,
    *,
    loss: Loss | None = None,
    clip_norm: float | None = 5.0,
    validation: Validation | None = None,
    diagnose_every: int | None = None,
) -> Iterator[Record]:
    """Train a model and yield a record of each step. `Trainer` has more options and can be resumed.

    Parameters
    ----------
    model : Module
        A language model, or with a loss another network. Its parameters are updated in place.
    data : ChunkedText, SentenceBatches or ExampleBatches
        The training data, see `Trainer`.
    steps : int
    optimizer : Optimizer, optional
        Default: ``Adam(model, 2e-3)``.
    loss : callable, optional
        Required for `ExampleBatches`: a function of `fastrnn.losses`, or one like it, see `Trainer`.
    clip_norm : float, optional
        Limit on the gradient's global norm; None for no limit.
    validation : Validation, optional
    diagnose_every : int, optional
        Steps between diagnoses, see `Trainer`.

    Yields
    ------
    record : Record

    Raises
    ------
    TrainingDiverged
        If the loss or the gradient's norm is NaN or infinite.

    Examples
    --------
    >>> import fastrnn as fr
    >>> model = fr.LanguageModel(3, hidden_size=8, num_layers=1, seed=0)
    >>> data = fr.ChunkedText([0, 1, 2] * 50, batch_size=2, seq_length=10)
    >>> [record.step for record in train(model, data, 3)]
    [1, 2, 3]
    """
    trainer = Trainer(
        model,
        data,
        optimizer,
        loss=loss,
        clip_norm=clip_norm,
        validation=validation,
        diagnose_every=diagnose_every,
    )
    yield from trainer.run(steps)
