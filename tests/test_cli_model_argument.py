"""The argument MODEL: what is said of a file that is missing, of another kind, or no model."""

import pytest

from test_cli import SMALL, run, run_well
from training_cases import TEXT

COMMANDS = [("sample", ()), ("eval", ("text.txt",)), ("score", ("a",)), ("next", ("a",))]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "text.txt").write_text(TEXT)
    return tmp_path


@pytest.fixture(scope="module")
def classifier(tmp_path_factory):
    path = tmp_path_factory.mktemp("models") / "c.safetensors"
    data = path.with_name("words.csv")
    data.write_text("word,vowel\n" + "lala,a\nlili,i\n" * 4)
    run_well("fit", "classify", data, "--epochs", 1, "--hidden-size", 4, "--out", path)
    return path


@pytest.mark.parametrize(("command", "others"), [*COMMANDS, ("predict", ("text.txt",))])
def test_a_model_that_is_missing_leads_to_those_there_are_or_to_what_makes_one(folder, command, others):
    maker = "fastrnn fit TASK" if command == "predict" else "fastrnn train TEXT"
    for arguments in ((), ("m.safetensors", *others)):
        result = run(command, *arguments)
        assert (result.exit_code, maker in result.stderr) == (2, True), result.stderr
    for number in range(7):
        (folder / f"{number}.safetensors").touch()
    assert "In this folder: 0.safetensors, 1.safetensors, 2.s" in run(command).stderr
    shown = run(command, "m.safetensors", *others).stderr
    assert "File 'm.safetensors' does not exist; in this folder: 0" in shown
    assert "4.safetensors, ..." in shown


@pytest.mark.parametrize(("command", "others"), COMMANDS)
def test_another_kind_of_model_leads_to_the_command_that_takes_it(folder, classifier, command, others):
    result = run(command, classifier, *others)
    assert result.exit_code == 2
    assert f"got a SequenceClassifier; type fastrnn predict {classifier} FILE" in result.stderr


@pytest.mark.parametrize(
    ("command", "others"),
    [*COMMANDS, ("predict", ("text.txt",)), ("inspect", ("--text", "text.txt", "--out", "r.html"))],
)
def test_a_text_or_another_librarys_file_in_place_of_a_model_leads_to_what_to_type(folder, command, others):
    shown = run(command, "text.txt", *others).stderr
    assert "text.txt: not a safetensors file" in shown
    assert "MODEL, the first argument, is a file that fastrnn train or fit saved" in shown
    (folder / "net.pt").write_bytes(b"PK\x03\x04")
    assert (
        "to convert this one: fastrnn convert net.pt net.safetensors"
        in run(command, "net.pt", *others).stderr
    )


def test_a_damaged_model_keeps_its_message(folder):
    run_well("train", "text.txt", "--out", "m.safetensors", *SMALL, "--steps", 2, "--sample-every", 0)
    content = (folder / "m.safetensors").read_bytes()
    (folder / "cut.safetensors").write_bytes(content[:-9])
    shown = run("sample", "cut.safetensors").stderr
    assert "cut.safetensors: truncated" in shown
    assert "MODEL" not in shown


def test_predict_without_files_says_how_to_name_them(folder, classifier):
    assert (
        f"type fastrnn predict {classifier} FILE.csv, or - and --format csv"
        in run("predict", classifier).stderr
    )
