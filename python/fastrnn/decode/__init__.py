"""Generate, search and score texts with a trained model, and turn frames into symbols."""

from fastrnn.decode.beam import Hypothesis, beam_search
from fastrnn.decode.ctc_decoding import CTCHypothesis, ctc_beam, ctc_greedy
from fastrnn.decode.distribution import Sampling, log_probabilities, next_probabilities
from fastrnn.decode.generate import Generated, generate, greedy
from fastrnn.decode.halting import Halting
from fastrnn.decode.planned_length import PlannedLength
from fastrnn.decode.sampling import sample, sample_ids, samples
from fastrnn.decode.scoring import NextSymbols, Score, next_symbols, rank, score
from fastrnn.decode.state_rows import select_rows
from fastrnn.decode.stop_rule import EosOrLength, StopRule

__all__ = [
    "CTCHypothesis",
    "EosOrLength",
    "Generated",
    "Halting",
    "Hypothesis",
    "NextSymbols",
    "PlannedLength",
    "Sampling",
    "Score",
    "StopRule",
    "beam_search",
    "ctc_beam",
    "ctc_greedy",
    "generate",
    "greedy",
    "log_probabilities",
    "next_probabilities",
    "next_symbols",
    "rank",
    "sample",
    "sample_ids",
    "samples",
    "score",
    "select_rows",
]


def __dir__() -> list[str]:
    return sorted(__all__)
