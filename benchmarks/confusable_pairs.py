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

from fastrnn.decode import score
from fastrnn.train import load_checkpoint

PAIRS = Path(__file__).with_name("confusable_pairs.tsv")
WANTED = 18


def main() -> int:
    """Score both sentences of each pair."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("model", type=Path)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    checkpoint = load_checkpoint(options.model)
    pairs = [line.split("\t") for line in PAIRS.read_text().splitlines()]
    rows = []
    for pair in pairs:
        right, wrong = score(checkpoint.model, checkpoint.vocabulary, pair)
        words = [(a, b) for a, b in zip(right.tokens, wrong.tokens, strict=True) if a != b]
        rows.append(
            {
                "sentence": right.text,
                "words": words[0],
                "log p": [round(right.total, 2), round(wrong.total, 2)],
                "unknown": right.unknown,
                "right": right.total > wrong.total,
            }
        )
        mark = " " if rows[-1]["right"] else "X"
        print(f"{mark} {right.total:8.2f} {wrong.total:8.2f}  {words[0]}  {right.text}")
    found = sum(row["right"] for row in rows)
    print(f"{found} of {len(rows)} ranked correctly")
    if options.out:
        options.out.write_text(json.dumps({"right": found, "of": len(rows), "pairs": rows}, indent=1) + "\n")
    return 0 if found >= WANTED else 1


if __name__ == "__main__":
    sys.exit(main())
