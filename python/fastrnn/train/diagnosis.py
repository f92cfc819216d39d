"""What a training step says of itself: update ratios, gradients through time, and warnings."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from functools import partial
from itertools import pairwise
from typing import Any

from fastrnn._checks import as_choice, as_number
from fastrnn._plain import Check, as_count, as_fields, as_list, as_mapping, as_text, as_texts, optional

__all__ = ["ABOUT", "Diagnosis", "TrainingWarning", "as_diagnosis", "as_warning"]

ABOUT = ("vanishing_gradients", "exploding_gradients")
_GONE = 1e-3  # of a gradient: what is left where it counts as vanished


@dataclass(frozen=True)
class Diagnosis:
    """What a step of training says of the network.

    Attributes
    ----------
    update_ratios : dict of str to float
        For each parameter that is not frozen, the norm of the step's update divided by the norm of the
        parameter; see `fastrnn.inspect.update_ratios`.
    lags : tuple of int
        Steps back from the end of the batch, from 1 to all of its steps.
    gradient_norms : dict of str to tuple of float
        For each layer, named as in its parameters ("l0", or "layer1.l0" in a stack), the norm of the gradient
        of its state (h, with c for an LSTM) at each lag, relative to that at lag 1. The gradient is that of
        the loss of the last step alone, measured before the update on eight rows of the batch at most.
    saturation : dict of str to dict of str to float
        For each layer and gate, the fraction of units and steps that are saturated; see
        `fastrnn.inspect.saturation`. Empty with `checkpoint_every`, which keeps no gates.

    References
    ----------
    Hochreiter (1991), "Untersuchungen zu dynamischen neuronalen Netzen"; Bengio, Simard, Frasconi (1994),
    "Learning Long-Term Dependencies with Gradient Descent is Difficult"; Pascanu, Mikolov, Bengio (2013), "On
    the difficulty of training recurrent neural networks", for the gradients.

    Examples
    --------
    >>> norms = {"l0": (1.0, 0.1, 0.01, 0.0001)}
    >>> Diagnosis({"rnn.weight_hh_l0": 0.001}, (1, 2, 3, 4), norms).horizon
    3.5
    """

    update_ratios: dict[str, float]
    lags: tuple[int, ...]
    gradient_norms: dict[str, tuple[float, ...]]
    saturation: dict[str, dict[str, float]] = field(default_factory=dict)

    @property
    def window(self) -> int:
        """Steps that the gradient goes back through."""
        return self.lags[-1]

    @property
    def horizons(self) -> dict[str, float]:
        """For each layer, the lag at which the gradient has fallen to 1/1000; at most the window."""
        return {name: _horizon(self.lags, norms) for name, norms in self.gradient_norms.items()}

    @property
    def horizon(self) -> float:
        """How many steps back the network sees in training: the largest of `horizons`."""
        return max(self.horizons.values())

    @property
    def growth(self) -> float:
        """The largest of `gradient_norms`: 1 where gradients do not grow with the lag."""
        return max(max(norms) for norms in self.gradient_norms.values())

    def to_json(self) -> dict[str, Any]:
        """Return values that JSON can hold: None stands for infinity; `horizon` and `growth` are added."""
        plain = {name: list(map(_finite, norms)) for name, norms in self.gradient_norms.items()}
        return {
            "update_ratios": {name: _finite(ratio) for name, ratio in self.update_ratios.items()},
            "lags": list(self.lags),
            "gradient_norms": plain,
            "horizon": self.horizon,
            "growth": _finite(self.growth),
            "saturation": self.saturation,
        }

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Diagnosis:
        """Return the diagnosis that `to_json` described.

        Raises
        ------
        ValueError, TypeError
            If it has a wrong form.
        """
        fields = as_diagnosis("diagnosis", value)
        norms = {name: tuple(map(_number, norms)) for name, norms in fields["gradient_norms"].items()}
        ratios = {name: _number(ratio) for name, ratio in fields["update_ratios"].items()}
        return cls(ratios, tuple(fields["lags"]), norms, fields["saturation"])


@dataclass(frozen=True)
class TrainingWarning:
    """That gradients vanish or explode in a training: what was measured, and what to try.

    Attributes
    ----------
    about : {"vanishing_gradients", "exploding_gradients"}
    step : int
        The step at which it was found.
    message : str
        What was measured.
    advice : tuple of str
        What to try.

    Examples
    --------
    >>> import fastrnn as fr
    >>> model = fr.LanguageModel(3, cell="rnn", hidden_size=16, num_layers=1, seed=0)
    >>> fr.init.orthogonal(model, 3.0, seed=0)
    >>> data = fr.ChunkedText([0, 1, 2] * 50, batch_size=2, seq_length=40)
    >>> for record in fr.train.train(model, data, 10, clip_norm=None, diagnose_every=10):
    ...     for warning in record.warnings:
    ...         print(warning.step, warning.about)
    1 exploding_gradients
    """

    about: str
    step: int
    message: str
    advice: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.message}; try {', '.join(self.advice[:-1])} or {self.advice[-1]}"

    def to_json(self) -> dict[str, Any]:
        """Return values that JSON can hold, "kind" first: "warning"."""
        return {"kind": "warning", **asdict(self), "advice": list(self.advice)}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> TrainingWarning:
        """Return the warning that `to_json` described.

        Raises
        ------
        ValueError, TypeError
            If it has a wrong form.
        """
        fields = as_warning("warning", value)
        return cls(fields["about"], fields["step"], fields["message"], tuple(fields["advice"]))


def as_diagnosis(name: str, value: Any) -> dict[str, Any]:
    """Check what `Diagnosis.to_json` returned."""
    norm = optional(partial(as_number, least=0.0))
    fraction = partial(as_number, least=0.0, most=1.0)
    required: dict[str, Check] = {
        "update_ratios": partial(_as_named, check=norm),
        "lags": partial(as_list, check=as_count),
        "gradient_norms": partial(_as_named, check=partial(as_list, check=norm)),
        "saturation": partial(_as_named, check=partial(_as_named, check=fraction)),
    }
    fields = as_fields(name, value, required, {"horizon": norm, "growth": norm})
    lengths = {len(fields["lags"]), *map(len, fields["gradient_norms"].values())}
    if not fields["lags"] or not fields["gradient_norms"] or len(lengths) > 1:
        raise ValueError(f"{name}.gradient_norms: expected a number for each of the lags in each layer")
    return fields


def as_warning(name: str, value: Any) -> dict[str, Any]:
    """Check what `TrainingWarning.to_json` returned."""
    fields: dict[str, Check] = {
        "kind": partial(as_choice, choices=("warning",)),
        "about": partial(as_choice, choices=ABOUT),
        "step": as_count,
        "message": as_text,
        "advice": as_texts,
    }
    return as_fields(name, value, fields)


def _horizon(lags: tuple[int, ...], norms: tuple[float, ...]) -> float:
    """Return where norms first fall to 1/1000, between two lags as if by a constant factor per step."""
    for (lag, norm), (after, lower) in pairwise(zip(lags, norms, strict=True)):
        if norm < _GONE:
            break
        if lower < _GONE:
            fall = math.log(norm / _GONE) / math.log(norm / lower) if lower > 0.0 and norm < math.inf else 0.0
            return lag + (after - lag) * fall
    return float(lags[-1]) if norms[0] >= _GONE else 0.0


def _as_named(name: str, value: Any, check: Check) -> dict[str, Any]:
    return {key: check(f"{name}.{key}", entry) for key, entry in as_mapping(name, value).items()}


def _finite(value: float) -> float | None:
    return None if math.isinf(value) else value


def _number(value: float | None) -> float:
    return math.inf if value is None else float(value)
