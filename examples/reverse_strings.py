"""Reverse random strings with Seq2Seq, and see how far it carries to strings longer than those of training.

    python examples/reverse_strings.py [--seed 0] [--small]

Trains on strings of 1 to 12 letters. Strings of 13 to 20 letters ask whether the model has learned the rule,
or only the lengths that it saw.

Measured on 500 strings of each group of lengths, the fraction that is reversed exactly, the mean of the
seeds 0, 1 and 2::

    letters                          1-4    5-8   9-12  13-16  17-20
    no attention                   0.985  0.453  0.013  0.000  0.000
    no attention, source reversed  0.983  0.480  0.013  0.000  0.000
    additive                       1.000  0.997  0.959  0.364  0.010
    multiplicative                 0.997  0.984  0.898  0.480  0.094
    additive, input feeding        1.000  1.000  0.981  0.413  0.003
    multiplicative, input feeding  1.000  0.995  0.948  0.772  0.486
    the same with a GRU            0.999  0.986  0.949  0.847  0.704

Attention carries past the lengths of training, and furthest where scores are products and the decoder reads
what it attended to: with a GRU, of the longest strings, 0.728, 0.740 and 0.644. No form has learned the rule
itself. A training takes half a minute on one core.
"""

import argparse
import random
import time

import fastrnn as fr

LETTERS = "abcdefghijklmnopqrstuvwxyz"
LENGTHS = [(1, 4), (5, 8), (9, 12), (13, 16), (17, 20)]
MODELS = {
    "no attention": {"attention": None},
    "no attention, source reversed": {"attention": None, "reverse_source": True},
    "additive": {"attention": "additive"},
    "multiplicative": {"attention": "multiplicative"},
    "additive, input feeding": {"attention": "additive", "input_feeding": True},
    "multiplicative, input feeding": {"attention": "multiplicative", "input_feeding": True},
    "the same with a GRU": {"attention": "multiplicative", "input_feeding": True, "cell": "gru"},
}


def make_strings(count, shortest, longest, draw):
    return ["".join(draw.choices(LETTERS, k=draw.randint(shortest, longest))) for _ in range(count)]


parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("--seed", type=int, default=0)
parser.add_argument("--small", action="store_true", help="a short run, to see that all is well")
args = parser.parse_args()

draw = random.Random(args.seed)
count, tested, epochs = (200, 20, 1) if args.small else (8_000, 500, 10)
X = make_strings(count, 1, 12, draw)
tests = [make_strings(tested, *lengths, draw) for lengths in LENGTHS]

print(f"{'fraction exact, by length':31}", *(f"{first:>3}-{last:<3}" for first, last in LENGTHS))
for name, options in MODELS.items():
    # max_length lets no model run on past the longest string; it would be 24 by itself.
    model = fr.models.Seq2Seq(**options, epochs=epochs, batch_size=64, learning_rate=0.005, max_length=20,
                              random_state=args.seed)  # fmt: skip
    started = time.perf_counter()
    model.fit(X, [text[::-1] for text in X])
    seconds = time.perf_counter() - started
    right = [model.score(texts, [text[::-1] for text in texts]) for texts in tests]
    print(f"{name:31}", *(f"{fraction:7.3f}" for fraction in right), f"  ({seconds:.0f} s)", flush=True)
