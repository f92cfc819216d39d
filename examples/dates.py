"""Write dates of fourteen forms as ISO dates, "Tuesday, March 5, 2024" as "2024-03-05", with Seq2Seq.

    python examples/dates.py [--seed 0] [--plot attention.png] [--small]

Trains on dates that it makes itself, then reads dates that occur in training in no form at all, once with
attention and once without. `--plot` draws where the attention was when one date was written.

Measured with --seed 0, on 2,000 dates that were held out: all were written exactly with attention, 90.5 %
without. Both trainings together took two and a half minutes on one core of a busy machine.
"""

import argparse
import random
import time
from datetime import date, timedelta

import fastrnn as fr

FIRST, DAYS = date(1900, 1, 1), 54787  # up to the end of 2049


def ordinal(day):
    ending = {1: "st", 2: "nd", 3: "rd"}.get(day % 10, "th")
    return f"{day}{'th' if 11 <= day <= 13 else ending}"


# Each is clear by itself: the month has its name, or the year comes first.
FORMS = [
    lambda d: f"{d:%A, %B} {d.day}, {d.year}",
    lambda d: f"{d:%A} the {ordinal(d.day)} of {d:%B} {d.year}".lower(),
    lambda d: f"{d:%a}. {d.day} {d:%b}. {d.year}",
    lambda d: f"{d:%a %d-%b}-{d.year}".upper(),
    lambda d: f"{d.day} {d:%B} {d.year}",
    lambda d: f"{ordinal(d.day)} of {d:%B}, {d.year}",
    lambda d: f"{d:%b} {ordinal(d.day)} {d.year}",
    lambda d: f"{d:%B} {ordinal(d.day)}, {d.year}".upper(),
    lambda d: f"{d:%d-%b}-{d.year}",
    lambda d: f"{d.year} {d:%B} {d.day}",
    lambda d: f"the {ordinal(d.day)} day of {d:%B} {d.year}",
    lambda d: f"{d.year}/{d.month}/{d.day}",
    lambda d: f"{d.year}.{d:%m.%d}",
    lambda d: f"{d.year}{d:%m%d}",
]


def make_dates(count, held_out, seed):
    """Return dates, no two alike, in forms drawn at random: those for training, then those held out."""
    draw = random.Random(seed)
    days = [FIRST + timedelta(days=n) for n in draw.sample(range(DAYS), count + held_out)]
    X, y = [draw.choice(FORMS)(day) for day in days], [day.isoformat() for day in days]
    return X[:count], y[:count], X[count:], y[count:]


parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
parser.add_argument("--seed", type=int, default=0)
parser.add_argument("--plot", metavar="PATH", help="draw the attention of one date; needs matplotlib")
parser.add_argument("--small", action="store_true", help="a short run, to see that all is well")
args = parser.parse_args()

count, held_out, epochs = (300, 50, 1) if args.small else (10_000, 2_000, 10)
X, y, X_test, y_test = make_dates(count, held_out, args.seed)
print(f"{count} dates for training, such as {X[0]!r} for {y[0]}; {held_out} held out")

for attention in ("additive", None):
    model = fr.models.Seq2Seq(attention=attention, epochs=epochs, random_state=args.seed)
    started = time.perf_counter()
    model.fit(X, y)
    seconds = time.perf_counter() - started
    exact = model.score(X_test, y_test)
    print(
        f"attention {attention!s:8}  exact {exact:7.2%} of the dates held out  ({seconds:.0f} s)", flush=True
    )
    if attention is not None:
        text = FORMS[0](date(2024, 3, 5))
        (written,), (weights,) = model.predict([text]), model.attention_weights([text])
        print(f"  {text!r} is written {written!r}")
        if args.plot:
            fr.plots.plot_attention(weights, text, written, args.plot)
