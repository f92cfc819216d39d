"""The settings of a language model, checked, and the shapes of its parameters."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from fastrnn._arrays import as_dtype
from fastrnn._checks import as_choice, as_flag, as_number, as_probability, as_size
from fastrnn._plain import as_mapping
from fastrnn.language.length_outputs import LENGTH_MODELS, length_shapes
from fastrnn.language.output_head import described_head, head_shapes
from fastrnn.layers import Recurrent, Stack
from fastrnn.layers.base.precision import Precision, as_precision
from fastrnn.layers.description import describe, described_parts, described_shapes, plain_value
from fastrnn.layers.loss.adaptive_softmax import adaptive_shapes, as_cutoffs
from fastrnn.layers.recurrent.options import CELLS, checked_option
from fastrnn.layers.recurrent.rnn import as_nonlinearity
from fastrnn.layers.recurrent.spec import MOST_LAYERS

if TYPE_CHECKING:
    from numpy.typing import DTypeLike

__all__ = ["Settings"]

_CELLS = {cell.name: cell for cell in CELLS.values() if cell.by_name}
# Options of one cell alone.
_OWN_OPTIONS = {"gru": ("reset_after",), "rnn": ("nonlinearity",)}
# Settings that a given recurrent layer determines.
_LAYER_SETTINGS = ("cell", "hidden_size", "num_layers", "cell_options", "reset_after", "nonlinearity")


class Settings(NamedTuple):
    """The arguments of `LanguageModel` with their defaults; `rnn` as a description."""

    vocabulary_size: int
    cell: str = "lstm"
    hidden_size: int = 256
    num_layers: int = 2
    embedding_size: int | None = None
    dropout: float = 0.0
    dtype: DTypeLike = "float32"
    reset_after: bool = True
    nonlinearity: str = "tanh"
    cell_options: Mapping[str, Any] | None = None
    rnn: Mapping[str, Any] | None = None
    tied: bool = False
    locked_dropout: bool = False
    embedding_dropout: float = 0.0
    sparse_embedding: bool = False
    ar: float = 0.0
    tar: float = 0.0
    cutoffs: Sequence[int] | None = None
    length_model: str | None = None
    max_length: int | None = None
    start: int | None = None
    eos: int | None = None
    head: Mapping[str, Any] | None = None
    precision: Precision = "float32"

    @classmethod
    def from_mapping(cls, config: Mapping[str, Any]) -> Settings:
        """Return checked settings from a mapping of names to values.

        Raises
        ------
        ValueError, TypeError
            If a setting is unknown, missing or wrong.
        """
        config = as_mapping("config", config)
        unknown = [str(name) for name in config if name not in cls._fields]
        if unknown:
            raise ValueError(f"config: unknown {', '.join(unknown)}")
        if "vocabulary_size" not in config:
            raise ValueError("config: missing vocabulary_size")
        return cls(**config).checked()

    def checked(self) -> Settings:
        """Return the settings, checked and as plain Python values.

        Raises
        ------
        ValueError, TypeError
            As `LanguageModel`.
        """
        reset_after = as_flag("reset_after", self.reset_after)
        nonlinearity = as_nonlinearity(self.nonlinearity)
        locked = as_flag("locked_dropout", self.locked_dropout)
        self._check_cell()
        vocabulary_size = as_size("vocabulary_size", self.vocabulary_size)
        cutoffs = None if self.cutoffs is None else as_cutoffs(self.cutoffs, vocabulary_size)
        settings = self._replace(
            vocabulary_size=vocabulary_size,
            hidden_size=as_size("hidden_size", self.hidden_size),
            num_layers=as_size("num_layers", self.num_layers, most=MOST_LAYERS),
            embedding_size=_optional_size("embedding_size", self.embedding_size),
            dropout=as_probability("dropout", self.dropout),
            dtype=as_dtype(self.dtype).name,
            reset_after=reset_after,
            nonlinearity=nonlinearity,
            cell_options=_plain_options(self.cell, self.cell_options, locked=locked),
            tied=as_flag("tied", self.tied),
            locked_dropout=locked,
            embedding_dropout=as_probability("embedding_dropout", self.embedding_dropout),
            sparse_embedding=as_flag("sparse_embedding", self.sparse_embedding),
            ar=as_number("ar", self.ar, least=0.0),
            tar=as_number("tar", self.tar, least=0.0),
            cutoffs=None if cutoffs is None else list(cutoffs),
            length_model=_optional_choice("length_model", self.length_model, LENGTH_MODELS),
            max_length=_optional_size("max_length", self.max_length),
            start=_optional_id("start", self.start, -1, vocabulary_size),
            eos=_optional_id("eos", self.eos, 0, vocabulary_size),
            precision=as_precision(self.precision, as_dtype(self.dtype)),
        )
        settings = settings._replace(rnn=settings.described())
        head = described_head(settings.head, settings.layers_size, as_dtype(self.dtype).name)
        settings = settings._replace(head=head)
        settings._check_together()
        return settings

    def _check_cell(self) -> None:
        as_choice("cell", self.cell, _CELLS)
        own = _OWN_OPTIONS.get(self.cell, ())
        for name in ("reset_after", "nonlinearity"):
            value = getattr(self, name)
            if name not in own and value != self._field_defaults[name]:
                raise ValueError(f"{name}={value!r} does not apply to cell={self.cell!r}")
        if self.rnn is not None:
            for name in _LAYER_SETTINGS:
                if getattr(self, name) != self._field_defaults[name]:
                    raise ValueError(f"{name}: expected none, as the given rnn determines it")

    def described(self) -> dict[str, Any] | None:
        """Return the description of the given layer; None if the other settings determine the layer."""
        if self.rnn is None:
            return None
        given: Any = self.rnn
        if isinstance(given, (Recurrent, Stack)):
            given = describe(given)
        if not isinstance(given, Mapping):
            raise TypeError(f"rnn: expected a recurrent layer or a Stack, got {type(given).__name__}")
        described_shapes(given)  # raises if it is not a description; allocates nothing
        for part in described_parts(given):
            if part.get("bidirectional") or part.get("reverse"):
                raise ValueError("rnn: expected one that runs forward, as it predicts what comes next")
            if part.get("batch_first"):
                raise ValueError("rnn: expected no batch_first")
            dtype = part.get("dtype", "float32")
            if dtype != as_dtype(self.dtype).name:
                raise ValueError(f"dtype: expected the rnn's, {dtype}, got {self.dtype}")
        return dict(given)

    def _check_together(self) -> None:
        width = self.output_size
        if self.rnn is not None and self._given_input_size() != self.input_size:
            raise ValueError(f"rnn: expected input_size {self.input_size}, got {self._given_input_size()}")
        if self.tied and self.embedding_size != width:
            raise ValueError(
                f"tied: expected an embedding_size of {width}, the width of the output's input, got "
                f"{self.embedding_size}"
            )
        if self.tied and self.cutoffs is not None:
            raise ValueError("tied: expected no cutoffs with it, as the adaptive softmax has narrow vectors")
        for name in ("embedding_dropout", "sparse_embedding"):
            if getattr(self, name) and self.embedding_size is None:
                raise ValueError(f"{name}: expected an embedding_size with it, got None")
        if self.tied and self.sparse_embedding:
            raise ValueError("sparse_embedding: expected tied=False, as the output's gradient has all rows")
        if self.length_model is not None and self.eos is not None:
            raise ValueError(
                f"length_model={self.length_model!r}: a text has one way to end, got eos={self.eos} too"
            )
        if (self.max_length is not None) != (self.length_model == "tau"):
            raise ValueError("max_length: expected if and only if length_model='tau'")
        if self.length_model == "tau" and self.embedding_size is None:
            raise ValueError("length_model='tau': expected an embedding_size, got None")

    def _given_input_size(self) -> int:
        assert self.rnn is not None
        first = self.rnn["layers"][0] if self.rnn["kind"] == "Stack" else self.rnn
        return int(first["input_size"])

    @property
    def input_size(self) -> int:
        """Width of the recurrent layer's input."""
        return self.vocabulary_size if self.embedding_size is None else self.embedding_size

    @property
    def layers_size(self) -> int:
        """Width of the recurrent layers' output."""
        if self.rnn is None:
            return int((self.cell_options or {}).get("proj_size", 0)) or self.hidden_size
        last = self.rnn["layers"][-1] if self.rnn["kind"] == "Stack" else self.rnn
        return int(last.get("output_size", 0)) or int(last.get("proj_size", 0)) or int(last["hidden_size"])

    @property
    def output_size(self) -> int:
        """Width of the output layer's input."""
        return self.layers_size if self.head is None else int(self.head["out_features"])

    @property
    def description(self) -> dict[str, Any]:
        """The description of the recurrent layer."""
        if self.rnn is not None:
            return dict(self.rnn)
        own = {name: getattr(self, name) for name in _OWN_OPTIONS.get(self.cell, ())}
        options = {**own, **(self.cell_options or {})}
        dropout = self.dropout
        if self.locked_dropout and dropout:  # on each layer's output, including the last
            options["output_dropout"], dropout = dropout, 0.0
        if self.num_layers == 1:
            dropout = 0.0  # there is nothing between layers; the model drops the layer's output
        return {
            "kind": _CELLS[self.cell].layer,
            "input_size": self.input_size,
            "hidden_size": self.hidden_size,
            "num_layers": self.num_layers,
            "dropout": dropout,
            "dtype": self.dtype,
            **options,
        }

    def to_config(self) -> dict[str, Any]:
        """Return the settings as plain values; a precision of float32 is left out, as in older files."""
        config = self._asdict()
        if self.precision == "float32":
            del config["precision"]
        return config

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Return the name and shape of each parameter of the model."""
        V, width = self.vocabulary_size, self.output_size
        shapes: dict[str, tuple[int, ...]] = {}
        if self.embedding_size is not None:
            shapes["embedding.weight"] = (V, self.embedding_size)
        shapes |= {f"rnn.{name}": shape for name, shape in described_shapes(self.description).items()}
        shapes |= {f"head.{name}": shape for name, shape in head_shapes(self.head).items()}
        if self.cutoffs is not None:
            adaptive = adaptive_shapes(width, V, self.cutoffs, 4.0)
            shapes |= {f"output.{name}": shape for name, shape in adaptive.items()}
        else:
            shapes |= {} if self.tied else {"output.weight": (V, width)}
            shapes["output.bias"] = (V,)
        lengths = length_shapes(self.length_model, self.layers_size, self.max_length, self.embedding_size)
        return shapes | {f"length.{name}": shape for name, shape in lengths.items()}

    def __repr__(self) -> str:
        defaults = self._field_defaults
        given = [
            f"{name}={value!r}"
            for name, value in self._asdict().items()
            if (name == "cell" and self.rnn is None) or (name in defaults and value != defaults[name])
        ]
        return f"({', '.join([str(self.vocabulary_size), *given])})"


def _optional_size(name: str, value: Any) -> int | None:
    return None if value is None else as_size(name, value)


def _optional_choice(name: str, value: Any, choices: Sequence[str]) -> str | None:
    return None if value is None else as_choice(name, value, choices)


def _optional_id(name: str, value: Any, least: int, count: int) -> int | None:
    if value is None:
        return None
    return as_size(name, value, least=least, most=count - 1)


def _plain_options(cell: str, options: Any, *, locked: bool) -> dict[str, Any] | None:
    """Check the names of a cell's options, and return their values in a form that can be saved."""
    if options is None:
        return None
    if not isinstance(options, Mapping):
        raise TypeError(f"cell_options: expected a mapping, got {type(options).__name__}")
    own = {"reverse", "merge", *_OWN_OPTIONS.get(cell, ())}
    known = (_CELLS[cell].accepts | {"bias"}) - own
    for name in options:
        if name not in known:
            raise ValueError(f"cell_options: {name} is not an option of this cell")
    if locked and "output_dropout" in options:
        raise ValueError("cell_options: expected no output_dropout with locked_dropout, which sets it")
    for name, value in options.items():
        checked_option(name, value)
    return {name: plain_value(value) for name, value in options.items()} or None
