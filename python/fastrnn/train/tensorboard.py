"""Training curves for TensorBoard."""

from __future__ import annotations

import importlib
import os
import secrets
from typing import Any

from fastrnn.train.diagnosis import Diagnosis
from fastrnn.train.records import Record

__all__ = ["TensorBoardLog"]

_TAGS = {
    "loss": "train/loss",
    "gradient_norm": "train/gradient_norm",
    "learning_rate": "train/learning_rate",
    "tokens_per_second": "train/tokens_per_second",
    "epoch": "train/epoch",
    "valid_loss": "validation/loss",
}


class TensorBoardLog:
    """Write records as curves that ``tensorboard --logdir FOLDER`` shows.

    Needs the package tensorboardX, which depends on neither TensorFlow nor PyTorch and writes from its own
    thread.

    Parameters
    ----------
    folder : path
        Created if missing; each log is a separate file in it.
    resumed_at : int, optional
        Steps taken before training was resumed: TensorBoard then hides later steps of an earlier log in the
        folder.

    Raises
    ------
    ImportError
        If tensorboardX is not installed.

    Examples
    --------
    >>> import fastrnn as fr
    >>> from fastrnn.train.tensorboard import TensorBoardLog
    >>> model = fr.LanguageModel(3, hidden_size=8, num_layers=1, seed=0)
    >>> data = fr.ChunkedText([0, 1, 2] * 50, batch_size=2, seq_length=10)
    >>> with TensorBoardLog("runs/first") as log:  # doctest: +SKIP
    ...     for record in fr.train.train(model, data, 100):
    ...         log.write(record)
    """

    def __init__(self, folder: str | os.PathLike[str], *, resumed_at: int | None = None) -> None:
        try:
            library = importlib.import_module("tensorboardX")
        except ImportError as error:
            raise ImportError(
                'TensorBoardLog: needs tensorboardX; install it with pip install "fastrnn[tensorboard]"'
            ) from error
        purge = None if resumed_at is None else resumed_at + 1
        # A name of its own, as another log of the same second would be overwritten; what a kill loses is a
        # second of the curves.
        suffix = f".{secrets.token_hex(4)}"
        self._folder = os.fspath(folder)
        self._writer: Any = library.SummaryWriter(
            self._folder, purge_step=purge, filename_suffix=suffix, flush_secs=1
        )

    def __repr__(self) -> str:
        return f"<TensorBoardLog in {self._folder}>"

    def write(self, record: Record) -> None:
        """Add a record to the curves, at its step.

        Parameters
        ----------
        record : Record
        """
        for name, tag in _TAGS.items():
            value = getattr(record, name)
            if value is not None:
                self._writer.add_scalar(tag, value, record.step)
        for tag, value in ({} if record.diagnosis is None else _curves(record.diagnosis)).items():
            self._writer.add_scalar(tag, value, record.step)
        for warning in record.warnings:
            self._writer.add_text(f"warnings/{warning.about}", str(warning), record.step)

    def close(self) -> None:
        """Flush and close the log. Closing it again does nothing."""
        self._writer.close()

    def __enter__(self) -> TensorBoardLog:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _curves(diagnosis: Diagnosis) -> dict[str, float]:
    """Return the numbers of a diagnosis by the names of their curves."""
    return {
        **{f"update_ratio/{name}": ratio for name, ratio in diagnosis.update_ratios.items()},
        **{f"gradient_horizon/{name}": horizon for name, horizon in diagnosis.horizons.items()},
        **{
            f"saturation/{layer}.{gate}": fraction
            for layer, gates in diagnosis.saturation.items()
            for gate, fraction in gates.items()
        },
        "gradients/horizon": diagnosis.horizon,
        "gradients/growth": diagnosis.growth,
    }
