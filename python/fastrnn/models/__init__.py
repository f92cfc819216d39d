"""Models: everything that a person trains and uses, the language model and the models with ``fit``."""

from fastrnn.language import LanguageModel, LanguageModelStream
from fastrnn.models.base.estimator import NotFittedError, SequenceModel
from fastrnn.models.sequence_classifier import SequenceClassifier
from fastrnn.models.transcriber import AlignedSymbol, Transcriber

__all__ = [
    "AlignedSymbol",
    "LanguageModel",
    "LanguageModelStream",
    "NotFittedError",
    "SequenceClassifier",
    "SequenceModel",
    "Transcriber",
]
