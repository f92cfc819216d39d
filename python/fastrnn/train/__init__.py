"""Training: optimisers, schedules, the training loop, evaluation and checkpoints."""

from fastrnn.train import distributed
from fastrnn.train.average import Average
from fastrnn.train.averaging import ExponentialAverage, NonMonotonicAverage
from fastrnn.train.checkpoint import Checkpoint, CheckpointError, load_checkpoint, save_checkpoint
from fastrnn.train.clipping import clip_gradient_norm, clip_gradient_value, gradient_norm
from fastrnn.train.diagnosis import Diagnosis, TrainingWarning
from fastrnn.train.evaluation import Evaluation, evaluate, evaluate_examples, evaluate_sentences
from fastrnn.train.optimizer import Optimizer
from fastrnn.train.optimizers import SGD, Adam, AdamW, RMSprop
from fastrnn.train.records import Record, TrainingDiverged, Validation
from fastrnn.train.schedules import ConstantSchedule, CosineSchedule, PlateauSchedule, StepSchedule
from fastrnn.train.tensorboard import TensorBoardLog
from fastrnn.train.train_function import train
from fastrnn.train.trainer import Trainer
from fastrnn.train.training_state import TrainingState

__all__ = [
    "SGD",
    "Adam",
    "AdamW",
    "Average",
    "Checkpoint",
    "CheckpointError",
    "ConstantSchedule",
    "CosineSchedule",
    "Diagnosis",
    "Evaluation",
    "ExponentialAverage",
    "NonMonotonicAverage",
    "Optimizer",
    "PlateauSchedule",
    "RMSprop",
    "Record",
    "StepSchedule",
    "TensorBoardLog",
    "Trainer",
    "TrainingDiverged",
    "TrainingState",
    "TrainingWarning",
    "Validation",
    "clip_gradient_norm",
    "clip_gradient_value",
    "distributed",
    "evaluate",
    "evaluate_examples",
    "evaluate_sentences",
    "gradient_norm",
    "load_checkpoint",
    "save_checkpoint",
    "train",
]


def __dir__() -> list[str]:
    return sorted(__all__)
