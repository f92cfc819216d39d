"""Models with fit and predict, with types."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np

import fastrnn as fr
from fastrnn.models import Forecaster, SequenceClassifier, SequenceRegressor, SequenceTagger


def main(folder: Path) -> float:
    rng = np.random.default_rng(0)
    X = [rng.normal(size=(steps, 2)).astype(np.float32) for steps in rng.integers(3, 9, size=60)]
    y = ["up" if one.sum() > 0 else "down" for one in X]
    clf = SequenceClassifier(cell="gru", hidden_size=8, epochs=3, random_state=0).fit(X, y)
    accuracy: float = clf.score(X, y)
    clf.save(folder / "c.safetensors")
    again = SequenceClassifier.load(folder / "c.safetensors")
    probabilities = again.predict_proba(X[:3])
    sums = [float(one.sum()) for one in X]
    regressor = SequenceRegressor(hidden_size=8, epochs=2, random_state=0).fit(X, sums)
    tagger = SequenceTagger(hidden_size=8, epochs=2, random_state=0)
    tagger.fit([["a", "b"], ["c"]] * 20, [["X", "Y"], ["Z"]] * 20)
    tags = tagger.predict([["a", "c"]])
    forecaster = Forecaster(hidden_size=8, epochs=2, random_state=0).fit(np.sin(np.arange(200.0) / 5))
    forecast = forecaster.predict(3)
    losses: list[float] = clf.history_["loss"]
    found = (accuracy, float(np.sum(probabilities)), len(tags), np.size(forecast), losses[0])
    return sum(found) + len(regressor.predict(X[:2]))


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as name:
        print(main(Path(name)), fr.__version__)
