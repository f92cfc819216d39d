"""What a language model is made of: its settings, checked, and the shapes of the parameters that follow."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from fastrnn._arrays import as_dtype, as_size
from fastrnn.layers import GRU, LSTM, RNN
from fastrnn.layers.groups import recurrent_shapes
from fastrnn.layers.random import as_probability
from fastrnn.layers.rnn import as_nonlinearity
from fastrnn.layers.variants import Variant

if TYPE_CHECKING:
    from numpy.typing import DTypeLike

__all__ = ["Settings"]

_CELLS: dict[str, type[LSTM | GRU | RNN]] = {"lstm": LSTM, "gru": GRU, "rnn": RNN}
# Options of one cell alone.
_OWN_OPTIONS = {"lstm": (), "gru": ("reset_after",), "rnn": ("nonlinearity",)}


class Settings(NamedTuple):
    """Arguments of `LanguageModel`, with their defaults."""

    vocabulary_size: int
    cell: str = "lstm"
    hidden_size: int = 256
    num_layers: int = 2
    embedding_size: int | None = None
    dropout: float = 0.0
    dtype: DTypeLike = "float32"
    reset_after: bool = True
    nonlinearity: str = "tanh"

    @classmethod
    def from_mapping(cls, config: Mapping[str, Any]) -> Settings:
        """Check names, then values.

        Raises
        ------
        ValueError, TypeError
            If a setting is unknown, missing or wrong.
        """
        unknown = [str(name) for name in config if name not in cls._fields]
        if unknown:
            raise ValueError(f"config: unknown {', '.join(unknown)}")
        if "vocabulary_size" not in config:
            raise ValueError("config: missing vocabulary_size")
        return cls(**config).checked()

    def checked(self) -> Settings:
        """Check values, and give them as plain Python values.

        Raises
        ------
        ValueError, TypeError
            As `LanguageModel`.
        """
        if self.cell not in list(_CELLS):  # a list, as what is no string may have no hash
            raise ValueError(f"cell: expected 'lstm', 'gru' or 'rnn', got {self.cell!r}")
        for name in ("reset_after", "nonlinearity"):
            value = getattr(self, name)
            if name not in _OWN_OPTIONS[self.cell] and value != self._field_defaults[name]:
                raise ValueError(f"{name}={value!r} does not go with cell={self.cell!r}")
        embedding = self.embedding_size
        return self._replace(
            vocabulary_size=as_size("vocabulary_size", self.vocabulary_size),
            hidden_size=as_size("hidden_size", self.hidden_size),
            num_layers=as_size("num_layers", self.num_layers),
            embedding_size=None if embedding is None else as_size("embedding_size", embedding),
            dropout=as_probability("dropout", self.dropout),
            dtype=as_dtype(self.dtype).name,
            reset_after=bool(self.reset_after),
            nonlinearity=as_nonlinearity(self.nonlinearity),
        )

    @property
    def input_size(self) -> int:
        """Width of the recurrent layer's input."""
        return self.vocabulary_size if self.embedding_size is None else self.embedding_size

    def recurrent_layer(self, seed: Any) -> LSTM | GRU | RNN:
        """Make the recurrent layer."""
        options = {name: getattr(self, name) for name in ("dropout", "dtype", *_OWN_OPTIONS[self.cell])}
        layer = _CELLS[self.cell]
        return layer(self.input_size, self.hidden_size, self.num_layers, seed=seed, **options)

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Give name and shape of each parameter of the model."""
        variant = Variant(_CELLS[self.cell]._cell)
        sizes = (self.input_size, self.hidden_size, self.num_layers)
        rnn = recurrent_shapes(variant, *sizes, directions=1, bias=True)
        shapes: dict[str, tuple[int, ...]] = {f"rnn.{name}": shape for name, shape in rnn.items()}
        if self.embedding_size is not None:
            shapes = {"embedding.weight": (self.vocabulary_size, self.embedding_size), **shapes}
        shapes["output.weight"] = (self.vocabulary_size, self.hidden_size)
        shapes["output.bias"] = (self.vocabulary_size,)
        return shapes

    def __repr__(self) -> str:
        usual = self._field_defaults
        given = [
            f"{name}={value!r}"
            for name, value in self._asdict().items()
            if name == "cell" or (name in usual and value != usual[name])
        ]
        return f"({self.vocabulary_size}, {', '.join(given)})"
