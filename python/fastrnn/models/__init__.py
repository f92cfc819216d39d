"""Models: everything that a person trains and uses, the language model and the models with ``fit``."""

from fastrnn.language import LanguageModel, LanguageModelStream

__all__ = ["LanguageModel", "LanguageModelStream"]
