"""Which rule decides where the texts of a model end."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastrnn._checks import as_size
from fastrnn.decode.halting import Halting
from fastrnn.decode.planned import PlannedLength
from fastrnn.decode.stopping import EosOrLength, StopRule

if TYPE_CHECKING:
    from fastrnn.decode.distribution import Sampling
    from fastrnn.models import LanguageModel

__all__ = ["as_eos", "stop_rule"]


def stop_rule(
    model: LanguageModel,
    sampling: Sampling,
    *,
    eos: int | None = None,
    min_length: int = 0,
    max_length: int | None = None,
) -> StopRule:
    """Choose the rule of a model by its ``length_model``.

    Parameters
    ----------
    model : LanguageModel
    sampling : Sampling
        A symbol that it bans ends nothing; a temperature of 0 takes the likelier decision instead of chance.
    eos : int, optional
        Default the model's own, ``model.eos``, where it has one; -1 is none.
    min_length, max_length
        As for `EosOrLength`.

    Raises
    ------
    ValueError
        If a text would never end, `eos` is out of range, or a length is.
    """
    kind = model.length_model
    end = as_eos(model, eos)
    end = None if end in tuple(sampling.banned) else end
    if kind == "halt":
        return Halting(end, min_length, max_length, likeliest=sampling.temperature == 0.0)
    if kind == "tau":
        if end is not None:
            raise ValueError(f"eos: expected none, as length_model='tau' ends each text, got {end}")
        return PlannedLength(min_length, max_length, likeliest=sampling.temperature == 0.0)
    if kind is not None:
        raise ValueError(f"length_model: expected None, 'halt' or 'tau', got {kind!r}")
    if end is None and max_length is None:
        raise ValueError("eos, max_length: expected one of both at least, else a text would never end")
    if end is not None and min_length > 0 and len({end, *sampling.banned}) == model.vocabulary_size:
        raise ValueError(f"min_length: {min_length} symbols, but besides eos there is none to draw")
    return EosOrLength(end, min_length, max_length)


def as_eos(model: LanguageModel, eos: int | None) -> int | None:
    """Choose the id that ends a text: the one given, or the model's own; None for -1 and where neither is."""
    end = model.eos if eos is None else eos
    if end is None:
        return None
    end = as_size("eos", end, least=-1, most=model.vocabulary_size - 1)
    return None if end == -1 else end
