"""Write down spoken digits letter by letter: names that no example says where in the sound they are.

    python examples/spoken_digits.py recordings/

The folder holds WAV files named ``{digit}_{speaker}_{index}.wav``, as those of
https://github.com/Jakobovski/free-spoken-digit-dataset. Without a folder, sounds are made up in which each
letter is a tone.

Three questions: are recordings of known speakers read (those with an index below 10 are held out), those of a
speaker that the model never heard, and strings of three digits, joined from recordings? A second answer to
each lets a language model of the names, learned from their spelling alone, weigh what the first one hears.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import numpy as np

import fastrnn as fr
from fastrnn.data import SentenceBatches, Vocabulary, log_mel, read_wav
from fastrnn.models import Transcriber
from fastrnn.train import Adam, Trainer

NAMES = "zero one two three four five six seven eight nine".split()
HELD_OUT = 10  # recordings with an index below it
SPEAKER = "theo"  # whom the second model never hears
SPEEDS = (0.9, 1.0, 1.1)  # slower and faster copies are other voices; they are cut, as some recordings are
SHORTEST = 0.2  # seconds that are left of a cut recording
BANDS = 40  # of the features

SETTINGS = {
    "hidden_size": 64,  # units in each direction
    "num_layers": 2,
    "stack_frames": 2,  # a step of the layers is 20 ms
    "dropout": 0.3,
    "noise": 0.3,  # in standard deviations of each feature
    "epochs": 12,
    "batch_size": 32,
    "learning_rate": 0.004,
    "random_state": 0,
}


class Recording(NamedTuple):
    """The samples of a digit, and who said it."""

    digit: int
    speaker: str
    index: int
    samples: np.ndarray


def read(folder: Path) -> tuple[list[Recording], int]:
    """Return the recordings of a folder and their rate."""
    found, rates = [], set()
    for path in sorted(folder.glob("*.wav")):
        digit, speaker, index = path.stem.split("_")
        samples, rate = read_wav(path)
        found.append(Recording(int(digit), speaker, int(index), samples))
        rates.add(rate)
    (rate,) = rates
    return found, rate


def made_up(count: int) -> tuple[list[Recording], int]:
    """Return recordings in which each letter is a tone of 60 to 100 ms, higher or lower with the speaker."""
    random = np.random.default_rng(0)
    letters, found = sorted(set("".join(NAMES))), []
    for voice, speaker in enumerate(["ann", "bob", SPEAKER]):
        for digit, name in enumerate(NAMES):
            for index in range(HELD_OUT - 2, HELD_OUT - 2 + count):
                parts = []
                for letter in name:
                    time = np.arange(random.integers(480, 800)) / 8000
                    pitch = 300 * 1.15 ** letters.index(letter) * (1 + 0.02 * voice)
                    parts += [np.sin(2 * np.pi * pitch * time), np.zeros(160)]
                sound = np.concatenate(parts)
                samples = (0.5 * sound + 0.01 * random.normal(size=len(sound))).astype(np.float32)
                found.append(Recording(digit, speaker, index, samples))
    return found, 8000


def strings(recordings: list[Recording], count: int, seed: int) -> list[list[Recording]]:
    """Return strings of three recordings, each of one speaker."""
    random = np.random.default_rng(seed)
    by_speaker = {one.speaker: [] for one in recordings}
    for one in recordings:
        by_speaker[one.speaker].append(one)
    speakers = random.choice(list(by_speaker), size=count)
    return [
        [by_speaker[speaker][i] for i in random.integers(0, len(by_speaker[speaker]), 3)]
        for speaker in speakers
    ]


def features(string: Iterable[Recording], rate: int, normalize: bool, speed: float = 1.0) -> np.ndarray:
    """Return the log-mel features of recordings, one after the other, played at a speed."""
    samples = np.concatenate([one.samples for one in string])
    if speed != 1.0:
        places = np.arange(0, len(samples) - 1, speed)
        samples = np.interp(places, np.arange(len(samples)), samples).astype(np.float32)
    return log_mel(samples, rate, bands=BANDS, normalize=normalize)


def cut(recordings: list[Recording], rate: int) -> list[Recording]:
    """Return recordings without up to a third of their ends, but not shorter than SHORTEST."""
    random, least = np.random.default_rng(0), int(SHORTEST * rate)
    ends = [max(int(len(one.samples) * random.uniform(0.67, 1)), least) for one in recordings]
    return [one._replace(samples=one.samples[:end]) for one, end in zip(recordings, ends, strict=True)]


def data(strings: list[list[Recording]], rate: int, normalize: bool, speed: float = 1.0):
    """Return the features of strings, and what is said in them."""
    X = [features(string, rate, normalize, speed) for string in strings]
    return X, [" ".join(NAMES[one.digit] for one in string) for string in strings]


def spelling(steps: int) -> dict[str, object]:
    """Return a language model of the letters of one or three names, as arguments of ``predict``."""
    random = np.random.default_rng(0)
    texts = [" ".join(random.choice(NAMES, size=random.choice([1, 3]))) for _ in range(2000)]
    vocabulary = Vocabulary.from_text("".join(texts), eos="\n")
    end = vocabulary.eos_id  # begins a text, too
    model = fr.LanguageModel(len(vocabulary), hidden_size=64, num_layers=1, start=end, eos=end, seed=0)
    lines = SentenceBatches([vocabulary.encode(text) for text in texts], 32, start=end, eos=end, seed=0)
    for _ in Trainer(model, lines, Adam(model, 0.01)).run(steps):
        pass
    return {"language_model": model, "vocabulary": vocabulary, "lm_weight": 0.5, "beam_size": 8}


def main() -> None:
    """Train two models, one without a speaker, and print what they make of three kinds of recordings."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", nargs="?", type=Path, help="of WAV files; default: made-up sounds")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--small", action="store_true", help="a run of a few seconds")
    arguments = parser.parse_args()
    settings, speeds, count, steps = {**SETTINGS, "random_state": arguments.seed}, SPEEDS, 600, 300
    recordings, rate = made_up(20) if arguments.folder is None else read(arguments.folder)
    if arguments.small:
        recordings, speeds, count, steps = recordings[::2], (1.0,), 50, 40
        settings |= {"num_layers": 1, "dropout": 0.0, "epochs": 12, "batch_size": 16, "learning_rate": 0.02}
    known = [one for one in recordings if one.index >= HELD_OUT]
    new = [one for one in recordings if one.index < HELD_OUT]
    language = spelling(steps)

    def fit(chosen: list[Recording], normalize: bool) -> Transcriber:
        X, y = [], []
        for speed in speeds:
            heard = chosen if speed == 1.0 else cut(chosen, rate)
            examples = [[one] for one in heard] + strings(heard, count, seed=1)
            for own, pairs in zip((X, y), data(examples, rate, normalize, speed), strict=True):
                own += pairs
        started = time.perf_counter()
        model = Transcriber(**settings).fit(X, y)
        print(f"{len(X):,} recordings and strings learned in {time.perf_counter() - started:.0f} s")
        return model

    def measure(name: str, model: Transcriber, chosen: list[list[Recording]], normalize: bool) -> None:
        X, y = data(chosen, rate, normalize)
        for way, decoding in (("as heard", {}), ("and spelled", language)):
            exact, wrong = model.score(X, y, **decoding), model.error_rate(X, y, unit="word", **decoding)
            print(f"{name:28} {way:12} {exact:7.2%} exactly right, word error {wrong:.2%}", flush=True)

    model = fit(known, False)
    measure(f"{len(new)} recordings", model, [[one] for one in new], False)
    measure("strings of three", model, strings(new, len(new), seed=2), False)
    # An unknown voice at an unknown distance: the bands of each recording are scaled by themselves.
    heard = fit([one for one in known if one.speaker != SPEAKER], True)
    stranger = [[one] for one in recordings if one.speaker == SPEAKER]
    measure(f"{SPEAKER}, never heard before", heard, stranger, True)

    X, y = data(strings(new, 1, seed=3), rate, False)
    print(f"In a string that says {y[0]!r} the symbols begin at these seconds:")
    hop = 0.01  # of log_mel
    print(" ".join(f"{one.symbol}:{one.start * hop:.2f}" for one in model.align(X, y)[0]))


if __name__ == "__main__":
    main()
