"""Text as numbers: vocabularies, batches for truncated backpropagation through time, readers of text."""

from fastrnn.data.batching import ChunkedText
from fastrnn.data.buckets import length_buckets, pad_batch
from fastrnn.data.corpus import read_text, standard_library_text
from fastrnn.data.vocabulary import Vocabulary

__all__ = ["ChunkedText", "Vocabulary", "length_buckets", "pad_batch", "read_text", "standard_library_text"]
