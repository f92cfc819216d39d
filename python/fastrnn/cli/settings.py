"""The options of ``fastrnn train``: one field per option, saved in the checkpoint for ``--resume``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields, replace
from functools import cache, partial
from typing import Any, TypeVar

import click

from fastrnn._checks import as_choice, as_flag, as_number, as_size
from fastrnn._plain import MOST_STEPS, Check, as_fields, as_list, as_text, as_texts, optional
from fastrnn.cli.numbers import FiniteRange
from fastrnn.cli.precision import TrainedPrecision
from fastrnn.cli.ranks_options import ranks_options
from fastrnn.data.reading import as_encoding
from fastrnn.layers.recurrent.options import CELLS

__all__ = [
    "DEFAULT_STEPS",
    "TEXT_FILE",
    "TrainingSettings",
    "encoding_option",
    "settings_options",
]

DEFAULT_STEPS = 2000
# Settings that a resumed training cannot change: they determine the model, the layout of the text or the
# optimizer's state.
_FIXED = (
    "level max_types min_count tokenizer sentences length_model max_length cell hidden_size num_layers "
    "embedding_size dropout tied locked_dropout embedding_dropout weight_drop layer_norm cutoffs batch_size "
    "seq_length backward_length accumulate average valid_fraction optimizer momentum seed longest_line "
    "precision shards"
).split()

_Command = TypeVar("_Command", bound=Callable[..., Any])


@dataclass(frozen=True)
class TrainingSettings:
    """The options of ``fastrnn train`` with their defaults; its ``--help`` explains each.

    Raises
    ------
    ValueError
        If an option contradicts another, or has no effect without it.
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
    precision: str = "float32"
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
    diagnose_every: int | None = None
    tensorboard: str | None = None
    seed: int = 0
    encoding: str = "utf-8"
    longest_line: int | None = None
    shards: int | None = None
    reduction: str = "ordered"
    wire: str = "float32"
    # Not an option: how validation sentences are taken from the text, "end" in files of older versions.
    held_out: str = "drawn"

    def __post_init__(self) -> None:
        if self.length_model != "eos" and not self.sentences:
            raise ValueError(f"--length-model {self.length_model}: expected --sentences with it")
        if self.backward_length is not None and self.sentences:
            raise ValueError("--backward-length: expected no --sentences with it; sentences are read whole")
        if self.longest_line is not None and not self.sentences:
            raise ValueError("--longest-line: expected --sentences with it")
        if self.tokenizer is not None and self.level == "char":
            raise ValueError("--tokenizer: expected --level word with it")

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> TrainingSettings:
        """Return the settings that a checkpoint holds.

        Raises
        ------
        ValueError
            If a setting is unknown to this version, contradicts another or is out of range.
        TypeError
            If one has a wrong type.
        """
        given = as_fields("settings", value, {}, _schema())
        lists = {name: tuple(given.get(name) or ()) for name in ("files", "cutoffs")}
        return cls(**{"held_out": "end", "shards": 1, **given, **lists})

    def to_json(self) -> dict[str, Any]:
        """Return values that JSON can hold."""
        return asdict(self)

    def to_options(self) -> dict[str, Any]:
        """Return the options that are not None by their names on the command line, for ``--config``."""
        plain = {name: value for name, value in self.to_json().items() if name != "held_out"}
        plain["shards"] = plain["shards"] if plain["shards"] != 1 else None  # as many as processes
        return {name.replace("_", "-"): value for name, value in plain.items() if value not in (None, ())}

    def changed(self, given: Mapping[str, Any]) -> TrainingSettings:
        """Return the settings of a resumed training, with the given ones replaced.

        Raises
        ------
        ValueError
            If a given setting cannot change during a training.
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
    def has_end_symbol(self) -> bool:
        """Whether a symbol ends each line of words, or each sentence."""
        return self.length_model == "eos" if self.sentences else self.level == "word"

    @property
    def diagnosis_steps(self) -> int | None:
        """Steps between diagnoses; None for none."""
        return self.eval_every if self.diagnose_every is None else self.diagnose_every or None

    @property
    def embedding_width(self) -> int | None:
        """Width of the embedding: as given, or that of a layer if an embedding is needed; else None."""
        if self.embedding_size is not None:
            return self.embedding_size
        has_length_input = self.sentences and self.length_model == "tau"
        needed = self.level == "word" or self.tied or self.embedding_dropout or has_length_input
        return self.hidden_size if needed else None

    def total_steps(self, steps_per_epoch: float) -> int:
        """Return the number of steps of the whole training."""
        if self.epochs is not None:
            return max(1, round(self.epochs * steps_per_epoch))
        return DEFAULT_STEPS if self.steps is None else self.steps


def _option(name: str, type_: Any, text: str, *, absent: str | None = None) -> Callable[[_Command], _Command]:
    """Return the option of a field; `absent` describes the default if the field's default is None."""
    default = getattr(TrainingSettings, name.removeprefix("--").replace("-", "_"))
    metavar = _METAVARS.get(type(type_))
    return click.option(
        name, type=type_, default=default, show_default=absent or True, help=text, metavar=metavar
    )


def _flag(name: str, text: str) -> Callable[[_Command], _Command]:
    return click.option(name, is_flag=True, help=text)


def _cutoffs(context: click.Context, parameter: click.Parameter, value: str | None) -> tuple[int, ...]:
    """Parse integers separated by commas."""
    try:
        return tuple(int(part) for part in value.split(",")) if value else ()
    except ValueError:
        raise click.BadParameter(f"expected integers separated by commas, got {value!r}") from None


def _encoding(context: click.Context, parameter: click.Parameter, value: str) -> str:
    """Check the name of an encoding."""
    try:
        return as_encoding("encoding", value)
    except ValueError as error:
        raise click.BadParameter(str(error).removeprefix("encoding: ")) from None


encoding_option = click.option(
    "--encoding",
    default="utf-8",
    show_default=True,
    metavar="NAME",
    callback=_encoding,
    help="Encoding of the texts, such as latin-1, cp1252 or utf-16.",
)

_CELLS = [cell.name for cell in CELLS.values() if cell.by_name]
_METAVARS: dict[type, str] = {click.IntRange: "N", FiniteRange: "X"}
_COUNT, _SIZE = click.IntRange(min=0), click.IntRange(min=1)
_NUMBER, _RATE = FiniteRange(min=0.0), FiniteRange(min=0.0, min_open=True)
_FRACTION = FiniteRange(min=0.0, max=1.0, max_open=True)
_FACTOR = FiniteRange(min=0.0, max=1.0, min_open=True)
#: A text: a file, or - for standard input.
TEXT_FILE = click.Path(exists=True, dir_okay=False, allow_dash=True)

_OPTIONS = [
    _option("--valid", TEXT_FILE, "Validation text.", absent="the end of the training text"),
    _option(
        "--valid-fraction",
        _FRACTION,
        "Fraction of the text, at its end, to validate on without --valid; with --sentences, of its lines, "
        "drawn with --seed.",
    ),
    _option("--level", click.Choice(["char", "word"]), "Symbols are characters or words."),
    _option("--max-types", _SIZE, "Keep the N most frequent symbols; others become <unk>.", absent="all"),
    _option("--min-count", _SIZE, "Keep symbols that occur at least N times; others become <unk>."),
    _option(
        "--tokenizer",
        click.Choice(["words", "whitespace"]),
        "How to split text: into words and punctuation, or at white space.",
        absent="words",
    ),
    _flag("--sentences", "Train on each line as a separate text, not on one stream."),
    _option(
        "--length-model",
        click.Choice(["eos", "halt", "tau"]),
        "How a sentence ends: by a symbol, by a halting output, or by a length predicted first.",
    ),
    _option("--max-length", _SIZE, "Maximum length that --length-model tau predicts."),
    _option(
        "--longest-line",
        _SIZE,
        "With --sentences: leave out lines of more than N symbols, as memory grows with the longest line.",
        absent="no limit",
    ),
    _option("--cell", click.Choice(_CELLS), "Recurrent cell."),
    _option("--hidden-size", _SIZE, "Units per layer."),
    _option("--num-layers", _SIZE, "Number of recurrent layers."),
    _option(
        "--embedding-size",
        _SIZE,
        "Width of the embedding vectors.",
        absent="--hidden-size for words; none for characters",
    ),
    _option("--dropout", _FRACTION, "Fraction of the values between layers to drop in training."),
    _flag("--tied", "Share the output weight with the embedding."),
    _flag("--locked-dropout", "Drop the same values at every time step of a batch."),
    _option(
        "--embedding-dropout",
        _FRACTION,
        "Fraction of the words to drop, at all their positions in a batch.",
    ),
    _option("--weight-drop", _FRACTION, "Fraction of the recurrent weights to drop in a batch."),
    _flag("--layer-norm", "Use layer normalization in the cell."),
    click.option(
        "--cutoffs",
        callback=_cutoffs,
        metavar="N,N,...",
        help="Adaptive softmax with clusters that start at these frequency ranks.  [default: full softmax]",
    ),
    _option(
        "--precision",
        TrainedPrecision(),
        "Precision of the products; weights, sums, states and gradients stay float32.",
    ),
    _option("--batch-size", _SIZE, "Streams or sentences per batch."),
    _option("--seq-length", _SIZE, "Tokens of each stream per batch."),
    _option("--backward-length", _SIZE, "Time steps of backpropagation.", absent="--seq-length"),
    _option("--accumulate", _SIZE, "Batches per training step."),
    _option("--steps", _SIZE, "Total training steps.", absent=str(DEFAULT_STEPS)),
    _option("--epochs", _RATE, "Passes through the text, instead of --steps."),
    _option("--optimizer", click.Choice(["sgd", "rmsprop", "adam", "adamw"]), "Optimizer."),
    _option("--momentum", _FRACTION, "Momentum of SGD."),
    _option("--learning-rate", _RATE, "Highest learning rate; for SGD try 0.5."),
    _option("--weight-decay", _NUMBER, "L2 penalty; decoupled decay for AdamW."),
    _option(
        "--label-smoothing",
        _FRACTION,
        "Fraction of each target's probability to spread over all symbols.",
    ),
    _option(
        "--average",
        click.Choice(["none", "ema", "asgd"]),
        "Evaluate an average of the parameters and save it as the best model: exponential, or NT-ASGD.",
    ),
    _option("--average-decay", _FRACTION, "Decay per step of --average ema."),
    _option("--clip", _NUMBER, "Limit on the global norm of the gradient; 0 for none."),
    _option("--clip-value", _RATE, "Limit on each gradient element.", absent="none"),
    _option(
        "--schedule",
        click.Choice(["constant", "step", "cosine", "plateau"]),
        "Learning rate: constant; lowered every --decay-every steps; lowered along a cosine to "
        "--min-learning-rate at the last step; or lowered after an evaluation without a new lowest loss.",
    ),
    _option("--warmup", _COUNT, "Steps over which the learning rate rises to its full value."),
    _option("--decay-every", _SIZE, "Steps between decays of --schedule step.", absent="one epoch"),
    _option(
        "--decay-factor", _FACTOR, "Factor by which --schedule step and plateau multiply the learning rate."
    ),
    _option("--decay-start", _COUNT, "Step at which --schedule step starts to count."),
    _option("--min-learning-rate", _NUMBER, "Minimum learning rate of --schedule cosine and plateau."),
    _option("--eval-every", _SIZE, "Steps between evaluations; each is followed by a save."),
    _option(
        "--patience",
        _SIZE,
        "Stop after N consecutive evaluations without a new lowest loss.",
        absent="never",
    ),
    _option(
        "--sample-every",
        _COUNT,
        "Steps between printed samples; the first comes after five seconds; 0 for none.",
    ),
    _option(
        "--diagnose-every",
        _COUNT,
        "Steps between diagnoses in the log: update-to-weight ratios, gradients through time; with a warning "
        "if gradients vanish or explode; 0 for none. Of several shards the first is measured.",
        absent="--eval-every",
    ),
    click.option(
        "--tensorboard",
        type=click.Path(file_okay=False),
        help="Folder for TensorBoard event files.  [default: none]",
    ),
    _option("--seed", _COUNT, "Seed of all random numbers."),
    encoding_option,
]


def settings_options(command: _Command) -> _Command:
    """Add all options of `TrainingSettings` except the files to a command."""
    command = ranks_options(command)
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


@cache
def _schema() -> dict[str, Check]:
    """Return the check of each setting in a file: the kind and the range that the command line takes."""
    options = click.command(settings_options(lambda: None)).params
    checks = {option.name or "": _check_of(option.type) for option in options}
    absent = {field.name for field in fields(TrainingSettings) if field.default is None}
    schema = {name: optional(check) if name in absent else check for name, check in checks.items()}
    schema |= {"files": as_texts, "cutoffs": partial(as_list, check=as_size), "encoding": as_encoding}
    return schema | {"held_out": partial(as_choice, choices=("drawn", "end"))}


def _check_of(type_: Any) -> Check:
    if isinstance(type_, click.IntRange):
        return partial(as_size, least=int(type_.min or 0), most=int(type_.max or MOST_STEPS))
    if isinstance(type_, click.FloatRange):
        bounds: dict[str, Any] = {
            "above" if type_.min_open else "least": type_.min,
            "below" if type_.max_open else "most": type_.max,
        }
        return partial(as_number, **bounds)
    if isinstance(type_, click.Choice):
        return partial(as_choice, choices=tuple(type_.choices))
    return as_flag if type_.name == "boolean" else as_text
