"""The extras of pyproject.toml: each is documented, and what lacks one says which to install."""

import re
import sys
from pathlib import Path

import pytest

import fastrnn as fr
from test_packaging_files import EXTRAS, ROOT

FOR_DEVELOPERS = {"browser", "test", "docs", "dev"}
SOURCES = sorted((ROOT / "python" / "fastrnn").rglob("*.py"))
PAGES = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    *ROOT.glob("docs/**/*.md"),
    *ROOT.glob("benchmarks/*.md"),
]
INSTALLS = re.compile(r"pip install [\"']?(?:fastrnn|\.)\[([\w,]+)\]")


def named_in(path: Path) -> set[str]:
    return {name for names in INSTALLS.findall(path.read_text(encoding="utf-8")) for name in names.split(",")}


@pytest.mark.parametrize("path", [*SOURCES, *PAGES], ids=lambda path: path.relative_to(ROOT).as_posix())
def test_a_file_names_only_extras_that_exist(path):
    assert named_in(path) <= set(EXTRAS)


@pytest.mark.parametrize("extra", sorted(set(EXTRAS) - FOR_DEVELOPERS))
def test_an_extra_for_users_is_named_in_the_documentation(extra):
    assert extra in set().union(*map(named_in, PAGES)), f'write: pip install "fastrnn[{extra}]"'


def test_an_extra_that_contains_others_names_those_that_exist():
    requirements = " ".join(requirement for extra in EXTRAS.values() for requirement in extra)
    contained = re.findall(r"fastrnn\[([\w,]+)\]", requirements)
    assert {name for names in contained for name in names.split(",")} <= set(EXTRAS)


def plot(_: Path) -> None:
    fr.plots.plot_gradient_norms([1.0, 0.5])


def read_onnx(folder: Path) -> None:
    fr.interop.load_onnx(folder / "model.onnx")


def write_onnx(folder: Path) -> None:
    fr.interop.save_onnx(folder / "model.onnx", fr.LSTM(2, 3, seed=0))


def log_to_tensorboard(folder: Path) -> None:
    from fastrnn.train.tensorboard import TensorBoardLog

    TensorBoardLog(folder)


def restore_a_tokenizer(_: Path) -> None:
    from fastrnn.data.tokenize import tokenizer_from_json

    tokenizer_from_json({"kind": "huggingface", "value": "{}"})


def write_midi(folder: Path) -> None:
    fr.interop.write_midi(folder / "music.mid", [[60], [60, 64]])


def start_ranks(_: Path) -> None:
    from fastrnn.train.distributed.mpi_library import load_mpi

    load_mpi()


WHAT_NEEDS_THEM = [
    ("plot", "matplotlib", plot),
    ("onnx", "onnx", read_onnx),
    ("onnx", "onnx", write_onnx),
    ("tensorboard", "tensorboardX", log_to_tensorboard),
    ("tokenizers", "tokenizers", restore_a_tokenizer),
    ("midi", "mido", write_midi),
    ("mpi", "mpi4py", start_ranks),
]


@pytest.mark.parametrize(("extra", "module", "call"), WHAT_NEEDS_THEM)
def test_what_lacks_its_extra_says_what_to_install(extra, module, call, tmp_path, monkeypatch):
    for name in [name for name in sys.modules if name.partition(".")[0] == module]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, module, None)  # as if it were not installed
    with pytest.raises(ImportError, match=re.escape(f'pip install "fastrnn[{extra}]"')):
        call(tmp_path)


@pytest.mark.parametrize(("extra", "module", "call"), WHAT_NEEDS_THEM)
def test_the_extra_that_is_named_brings_the_module(extra, module, call):
    assert module.lower() in [re.match(r"[\w-]+", requirement)[0].lower() for requirement in EXTRAS[extra]]


def test_every_message_of_the_package_is_tried_above():
    named = set().union(*map(named_in, SOURCES))
    assert named - {extra for extra, _, _ in WHAT_NEEDS_THEM} == set()
