"""Text as ids: reading, tokenising, vocabularies, and batches for truncated backpropagation through time."""

from fastrnn.data.batching import Batch, ChunkedText, TrainingData
from fastrnn.data.buckets import length_buckets, pad_batch
from fastrnn.data.corpus import read_text, standard_library_text
from fastrnn.data.counting import Coverage
from fastrnn.data.reading import read_lines
from fastrnn.data.sentences import SentenceBatches
from fastrnn.data.tokenize import split_words
from fastrnn.data.vocabulary import Vocabulary

__all__ = [
    "Batch",
    "ChunkedText",
    "Coverage",
    "SentenceBatches",
    "TrainingData",
    "Vocabulary",
    "length_buckets",
    "pad_batch",
    "read_lines",
    "read_text",
    "split_words",
    "standard_library_text",
]
