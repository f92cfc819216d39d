"""Compose chorales: a generator of several notes at once, a MIDI file, and a piano roll.

    python examples/chorales.py [FOLDER]

FOLDER holds the chorales of J. S. Bach as ``train.json`` and ``valid.json``, each a list of chorales, each a
list of steps, each the list of its notes as MIDI numbers. Without it, a few chorales in four voices are made.
At each step the network predicts for each of the 88 keys of a piano whether it sounds, given all steps before
it. The measure is that of Boulanger-Lewandowski et al. (2012): the cross-entropies of the 88 keys, summed,
in nats; their mean over the steps of all chorales. Others begin at a chorale's second step, as nothing comes
before the first; both are printed, and the mean of the means of the chorales.

With the 229 chorales of the usual JSB Chorales to learn from and the 76 of its validation part held out,
nats of a step (about 140 s a training on one core of a busy machine; the settings were chosen on that part):

                                seed 0   seed 1   seed 2    mean
    all steps                    8.196    8.238    8.218   8.217
    from the second on           8.218    8.259    8.239   8.239
    mean of chorales' means      8.152    8.172    8.165   8.163
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import numpy as np

from fastrnn.interop import write_midi
from fastrnn.models import SequenceGenerator
from fastrnn.plots import plot_piano_roll

KEYS = range(21, 109)  # of a piano, as MIDI numbers
SETTINGS = {
    "cell": "lstm",
    "hidden_size": 200,
    "dropout": 0.3,  # of the notes that are read, and before the output
    "epochs": 80,
    "batch_size": 8,
    "learning_rate": 0.01,
}
Chorale = list[list[int]]


def main() -> None:
    """Train, measure, generate a chorale, write it and draw it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", nargs="?", type=Path, help="with train.json and valid.json")
    parser.add_argument("--small", action="store_true", help="a run of a few seconds")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", default="chorale", help="name of the .mid and .png files")
    arguments = parser.parse_args()
    settings = {**SETTINGS, "random_state": arguments.seed}
    if arguments.small:
        settings |= {"hidden_size": 32, "epochs": 30}
    if arguments.folder is None:
        chorales = invented(40, np.random.default_rng(arguments.seed))
        training, held_out = chorales[:30], chorales[30:]
    else:
        training, held_out = (
            json.loads((arguments.folder / name).read_text()) for name in ("train.json", "valid.json")
        )

    started = time.perf_counter()
    model = SequenceGenerator(labels=list(KEYS), **settings).fit(None, training)
    print(f"{len(training)} chorales to learn from, {time.perf_counter() - started:.0f} s")
    measure(model, held_out)

    # A lower temperature takes fewer notes that are unlikely.
    [chorale] = model.generate(max_length=100, temperature=0.6, random_state=arguments.seed)
    print(f"a chorale of {len(chorale)} steps begins {chorale[:3]}")
    write(f"{arguments.out}.mid", chorale)
    draw(f"{arguments.out}.png", chorale)


def measure(model: SequenceGenerator, chorales: list[Chorale]) -> None:
    """Print the nats of a step, without those of the end."""
    each = [nats[:-1, 0] for nats in model.step_nats(None, chorales)]
    print(f"{sum(map(len, each))} steps held out, nats of a step:")
    print(f"  all steps                  {np.concatenate(each).mean():.3f}")
    print(f"  from the second on         {np.concatenate([one[1:] for one in each]).mean():.3f}")
    print(f"  mean of chorales' means    {np.mean([one.mean() for one in each]):.3f}")


def write(path: str, chorale: Chorale) -> None:
    """Write a MIDI file, if ``mido`` is installed."""
    try:
        write_midi(path, chorale)
    except ImportError as error:
        print(error)
    else:
        print(f"written to {path}")


def draw(path: str, chorale: Chorale) -> None:
    """Draw a piano roll, if ``matplotlib`` is installed."""
    try:
        plot_piano_roll(chorale, path)
    except ImportError as error:
        print(error)
    else:
        print(f"drawn in {path}")


def invented(count: int, random: np.random.Generator) -> list[Chorale]:
    """Return chorales in four voices: walks from chord to chord of a major key, each held for two steps."""
    scale = [0, 2, 4, 5, 7, 9, 11]
    follows = {0: [3, 4, 5, 1], 1: [4, 6], 3: [4, 0, 1], 4: [0, 5, 0], 5: [1, 3], 6: [0]}
    chorales = []
    for _ in range(count):
        key, degree, chorale = 48 + int(random.integers(-5, 6)), 0, []
        for _ in range(int(random.integers(12, 24))):
            notes = [
                key + scale[(degree + third) % 7] + 12 * octave for octave, third in enumerate((0, 4, 2, 0))
            ]
            chorale += [sorted(notes)] * 2
            degree = int(random.choice(follows[degree]))
        chorales.append(chorale)
    return chorales


if __name__ == "__main__":
    main()
