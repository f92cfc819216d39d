"""The gradients of one step: forward and backward over one batch, or over several of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from fastrnn._checks import as_number, as_size

if TYPE_CHECKING:
    from fastrnn.data.batching import Batch, TrainingData
    from fastrnn.models import LanguageModel

__all__ = ["Pass", "PassOptions", "step_gradients"]


class PassOptions(NamedTuple):
    """How a step goes through its batches; see `Trainer`."""

    accumulate: int = 1
    label_smoothing: float = 0.0
    checkpoint_every: int | None = None

    def checked(self) -> PassOptions:
        """Return the options as plain Python values.

        Raises
        ------
        ValueError, TypeError
            Naming the option that is out of range or of the wrong kind.
        """
        every = self.checkpoint_every
        return PassOptions(
            as_size("accumulate", self.accumulate),
            as_number("label_smoothing", self.label_smoothing, least=0.0, below=1.0),
            None if every is None else as_size("checkpoint_every", every),
        )


class Pass(NamedTuple):
    """What `step_gradients` found.

    Attributes
    ----------
    loss : float
        Mean over the tokens of all batches, in nats a token.
    tokens : int
    batches : int
        Batches read so far, in all steps.
    carried : ndarray, tuple of ndarray or None
        The state before the next batch.
    """

    loss: float
    tokens: int
    batches: int
    carried: Any


def step_gradients(
    model: LanguageModel, data: TrainingData, first: int, carried: Any, options: PassOptions
) -> Pass:
    """Set the gradients of a model to those of the mean loss over all tokens of some batches.

    Batches of sentences of near lengths have few tokens where the sentences are short. They are weighed by
    their tokens over those that batches have on average, so that each token of an epoch weighs the same;
    else short sentences would count more, and a model would end its texts too soon.

    Parameters
    ----------
    model : LanguageModel
        Its gradients, and what it draws for dropout, are all that changes.
    data : TrainingData
    first : int
        Number of the first batch.
    carried : ndarray, tuple of ndarray or None
        The state before it.
    options : PassOptions

    Returns
    -------
    result : Pass
    """
    last = first + options.accumulate
    batches = [data.batch(number) for number in range(first, last)]
    tokens = sum(batch.tokens for batch in batches)
    usual = tokens if batches[0].lengths is None else options.accumulate * data.tokens / len(data)
    model.zero_gradients()
    loss = 0.0
    for number, batch in enumerate(batches, first):
        if number % len(data) == 0:
            carried = None
        share = batch.tokens / tokens
        mean, after = model.loss_and_gradients(
            batch.inputs, batch.targets, carried, **_keywords(batch, batch.tokens / usual, options)
        )
        loss += share * mean
        carried = _moved(model, batch, carried, after)
    return Pass(loss, tokens, last, carried)


def _keywords(batch: Batch, scale: float, options: PassOptions) -> dict[str, Any]:
    """Give the keywords that say something: a model may know fewer of them."""
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


def _moved(model: LanguageModel, batch: Batch, before: Any, after: Any) -> Any:
    """Give the state at the start of the next batch, of those at this one's start and end."""
    if batch.advance == len(batch.inputs):
        return after
    if batch.advance == 0:
        return before
    return model.advance(batch.inputs[: batch.advance], before)
