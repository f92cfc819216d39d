"""A model with settings that make it again, and with a generator whose state can be kept."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from fastrnn.language.settings import Settings
from fastrnn.layers.base.module_group import ModuleGroup
from fastrnn.layers.base.random import random_state, set_random_state

if TYPE_CHECKING:
    import numpy as np
    from typing_extensions import Self

    from fastrnn._checks import Seed

__all__ = ["ConfiguredModel"]


class ConfiguredModel(ModuleGroup):
    """The base class of `LanguageModel`: what a file needs to make it again."""

    rng: np.random.Generator
    _settings: Settings

    @property
    def config(self) -> dict[str, Any]:
        """The settings as plain values, ready for ``json.dumps``; `from_config` makes a model of them.

        Of a quantized model they are those of the model that it was made of.
        """
        return self._settings.to_config()

    @classmethod
    def from_config(cls, config: Mapping[str, Any], *, seed: Seed = None) -> Self:
        """Return a new model with the settings of a `config`.

        Parameters
        ----------
        config : mapping
        seed : int or numpy.random.Generator, optional
            As for the constructor.

        Raises
        ------
        ValueError, TypeError
            If a setting is unknown, missing or wrong.

        Examples
        --------
        >>> import fastrnn as fr
        >>> fr.LanguageModel.from_config({"vocabulary_size": 5, "cell": "gru", "hidden_size": 8})
        LanguageModel(5, cell='gru', hidden_size=8)
        """
        make: Any = cls
        model: Self = make(**Settings.from_mapping(config)._asdict(), seed=seed)
        return model

    @staticmethod
    def parameter_shapes(config: Mapping[str, Any]) -> dict[str, tuple[int, ...]]:
        """Return the name and shape of each parameter of a config's model, without allocating any.

        Raises
        ------
        ValueError, TypeError
            As for `from_config`.
        """
        return Settings.from_mapping(config).shapes()

    def random_state(self) -> dict[str, Any]:
        """Return the state of `rng` as plain values, ready for ``json.dumps``."""
        return random_state(self.rng)

    def set_random_state(self, state: Mapping[str, Any]) -> None:
        """Set the state of `rng` to one that `random_state` returned.

        Raises
        ------
        ValueError
            If it is not a state, or of another kind of generator.
        """
        set_random_state(self.rng, state)

    def __repr__(self) -> str:
        shown = self._settings._replace(precision=self.precision) if self.quantized else self._settings
        return f"{type(self).__name__}{shown!r}"
