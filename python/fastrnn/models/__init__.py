"""Models: everything that a person trains and uses, the language model and the models with ``fit``."""

from fastrnn.language import LanguageModel, LanguageModelStream
from fastrnn.models.backtest import Backtest, interval_coverage
from fastrnn.models.base.estimator import SequenceModel
from fastrnn.models.base.scikit_estimator import NotFittedError
from fastrnn.models.forecaster import Forecaster
from fastrnn.models.reservoir.echo_state_network import EchoStateNetwork
from fastrnn.models.reservoir.memory_capacity import MemoryCapacity
from fastrnn.models.reservoir.model import EchoStateModel
from fastrnn.models.reservoir.pooled_models import EchoStateClassifier, EchoStateRegressor
from fastrnn.models.seq2seq import Seq2Seq
from fastrnn.models.sequence_classifier import SequenceClassifier
from fastrnn.models.sequence_generator import SequenceGenerator
from fastrnn.models.sequence_regressor import SequenceRegressor
from fastrnn.models.sequence_tagger import SequenceTagger
from fastrnn.models.transcriber import AlignedSymbol, Transcriber

__all__ = [
    "AlignedSymbol",
    "Backtest",
    "EchoStateClassifier",
    "EchoStateModel",
    "EchoStateNetwork",
    "EchoStateRegressor",
    "Forecaster",
    "LanguageModel",
    "LanguageModelStream",
    "MemoryCapacity",
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


def __dir__() -> list[str]:
    return sorted(__all__)
