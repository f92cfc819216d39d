"""The gradients of one training step: forward and backward over one or more batches."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from fastrnn._checks import as_number, as_size

if TYPE_CHECKING:
    from fastrnn.data.batching import Batch, TrainingData
    from fastrnn.language import LanguageModel

__all__ = [
    "StepGradients",
    "StepOptions",
    "check_counted",
    "next_start",
    "step_gradients",
    "step_keywords",
]


class StepOptions(NamedTuple):
    """Options of a training step; see `Trainer`."""

    accumulate: int = 1
    label_smoothing: float = 0.0
    checkpoint_every: int | None = None

    def checked(self) -> StepOptions:
        """Return the options as plain Python values.

        Raises
        ------
        ValueError, TypeError
            Naming the option that is out of range or of the wrong kind.
        """
        every = self.checkpoint_every
        return StepOptions(
            as_size("accumulate", self.accumulate),
            as_number("label_smoothing", self.label_smoothing, least=0.0, below=1.0),
            None if every is None else as_size("checkpoint_every", every),
        )


class StepGradients(NamedTuple):
    """Result of `step_gradients`.

    Attributes
    ----------
    loss : float
        Mean over the tokens of all batches, in nats per token.
    tokens : int
    batches : int
        Batches read so far, over all steps.
    carried : ndarray, tuple of ndarray or None
        The recurrent state at the start of the next batch.
    """

    loss: float
    tokens: int
    batches: int
    carried: Any


def step_gradients(
    model: Any, data: TrainingData, first: int, carried: Any, options: StepOptions
) -> StepGradients:
    """Compute the gradients of the mean loss over all tokens of one or more batches.

    Batches of sentences of similar length have few tokens if the sentences are short. Each batch is weighted
    by its tokens relative to the average batch, so that every token of an epoch has the same weight.
    Otherwise short sentences would weigh more, and the model would end its texts too early.

    Parameters
    ----------
    model : LanguageModel or ExampleNetwork
        Only its gradients and its dropout random state change.
    data : TrainingData
    first : int
        Index of the first batch.
    carried : ndarray, tuple of ndarray or None
        The recurrent state at its start.
    options : StepOptions

    Returns
    -------
    result : StepGradients
    """
    last = first + options.accumulate
    batches = [data.batch(number) for number in range(first, last)]
    tokens = sum(batch.tokens for batch in batches)
    check_counted(tokens, first)
    alike = batches[0].lengths is None and batches[0].counted is None
    usual = tokens if alike else options.accumulate * data.tokens / len(data)
    model.zero_grad()
    loss = 0.0
    for number, batch in enumerate(batches, first):
        if number % len(data) == 0:
            carried = None
        if not batch.tokens:
            continue
        share = batch.tokens / tokens
        mean, after = model.loss_and_gradients(
            batch.inputs, batch.targets, carried, **step_keywords(batch, batch.tokens / usual, options)
        )
        loss += share * mean
        carried = next_start(model, batch, carried, after)
    return StepGradients(loss, tokens, last, carried)


def check_counted(tokens: int, first: int) -> None:
    """Check that the batches of a step have a target.

    Raises
    ------
    ValueError
        If they have none.
    """
    if not tokens:
        raise ValueError(f"targets: expected one that counts in each step, got none in batch {first}")


def step_keywords(batch: Batch, scale: float, options: StepOptions) -> dict[str, Any]:
    """Return the keywords that differ from their defaults: a model need not support the others."""
    keywords: dict[str, Any] = {}
    if batch.lengths is not None:
        keywords["lengths"] = batch.lengths
    if scale != 1.0:
        keywords["scale"] = scale
    if options.label_smoothing:
        keywords["label_smoothing"] = options.label_smoothing
    if options.checkpoint_every is not None:
        keywords["checkpoint_every"] = options.checkpoint_every
    return keywords


def next_start(model: LanguageModel, batch: Batch, before: Any, after: Any) -> Any:
    """Return the state at the start of the next batch, from those at this one's start and end."""
    if batch.advance == len(batch.inputs):
        return after
    if batch.advance == 0:
        return before
    return model.advance(batch.inputs[: batch.advance], before)
