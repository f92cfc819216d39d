"""What a user of scikit-learn writes: fit, predict, score, save and load, on sequences of several lengths."""

from __future__ import annotations

import pathlib
import tempfile

import numpy as np
from numpy.typing import NDArray

from fastrnn.models import Forecaster, SequenceClassifier

rng = np.random.default_rng(0)


def walks(count: int) -> tuple[list[NDArray[np.float32]], list[str]]:
    """Return random walks that go up or down, of 5 to 12 steps, and which way each goes."""
    labels = [str(rng.choice(["up", "down"])) for _ in range(count)]
    series = []
    for label in labels:
        steps = rng.normal(1.0 if label == "up" else -1.0, 1.0, (int(rng.integers(5, 13)), 1))
        series.append(steps.cumsum(axis=0).astype(np.float32))
    return series, labels


X, y = walks(120)
X_test, y_test = walks(40)
classifier = SequenceClassifier(cell="gru", hidden_size=16, epochs=15, random_state=0).fit(X, y)
probabilities: NDArray[np.float64] = classifier.predict_proba(X_test)
predicted = [str(label) for label in classifier.predict(X_test)]
accuracy: float = classifier.score(X_test, y_test)

with tempfile.TemporaryDirectory() as folder:
    path = pathlib.Path(folder, "walks.safetensors")
    classifier.save(path)
    loaded: SequenceClassifier = SequenceClassifier.load(path)
    same = bool((loaded.predict(X_test) == np.array(predicted)).all())

wave = 50 + 10 * np.sin(np.arange(120) * 2 * np.pi / 12)
forecaster = Forecaster(window=24, hidden_size=8, epochs=5, random_state=0).fit(wave)
future = np.asarray(forecaster.predict(12))
print(f"accuracy: {accuracy > 0.9}; {probabilities.shape}; the same after loading: {same}; {future.shape}")
