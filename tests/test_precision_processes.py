"""Layers of low precision in other processes: sent to them, forked, and on every instruction set."""

import os
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import fastrnn as fr

HOME = Path(fr.__file__).parents[1]
X = np.random.default_rng(0).normal(size=(7, 5, 40)).astype(np.float32)
RUN = (
    "import pickle, sys, fastrnn as fr\n"
    "layer, x = pickle.load(sys.stdin.buffer)\n"
    "pickle.dump((fr.isa(), layer.precision, layer(x)), sys.stdout.buffer)\n"
)


def make(precision):
    layer = fr.LSTM(40, 48, precision="bfloat16", seed=0)
    return layer if precision == "bfloat16" else fr.quantize(layer, precision)


def run_elsewhere(layer, **environment):
    """Return the instruction set, the precision and the results of a layer in another process."""
    run = subprocess.run(
        [sys.executable, "-c", RUN],
        input=pickle.dumps((layer, X)),
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(HOME), **environment},
        check=True,
    )
    return pickle.loads(run.stdout)


def bits(results):
    y, (h, c) = results
    return y.tobytes(), h.tobytes(), c.tobytes()


@pytest.mark.parametrize("isa", fr.available_isas())
@pytest.mark.parametrize("precision", ["bfloat16", "int8"])
def test_a_layer_sent_to_a_process_on_any_instruction_set_keeps_its_precision(precision, isa):
    layer = make(precision)
    there, kept, results = run_elsewhere(layer, FASTRNN_ISA=isa)
    assert (there, kept) == (isa, precision)
    if "baseline" in {isa, fr.isa()} and isa != fr.isa():
        # Without fused multiply-adds an activation may be the next float, and then the next bfloat16 or int8.
        np.testing.assert_allclose(results[0], layer(X)[0], rtol=0, atol=0.01)
    else:
        assert bits(results) == bits(layer(X))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
@pytest.mark.parametrize("precision", ["bfloat16", "int8"])
def test_a_forked_child_multiplies_as_its_parent(precision):
    layer = make(precision)
    script = (
        "import os, pickle, sys, fastrnn as fr\n"
        "layer, x = pickle.load(sys.stdin.buffer)\n"
        "fr.set_num_threads(2)\n"
        "y = layer(x)[0].tobytes()\n"
        "child = os.fork()\n"
        "if child == 0: os._exit(int(layer(x)[0].tobytes() != y or layer.precision == 'float32'))\n"
        "print(os.waitpid(child, 0)[1])\n"
    )
    run = subprocess.run(
        [sys.executable, "-c", script],
        input=pickle.dumps((layer, X)),
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(HOME)},
        check=True,
    )
    assert run.stdout == b"0\n"
