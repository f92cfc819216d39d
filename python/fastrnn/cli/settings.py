"""What ``fastrnn train`` can be told: one field an option, kept in the checkpoint for ``--resume``."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, TypeVar

import click

from fastrnn.layers.recurrent.options import CELLS

__all__ = ["DEFAULT_STEPS", "Settings", "given_settings", "settings_options"]

DEFAULT_STEPS = 2000
# What a training that goes on may not change: it is part of the model, of the text's layout or of the
# optimizer's memory.
_FIXED = (
    "level max_types min_count tokenizer sentences length_model max_length cell hidden_size num_layers "
    "embedding_size dropout tied locked_dropout embedding_dropout weight_drop layer_norm cutoffs batch_size "
    "seq_length backward_length accumulate average valid_fraction optimizer momentum seed"
).split()

_Command = TypeVar("_Command", bound=Callable[..., Any])


@dataclass(frozen=True)
class Settings:
    """The options of ``fastrnn train``, with their defaults; see its ``--help`` for what each means.

    Raises
    ------
    ValueError
        If an option is given that another one leaves without a meaning.
    """

    files: tuple[str, ...] = ()
    valid: str | None = None
    valid_fraction: float = 0.1
    level: str = "char"
    max_types: int | None = None
    min_count: int = 1
    tokenizer: str | None = None
    sentences: bool = False
    length_model: str = "eos"
    max_length: int = 200
    cell: str = "lstm"
    hidden_size: int = 256
    num_layers: int = 2
    embedding_size: int | None = None
    dropout: float = 0.0
    tied: bool = False
    locked_dropout: bool = False
    embedding_dropout: float = 0.0
    weight_drop: float = 0.0
    layer_norm: bool = False
    cutoffs: tuple[int, ...] = ()
    batch_size: int = 16
    seq_length: int = 64
    backward_length: int | None = None
    accumulate: int = 1
    steps: int | None = None
    epochs: float | None = None
    optimizer: str = "adam"
    momentum: float = 0.9
    learning_rate: float = 3e-3
    weight_decay: float = 0.0
    label_smoothing: float = 0.0
    average: str = "none"
    average_decay: float = 0.999
    clip: float = 5.0
    clip_value: float | None = None
    schedule: str = "constant"
    warmup: int = 0
    decay_every: int | None = None
    decay_factor: float = 0.5
    decay_start: int = 0
    min_learning_rate: float = 0.0
    eval_every: int = 250
    patience: int | None = None
    sample_every: int = 500
    tensorboard: str | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        if self.length_model != "eos" and not self.sentences:
            raise ValueError(f"--length-model {self.length_model}: expected --sentences beside it")
        if self.backward_length is not None and self.sentences:
            raise ValueError("--backward-length: expected no --sentences beside it, which are read whole")
        if self.tokenizer is not None and self.level == "char":
            raise ValueError("--tokenizer: expected --level word beside it")

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
        lists = {name: tuple(value.get(name, ())) for name in ("files", "cutoffs")}
        return cls(**{**value, **lists})

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

    @property
    def ends_by_symbol(self) -> bool:
        """Whether a symbol ends each line of words, or each sentence."""
        return self.length_model == "eos" if self.sentences else self.level == "word"

    @property
    def width_of_embedding(self) -> int | None:
        """What was asked for; words, and whatever needs vectors, have as many numbers as a layer."""
        if self.embedding_size is not None:
            return self.embedding_size
        counted_down = self.sentences and self.length_model == "tau"
        wanted = self.level == "word" or self.tied or self.embedding_dropout or counted_down
        return self.hidden_size if wanted else None

    def total_steps(self, steps_per_epoch: float) -> int:
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


def _flag(name: str, text: str) -> Callable[[_Command], _Command]:
    return click.option(name, is_flag=True, help=text)


def _cutoffs(context: click.Context, parameter: click.Parameter, value: str | None) -> tuple[int, ...]:
    """Read numbers with commas between them."""
    try:
        return tuple(int(part) for part in value.split(",")) if value else ()
    except ValueError:
        raise click.BadParameter(f"expected numbers with commas between them, got {value!r}") from None


_CELLS = [cell.name for cell in CELLS.values() if cell.in_stacks]
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
    _option("--level", click.Choice(["char", "word"]), "What a symbol is."),
    _option(
        "--max-types", _SIZE, "Keep that many of the most frequent symbols; others are <unk>.", absent="all"
    ),
    _option("--min-count", _SIZE, "Keep symbols that come so often; others are <unk>."),
    _option(
        "--tokenizer",
        click.Choice(["words", "whitespace"]),
        "How text becomes words: words and marks apart, or what white space separates.",
        absent="words",
    ),
    _flag("--sentences", "Each line is a text of its own, instead of all one stream."),
    _option(
        "--length-model",
        click.Choice(["eos", "halt", "tau"]),
        "How a sentence ends: by a symbol, by an output that halts, or by a length predicted first.",
    ),
    _option("--max-length", _SIZE, "Longest length that --length-model tau predicts."),
    _option("--cell", click.Choice(_CELLS), "Recurrent cell."),
    _option("--hidden-size", _SIZE, "Units of a layer."),
    _option("--num-layers", _SIZE, "Recurrent layers, one on the other."),
    _option(
        "--embedding-size",
        _SIZE,
        "Width of a symbol's vector.",
        absent="words: --hidden-size; characters go straight into the cell",
    ),
    _option("--dropout", _PART, "Part of the values between layers that is dropped in training."),
    _flag("--tied", "The output's weight is the embedding's."),
    _flag("--locked-dropout", "Drop the same values at every step of a pass."),
    _option("--embedding-dropout", _PART, "Part of the words that is dropped wherever they stand in a pass."),
    _option("--weight-drop", _PART, "Part of the recurrent weights that is dropped for a pass."),
    _flag("--layer-norm", "Normalise within the cell."),
    click.option(
        "--cutoffs",
        callback=_cutoffs,
        metavar="N,N,...",
        help="Adaptive softmax: ranks of frequency where its clusters begin.  [default: an exact softmax]",
    ),
    _option("--batch-size", _SIZE, "Streams or sentences side by side."),
    _option("--seq-length", _SIZE, "Steps of a stream between two steps of training."),
    _option("--backward-length", _SIZE, "Steps that the gradient goes back through.", absent="--seq-length"),
    _option("--accumulate", _SIZE, "Batches of one step of training."),
    _option("--steps", _SIZE, "Steps of the whole training.", absent=str(DEFAULT_STEPS)),
    _option("--epochs", _RATE, "Passes through the text, instead of --steps."),
    _option("--optimizer", click.Choice(["sgd", "rmsprop", "adam", "adamw"]), "What moves the parameters."),
    _option("--momentum", _PART, "Of SGD."),
    _option("--learning-rate", _RATE, "Highest learning rate; for SGD try 0.5."),
    _option("--weight-decay", _NUMBER, "L2 penalty; for AdamW the decay apart from the gradient."),
    _option("--label-smoothing", _PART, "Part of each target's probability that is spread over all symbols."),
    _option(
        "--average",
        click.Choice(["none", "ema", "asgd"]),
        "Evaluate an average of the parameters, and keep it as the best model: exponential, or NT-ASGD's.",
    ),
    _option("--average-decay", _PART, "Of --average ema, for each step."),
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
    _option("--decay-start", _COUNT, "Steps before --schedule step begins to count."),
    _option("--min-learning-rate", _NUMBER, "Lowest learning rate of --schedule cosine and plateau."),
    _option("--eval-every", _SIZE, "Steps between two evaluations; each is followed by saving."),
    _option(
        "--patience",
        _SIZE,
        "Stop after so many evaluations in a row without a new lowest loss.",
        absent="never",
    ),
    _option("--sample-every", _COUNT, "Steps between two samples of a few lines; 0 for none."),
    click.option(
        "--tensorboard",
        type=click.Path(file_okay=False),
        help="Folder for TensorBoard's event files.  [default: none]",
    ),
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
