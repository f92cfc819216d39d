"""The README's "Bring your model", each way, with files that PyTorch, ONNX and Keras would have written."""

import re
import zipfile
from pathlib import Path

import numpy as np
import pytest

import fastrnn as fr

pytest.importorskip("onnx")

HERE = Path(__file__).resolve().parent
KERAS_FILES = HERE / "data" / "keras" / "files.zip"
README = (HERE.parent / "README.md").read_text()
SECTION = README.partition("## Bring your model")[2].partition("\n## ")[0]
IN, OUT = re.findall(r"^```py\n(.*?)^```", SECTION, flags=re.MULTILINE | re.DOTALL)
V, E, H = 5, 3, 4


def test_it_goes_in_and_out_in_ten_lines_each(torch, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    torch.manual_seed(0)
    parts = {
        "encoder": torch.nn.Embedding(V, E),
        "rnn": torch.nn.LSTM(E, H),
        "decoder": torch.nn.Linear(H, V),
    }
    module = torch.nn.ModuleDict(parts)
    torch.save(module.state_dict(), "model.pt")
    net = fr.interop.from_state_dict(fr.interop.load_pt("model.pt")).to_sequential()
    fr.interop.save_onnx("model.onnx", net)
    with zipfile.ZipFile(KERAS_FILES) as files:
        Path("model.keras").write_bytes(files.read("keras3_text.keras"))
    names = {
        "ids": np.array([[0, 1], [2, 3], [4, 0]]),
        "h": np.zeros((1, 2, H), np.float32),
        "c": np.zeros((1, 2, H), np.float32),
        "module": module,
    }
    assert max(len(block.strip().splitlines()) for block in (IN, OUT)) <= 11
    exec(IN, names)
    np.testing.assert_allclose(names["outputs"]["y"], names["y"], atol=1e-6)
    np.testing.assert_allclose(names["probabilities"].sum(-1), 1, atol=1e-6)
    exec(OUT, names)
    assert [weight.shape for weight in names["weights"]] == [(E, 4 * H), (H, 4 * H), (4 * H,)]
