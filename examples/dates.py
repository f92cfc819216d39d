"""Read dates in a dozen written forms and write them as ISO dates: an encoder, a decoder, and attention.

    python examples/dates.py
    python examples/dates.py --draw attention.png

The dates are those of 1900 to 2099, each written in a form drawn at random, in the usual case, in lower or in
upper case: "Thursday, May 3, 1979", "3RD OF MAY 1979", "3.v.1979". The 10 % of all dates that are held out
do not occur in training in any form. A date is right if all of its ten characters are, and if it ends there.

Of 1,000 dates, with seeds 0, 1 and 2, additive and multiplicative attention get all right; without attention
97.4, 98.4 and 97.7 % are. Each training takes a quarter of a minute on one free core.
"""

from __future__ import annotations

import argparse
import datetime
import time

import numpy as np

from fastrnn.models import Seq2Seq

FIRST, LAST = datetime.date(1900, 1, 1), datetime.date(2099, 12, 31)
EXAMPLES = 10_000  # written dates in training; a tenth as many are tested
SETTINGS = {
    "hidden_size": 64,  # units of the decoder, and of each direction of the encoder
    "embedding_size": 32,  # the width of a character's vector
    "epochs": 10,
    "batch_size": 64,
    "learning_rate": 0.005,
}
MODELS = {
    "additive attention": {"attention": "additive"},
    "multiplicative attention": {"attention": "multiplicative"},
    "no attention": {"attention": None, "context": "both"},
}
ROMAN = ["I", "II", "III", "IV", "V", "VI", "VII", "VIII", "IX", "X", "XI", "XII"]
# None is ambiguous: with dots the day is first, with slashes the year.
FORMS = [
    "{day} {month} {year}", "{month} {day}, {year}", "{weekday}, {month} {day}, {year}",
    "{weekday} {day} {month} {year}", "{short_weekday}, {day} {short_month} {year}",
    "{nth} of {month} {year}", "{weekday} the {nth} of {month}, {year}", "{month} {nth}, {year}",
    "{day:02}-{short_month}-{year}", "{year} {month} {day}", "{year}, {short_month} {nth}",
    "{day}.{number}.{year}", "{day:02}.{number:02}.{year}", "{year}/{number:02}/{day:02}",
    "{year}{number:02}{day:02}", "{day}.{roman}.{year}",
]  # fmt: skip


def main() -> None:
    """Train with and without attention, and print the fractions of dates that are right."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--small", action="store_true", help="a run of a few seconds")
    parser.add_argument("--seeds", type=int, default=3, help="so many sets of dates and trainings")
    parser.add_argument("--draw", metavar="PATH", help="draw the attention of a date into this .png or .svg")
    arguments = parser.parse_args()
    if arguments.seeds < 1:
        parser.error("--seeds: expected at least 1")
    settings, seeds, count = dict(SETTINGS), range(arguments.seeds), EXAMPLES
    if arguments.small:
        settings |= {"hidden_size": 24, "epochs": 2}
        seeds, count = range(1), 1000

    print(f"{count} dates in {len(FORMS)} forms; tested on {count // 10} of other days")
    print(f"{'right':26}" + "".join(f"   seed {seed}" for seed in seeds) + "    mean   seconds")
    fitted = {}
    for name, own in MODELS.items():
        started, right = time.perf_counter(), []
        for seed in seeds:
            X, y, X_test, y_test = make_dates(count, seed)
            fitted[name] = Seq2Seq(**settings, **own, random_state=seed).fit(X, y)
            right.append(fitted[name].score(X_test, y_test))
        seconds = (time.perf_counter() - started) / len(right)
        print(f"{name:26}" + "".join(f"{one:9.2%}" for one in right), end="")
        print(f"{np.mean(right):8.2%}{seconds:10.1f}", flush=True)

    model = fitted["additive attention"]
    shown = list(dict.fromkeys([*X_test[:8], "Thursday, May 3, 1979"]))
    targets, weights = model.predict(shown, return_attention=True)
    for written, date in zip(shown, targets, strict=True):
        print(f"{written:36} {date}")
    if arguments.draw:
        from fastrnn.plots import plot_attention  # needs matplotlib

        plot_attention(weights[-1], shown[-1], targets[-1], arguments.draw)


def make_dates(count: int, seed: int) -> tuple[list[str], list[str], list[str], list[str]]:
    """Return `count` written dates and their ISO forms, and a tenth as many of other days."""
    random = np.random.default_rng(seed)
    days = random.permutation((LAST - FIRST).days + 1)
    held_out, training = np.split(days, [len(days) // 10])
    pairs = [[], []]
    for own, part, size in ((training, pairs[0], count), (held_out, pairs[1], count // 10)):
        for day in random.choice(own, size):
            date = FIRST + datetime.timedelta(days=int(day))
            part.append((write_date(date, random), date.isoformat()))
    (X, y), (X_test, y_test) = (map(list, zip(*part, strict=True)) for part in pairs)
    return X, y, X_test, y_test


def write_date(date: datetime.date, random: np.random.Generator) -> str:
    """Return a date in a form and a case drawn at random."""
    ending = "th" if date.day in (11, 12, 13) else {1: "st", 2: "nd", 3: "rd"}.get(date.day % 10, "th")
    text = FORMS[random.integers(len(FORMS))].format(
        day=date.day, nth=f"{date.day}{ending}", year=date.year, number=date.month,
        month=f"{date:%B}", short_month=f"{date:%b}", roman=ROMAN[date.month - 1],
        weekday=f"{date:%A}", short_weekday=f"{date:%a}",
    )  # fmt: skip
    return (text, text, text.lower(), text.upper())[random.integers(4)]


if __name__ == "__main__":
    main()
