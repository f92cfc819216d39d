"""Rank pairs of sentences that differ in one confusable word, with a word model.

    python benchmarks/confusable_pairs.py MODEL [--out benchmarks/results/confusable-pairs.json]

The pairs in ``confusable_pairs.tsv``, the right sentence first, were written before any model was trained.
Exits with 1 if fewer than 18 of the 20 are ranked correctly.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from fastrnn import LanguageModel, Vocabulary
from fastrnn.decode import score
from fastrnn.train import load_checkpoint

PAIRS = Path(__file__).with_name("confusable_pairs.tsv")
WANTED = 18


def ranked(model: LanguageModel, vocabulary: Vocabulary) -> list[dict[str, Any]]:
    """Return a row for each pair: both log-probabilities, and whether the right sentence is likelier."""
    pairs = [line.split("\t") for line in PAIRS.read_text().splitlines()]
    rows = []
    for pair in pairs:
        right, wrong = score(model, vocabulary, pair)
        words = [(a, b) for a, b in zip(*map(str.split, pair), strict=True) if a != b]
        rows.append(
            {
                "sentence": right.text,
                "words": words[0],
                "log p": [round(right.total, 2), round(wrong.total, 2)],
                "unknown": right.unknown,
                "right": right.total > wrong.total,
            }
        )
    return rows


def main() -> int:
    """Score both sentences of each pair."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("model", type=Path)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    checkpoint = load_checkpoint(options.model)
    rows = ranked(checkpoint.model, checkpoint.vocabulary)
    for row in rows:
        right, wrong = row["log p"]
        mark = " " if row["right"] else "X"
        print(f"{mark} {right:8.2f} {wrong:8.2f}  {row['words']}  {row['sentence']}")
    found = sum(row["right"] for row in rows)
    print(f"{found} of {len(rows)} ranked correctly")
    if options.out:
        options.out.write_text(json.dumps({"right": found, "of": len(rows), "pairs": rows}, indent=1) + "\n")
    return 0 if found >= WANTED else 1


if __name__ == "__main__":
    sys.exit(main())
