"""What the scripts of this folder share: eight networks of as many parameters, a table, a picture."""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

import fastrnn as fr

Floats = NDArray[np.float64]


@dataclass
class Recipe:
    """How networks learn a task.

    Attributes
    ----------
    model : class
        A model of `fastrnn.models`.
    settings : dict
        Those of the model.
    training : (X, y)
        What ``fit`` takes.
    measure : callable
        Takes a fitted model and returns the metric, or several, of data that it has not seen.
    validation : (X, y), optional
        Measured after each epoch.
    """

    model: type
    settings: dict[str, Any]
    training: tuple[Any, Any]
    measure: Callable[[Any], float | tuple[float, ...]]
    validation: tuple[Any, Any] | None = None


@dataclass
class Task:
    """A task.

    Attributes
    ----------
    title, metric : str
        For the table.
    lag : int
        The steps between cause and effect.
    parameters : int
        How many each network may have.
    trained : Recipe
        For the networks that gradients train.
    reservoir : Recipe
        For the echo state network.
    own : dict of str to dict
        Further settings of some networks.
    curve_name : str
    curve : callable
        Makes a curve for the picture of a history, default: the validation loss.
    """

    title: str
    metric: str
    lag: int
    parameters: int
    trained: Recipe
    reservoir: Recipe
    own: dict[str, dict[str, Any]] = field(default_factory=dict)
    curve_name: str = "validation loss, nats"
    curve: Callable[[dict[str, list[float]]], list[float]] = lambda history: history["validation_loss"]


class Result(NamedTuple):
    """A row of the table, and a line in each half of the picture.

    Attributes
    ----------
    parameters, trained : int
        All numbers of a network, and those of them that training sets: of an ESN only the readout's.
    seconds : float
        Of processor time, one thread.
    curve : list of float
        After each epoch; empty for an ESN, which is fitted in closed form.
    gradients : ndarray, float64 [T]
        The norm of dL/dh at each lag before the last step, of lag 0 first.
    """

    name: str
    metric: tuple[float, ...]
    units: int
    parameters: int
    trained: int
    seconds: float
    steps: int
    curve: list[float]
    gradients: Floats


def networks(lag: int) -> dict[str, Callable[[int], dict[str, Any]]]:
    """Return the networks by name: the settings of each, given how many units it has.

    vanilla : h = tanh(W x + U h' + b), Elman (1990).
    IRNN : relu in place of tanh, U begins as the identity, Le et al. (2015).
    leaky : a part of h' is kept, of each unit another, Jaeger et al. (2007): time constants from 1 step to
        the whole lag.
    skip : a further matrix reads the h of some steps ago, Lin et al. (1996): gradients take steps as long.
    GRU, LSTM, minGRU : Cho et al. (2014), Hochreiter and Schmidhuber (1997), Feng et al. (2024). The gates
        begin open for times up to the lag, Tallec and Ollivier (2018).
    ESN : a dense random reservoir, of which only the readout is fitted, by ridge regression, Jaeger (2001).
        Its numbers that are not trained count as parameters too.
    """

    def leaks(units: int) -> tuple[float, ...]:
        return tuple(np.exp(-1.0 / np.geomspace(1.0, lag, units)).tolist())

    return {
        "vanilla": lambda units: {"cell": "rnn", "initialize": turn},
        "IRNN": lambda units: {
            "cell": "rnn", "cell_options": {"nonlinearity": "relu"}, "initialize": fr.init.identity,
        },
        "leaky": lambda units: {
            "cell": "rnn", "cell_options": {"leak": leaks(units)}, "initialize": turn,
        },
        "skip": lambda units: {
            "cell": "rnn", "cell_options": {"skip": max(lag // 10, 2)}, "initialize": carry,
        },
        "GRU": lambda units: {"cell": "gru", "initialize": lambda network: remember(network, lag)},
        "LSTM": lambda units: {"cell": "lstm", "initialize": lambda network: remember(network, lag)},
        "minGRU": lambda units: {"cell": "mingru", "initialize": lambda network: remember(network, lag)},
        "ESN": lambda units: {"density": 1.0},
    }  # fmt: skip


def turn(network: Any) -> None:
    """Let the recurrent matrix be orthogonal at first, the same for each fit."""
    fr.init.orthogonal(network, seed=0)


def carry(network: Any) -> None:
    """Let the skip connections carry h unchanged at first: an orthogonal matrix."""
    with network.encoder.rnn.parameters.edit() as views:
        skip = views["weight_skip_l0"]
        skip[...] = np.linalg.qr(np.random.default_rng(0).normal(size=skip.shape))[0]


def remember(network: Any, lag: int) -> None:
    """Set the biases of the gates so that units keep what they hold for 1 to `lag` steps at first.

    A gate of sigmoid(ln t) = t / (t + 1) keeps for about t steps. The times are drawn uniformly (Tallec and
    Ollivier 2018, "Can Recurrent Neural Networks Warp Time?", equation 15), the same for each fit.
    """
    rnn = network.encoder.rnn
    units = rnn.hidden_size
    bias = np.log(np.random.default_rng(0).uniform(1.0, max(lag - 1.0, 2.0), units))
    with rnn.parameters.edit() as views:
        views["bias_ih_l0"][...] = 0.0
        if "bias_hh_l0" in views:
            views["bias_hh_l0"][...] = 0.0
        if isinstance(rnn, fr.LSTM):  # i, f, g, o
            views["bias_ih_l0"][:units], views["bias_ih_l0"][units : 2 * units] = -bias, bias
        elif isinstance(rnn, fr.GRU):  # r, z, n: z is what is kept
            views["bias_ih_l0"][units : 2 * units] = bias
        else:  # z, n: z is what is new
            views["bias_ih_l0"][:units] = -bias


def train(task: Task, name: str, seed: int) -> Result:
    """Train a model with as many units as the number of parameters allows."""
    recipe = task.reservoir if name == "ESN" else task.trained
    settings = networks(task.lag)[name]

    def model(units: int, **others: Any) -> Any:
        own = {**recipe.settings, **settings(units), **task.own.get(name, {}), **others}
        return recipe.model(**own, hidden_size=units, random_state=seed)

    units, parameters = units_for(task.parameters, recipe, model)
    data = {} if recipe.validation is None else {"validation": recipe.validation}
    started = time.process_time()
    fitted = model(units).fit(*recipe.training, **data)
    seconds = time.process_time() - started
    assert fitted.network_.parameters.flat.size == parameters
    metric = tuple(np.atleast_1d(recipe.measure(fitted)).tolist())
    gradients = gradient_norms(fitted, recipe)
    if name == "ESN":
        trained = fitted.network_.readout.parameters.flat.size
        return Result(name, metric, units, parameters, trained, seconds, 1, [], gradients)
    steps = fitted.n_iter_ * -(-len(recipe.training[1]) // fitted.batch_size)
    curve = task.curve(fitted.history_)
    return Result(name, metric, units, parameters, parameters, seconds, steps, curve, gradients)


def units_for(parameters: int, recipe: Recipe, model: Callable[..., Any]) -> tuple[int, int]:
    """Return the most units with which a network has no more parameters than allowed, and how many it has.

    The number of parameters is a quadratic of the number of units: three small networks tell which.
    """
    few = tuple(part if part is None else part[:50] for part in recipe.training)
    short = {"epochs": 1} if hasattr(recipe.model, "cell") else {"washout": 0}
    one, two, three = (model(units, **short).fit(*few).network_.parameters.flat.size for units in (1, 2, 3))

    def count(units: int) -> int:
        return one + (units - 1) * (two - one) + (units - 1) * (units - 2) // 2 * (three - 2 * two + one)

    units = 1
    while count(units + 1) <= parameters:
        units += 1
    return units, count(units)


def gradient_norms(model: Any, recipe: Recipe) -> Floats:
    """Return the norm of dL/dh at each lag before the last step, the median over some long sequences.

    L is a loss of the last step; its gradient there is of norm 1, in a random direction.
    """
    rnn, x, lengths = layer_and_inputs(model, recipe)
    y, _, tape = rnn.forward(x, None, lengths)
    last, every = lengths - 1, np.arange(len(lengths))
    directions = np.random.default_rng(0).normal(size=(len(every), y.shape[2]))
    dy = np.zeros_like(y)
    dy[last, every] = directions / np.linalg.norm(directions, axis=1, keepdims=True)
    norms = fr.inspect.state_gradients(rnn, tape, dy).against_lag()[0]
    return np.array(np.median(norms[: last.min() + 1], axis=1))


def layer_and_inputs(model: Any, recipe: Recipe) -> tuple[Any, Any, NDArray[np.int64]]:
    """Return the recurrent layer of a model, and up to 20 long sequences as it reads them, padded."""
    if recipe.validation is None:
        inputs = model._data(*recipe.training).inputs
        rows = sorted(range(len(inputs)), key=lambda row: -len(inputs[row]))[:20]
        return model.network_.layers[0], *fr.data.pad_batch([one[-500:] for one in inputs], rows)
    examples = model._examples(*recipe.validation)
    batch = examples.batch(np.argsort(-examples.lengths, kind="stable")[:20])
    return model.network_.encoder.rnn, batch[0], batch.lengths


def one_hot(sequences: Any, symbols: Any) -> list[Floats]:
    """Return sequences of symbols as arrays, float64 [T, V]: for an ESN."""
    places = {symbol: place for place, symbol in enumerate(symbols)}
    rows = np.eye(len(places))
    return [rows[[places[symbol] for symbol in sequence]] for sequence in sequences]


def parser(description: str) -> argparse.ArgumentParser:
    """Return the options that all scripts have."""
    result = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    result.add_argument("--networks", nargs="+", choices=[*networks(100)], default=[*networks(100)])
    result.add_argument("--seeds", type=int, default=1, help="so many sets of data and trainings")
    result.add_argument("--plot", help="a picture to write, of the training and of gradients over time")
    result.add_argument(
        "--small", action="store_true", help="a run of a few seconds, in which little is learned"
    )
    return result


def run(make_task: Callable[[int], Task], arguments: argparse.Namespace, suffix: str = "") -> list[Result]:
    """Train all networks with all seeds, print a table, and draw a picture if asked for one.

    Parameters
    ----------
    make_task : callable
        Takes a seed.
    arguments : Namespace
        Of `parser`.
    suffix : str
        Joined to the name of the picture.
    """
    if arguments.seeds < 1:
        raise SystemExit("--seeds: expected at least 1")
    tasks = [make_task(seed) for seed in range(arguments.seeds)]
    task, first = tasks[0], []
    print(f"{task.title}: {task.metric}")
    print(f"{'':8}{'units':>7}{'parameters':>12}{'trained':>9}{'steps':>7}{'CPU s':>8}   {task.metric}")
    for name in arguments.networks:
        results = [train(one, name, seed) for seed, one in enumerate(tasks)]
        shown = results[0]
        seconds = sum(result.seconds for result in results) / len(results)
        metrics = " |".join("".join(f"{one:9.4g}" for one in result.metric) for result in results)
        sizes = f"{shown.units:7}{shown.parameters:12}{shown.trained:9}{shown.steps:7}"
        print(f"{name:8}{sizes}{seconds:8.1f}  {metrics}", flush=True)
        first.append(shown)
    if arguments.plot:
        path = Path(arguments.plot)
        draw(first, task, str(path.with_name(f"{path.stem}{suffix}{path.suffix}")))
    return first


def draw(results: list[Result], task: Task, path: str) -> None:
    """Draw the training, and the norms of gradients at each lag, as two pictures side by side."""
    from fastrnn.plots import plot_gradient_norms  # needs matplotlib

    lags = min(len(result.gradients) for result in results)
    figure = plot_gradient_norms({result.name: result.gradients[:lags] for result in results})
    figure.set_size_inches(10, 4)
    places, (right,) = figure.add_gridspec(1, 2), figure.axes
    right.set_subplotspec(places[1])
    right.set(title="after training", ylim=(1e-12, 1e3), ylabel="norm of dL/dh, 1 at lag 0")
    left = figure.add_subplot(places[0])
    for number, result in enumerate(results):
        steps = np.linspace(0, result.steps, len(result.curve) + 1)[1:]
        if result.curve:
            left.plot(steps, result.curve, color=f"C{number}")
    left.set(title=task.title, xlabel="steps of training", ylabel=task.curve_name, yscale="log")
    figure.savefig(path, dpi=100)
