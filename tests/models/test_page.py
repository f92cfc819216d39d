"""The Python of docs/sequence-models.md runs, and does what its comments say."""

import re
from pathlib import Path

PAGE = Path(__file__).resolve().parents[2] / "docs" / "sequence-models.md"


def test_the_examples_of_the_page_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    assert len(blocks) >= 8
    names: dict = {}
    for block in blocks:
        if "sklearn" not in block:  # an extra, tried in test_sklearn
            exec(block, names)
        if "Classifier" in block and "save" in block:
            assert names["model"].predict(["grazie", "hello"]).tolist() == ["it", "en"]
        if "SequenceTagger" in block:
            assert names["model"].predict([["Charles", "Babbage", "met", "Ada"]]) == [
                ["B-PER", "I-PER", "O", "B-PER"]
            ]
        if "SequenceGenerator" in block:
            assert names["model"].predict(["en", "it"]) == ["hello", "ciao"]
        if "Seq2Seq" in block:
            assert names["model"].predict(["abb", "ba"]) == ["BBA", "AB"]
        if "Transcriber" in block:
            assert names["model"].predict([names["frames"]("cab"), names["frames"]("aa")]) == ["cab", "aa"]
