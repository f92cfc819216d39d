"""Choose the rule that decides where a model's texts end."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastrnn._checks import as_size
from fastrnn.decode.halting import Halting
from fastrnn.decode.planned_length import PlannedLength
from fastrnn.decode.stop_rule import EosOrLength, StopRule

if TYPE_CHECKING:
    from fastrnn.decode.distribution import Sampling
    from fastrnn.language import LanguageModel

__all__ = ["as_eos", "choose_stop_rule"]


def choose_stop_rule(
    model: LanguageModel,
    sampling: Sampling,
    *,
    eos: int | None = None,
    min_length: int = 0,
    max_length: int | None = None,
) -> StopRule:
    """Return the rule for a model's ``length_model``.

    Parameters
    ----------
    model : LanguageModel
    sampling : Sampling
        A banned symbol never ends a text; a temperature of 0 takes the likelier decision, not a random one.
    eos : int, optional
        Default: ``model.eos``; -1 for none.
    min_length, max_length
        As for `EosOrLength`.

    Raises
    ------
    ValueError
        If a text would never end, or `eos` or a length is out of range.
    """
    kind = model.length_model
    end = as_eos(model, eos)
    end = None if end in tuple(sampling.banned) else end
    if kind == "halt":
        return Halting(end, min_length, max_length, likeliest=sampling.temperature == 0.0)
    if kind == "tau":
        if end is not None:
            raise ValueError(f"eos: expected None, as length_model='tau' ends each text, got {end}")
        return PlannedLength(min_length, max_length, likeliest=sampling.temperature == 0.0)
    if kind is not None:
        raise ValueError(f"length_model: expected None, 'halt' or 'tau', got {kind!r}")
    if end is None and max_length is None:
        raise ValueError("eos, max_length: expected at least one, as a text would never end")
    if end is not None and min_length > 0 and len({end, *sampling.banned}) == model.vocabulary_size:
        raise ValueError(f"min_length: expected 0, as only eos is left to draw, got {min_length}")
    return EosOrLength(end, min_length, max_length)


def as_eos(model: LanguageModel, eos: int | None) -> int | None:
    """Return the id that ends a text: `eos`, or else the model's own; None for -1 or if neither is set."""
    end = model.eos if eos is None else eos
    if end is None:
        return None
    end = as_size("eos", end, least=-1, most=model.vocabulary_size - 1)
    return None if end == -1 else end
