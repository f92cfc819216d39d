"""Models: everything that a person trains and uses, the language model and the models with ``fit``."""

from fastrnn.language import LanguageModel, LanguageModelStream
from fastrnn.models.base.estimator import SequenceModel
from fastrnn.models.base.scikit_estimator import NotFittedError
from fastrnn.models.sequence_classifier import SequenceClassifier
<<<<<<< HEAD
from fastrnn.models.sequence_tagger import SequenceTagger
from fastrnn.models.transcriber import AlignedSymbol, Transcriber

__all__ = [
    "AlignedSymbol",
=======
from fastrnn.models.sequence_generator import SequenceGenerator

__all__ = [
>>>>>>> w15-gen
    "LanguageModel",
    "LanguageModelStream",
    "NotFittedError",
    "SequenceClassifier",
<<<<<<< HEAD
    "SequenceModel",
    "SequenceTagger",
    "Transcriber",
=======
    "SequenceGenerator",
    "SequenceModel",
>>>>>>> w15-gen
]
