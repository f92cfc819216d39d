"""Create the parts of a training run from its settings: vocabulary, model, data, optimizer, schedule."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from fastrnn.cli.batch_size import check_sentences, check_streams
from fastrnn.cli.prepared_texts import EncodedText, stream_ids
from fastrnn.cli.settings import TrainingSettings
from fastrnn.data import ChunkedText, SentenceBatches, Vocabulary
from fastrnn.train import (
    SGD,
    Adam,
    AdamW,
    ConstantSchedule,
    CosineSchedule,
    ExponentialAverage,
    NonMonotonicAverage,
    Optimizer,
    PlateauSchedule,
    RMSprop,
    StepSchedule,
    Validation,
)

if TYPE_CHECKING:
    from fastrnn.cli.training_texts import TrainingTexts
    from fastrnn.data.batching import TrainingData
    from fastrnn.language import LanguageModel

__all__ = [
    "encode_lines",
    "make_average",
    "make_data",
    "make_optimizer",
    "make_schedule",
    "make_validation",
    "make_vocabulary",
    "model_options",
    "text_lines",
]

UNKNOWN, EOS = "<unk>", "<eos>"
# Minimum tokens per stream of the validation text: keeps the cost of the cold starts below 0.1%.
_TOKENS_PER_STREAM = 2000


def make_vocabulary(settings: TrainingSettings, texts: TrainingTexts) -> Vocabulary:
    """Return a vocabulary of all characters of both texts, or of the training text's frequent words.

    Raises
    ------
    ValueError
        If no symbol is frequent enough.
    """
    if isinstance(texts.train, EncodedText) or isinstance(texts.valid, EncodedText):
        assert texts.prepared is not None
        return texts.prepared.vocabulary
    eos = EOS if settings.has_end_symbol else None
    if settings.level == "char" and settings.max_types is None and settings.min_count == 1:
        return Vocabulary.from_text(_vocabulary_text(settings, texts.train + texts.valid), eos=eos)
    return Vocabulary.from_text(
        _vocabulary_text(settings, texts.train),
        level=settings.level,
        max_types=settings.max_types,
        min_count=settings.min_count,
        unknown=UNKNOWN,
        eos=eos,
        tokenizer=settings.tokenizer,
    )


def model_options(settings: TrainingSettings, vocabulary: Vocabulary) -> dict[str, Any]:
    """Return the arguments of a new model except the seed."""
    options: dict[str, Any] = {
        name: value for name in ("weight_drop", "layer_norm") if (value := getattr(settings, name))
    }
    length_model = settings.length_model if settings.sentences and settings.length_model != "eos" else None
    return {
        "vocabulary_size": len(vocabulary),
        "cell": settings.cell,
        "hidden_size": settings.hidden_size,
        "num_layers": settings.num_layers,
        "embedding_size": settings.embedding_width,
        "dropout": settings.dropout,
        "cell_options": options or None,
        "tied": settings.tied,
        "locked_dropout": settings.locked_dropout,
        "embedding_dropout": settings.embedding_dropout,
        "cutoffs": settings.cutoffs or None,
        "length_model": length_model,
        "max_length": settings.max_length if length_model == "tau" else None,
        "start": _start(settings, vocabulary),
        "eos": vocabulary.eos_id,
        "precision": settings.precision,
    }


def _start(settings: TrainingSettings, vocabulary: Vocabulary) -> int | None:
    """Return the id before a text: none (-1) for sentences, the end of a line for a stream."""
    if settings.sentences:
        return -1
    if vocabulary.eos_id is not None:
        return vocabulary.eos_id
    return int(vocabulary.encode("\n")[0]) if "\n" in vocabulary else None


def make_data(settings: TrainingSettings, vocabulary: Vocabulary, text: str | EncodedText) -> TrainingData:
    """Return the batches of a training text, as one stream or as one sentence per line.

    Raises
    ------
    ValueError
        If the text is shorter than a batch, or a line is too long for the model.
    """
    if settings.sentences:
        sentences = _sentences(settings, vocabulary, text)
        check_sentences(settings.batch_size, len(sentences.lengths))
        return sentences
    ids: Any = stream_ids(vocabulary, text)
    kind = "words" if settings.level == "word" else "symbols"
    check_streams(settings.batch_size, settings.seq_length, len(ids), kind)
    return ChunkedText(
        ids, settings.batch_size, settings.seq_length, backward_length=settings.backward_length
    )


def make_validation(
    settings: TrainingSettings, vocabulary: Vocabulary, text: str | EncodedText
) -> Validation | None:
    """Return the validation data, or None if the text is empty.

    Raises
    ------
    ValueError
        If it has nothing to predict.
    """
    if not text:
        return None
    try:
        if settings.sentences:
            return Validation(_sentences(settings, vocabulary, text), settings.eval_every, settings.patience)
        ids = stream_ids(vocabulary, text)
        streams = max(1, min(settings.batch_size, len(ids) // _TOKENS_PER_STREAM))
        return Validation(ids, settings.eval_every, settings.patience, streams)
    except ValueError as error:
        where = "--valid-fraction" if settings.valid is None else f"--valid: {settings.valid}"
        raise ValueError(f"{where}: the validation text cannot be measured: {error}") from None


def _sentences(
    settings: TrainingSettings, vocabulary: Vocabulary, text: str | EncodedText
) -> SentenceBatches:
    assert isinstance(text, str)  # `read_texts` refuses others
    rows = encode_lines(vocabulary, text)
    if settings.longest_line is not None:
        rows = [row for row in rows if len(row) <= settings.longest_line]
        if not rows:
            raise ValueError(f"--longest-line: expected a line of at most {settings.longest_line} symbols")
    longest = max(map(len, rows))
    if settings.length_model == "tau" and longest > settings.max_length:
        raise ValueError(
            f"--max-length: expected at least {longest}, the length of the longest line, "
            f"got {settings.max_length}"
        )
    return SentenceBatches(rows, settings.batch_size, eos=vocabulary.eos_id, seed=settings.seed)


def text_lines(text: str) -> list[str]:
    """Return the lines of a text without their line ends."""
    return [line.rstrip("\r") for line in text.split("\n")]


def encode_lines(vocabulary: Vocabulary, text: str, unknown: str | None = None) -> list[Any]:
    """Return the ids of each line that is not empty.

    Raises
    ------
    ValueError
        If all lines are empty, or a line has a symbol that the vocabulary refuses.
    """
    rows = []
    for number, line in enumerate(text_lines(text), 1):
        try:
            rows.append(vocabulary.encode(line, unknown=unknown))
        except ValueError as error:
            raise ValueError(f"{error} (line {number})") from None
    rows = [row for row in rows if len(row)]
    if not rows:
        raise ValueError("text: expected at least one line with a symbol, got none")
    return rows


def _vocabulary_text(settings: TrainingSettings, text: str) -> str:
    """Return the text to build a vocabulary from: without line ends if each line is a sentence."""
    lines_are_rows = settings.sentences and settings.level == "char"
    return "".join(text_lines(text)) if lines_are_rows else text


def make_optimizer(settings: TrainingSettings, model: LanguageModel) -> Optimizer:
    """Return the optimizer of a training run."""
    kinds: dict[str, Callable[..., Optimizer]] = {
        "sgd": partial(SGD, momentum=settings.momentum),
        "rmsprop": RMSprop,
        "adam": Adam,
        "adamw": AdamW,
    }
    return kinds[settings.optimizer](model, settings.learning_rate, weight_decay=settings.weight_decay)


def make_schedule(settings: TrainingSettings, total_steps: int, steps_per_epoch: int) -> ConstantSchedule:
    """Return the learning rate schedule of a training run of ``total_steps`` steps."""
    rate, factor, warmup = settings.learning_rate, settings.decay_factor, settings.warmup
    if settings.schedule == "step":
        every = settings.decay_every or steps_per_epoch
        return StepSchedule(rate, every=every, factor=factor, start=settings.decay_start, warmup=warmup)
    if settings.schedule == "cosine":
        return CosineSchedule(rate, steps=total_steps, minimum=settings.min_learning_rate, warmup=warmup)
    if settings.schedule == "plateau":
        return PlateauSchedule(rate, factor=factor, minimum=settings.min_learning_rate, warmup=warmup)
    return ConstantSchedule(rate, warmup=warmup)


def make_average(
    settings: TrainingSettings, model: LanguageModel
) -> ExponentialAverage | NonMonotonicAverage | None:
    """Return the average of the parameters, or None if none is requested."""
    if settings.average == "ema":
        return ExponentialAverage(model, settings.average_decay)
    return NonMonotonicAverage(model) if settings.average == "asgd" else None
