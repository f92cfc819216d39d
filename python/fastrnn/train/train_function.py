"""The function `train`: training in one call."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from fastrnn.train.optimizer import Optimizer
from fastrnn.train.records import Record, Validation
from fastrnn.train.trainer import Trainer

if TYPE_CHECKING:
    from fastrnn.data.batching import TrainingData
    from fastrnn.language import LanguageModel

__all__ = ["train"]


def train(
    model: LanguageModel,
    data: TrainingData,
    steps: int,
    optimizer: Optimizer | None = None,
    *,
    clip_norm: float | None = 5.0,
    validation: Validation | None = None,
    diagnose_every: int | None = None,
) -> Iterator[Record]:
    """Train a model and yield a record of each step. `Trainer` has more options and can be resumed.

    Parameters
    ----------
    model : LanguageModel
        Its parameters are updated in place.
    data : ChunkedText or SentenceBatches
        The training data.
    steps : int
    optimizer : Optimizer, optional
        Default: ``Adam(model, 2e-3)``.
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
        model, data, optimizer, clip_norm=clip_norm, validation=validation, diagnose_every=diagnose_every
    )
    yield from trainer.run(steps)
