"""The language model: ids in, logits of the next id out."""

from fastrnn.language.language_model import LanguageModel
from fastrnn.language.stream import LanguageModelStream

__all__ = ["LanguageModel", "LanguageModelStream"]


def __dir__() -> list[str]:
    return sorted(__all__)
