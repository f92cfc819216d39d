"""Models: layers combined for a task."""

from fastrnn.models.language_model import LanguageModel
from fastrnn.models.stream import LanguageModelStream

__all__ = ["LanguageModel", "LanguageModelStream"]
