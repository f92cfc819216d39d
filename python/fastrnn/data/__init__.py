"""Data: readers of text, tables, tagged sentences and sound; text as ids, vocabularies, and batches."""

from fastrnn.data import synthetic
from fastrnn.data.batching import Batch, ChunkedText, TrainingData
from fastrnn.data.buckets import length_buckets, pad_batch
from fastrnn.data.conll import read_conll, write_conll
from fastrnn.data.corpus import read_text, standard_library_text
from fastrnn.data.counting import Coverage
from fastrnn.data.examples import ExampleBatches
from fastrnn.data.mel import log_mel, mel_filters
from fastrnn.data.prepared_text import PreparedText
from fastrnn.data.reading import read_lines
from fastrnn.data.sentences import SentenceBatches
from fastrnn.data.shipped import (
    load_cycles,
    load_dates,
    load_names,
    load_reber,
    load_sentences,
    load_sines,
    load_tales,
)
from fastrnn.data.tables import read_jsonl, read_pairs, read_series, read_table
from fastrnn.data.text_preparation import prepare
from fastrnn.data.tokenize import split_words
from fastrnn.data.vocabulary import Vocabulary
from fastrnn.data.wav import read_wav

__all__ = [
    "Batch",
    "ChunkedText",
    "Coverage",
    "ExampleBatches",
    "PreparedText",
    "SentenceBatches",
    "TrainingData",
    "Vocabulary",
    "length_buckets",
    "load_cycles",
    "load_dates",
    "load_names",
    "load_reber",
    "load_sentences",
    "load_sines",
    "load_tales",
    "log_mel",
    "mel_filters",
    "pad_batch",
    "prepare",
    "read_conll",
    "read_jsonl",
    "read_lines",
    "read_pairs",
    "read_series",
    "read_table",
    "read_text",
    "read_wav",
    "split_words",
    "standard_library_text",
    "synthetic",
    "write_conll",
]


def __dir__() -> list[str]:
    return sorted(__all__)
