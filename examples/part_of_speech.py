"""Tag the words of English sentences with parts of speech: from words, from their letters, and with a CRF.

    python examples/part_of_speech.py en_ewt-ud-train.conllu en_ewt-ud-dev.conllu

The files are those of a treebank of Universal Dependencies, here of English Web Treebank
(https://github.com/UniversalDependencies/UD_English-EWT), or any other in CoNLL-U. Without files, a small
language is made up in which endings tell the parts of speech.

Measured on 25,147 words of English Web Treebank, of which 8.3 % are not in the sentences to learn from:

    words alone            90.21 % right, of new words 55.32 %
    and their characters   94.11 % right, of new words 75.67 %
    and a CRF              94.23 % right, of new words 76.15 %

Six or seven minutes each, with a fifth of one core: the machine had other work.
"""

from __future__ import annotations

import argparse
import time

import numpy as np

from fastrnn.data import read_conll
from fastrnn.models import SequenceTagger

Sentences = list[list[str]]

# Settings that all three models share; a model without a setting that is named here has its default.
SETTINGS = {
    "hidden_size": 100,  # units in each direction
    "embedding_size": 64,  # the width of a word's vector
    "dropout": 0.3,
    "epochs": 6,
    "batch_size": 16,  # sentences
    "learning_rate": 0.003,
    "random_state": 0,
}
MODELS = {
    "words alone": {},
    "and their characters": {"char_features": "lstm"},
    "and a CRF": {"char_features": "lstm", "crf": True},
}


def made_up(count: int, seed: int) -> tuple[Sentences, Sentences]:
    """Return sentences of invented words, and their tags: a noun ends in -ar, a verb in -en."""
    random = np.random.default_rng(seed)
    endings = {
        "DET": ["la", "un"],
        "NOUN": ["ar", "ars"],
        "ADJ": ["ig"],
        "VERB": ["en", "ed"],
        "PUNCT": ["."],
    }
    orders = ["DET NOUN VERB PUNCT", "DET ADJ NOUN VERB DET NOUN PUNCT", "NOUN VERB NOUN"]

    def word(tag: str) -> str:
        ending = str(random.choice(endings[tag]))
        if tag in ("DET", "PUNCT"):
            return ending
        return "".join(random.choice(list("bdfgklmnoprstu"), size=random.integers(2, 5))) + ending

    tags = [str(random.choice(orders)).split() for _ in range(count)]
    return [[word(tag) for tag in sentence] for sentence in tags], tags


def main() -> None:
    """Train the three models, and print how many words of the second file each tags as it does."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("files", nargs="*", help="for training and for measuring, in CoNLL-U")
    parser.add_argument("--small", action="store_true", help="a run of a few seconds")
    arguments = parser.parse_args()
    settings = dict(SETTINGS)
    if arguments.files:
        training, held_out = arguments.files
        X, y = read_conll(training, "form", "upos")
        X_dev, y_dev = read_conll(held_out, "form", "upos")
    else:
        (X, y), (X_dev, y_dev) = made_up(400, seed=0), made_up(100, seed=1)
    if arguments.small:
        X, y, settings["hidden_size"], settings["epochs"] = X[:200], y[:200], 16, 2

    known = {word for sentence in X for word in sentence}
    unknown = [[word not in known for word in sentence] for sentence in X_dev]
    new = np.concatenate(unknown)
    print(f"{len(X):,} sentences to learn from, {len(new):,} words to tag, {new.mean():.1%} of them new")
    for name, own in MODELS.items():
        started = time.perf_counter()
        model = SequenceTagger(**settings, **own).fit(X, y)
        seconds = time.perf_counter() - started
        right = np.concatenate(model.predict(X_dev)) == np.concatenate(y_dev)
        print(f"{name:22} {right.mean():.2%} right, of new words {right[new].mean():.2%}   {seconds:.0f} s")

    sentence = X_dev[0]
    print(" ".join(f"{word}/{tag}" for word, tag in zip(sentence, model.predict([sentence])[0], strict=True)))


if __name__ == "__main__":
    main()
