"""Batches that are larger than the text are refused, with the largest that fits."""

from __future__ import annotations

from fastrnn.cli.command_line import typed_again

__all__ = ["check_sentences", "check_streams"]


def check_streams(batch_size: int, seq_length: int, symbols: int, kind: str) -> None:
    """Check that a text fills a batch of streams.

    Parameters
    ----------
    batch_size, seq_length : int
        Streams of a batch and the symbols that each reads.
    symbols : int
        Of the text; the last one is read by nothing.
    kind : str
        What they are, in the plural.

    Raises
    ------
    ValueError
        If there are fewer; the message has the command line with the largest batch that fits.
    """
    needed, largest = batch_size * seq_length, symbols - 1
    if largest >= needed or largest < 1:  # of nothing, the data themselves say so
        return
    streams = largest // seq_length
    fits = ["--batch-size", str(max(1, streams))] + ([] if streams else ["--seq-length", str(largest)])
    raise ValueError(
        f"--batch-size: a batch of {batch_size} x {seq_length} = {needed:,} {kind} is larger than the text, "
        f"of which {symbols:,} are to train on; the largest that fits: {' '.join(fits)}; "
        f"type: {typed_again(*fits)}"
    )


def check_sentences(batch_size: int, sentences: int) -> None:
    """Check that a text has the sentences of a batch.

    Raises
    ------
    ValueError
        If it has fewer.
    """
    if sentences < batch_size:
        raise ValueError(
            f"--batch-size: a batch of {batch_size} sentences is larger than the text, "
            f"of which {sentences:,} are to train on; type: {typed_again('--batch-size', str(sentences))}"
        )
