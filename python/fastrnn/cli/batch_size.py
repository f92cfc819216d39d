"""Batches that the text or the processes do not fit are refused, with those that do."""

from __future__ import annotations

from fastrnn.cli.command_line import typed_again
from fastrnn.train.distributed.shards import divisors

__all__ = ["check_sentences", "check_shards", "check_streams"]


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


def check_shards(batch_size: int, shards: int | None, processes: int, *, resumed: bool = False) -> None:
    """Check that processes divide the shards, and shards divide a batch.

    Parameters
    ----------
    batch_size : int
    shards : int or None
        None: as many as processes.
    processes : int
    resumed : bool, default False
        Whether batch and shards are those of a training to resume, which cannot change.

    Raises
    ------
    ValueError
        If not; the message has the numbers that do, and the command line.
    """
    given, shards = shards, shards or processes
    if shards % processes:
        fitting = divisors(shards)
        most = max(number for number in fitting if number < processes)
        multiples = [size for size in divisors(batch_size) if size % processes == 0 and not resumed]
        other = f", or give --shards {multiples[0]}" if multiples else ""
        raise ValueError(
            f"--shards: {processes} processes do not divide the {shards} shards of a batch; "
            f"numbers that do: {_listed(fitting)}{other}; type: {typed_again(processes=most)}"
        )
    if batch_size % shards:
        fewer = batch_size // shards * shards
        nearest = [str(size) for size in (fewer, fewer + shards) if size]
        each = ", one for each process" if given is None else ""
        fitting = divisors(batch_size)
        raise ValueError(
            f"--batch-size: a batch of {batch_size} does not split into {shards} equal shards{each}; "
            f"numbers that do: {_listed(fitting)}; nearest --batch-size: {' or '.join(nearest)}; "
            f"type: {typed_again('--batch-size', nearest[-1])}"
        )


def _listed(numbers: list[int]) -> str:
    return ", ".join(map(str, numbers))
