"""From a trained model to text."""

from fastrnn.decode.distribution import Sampling, next_probabilities
from fastrnn.decode.sampling import sample, sample_ids

__all__ = ["Sampling", "next_probabilities", "sample", "sample_ids"]
