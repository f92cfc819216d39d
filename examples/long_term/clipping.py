"""Clipping gradients, by norm and by value, where they explode: a wall of one unit, and a task of 48 units.

    python examples/long_term/clipping.py [--steps 1500] [--plot clipping.png] [--small]

The unit is h = sigmoid(w h' + b), which should be 0.7 after 50 steps (Pascanu, Mikolov, Bengio 2013, "On the
difficulty of training recurrent neural networks", figure 6). Its loss over w and b has a wall: at its foot
the gradient is up to ten thousand times that beside it, and a step without clipping leaves the valley.
Clipping by norm keeps the gradient's direction and limits the step. Clipping by value limits each element, so
that a large gradient points along a diagonal: the descent zigzags, and needs longer.

The task is to predict the symbols of embedded Reber strings, of which the last but one repeats the second.
A vanilla network whose recurrent weights begin as twice an orthogonal matrix reads 60 symbols at a time, and
gradients grow a thousandfold and more on their way back. The lowest possible loss is 0.374 nats a symbol, the
entropy of the grammar.
"""

from __future__ import annotations

import argparse
import math
from typing import Any

import numpy as np

import fastrnn as fr
from fastrnn.data.synthetic import embedded_reber
from fastrnn.train import (
    SGD,
    Trainer,
    TrainingDiverged,
    clip_gradient_norm,
    clip_gradient_value,
    gradient_norm,
)

START, TARGET, LENGTH = (5.0, -2.0), 0.7, 50  # of the unit: w and b, the h to reach, the steps to it
LEARNING_RATE = 0.1
LIMITS = {"no clipping": {}, "by norm": {"clip_norm": 0.5}, "by value": {"clip_value": 0.5}}

UNITS, SCALE, WINDOW = 48, 2.0, 60  # of the task
TASK_LIMITS = {"no clipping": {}, "by norm": {"clip_norm": 1.0}, "by value": {"clip_value": 0.02}}


def descend(steps: int, clip_norm: float | None = None, clip_value: float | None = None) -> Any:
    """Return w, b, the loss and the gradient's norm at each step of gradient descent, [steps + 1, 4]."""
    unit = fr.RNN(1, 1, nonlinearity="sigmoid", dtype="float64", seed=0)
    unit.parameters["weight_hh_l0"], unit.parameters["bias_ih_l0"] = [[START[0]]], [START[1]]
    unit.parameters["weight_ih_l0"], unit.parameters["bias_hh_l0"] = [[0.0]], [0.0]
    unit.freeze("weight_ih_l0", "bias_hh_l0")
    optimizer, path = SGD(unit, LEARNING_RATE), []
    x, initial = np.zeros((LENGTH, 1, 1)), np.full((1, 1, 1), 0.5)
    for _ in range(steps + 1):
        w, b = unit.parameters["weight_hh_l0"].item(), unit.parameters["bias_ih_l0"].item()
        h, _, tape = unit.forward(x, initial)
        error, dh = h[-1] - TARGET, np.zeros_like(h)
        dh[-1] = 2 * error
        unit.zero_grad()
        unit.backward(tape, dh)
        path.append((w, b, error.item() ** 2, gradient_norm(unit)))
        if clip_norm is not None:
            clip_gradient_norm(unit, clip_norm)
        if clip_value is not None:
            clip_gradient_value(unit, clip_value)
        optimizer.step()
    return np.array(path)


def surface(w: Any, b: Any) -> Any:
    """Return the loss of the unit at all w and b."""
    h = np.full(np.broadcast(w, b).shape, 0.5)
    for _ in range(LENGTH):
        h = 1 / (1 + np.exp(-(w * h + b)))
    return (h - TARGET) ** 2


def learn(ids: Any, held_out: Any, symbols: int, steps: int, seed: int, **limits: float) -> dict[str, Any]:
    """Train the vanilla network on the task, and return what became of it."""
    model = fr.LanguageModel(symbols, cell="rnn", hidden_size=UNITS, num_layers=1, seed=seed)
    fr.init.orthogonal(model, SCALE, seed=seed)
    data = fr.ChunkedText(ids, batch_size=16, seq_length=WINDOW)
    trainer = Trainer(model, data, SGD(model, 0.3, momentum=0.9), diagnose_every=250, **limits)
    norms, warnings = [], []
    try:
        for record in trainer.run(steps):
            norms.append(record.gradient_norm)
            warnings += record.warnings
        loss = fr.train.evaluate(model, held_out, batch_size=4).loss
    except TrainingDiverged:
        loss = math.inf
    return {"loss": loss, "largest": max(norms), "warnings": warnings}


def draw(paths: dict[str, Any], path: str) -> None:
    """Draw the surface and the three ways down."""
    from fastrnn.plots.figure import new_figure, save_figure

    figure, axes = new_figure(5.8, 3.4)
    w, b = np.meshgrid(np.linspace(3.5, 6.0, 301), np.linspace(-3.2, 0.6, 301))
    levels = [0, 0.001, 0.005, 0.02, 0.04, 0.06, 0.08, 0.1, 0.2, 0.3, 0.4, 0.5]
    axes.contourf(w, b, np.sqrt(surface(w, b)), np.sqrt(levels), cmap="Greys", alpha=0.6)
    styles = {"no clipping": ("tab:red", "x"), "by norm": ("tab:blue", "o"), "by value": ("tab:orange", "s")}
    for name, points in paths.items():
        color, marker = styles[name]
        label = f"{name}: loss {points[-1, 2]:.2g} after {len(points) - 1} steps"
        axes.plot(points[:, 0], points[:, 1], color=color, linewidth=0.8, label=label)
        axes.plot(points[-1, 0], points[-1, 1], color=color, marker=marker, markersize=7)
    axes.plot(*START, color="black", marker="*", markersize=10, linestyle="none", label="start")
    axes.set_xlim(3.5, 6.0)
    axes.set_ylim(-3.2, 0.6)
    axes.set_xlabel("w")
    axes.set_ylabel("b")
    axes.set_title("Loss of one unit after 50 steps: dark is high", fontsize=10)
    axes.legend(loc="upper left", fontsize=8)
    save_figure(figure, path)


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=1500, help="of the task, for each seed")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument(
        "--plot", metavar="FILE", help="draw the unit's loss and the ways down; needs matplotlib"
    )
    parser.add_argument("--small", action="store_true", help="a short run, to see that all is well")
    args = parser.parse_args()
    if args.seeds < 1:
        parser.error("--seeds: expected at least 1")

    steps, seeds, strings = (50, 1, 300) if args.small else (args.steps, args.seeds, 6000)
    paths = {name: descend(300, **limits) for name, limits in LIMITS.items()}
    print("one unit, 300 steps  loss at the end  largest gradient  largest step")
    for name, points in paths.items():
        moved = np.hypot(*np.diff(points[:, :2], axis=0).T).max()
        end, norm = points[-1, 2], points[:, 3].max()
        print(f"{name:19} {end:16.2g} {norm:17.3g} {moved:13.2g}")
    if args.plot:
        draw(paths, args.plot)

    text, held_out = (
        "\n".join(embedded_reber(count, seed=count)) + "\n" for count in (strings, strings // 10)
    )
    vocabulary = fr.Vocabulary.from_text(text)
    ids, held_out = vocabulary.encode(text), vocabulary.encode(held_out)
    print(f"\nReber strings, {steps:4} steps  seed  loss held out  largest gradient  first warning")
    for name, limits in TASK_LIMITS.items():
        for seed in range(seeds):
            found = learn(ids, held_out, len(vocabulary), steps, seed, **limits)
            first = next((f"step {one.step}: {one.message}" for one in found["warnings"]), "none")
            print(f"{name:26} {seed:4} {found['loss']:14.3f} {found['largest']:17.3g}  {first}", flush=True)


if __name__ == "__main__":
    main()
