"""The files of Keras that the tests read, tests/data/keras/files.zip, and what Keras computes with them.

Written by Keras 3 and by TensorFlow's Keras 2, each where it is installed; the second adds to the first::

    KERAS_BACKEND=torch python tests/keras_fixtures.py
    python tests/keras_fixtures.py tf_keras
"""

from __future__ import annotations

import importlib
import io
import sys
import tempfile
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

FIXTURES = Path(__file__).parent / "data" / "keras" / "files.zip"


def text_model(keras: Any) -> Any:
    """Return a sequential model that reads padded ids."""
    layers = keras.layers
    return keras.Sequential(
        [
            keras.Input((None,), dtype="int32"),
            layers.Embedding(9, 3, mask_zero=True, name="words"),
            layers.Bidirectional(layers.LSTM(2, return_sequences=True, dropout=0.2), name="both"),
            layers.GRU(3, return_sequences=True, recurrent_activation="hard_sigmoid"),
            layers.LayerNormalization(),
            layers.SimpleRNN(2, activation="relu"),
            layers.Dropout(0.5),
            layers.Dense(2, activation="softmax", name="output"),
        ]
    )


def branched_model(keras: Any) -> Any:
    """Return a functional model of two branches, the second of which starts in the first one's state."""
    layers = keras.layers
    x, ids = keras.Input((None, 2), name="x"), keras.Input((None,), dtype="int32", name="ids")
    masked = layers.Masking(-1.0)(x)
    y, h, c = layers.LSTM(3, return_state=True, return_sequences=True, name="encoder")(masked)
    embedded = layers.Embedding(5, 2)(ids)
    z = layers.LSTM(3, return_sequences=True, name="decoder")(embedded, initial_state=[h, c])
    pooled = layers.GlobalAveragePooling1D()(z)
    last = layers.GRU(3, reset_after=False, go_backwards=True, name="backward")(y)
    joined = layers.Concatenate()([pooled, last])
    return keras.Model([x, ids], [layers.Dense(2, activation="tanh")(joined), z])


def nested_model(keras: Any) -> Any:
    """Return a model that holds a model, and a stateful layer."""
    layers = keras.layers
    inner = keras.Sequential(
        [
            keras.Input((None, 2), batch_size=2),
            layers.GRU(2, return_sequences=True, stateful=True),
            layers.BatchNormalization(),
            layers.TimeDistributed(layers.Dense(3)),
        ],
        name="inner",
    )
    start = keras.Input((None, 2), batch_size=2)
    y = inner(start)
    return keras.Model(start, layers.LSTM(2, use_bias=False, stateful=True, name="top")(y))


MODELS = {"text": text_model, "branched": branched_model, "nested": nested_model}


def inputs_of(name: str) -> list[np.ndarray]:
    """Return the inputs of a model."""
    rng = np.random.default_rng(7)
    x = rng.normal(size=(2, 4, 2)).astype(np.float32)
    if name == "text":
        return [np.array([[0, 3, 0, 8, 1], [4, 2, 7, 0, 0], [0, 0, 0, 0, 5]])]
    if name == "branched":
        x[0, 1] = x[1, 3] = -1
        return [x, np.array([[1, 2, 3], [4, 0, 1]])]
    return [x]


def made(keras: Any, folder: Path) -> dict[str, bytes]:
    """Return the files by their names."""
    second = keras.__version__.startswith("2")
    prefix = "keras2" if second else "keras3"
    files: dict[str, bytes] = {}
    for name, build in MODELS.items():
        keras.backend.clear_session()
        model = build(keras)
        rng = np.random.default_rng(len(name))
        weights = [rng.uniform(0.2 if "var" in w.name else -0.9, 0.9, w.shape) for w in model.weights]
        model.set_weights([array.astype(np.float32).round(2) for array in weights])
        inputs = inputs_of(name)
        calls = [model.predict(inputs if len(inputs) > 1 else inputs[0], verbose=0) for _ in range(2)]
        paths = [folder / f"{prefix}_{name}.{form}" for form in ("keras", "h5", "weights.h5")]
        model.save(paths[0])
        if name != "branched":
            model.save(paths[1])
        if name == "text":
            model.save_weights(paths[2])
            (folder / f"{prefix}_{name}.json").write_text(model.to_json())
            if second:
                model.save_weights(folder / f"{prefix}_{name}_legacy_weights.h5")
        content = io.BytesIO()
        outputs = [one if isinstance(one, (list, tuple)) else [one] for one in calls]
        np.savez(content, **{f"y{call}_{i}": y for call, ys in enumerate(outputs) for i, y in enumerate(ys)})
        files[f"{prefix}_{name}.npz"] = content.getvalue()
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())} | files


def main() -> None:
    """Write the archive anew, with the other Keras's files as they were."""
    keras = importlib.import_module(sys.argv[1] if len(sys.argv) > 1 else "keras")
    with tempfile.TemporaryDirectory() as folder:
        files = made(keras, Path(folder))
    if FIXTURES.exists():
        with zipfile.ZipFile(FIXTURES) as archive:
            files = {name: archive.read(name) for name in archive.namelist() if name not in files} | files
    FIXTURES.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(FIXTURES, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for name in sorted(files):
            archive.writestr(zipfile.ZipInfo(name), files[name], zipfile.ZIP_DEFLATED, 9)


if __name__ == "__main__":
    main()
