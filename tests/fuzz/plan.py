"""Random plans of a layer and a batch for it: plain values, from which both can be made again."""

from __future__ import annotations

import json
import warnings
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

import numpy as np

import fastrnn as fr
from fastrnn.layers.recurrent.options import ACTIVATIONS, CELLS, MERGES, PEEPHOLES

#: Every layer, and the options that its cell takes.
LAYERS = {cell.layer: cell.accepts for cell in CELLS.values()}
SIZES = (1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 33)
LARGE = (24, 33, 48, 64, 65, 70)
STEPS = (*[1, 2, 3, 4, 5, 6, 7, 9, 12, 20] * 2, 0)
ROWS = (*[1, 1, 2, 3, 4, 5, 7, 9, 17] * 2, 0)
LAYOUTS = (
    "plain",
    "plain",
    "plain",
    "fortran",
    "negative",
    "strided",
    "axes",
    "unaligned",
    "read-only",
    "list",
)
ID_DTYPES = ("int64", "int64", "int32", "int16", "uint8", "uint64")
#: Layers with other precisions than float32, and their options that do not contradict one.
PRECISE = ("GRU", "LSTM", "RNN")
BESIDE_PRECISION = {"merge", "reverse", "learn_state", "reset_after", "nonlinearity"}
#: Options that contradict a Jordan network's targets.
UNFORCED = {"reverse"}


@dataclass(frozen=True)
class Plan:
    """A layer and a batch for it.

    Attributes
    ----------
    layer : str
        The name of its class.
    sizes : (int, int)
        D and H.
    options : dict
        All other arguments of the constructor but the seed; the precision may be int8.
    steps, rows : int
        T and N; either may be 0.
    ids : str
        The dtype of x where it is ids, or "".
    layout : str
        How x, states and gradients lie in memory, of `LAYOUTS`.
    lengths : str
        "", or the form of the lengths: "list", or a dtype.
    reset : float
        The fraction of steps that are resets; 0: None is passed.
    state, targets : bool
        Whether a state, or a Jordan network's targets, are passed.
    context_of_steps : bool
        Whether a context is one of each step, not one for all.
    gradients : str
        Which are passed to `backward`: "y", "state" or "both".
    every : int
        The steps of a segment.
    threads : int
        The number whose bits are compared with those of one thread.
    scale : float
        Of the weights, relative to one over the square root of what they sum over.
    seed : int
        Of all numbers.
    """

    layer: str
    sizes: tuple[int, int]
    options: dict[str, Any]
    steps: int
    rows: int
    ids: str = ""
    layout: str = "plain"
    lengths: str = ""
    reset: float = 0.0
    state: bool = False
    targets: bool = False
    context_of_steps: bool = False
    gradients: str = "both"
    every: int = 1
    threads: int = 2
    scale: float = 1.0
    seed: int = 0

    @property
    def bounded(self) -> bool:
        """Whether no numbers can grow from step to step."""
        growing = {"relu", "identity", "positive"} & {v for v in self.options.values() if isinstance(v, str)}
        return self.layer.startswith("Min") or not growing

    @property
    def precision(self) -> str:
        """Of the products."""
        return self.options.get("precision", "float32")

    def make(self, **changes: Any) -> Any:
        """Make the layer, with parameters drawn so that every option has an effect; for int8, in float32."""
        given = {**self.options, **changes}
        if self.precision == "int8":
            del given["precision"]
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "dropout: ")  # of one layer
            rnn = getattr(fr, self.layer)(*self.sizes, **given, seed=self.seed)
        random = np.random.default_rng([self.seed, 1])
        with rnn.parameters.edit() as views:
            for name, view in views.items():
                view[...] = self._parameter(name, view.shape, random)
        return rnn

    def finish(self, rnn: Any) -> Any:
        """Return a layer that was made and perhaps changed: in int8, its quantized copy."""
        return fr.quantize(rnn, "int8") if self.precision == "int8" else rnn

    def _parameter(self, name: str, shape: tuple[int, ...], random: np.random.Generator) -> Any:
        values = random.normal(size=shape)
        if name.startswith("gain"):
            return 1.0 + 0.3 * values
        if name.startswith("initial_c") and self.layer == "SLSTM":  # c, n and m; n is not negative
            values[:, shape[1] // 3 : 2 * shape[1] // 3] = np.abs(values[:, : shape[1] // 3]) + 0.1
        if name.startswith("weight") and not (name.startswith("weight_ih_l0") and self.ids):
            values /= np.sqrt(shape[-1])
        return self.scale * values

    def line(self) -> str:
        """Return the plan as one line of JSON, without what is usual."""
        usual = {field.name: field.default for field in fields(self)}
        given = {name: value for name, value in asdict(self).items() if value != usual[name]}
        return json.dumps(given, default=lambda value: value.tolist())

    @classmethod
    def of(cls, line: str) -> Plan:
        """Return the plan of a line."""
        given = json.loads(line)
        given["options"] = {name: _tuple(value) for name, value in given["options"].items()}
        return cls(**{**given, "sizes": _tuple(given["sizes"])})

    def replace(self, **changes: Any) -> Plan:
        """Return the plan with some fields changed."""
        return replace(self, **changes)


def draw_plan(seed: int, index: int) -> Plan:
    """Draw a plan whose layer can be made; the constructor says which options contradict each other."""
    random = np.random.default_rng([seed, index])
    layer = str(random.choice(list(LAYERS)))
    for _ in range(200):
        plan = _draw(layer, random)
        try:
            plan.finish(plan.make())
        except ValueError as error:
            if "contradicts" not in str(error) and "expected" not in str(error):
                raise  # a nonlinearity may have no precision but float32
        else:
            return plan
    raise AssertionError(f"{layer}: 200 draws of options were all refused")


def _draw(layer: str, random: np.random.Generator) -> Plan:
    large = random.random() < 0.04
    sizes = LARGE if large else SIZES
    D, H = (int(size) for size in random.choice(sizes, size=2))
    steps = int(random.integers(12, 25) if large else random.choice(STEPS))
    rows = int(random.integers(16, 41) if large else random.choice(ROWS))
    options = _draw_options(layer, H, steps, random)
    ids = str(random.choice(ID_DTYPES)) if random.random() < 0.25 else ""
    if "input_dropout" in options:  # of features, which ids have not
        ids = ""
    return Plan(
        layer,
        (D, H),
        options,
        steps,
        rows,
        ids=ids,
        layout=str(random.choice(LAYOUTS)),
        lengths=str(random.choice(("", "", "list", "int64", "int32", "uint8"))),
        reset=float(random.choice((0.0, 0.0, 0.1, 0.4))),
        state=bool(random.random() < 0.5),
        targets=layer == "Jordan" and not options.keys() & UNFORCED and bool(random.random() < 0.6),
        context_of_steps=_may_have_context_of_steps(layer, options) and bool(random.random() < 0.5),
        gradients=str(random.choice(("both", "both", "y", "state"))),
        every=int(random.integers(1, steps + 2)),
        threads=int(random.integers(2, 5)),
        scale=float(random.choice((0.4, 0.8, 1.2))),
        seed=int(random.integers(1 << 31)),
    )


def _may_have_context_of_steps(layer: str, options: dict[str, Any]) -> bool:
    """Return whether the reference can tell: a context after a normalisation is a bias of a row there."""
    after = "layer_norm" in options and layer not in ("RNN", "Jordan")
    return "context_size" in options and not after


def _draw_options(layer: str, H: int, steps: int, random: np.random.Generator) -> dict[str, Any]:
    options: dict[str, Any] = {"dtype": str(random.choice(("float32", "float64")))}
    if layer in PRECISE and random.random() < 0.3:
        options = {"dtype": "float32", "precision": str(random.choice(("bfloat16", "bfloat16", "int8")))}
    often = random.choice((0.0, 0.2, 0.35, 0.6))  # an option's probability of being given
    for name, values in {
        "bias": (False,),
        "batch_first": (True,),
        "num_layers": (2, 2, 3),
        "bidirectional": (True,),
        "dropout": (0.3, 0.9),
    }.items():
        if layer == "Jordan" and name in ("num_layers", "bidirectional", "dropout"):
            continue
        if random.random() < max(often, 0.15):
            options[name] = values[random.integers(len(values))]
    for name in sorted(LAYERS[layer] & BESIDE_PRECISION if "precision" in options else LAYERS[layer]):
        if random.random() < often:
            options |= {_argument(layer, name): draw_option(name, H, steps, random)}
    if layer == "Jordan":
        options["output_size"] = options.pop("proj_size", 3)
    return {name: value for name, value in options.items() if value is not None}


def _argument(layer: str, name: str) -> str:
    """Return the constructor's name for an option."""
    return "output_activation" if layer == "Jordan" and name == "projection_activation" else name


def draw_option(name: str, H: int, steps: int, random: np.random.Generator) -> Any:
    """Draw a value of an option; an option that this does not know is an error, to be added here."""

    def probability() -> float:
        return float(random.choice((0.1, 0.3, 0.5, 0.9)))

    def choice(values: Any) -> str:
        return str(random.choice(values))

    if name.endswith("_dropout") or name == "weight_drop":
        return probability()
    if name == "nonlinearity" or name.endswith("_activation"):
        return choice(ACTIVATIONS)
    leaks = (probability(), tuple(0.9 * random.random(H)), "learned", "shared")
    draws = {
        "zoneout": lambda: probability() if random.random() < 0.5 else (probability(), probability()),
        "proj_size": lambda: int(random.integers(1, max(2, min(H, 20)))),
        "skip": lambda: int(random.integers(1, steps + 3)),
        "context_size": lambda: int(random.integers(1, 10)),
        "merge": lambda: choice(MERGES),
        "cell_clip": lambda: float(random.choice((0.05, 0.3, 1.0, 3.0))),
        "leak": lambda: leaks[random.integers(len(leaks))],
        "reset_after": lambda: bool(random.random() < 0.5),
        "peephole": lambda: (True, *PEEPHOLES)[random.integers(3)],
    }
    flags = "layer_norm reverse learn_state coupled relevance hidden_recurrence".split()
    return {**draws, **dict.fromkeys(flags, lambda: True)}[name]()


def _tuple(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value
