"""What ``fastrnn train`` can be told: one field an option, kept in the checkpoint for ``--resume``."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, TypeVar

import click

__all__ = ["DEFAULT_STEPS", "Settings", "given_settings", "settings_options"]

DEFAULT_STEPS = 2000
# What a training that goes on may not change: it is part of the model, of the text's layout or of the
# optimizer's memory.
_FIXED = (
    "cell hidden_size num_layers embedding_size dropout batch_size seq_length valid_fraction optimizer seed"
).split()

_Command = TypeVar("_Command", bound=Callable[..., Any])


@dataclass(frozen=True)
class Settings:
    """The options of ``fastrnn train``, with their defaults; see its ``--help`` for what each means."""

    files: tuple[str, ...] = ()
    valid: str | None = None
    valid_fraction: float = 0.1
    cell: str = "lstm"
    hidden_size: int = 256
    num_layers: int = 2
    embedding_size: int | None = None
    dropout: float = 0.0
    batch_size: int = 16
    seq_length: int = 64
    steps: int | None = None
    epochs: float | None = None
    optimizer: str = "adam"
    learning_rate: float = 3e-3
    weight_decay: float = 0.0
    clip: float = 5.0
    clip_value: float | None = None
    schedule: str = "constant"
    warmup: int = 0
    decay_every: int | None = None
    decay_factor: float = 0.5
    min_learning_rate: float = 0.0
    eval_every: int = 250
    patience: int | None = None
    sample_every: int = 500
    seed: int = 0

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Settings:
        """Read the settings back from a checkpoint.

        Raises
        ------
        ValueError
            If it holds a setting that this version does not know.
        """
        known = {field.name for field in fields(cls)}
        if not known.issuperset(value):
            raise ValueError(f"settings: unknown {', '.join(sorted(set(value) - known))}")
        return cls(**{**value, "files": tuple(value.get("files", ()))})

    def to_json(self) -> dict[str, Any]:
        """Give plain values, ready for JSON."""
        return asdict(self)

    def changed(self, given: Mapping[str, Any]) -> Settings:
        """Put what a resumed training was told anew over its old settings.

        Raises
        ------
        ValueError
            If one of them cannot change in the middle of a training.
        """
        for name in _FIXED:
            if name in given and given[name] != getattr(self, name):
                option = "--" + name.replace("_", "-")
                raise ValueError(
                    f"{option}: is {getattr(self, name)} in this training and cannot change to {given[name]}"
                )
        if "steps" in given or "epochs" in given:
            given = {"steps": None, "epochs": None, **given}
        return replace(self, **given)

    def total_steps(self, steps_per_epoch: int) -> int:
        """Steps of the whole training."""
        if self.epochs is not None:
            return max(1, round(self.epochs * steps_per_epoch))
        return DEFAULT_STEPS if self.steps is None else self.steps


def _option(name: str, type_: Any, text: str, *, absent: str | None = None) -> Callable[[_Command], _Command]:
    """Make the option of a field; `absent` says what happens where the field's default is None."""
    default = getattr(Settings, name.removeprefix("--").replace("-", "_"))
    metavar = _METAVARS.get(type(type_))
    return click.option(
        name, type=type_, default=default, show_default=absent or True, help=text, metavar=metavar
    )


_METAVARS: dict[type, str] = {click.IntRange: "N", click.FloatRange: "X"}
_COUNT, _SIZE = click.IntRange(min=0), click.IntRange(min=1)
_NUMBER, _RATE = click.FloatRange(min=0.0), click.FloatRange(min=0.0, min_open=True)
_PART = click.FloatRange(min=0.0, max=1.0, max_open=True)
_FACTOR = click.FloatRange(min=0.0, max=1.0, min_open=True)
_FILE = click.Path(exists=True, dir_okay=False)

_OPTIONS = [
    _option("--valid", _FILE, "Text to validate on.", absent="the end of the training text"),
    _option(
        "--valid-fraction", _PART, "Part of the text, at its end, to validate on where --valid is not given."
    ),
    _option("--cell", click.Choice(["rnn", "gru", "lstm"]), "Recurrent cell."),
    _option("--hidden-size", _SIZE, "Units of a layer."),
    _option("--num-layers", _SIZE, "Recurrent layers, one on the other."),
    _option(
        "--embedding-size", _SIZE, "Width of a symbol's vector.", absent="symbols go straight into the cell"
    ),
    _option("--dropout", _PART, "Part of the values between layers that is dropped in training."),
    _option("--batch-size", _SIZE, "Streams that the text is read in, side by side."),
    _option("--seq-length", _SIZE, "Steps that the gradient goes back through."),
    _option("--steps", _SIZE, "Steps of the whole training.", absent=str(DEFAULT_STEPS)),
    _option("--epochs", _RATE, "Passes through the text, instead of --steps."),
    _option("--optimizer", click.Choice(["sgd", "rmsprop", "adam", "adamw"]), "SGD is with momentum 0.9."),
    _option("--learning-rate", _RATE, "Highest learning rate; for SGD try 0.5."),
    _option("--weight-decay", _NUMBER, "L2 penalty; for AdamW the decay apart from the gradient."),
    _option("--clip", _NUMBER, "Bound on the global norm of the gradient; 0 for none."),
    _option("--clip-value", _RATE, "Bound on every single gradient.", absent="none"),
    _option(
        "--schedule",
        click.Choice(["constant", "step", "cosine", "plateau"]),
        "Learning rate: constant; lowered every --decay-every steps; along a cosine to --min-learning-rate "
        "at the last step; or lowered when an evaluation shows no new lowest loss.",
    ),
    _option("--warmup", _COUNT, "Steps over which the learning rate rises to its full value."),
    _option("--decay-every", _SIZE, "Steps between two decays of --schedule step.", absent="one epoch"),
    _option("--decay-factor", _FACTOR, "What --schedule step and plateau multiply the learning rate by."),
    _option("--min-learning-rate", _NUMBER, "Lowest learning rate of --schedule cosine and plateau."),
    _option("--eval-every", _SIZE, "Steps between two evaluations; each is followed by saving."),
    _option(
        "--patience",
        _SIZE,
        "Stop after so many evaluations in a row without a new lowest loss.",
        absent="never",
    ),
    _option("--sample-every", _COUNT, "Steps between two samples of a few lines; 0 for none."),
    _option("--seed", _COUNT, "Everything random depends on it."),
]


def settings_options(command: _Command) -> _Command:
    """Give a command all the options of `Settings` but the files."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def given_settings(context: click.Context, options: Iterable[str]) -> dict[str, Any]:
    """Those options that the user wrote on the command line."""
    by_user = click.core.ParameterSource.COMMANDLINE
    return {name: context.params[name] for name in options if context.get_parameter_source(name) is by_user}
