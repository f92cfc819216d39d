"""A language model with a known distribution: each symbol depends only on the previous one."""

import itertools

import numpy as np


class MarkovStream:
    def __init__(self, model, batch_size):
        self.model, self.batch_size = model, batch_size
        self.steps = model.steps
        self.state = np.full((1, batch_size, 1), -1.0)

    def step(self, ids):
        assert len(ids) == self.batch_size
        assert (np.asarray(ids) < self.model.vocabulary_size).all()
        self.steps.append(np.array(ids))
        self.state = np.asarray(ids, dtype=np.float64).reshape(1, -1, 1)
        if self.model.halt is not None:
            self.halt_probability = self.model.halt[ids]
        return self.model.logits[ids].copy()


class MarkovModel:
    """``logits [V + 1, V]`` of the symbol after each id, in the last row of the first symbol; `halt` too."""

    def __init__(self, logits, start=-1, eos=None, halt=None):
        self.logits, self.start, self.eos = np.asarray(logits), start, eos
        self.vocabulary_size = self.logits.shape[1]
        self.halt = None if halt is None else np.asarray(halt)
        self.length_model = None if halt is None else "halt"
        self.steps = []

    def stream(self, batch_size=1):
        return MarkovStream(self, batch_size)

    def log_probability(self, ids, before=-1):
        """Return the log-probability of a sequence of ids."""
        table = self.logits - np.logaddexp.reduce(self.logits, axis=1, keepdims=True)
        return float(sum(table[a, b] for a, b in itertools.pairwise([before, *ids])))


def random_markov_model(size, seed=0, **options):
    logits = np.random.default_rng(seed).normal(0.0, 1.5, size=(size + 1, size))
    return MarkovModel(logits, **options)
