"""Models: everything that a person trains and uses, the language model and the models with ``fit``."""

from fastrnn.language import LanguageModel, LanguageModelStream
from fastrnn.models.base.estimator import SequenceModel
from fastrnn.models.base.scikit_estimator import NotFittedError
from fastrnn.models.sequence_classifier import SequenceClassifier
from fastrnn.models.sequence_generator import SequenceGenerator

__all__ = [
    "LanguageModel",
    "LanguageModelStream",
    "NotFittedError",
    "SequenceClassifier",
    "SequenceGenerator",
    "SequenceModel",
]
