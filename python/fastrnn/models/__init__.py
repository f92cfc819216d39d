"""Models: everything that a person trains and uses, the language model and the models with ``fit``."""

from fastrnn.language import LanguageModel, LanguageModelStream
from fastrnn.models.backtest import Backtest, interval_coverage
from fastrnn.models.base.estimator import SequenceModel
from fastrnn.models.base.scikit_estimator import NotFittedError
from fastrnn.models.forecaster import Forecaster
from fastrnn.models.seq2seq import Seq2Seq
from fastrnn.models.sequence_classifier import SequenceClassifier
from fastrnn.models.sequence_generator import SequenceGenerator
from fastrnn.models.sequence_regressor import SequenceRegressor
from fastrnn.models.sequence_tagger import SequenceTagger
from fastrnn.models.transcriber import AlignedSymbol, Transcriber

__all__ = [
    "AlignedSymbol",
    "Backtest",
    "Forecaster",
    "LanguageModel",
    "LanguageModelStream",
    "NotFittedError",
    "Seq2Seq",
    "SequenceClassifier",
    "SequenceGenerator",
    "SequenceModel",
    "SequenceRegressor",
    "SequenceTagger",
    "Transcriber",
    "interval_coverage",
]
