"""Models of Keras drawn at random: made and run by Keras, then loaded and run here.

Keras 3 and TensorFlow's Keras 2 (tf-keras) each make files of all forms where they are installed; fastrnn
reads them where it is, and compares::

    KERAS_BACKEND=torch python tests/keras_models.py make FOLDER --count 150 --seed 1
    python tests/keras_models.py make FOLDER --keras tf_keras --count 150 --seed 2
    python tests/keras_models.py check FOLDER
"""

from __future__ import annotations

import argparse
import importlib
import json
import random
import sys
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

import numpy as np

FORMS = ("model.keras", "model.h5", "model.weights.h5")
TOLERANCE = 1e-5
_RECURRENT = ("SimpleRNN", "GRU", "LSTM")
_MASKS = ("none", "none", "right", "left", "holes", "all of a row")


# --- what is drawn ---


def draw(random_: random.Random) -> dict[str, Any]:
    """Return the description of a model: the kinds of its layers with their options, and its inputs."""
    mask = random_.choice(_MASKS)
    ids = random_.random() < 0.4
    case: dict[str, Any] = {
        "seed": random_.randrange(2**31),
        "sizes": [random_.choice([1, 2, 3, 5]), random_.choice([1, 2, 4, 7]), random_.choice([1, 2, 5])],
        "ids": ids,
        "mask": mask,
        "layers": [],
        "functional": random_.random() < 0.3,
        "calls": 1,
    }
    layers = case["layers"]
    if ids:
        layers.append(["Embedding", {"input_dim": 9, "output_dim": random_.randint(1, 6), "mask_zero": True}])
        layers[-1][1]["mask_zero"] = mask != "none"
    elif mask != "none":
        layers.append(["Masking", {"mask_value": random_.choice([0.0, -1.0])}])
    count = random_.choice([1, 1, 2])
    stateful = random_.random() < 0.15
    case["calls"] = 2 if stateful else 1
    for index in range(count):
        layers.append(_recurrent(random_, last=index == count - 1, stateful=stateful, mask=mask))
        whole = layers[-1][1].get("merge_mode", "") is not None and "return_state" not in json.dumps(
            layers[-1]
        )
        if random_.random() < 0.15 and whole:
            kind = random_.choice(["Dropout", "LayerNormalization", "BatchNormalization"])
            layers.append([kind, {"rate": 0.5} if kind == "Dropout" else {}])
    if whole:
        _add_end(random_, layers)
    return case


def _recurrent(random_: random.Random, *, last: bool, stateful: bool, mask: str) -> list[Any]:
    kind = random_.choice(_RECURRENT)
    options: dict[str, Any] = {"units": random_.choice([1, 2, 3, 4, 9, 17])}
    options["return_sequences"] = not last or random_.random() < 0.6
    if random_.random() < 0.2:
        options["use_bias"] = False
    if random_.random() < 0.35:
        options["activation"] = random_.choice(["tanh", "sigmoid", "relu", "linear", "hard_sigmoid"])
        if options["activation"] in ("relu", "linear"):
            options["units"] = min(options["units"], 3)
    if kind != "SimpleRNN" and random_.random() < 0.35:
        options["recurrent_activation"] = random_.choice(["sigmoid", "hard_sigmoid", "hard_sigmoid", "tanh"])
    if kind == "LSTM" and options.get("activation") == "hard_sigmoid":
        del options["activation"]  # of Keras 3 there is none here
    if kind == "GRU":
        options["reset_after"] = random_.random() < 0.5
    for name, chance in (("go_backwards", 0.25), ("unroll", 0.1), ("dropout", 0.1)):
        if random_.random() < chance:
            options[name] = True if name != "dropout" else 0.2
    if stateful:
        options["stateful"] = True
    if mask != "none" and options.get("go_backwards"):
        options.pop(
            "unroll", None
        )  # TensorFlow's Keras 3 computes something else than where it is not unrolled
    if mask != "none" and random_.random() < 0.2:
        options["zero_output_for_mask"] = True
    if random_.random() < 0.35:
        options.pop("go_backwards", None)
        if mask != "none":
            options.pop("unroll", None)
        wrapped: dict[str, Any] = {"layer": [kind, options]}
        wrapped["merge_mode"] = random_.choice(["concat", "sum", "mul", "ave", *([None] if last else [])])
        if last and random_.random() < 0.15:
            options["return_state"] = True
        return ["Bidirectional", wrapped]
    if last and random_.random() < 0.2:
        options["return_state"] = True
    return [kind, options]


def _add_end(random_: random.Random, layers: list[Any]) -> None:
    own = layers[-1][1]
    sequences = layers[-1][0] in ("Dropout", "LayerNormalization", "BatchNormalization") or own.get(
        "return_sequences", own.get("layer", [0, {}])[1].get("return_sequences")
    )
    if layers[-1][0] not in (*_RECURRENT, "Bidirectional"):
        return
    end = random_.random()
    activation = random_.choice(["softmax", "relu", "tanh", "linear", "elu", "softplus", "silu"])
    dense = ["Dense", {"units": random_.randint(1, 5), "activation": activation}]
    if sequences and end < 0.25:
        layers.append(["TimeDistributed", {"layer": dense}])
    elif sequences and end < 0.5:
        layers.append([random_.choice(["GlobalAveragePooling1D", "GlobalMaxPooling1D"]), {}])
    elif end < 0.8:
        layers.append(dense)


def inputs_of(case: dict[str, Any]) -> list[np.ndarray]:
    """Return the input of each call."""
    rng = np.random.default_rng(case["seed"])
    N, T, D = case["sizes"]
    results = []
    for _ in range(case["calls"]):
        x = rng.integers(1, 9, (N, T)) if case["ids"] else rng.normal(size=(N, T, D)).astype(np.float32)
        mask = np.ones((N, T), bool)
        lengths = rng.integers(1, T + 1, N)
        if case["mask"] == "right":
            mask = np.arange(T) < lengths[:, None]
        elif case["mask"] == "left":
            mask = np.arange(T) >= T - lengths[:, None]
        elif case["mask"] == "holes":
            mask = rng.random((N, T)) < 0.6
            mask[:, rng.integers(T)] = True
        elif case["mask"] == "all of a row":
            mask[rng.integers(N)] = False
        value = 0
        if not case["ids"] and case["mask"] != "none":
            value = case["layers"][0][1]["mask_value"]
        x[~mask] = value
        results.append(x)
    return results


# --- made by Keras ---


def build(keras: Any, case: dict[str, Any]) -> Any:
    """Return the model, with weights drawn from the case's seed."""
    second = keras.__version__.startswith("2")
    N, T, D = case["sizes"]
    shape = (T,) if case["ids"] else (T, D)
    start = keras.Input(shape=shape, batch_size=N, dtype="int32" if case["ids"] else "float32")
    layers = [_layer(keras, kind, options, second) for kind, options in case["layers"]]
    several = any(
        options.get("return_state")
        or options.get("layer", [0, {}])[1].get("return_state")
        or options.get("merge_mode", "") is None
        for _, options in case["layers"]
    )
    if case["functional"] or several:
        y = start
        for layer in layers:
            y = layer(y)
        model = keras.Model(start, y)
    else:
        model = keras.Sequential([start, *layers])
    rng = np.random.default_rng(case["seed"] + 1)
    weights = [rng.uniform(0.1 if "var" in w.name else -0.8, 0.8, w.shape) for w in model.weights]
    model.set_weights([array.astype(np.float32) for array in weights])
    return model


def _layer(keras: Any, kind: str, options: dict[str, Any], second: bool) -> Any:
    given = {name: value for name, value in options.items() if name != "layer"}
    if "layer" in options:
        given["layer"] = _layer(keras, *options["layer"], second)
    return getattr(keras.layers, kind)(**given)


def make(keras: Any, folder: Path, count: int, seed: int) -> None:
    """Write models in all forms, with the inputs and what Keras computes."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(count):
        case = draw(random.Random(f"{seed} {number}"))
        keras.backend.clear_session()
        own = folder / f"{keras.__name__}_{seed}_{number}"
        own.mkdir(exist_ok=True)
        try:
            model = build(keras, case)
            inputs = inputs_of(case)
            outputs = [_predicted(keras, model, x) for x in inputs]
        except Exception as error:  # Keras itself refuses some combinations
            (own / "refused.txt").write_text(f"{json.dumps(case)}\n{type(error).__name__}: {error}")
            continue
        for form in FORMS[:2]:
            model.save(own / form)
        model.save_weights(own / FORMS[2])
        if keras.__version__.startswith("2"):
            model.save_weights(own / "legacy_weights.h5")
        (own / "model.json").write_text(model.to_json())
        (own / "case.json").write_text(json.dumps({**case, "keras": f"{keras.__name__} {keras.__version__}"}))
        arrays = {f"x{call}": x for call, x in enumerate(inputs)}
        for call, y in enumerate(outputs):
            arrays |= {
                f"y{call}_{i}": one for i, one in enumerate(y if isinstance(y, (list, tuple)) else [y])
            }
        np.savez(own / "arrays.npz", **arrays)
        (own / "weights.npz").unlink(missing_ok=True)
        np.savez(own / "weights.npz", *model.get_weights())


def _predicted(keras: Any, model: Any, x: np.ndarray) -> Any:
    """Return what Keras computes; `predict` of JAX keeps no state between calls."""
    if keras.backend.backend() != "jax":
        return model.predict(x, verbose=0, batch_size=len(x))
    y = model(x)
    return [np.asarray(one) for one in y] if isinstance(y, (list, tuple)) else np.asarray(y)


# --- loaded here ---


def tags_of(case: dict[str, Any]) -> list[tuple[str, str]]:
    """Return pairs of a recurrent layer and an option, the rows of the table."""
    tags = []
    for kind, options in case["layers"]:
        wrapped = kind == "Bidirectional"
        cell, own = options["layer"] if wrapped else (kind, options)
        if cell not in _RECURRENT:
            tags.append(("other layers", kind))
            continue
        if wrapped:
            tags.append((cell, f"Bidirectional {options['merge_mode']}"))
        names = [f"{key}={value}" for key, value in own.items() if key not in ("units", "dropout")]
        tags += [(cell, name) for name in names]
        tags.append((cell, f"mask: {case['mask']}"))
    return tags


def difference(folder: Path, form: str) -> float:
    """Return the largest difference of a model's outputs here, relative to the largest number if above 1."""
    import fastrnn as fr

    case = json.loads((folder / "case.json").read_text())
    config = (folder / "model.json").read_text() if "weights" in form else None
    model = fr.interop.load_keras(folder / form, config=config)
    largest = 0.0
    with np.load(folder / "arrays.npz") as arrays:
        for call in range(case["calls"]):
            found = model(arrays[f"x{call}"])
            for index, y in enumerate(found if isinstance(found, list) else [found]):
                expected = arrays[f"y{call}_{index}"]
                assert y.shape == expected.shape, f"{y.shape}, expected {expected.shape}"
                assert np.array_equal(np.isfinite(y), np.isfinite(expected)), "NaN at other places"
                there = np.isfinite(expected)
                scale = max(1.0, float(np.abs(expected[there]).max(initial=0)))
                largest = max(largest, float(np.abs(y - expected)[there].max(initial=0)) / scale)
            assert f"y{call}_{index + 1}" not in arrays, "too few outputs"
    return largest


def goes_out(folder: Path) -> bool | None:
    """Return whether Keras's `get_weights` comes back to the last bit; None where it cannot."""
    import fastrnn as fr

    case = (folder / "case.json").read_text()
    if "Normalization" in case or ("hard_sigmoid" in case and '"keras": "keras 3' in case):
        return None
    model = fr.interop.load_keras(folder / "model.keras")
    found = [array for layer in model.layers.values() for array in fr.interop.to_keras_weights(layer)]
    with np.load(folder / "weights.npz") as arrays:
        expected = list(arrays.values())
    return len(found) == len(expected) and all(map(np.array_equal, found, expected))


def check(folder: Path) -> int:
    """Print the table; return the number of models that differ."""
    table: dict[tuple[str, str, str], list[float]] = defaultdict(list)
    failed = models = files = 0
    out: Counter[bool | None] = Counter()
    for own in sorted(folder.iterdir()):
        if not (own / "case.json").exists():
            continue
        case = json.loads((own / "case.json").read_text())
        models += 1
        out[goes_out(own)] += 1
        for path in sorted(own.glob("*.keras")) + sorted(own.glob("*.h5")):
            files += 1
            try:
                found = difference(own, path.name)
            except Exception as error:
                print(f"{path}: {type(error).__name__}: {error}")
                found = np.inf
            if found > TOLERANCE:
                failed += 1
                print(f"{path}: {found:.3g}: {json.dumps(case)}")
            for cell, option in tags_of(case):
                table[case["keras"], cell, option].append(found)
    for (version, cell, option), found in sorted(table.items()):
        print(f"{version:20} {cell:12} {option:34} {len(found):5} files   {max(found):.1e}")
    print(f"{models} models, {files} files, {failed} differ by more than {TOLERANCE:g}")
    print(f"weights out: {out[True]} models to the last bit, {out[False]} not, {out[None]} not asked")
    return failed + out[False]


def main() -> int:
    """Run the long form; the exit code is 1 if a model differs."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("command", choices=["make", "check"])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--keras", default="keras", help="keras or tf_keras")
    parser.add_argument("--count", type=int, default=150)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    if options.command == "check":
        return 1 if check(options.folder) else 0
    make(importlib.import_module(options.keras), options.folder, options.count, options.seed)
    return 0


if __name__ == "__main__":
    sys.exit(main())
