"""The report: what its data hold, what becomes of hostile symbols, and the command that writes it."""

import base64
import hashlib
import json
import re
import shutil
import subprocess
from importlib import resources

import numpy as np
import pytest
from click.testing import CliRunner

import fastrnn as fr
from fastrnn.cli import main
from fastrnn.inspect import rank_units, report, trace
from fastrnn.inspect.shown_symbols import visible
from fastrnn.models import SequenceClassifier, SequenceRegressor
from fastrnn.train import Checkpoint, load_checkpoint, save_checkpoint

TEXT = 'He said (not "so" loud):\n  "Go (home)."\nAnd he went.\n' * 6
ASSETS = resources.files("fastrnn.inspect") / "assets"
SCRIPTS = sorted(one.name for one in ASSETS.iterdir() if one.name.endswith(".js"))


def make_model(text=TEXT, **settings):
    vocabulary = fr.Vocabulary.from_text(text)
    sizes = {"hidden_size": 6, "num_layers": 2, **settings}
    return Checkpoint(fr.LanguageModel(len(vocabulary), seed=3, **sizes), vocabulary, None, "")


@pytest.fixture(scope="module")
def model():
    return make_model()


def written(path):
    """Return the data of a report."""
    page = path.read_text(encoding="utf-8")
    return json.loads(re.search(r'<script type="application/json" id="data">(.*?)</script>', page, re.S)[1])


def unpack(text, dtype):
    return np.frombuffer(base64.b64decode(text), dtype)


def values_of(packed, steps):
    dtype = "i1" if packed["kind"] == "diverging" else "u1"
    levels = unpack(packed["values"], dtype).reshape(-1, steps)
    return levels * unpack(packed["scale"], "<f4")[:, None]


# --- the data ---


@pytest.mark.parametrize("cell", ["rnn", "gru", "lstm", "slstm", "mingru", "minlstm"])
def test_every_gate_and_state_is_there_rounded_to_a_byte(cell, tmp_path):
    own = make_model(cell=cell)
    report(own, TEXT, tmp_path / "a.html")
    seen, data = trace(own, TEXT), written(tmp_path / "a.html")
    wanted = [(layer, name) for layer in seen.layers for name in (*seen.gates[layer], *seen.states[layer])]
    assert [(one["layer"], one["name"]) for one in data["traces"]] == wanted
    for one in data["traces"]:
        signal = seen.signal(one["layer"], one["name"]).T
        found = values_of(one, seen.steps)
        half = unpack(one["scale"], "<f4")[:, None] / 2
        assert (np.abs(found - signal) <= half * 1.001).all(), one["name"]
        assert half.max() <= max(1.0, np.abs(signal).max()) / 2 / 127


def test_losses_symbols_and_likeliest_next_are_those_of_the_trace(model, tmp_path):
    made = report(model, TEXT, tmp_path / "a.html")
    seen, data = trace(model, TEXT), written(tmp_path / "a.html")
    names = [symbol["name"] for symbol in data["symbols"]]
    assert [names[i] for i in unpack(data["ids"], "<u4")] == [visible(s).replace(" ", "␣") for s in TEXT]
    np.testing.assert_array_equal(unpack(data["losses"], "<f4"), seen.loss.astype(np.float32))
    top = seen.top(10)
    found = unpack(data["top"]["probabilities"], "<f4").reshape(-1, 10)
    np.testing.assert_array_equal(found, top.probabilities.astype(np.float32))
    assert [names[i] for i in unpack(data["top"]["ids"], "<u4")] == [
        visible(s).replace(" ", "␣") for row in top.symbols for s in row
    ]
    assert made.loss == pytest.approx(np.nanmean(seen.loss))
    assert made.size == (tmp_path / "a.html").stat().st_size
    assert data["lineEnds"] == [t for t, symbol in enumerate(TEXT) if symbol == "\n"]


def test_the_best_units_are_those_that_the_ranking_has(model, tmp_path):
    made, seen = report(model, TEXT, tmp_path / "a.html"), trace(model, TEXT)
    for name in ("inside_quotes", "line_position", "bracket_depth"):
        first = rank_units(seen, getattr(fr.inspect.properties, name), count=1)[0]
        own = made.best[name]
        assert (own.layer, own.name, own.unit) == (first.layer, first.name, first.unit)
        assert own.correlation == pytest.approx(first.correlation)
        assert own.ranked_by == pytest.approx(first.ranked_by)


def test_a_property_of_the_users_own_is_ranked_too(model, tmp_path):
    h = trace(model, TEXT).states["l1"]["h"]
    made = report(model, TEXT, tmp_path / "a.html", properties={"mine": 2 - 3 * h[:, 4]})
    assert made.best["mine"][:3] == ("l1", "h", 4)
    assert made.best["mine"].correlation == pytest.approx(-1)
    assert written(tmp_path / "a.html")["properties"][-1]["title"] == "Mine"


@pytest.mark.parametrize("cell", ["rnn", "gru", "lstm"])
def test_gradient_norms_against_lag_are_those_of_the_output_and_of_backpropagation(cell, tmp_path):
    own = make_model(cell=cell, num_layers=1, dtype="float64")
    report(own, TEXT, tmp_path / "a.html")
    found = written(tmp_path / "a.html")["gradients"]
    ids, rnn, output = own.vocabulary.encode(TEXT), own.model.rnn, own.model.output
    assert found["lags"] == list(range(101))
    norms = []
    for first in np.linspace(0, len(ids) - 1 - 202, 16).round().astype(int):
        before, after = ids[first : first + 197], ids[first + 197 : first + 202]  # 5 steps to go back
        y, _, tape = rnn.forward(after[:, None], rnn(before[:, None])[1])
        p = np.exp(output(y[-1])) / np.exp(output(y[-1])).sum()
        p[0, ids[first + 202]] -= 1
        dy = np.zeros_like(y)
        dy[-1] = p @ output.parameters["weight"]
        dstate = rnn.backward(tape, dy)[1]
        dh = dstate[0] if cell == "lstm" else dstate
        norms.append((np.linalg.norm(dy[-1]), np.linalg.norm(dh)))
    lag_0, lag_5 = np.mean(norms, axis=0)
    assert found["layers"][0]["norms"][0] == pytest.approx(lag_0, rel=1e-3)
    assert found["layers"][0]["norms"][5] == pytest.approx(lag_5, rel=1e-3)


def test_a_stack_of_layers_has_the_gradient_norms_of_the_same_layers_in_one(tmp_path):
    own, n = make_model(cell="gru"), 23
    parts = fr.GRU(n, 6, seed=0), fr.GRU(6, 6, seed=0)
    for number, part in enumerate(parts):
        names = {name: f"rnn.{name[:-1]}{number}" for name in part.parameters}
        part.load_state_dict({name: own.model.parameters[own_name] for name, own_name in names.items()})
    stacked = fr.LanguageModel(n, rnn=fr.Stack(*parts, connect="plain"), seed=0)
    for name in ("weight", "bias"):
        with stacked.parameters.edit() as parameters:
            parameters[f"output.{name}"][...] = own.model.parameters[f"output.{name}"]
    norms = []
    for one in (own.model, stacked):
        report(one, TEXT, tmp_path / "a.html", vocabulary=own.vocabulary)
        layers = written(tmp_path / "a.html")["gradients"]["layers"]
        norms.append([layer["norms"] for layer in layers])
    np.testing.assert_allclose(norms[0], norms[1], rtol=2e-3)


@pytest.mark.parametrize(
    ("settings", "text", "reason"),
    [
        ({"cell_options": {"zoneout": 0.1}}, TEXT, "the layers have zoneout"),
        ({"cell": "gru"}, TEXT[:4], "the text is too short"),
    ],
)
def test_where_there_are_no_gradient_norms_the_page_says_why(settings, text, reason, tmp_path):
    vocabulary = fr.Vocabulary.from_text(TEXT)
    own = fr.LanguageModel(len(vocabulary), hidden_size=6, num_layers=1, seed=0, **settings)
    report(own, text, tmp_path / "a.html", vocabulary=vocabulary)
    gradients = written(tmp_path / "a.html")["gradients"]
    assert gradients["layers"] == []
    assert reason in gradients["note"]


def test_saturated_shares_are_those_of_the_gates(model, tmp_path):
    own = make_model()
    with own.model.parameters.edit() as parameters:
        parameters["rnn.bias_ih_l0"][:6] = 8.0  # the input gate is open
    report(own, TEXT, tmp_path / "a.html")
    rows = {row["label"]: row for row in written(tmp_path / "a.html")["saturation"]["rows"]}
    gates = trace(own, TEXT).gates["l0"]
    assert rows["l0 i"]["high"] == 1.0
    assert rows["l0 f"]["low"] == np.mean(gates["f"] < 0.1)
    assert rows["l0 g"]["high"] == np.mean(gates["g"] > 0.9)


def test_the_file_keeps_to_a_size_by_leaving_out_units_that_track_nothing(model, tmp_path):
    made = report(model, TEXT, tmp_path / "a.html", max_size=12 * len(TEXT) * 2 * 4 / 3)
    assert made.units == {"l0": 2, "l1": 2}
    assert made.left_out == {"l0": 4, "l1": 4}
    seen, data = trace(model, TEXT), written(tmp_path / "a.html")
    for layer in seen.layers:
        best = [score for score in made.best.values() if score.layer == layer]
        kept = next(one["units"] for one in data["traces"] if one["layer"] == layer)
        strongest = max(best, key=lambda score: abs(score.ranked_by), default=None)
        assert strongest is None or strongest.unit in kept
    assert "2 of 6 in l0, 2 of 6 in l1" in data["rounding"]


@pytest.mark.parametrize("seed", range(4))
def test_the_page_opens_with_a_unit_that_it_has(seed, tmp_path):
    vocabulary = fr.Vocabulary.from_text(TEXT)
    options = {"hidden_size": 9, "num_layers": 1, "cell_options": {"proj_size": 2}}
    own = fr.LanguageModel(len(vocabulary), seed=seed, **options)
    report(own, TEXT, tmp_path / "a.html", vocabulary=vocabulary, max_size=1.0)
    data = written(tmp_path / "a.html")
    assert all(len(one["units"]) == 1 for one in data["traces"])
    assert data["start"]["unit"] in data["traces"][data["start"]["trace"]]["units"]


def test_nothing_of_the_model_changes(model, tmp_path):
    own = model.model
    before = own.parameters.flat.copy(), own.gradients.flat.copy(), own.rng.bit_generator.state
    report(model, TEXT, tmp_path / "a.html")
    np.testing.assert_array_equal(own.parameters.flat, before[0])
    np.testing.assert_array_equal(own.gradients.flat, before[1])
    assert own.rng.bit_generator.state == before[2]


def test_a_model_of_separate_lines_reads_each_from_a_zero_state(tmp_path):
    lines = ["abba", "bab", "aab"]
    vocabulary = fr.Vocabulary("ab", eos="<eos>")
    own = fr.LanguageModel(3, hidden_size=5, num_layers=1, start=-1, eos=2, seed=0)
    report(own, "abba\n\nbab\naab\n", tmp_path / "a.html", vocabulary=vocabulary)
    data = written(tmp_path / "a.html")
    found = unpack(data["losses"], "<f4")
    scores = fr.decode.score(own, vocabulary, lines)
    np.testing.assert_allclose(found, np.concatenate([-one.log_probabilities for one in scores]), rtol=1e-5)
    assert data["lineEnds"] == [4, 8, 12]
    assert (data["unitOfText"], data["words"]) == ("Character", False)


def test_words_and_models_with_fit_have_reports_too(tmp_path):
    vocabulary = fr.Vocabulary.from_text("the cat saw the dog\n", level="word", eos="<eos>")
    own = fr.LanguageModel(len(vocabulary), hidden_size=4, num_layers=1, seed=0)
    assert report(own, "the dog saw\nthe cat\n", tmp_path / "a.html", vocabulary=vocabulary).symbols == 7
    data = written(tmp_path / "a.html")
    assert (data["lineEnds"], data["unitOfText"], data["words"]) == ([3, 6], "Word", True)
    tagger = SequenceClassifier(hidden_size=4, epochs=1, random_state=0).fit(["abab", "bbaa"] * 4, [0, 1] * 4)
    made = report(tagger, "abba", tmp_path / "b.html")
    assert (made.symbols, made.loss) == (4, None)
    assert written(tmp_path / "b.html")["losses"] is None


# --- what a stranger's text may contain ---


@pytest.mark.parametrize(
    ("symbol", "shown"),
    [
        ("\n", "⏎"), ("\t", "⇥"), ("\x1b", "␛"), ("\x7f", "␡"), ("\x85", "⟨U+0085⟩"), ("\u202e", "⟨U+202E⟩"),
        ("\u2066", "⟨U+2066⟩"), ("\u200b", "⟨U+200B⟩"), ("\ufeff", "⟨U+FEFF⟩"), ("\ud800", "⟨U+D800⟩"),
        ("\u2028", "⟨U+2028⟩"), ("\u3000", "⟨U+3000⟩"), ("\u0301", "◌\u0301"), ("é", "é"), ("ש", "ש"),
        ("😀", "😀"),
    ],
)  # fmt: skip
def test_invisible_and_commanding_characters_become_signs(symbol, shown):
    assert visible(symbol) == shown


def test_the_data_hold_no_markup_and_the_policy_names_what_may_run(tmp_path):
    hostile = "</script><script>alert(1)</script><!--<img src=x onerror=alert(2)>&\u2028]]>"
    report(make_model(hostile), hostile, tmp_path / "a.html", title=hostile)
    page = (tmp_path / "a.html").read_text(encoding="utf-8")
    data = page.partition('id="data">')[2].partition("</script>")[0]
    assert not set("<>&\u2028") & set(data)
    assert page.count("<script") == 2
    assert "<img" not in page
    policy = re.search(r'http-equiv="Content-Security-Policy" content="([^"]*)"', page)[1]
    assert policy.startswith("default-src 'none'; script-src 'sha256-")
    assert "unsafe" not in policy
    for kind, element in (
        ("script", r'<script type="module">(.*?)</script>'),
        ("style", "<style>(.*?)</style>"),
    ):
        digest = hashlib.sha256(re.search(element, page, re.S)[1].encode()).digest()
        assert f"{kind}-src 'sha256-{base64.b64encode(digest).decode()}'" in policy


def test_the_page_loads_nothing_and_holds_no_inline_code():
    template = ASSETS.joinpath("report.html").read_text(encoding="utf-8")
    assert not re.findall(r"\s(?:src|href|on\w+|style)\s*=\s*\"(?!#)", template)
    loading = r"https?:(?!//www\.w3\.org/2000/svg)|@import|url\(|innerHTML|eval\("
    for name in ("report.css", *SCRIPTS):
        assert not re.findall(loading, ASSETS.joinpath(name).read_text(encoding="utf-8"))


@pytest.mark.parametrize("name", SCRIPTS)
def test_every_script_is_valid_and_short(name, tmp_path):
    source = ASSETS.joinpath(name).read_text(encoding="utf-8")
    assert len(source.splitlines()) <= 400
    assert source.startswith("// ")  # what is in it
    node = shutil.which("node")
    if node is None:
        pytest.skip("no node is installed; the browser checks the whole page")
    (tmp_path / "a.mjs").write_text(source, encoding="utf-8")
    run = subprocess.run([node, "--check", tmp_path / "a.mjs"], capture_output=True, text=True)
    assert run.returncode == 0, run.stderr


# --- bad input ---


@pytest.mark.parametrize(
    ("text", "options", "message"),
    [
        ("", {}, "text: expected at least one symbol, got none"),
        ("He said é", {}, r"text: expected characters of the vocabulary, got 'é' at position 8; remove or"),
        (TEXT, {"length": 0}, "length: expected"),
        (TEXT, {"max_size": 0.0}, "max_size: expected"),
        (
            TEXT,
            {"properties": {"mine": [1.0]}},
            rf"properties\['mine'\]: expected a number for each of {len(TEXT)}",
        ),
    ],
)
def test_what_cannot_be_shown_is_named(model, text, options, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        report(model, text, tmp_path / "a.html", **options)
    assert not (tmp_path / "a.html").exists()


def test_a_model_of_numbers_is_refused_with_those_that_read_text(tmp_path):
    own = SequenceRegressor(hidden_size=4, epochs=1).fit([np.zeros((3, 2)), np.ones((4, 2))], [0.0, 1.0])
    with pytest.raises(
        ValueError, match=r"model: expected one that reads text: a LanguageModel, or.* got a Sequ"
    ):
        report(own, "abc", tmp_path / "a.html")
    with pytest.raises(ValueError, match="text: expected symbols"):
        report(own, np.zeros((3, 2)), tmp_path / "a.html")
    with pytest.raises(TypeError, match="model: expected a LanguageModel"):
        report("model", "abc", tmp_path / "a.html")


def test_an_empty_text_and_properties_without_names_are_named_for_every_model(model, tmp_path):
    own = SequenceClassifier(hidden_size=4, epochs=1).fit(["ab", "ba"], [0, 1])
    with pytest.raises(ValueError, match=r"^text: expected at least one step"):
        report(own, "", tmp_path / "a.html")
    with pytest.raises(TypeError, match="properties: expected a mapping of names to arrays, got list"):
        report(model, TEXT, tmp_path / "a.html", properties=[[1.0]])


@pytest.mark.parametrize("name", ["rnn.weight_hh_l0", "output.bias"])
def test_a_model_that_diverged_is_refused(name, tmp_path):
    own = make_model()
    with own.model.parameters.edit() as parameters:
        parameters[name][...] = np.nan
    with pytest.raises(ValueError, match=r"model: expected finite numbers, .* its parameters are unusable"):
        report(own, TEXT, tmp_path / "a.html")


def test_an_old_report_stays_if_the_new_one_cannot_be_made(model, tmp_path):
    (tmp_path / "a.html").write_text("old")
    with pytest.raises(ValueError, match="text:"):
        report(model, "é", tmp_path / "a.html")
    assert (tmp_path / "a.html").read_text() == "old"
    with pytest.raises(OSError, match="folder"):
        report(model, TEXT, tmp_path / "no" / "a.html")


# --- the command ---


@pytest.fixture
def folder(model, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    save_checkpoint("m.safetensors", model.model, model.vocabulary)
    (tmp_path / "text.txt").write_text(TEXT)
    return tmp_path


def run(*arguments, **extra):
    return CliRunner().invoke(main, [str(one) for one in arguments], prog_name="fastrnn", **extra)


def test_the_command_writes_the_report_of_the_function(folder):
    result = run("inspect", "m.safetensors", "--text", "text.txt", "--out", "a.html", "--length", 100)
    assert result.exit_code == 0, result.stderr
    report(load_checkpoint("m.safetensors"), TEXT, "b.html", length=100, title="m.safetensors")
    assert (folder / "a.html").read_bytes() == (folder / "b.html").read_bytes()
    assert re.match(r"100 symbols, loss \d\.\d{4} nats per symbol, perplexity \d", result.stdout)
    assert re.search(r"^  line_position +l[01] [ifgohc]  +\d  [+-]\d\.\d\d$", result.stdout, re.M)
    assert re.search(r"^written: a.html, 0\.\d MB; open it in a browser$", result.stdout, re.M)


def test_json_has_the_same_figures_and_the_text_may_come_from_standard_input(folder):
    result = run("inspect", "m.safetensors", "--text", "-", "--out", "a.html", "--json", input=TEXT)
    figures = json.loads(result.stdout)
    made = report(load_checkpoint("m.safetensors"), TEXT, "b.html", title="m.safetensors")
    assert figures["loss"] == made.loss
    assert figures["perplexity"] == pytest.approx(np.exp(made.loss))
    assert (figures["path"], figures["symbols"], figures["units"]) == (
        "a.html",
        len(TEXT),
        {"l0": 6, "l1": 6},
    )
    assert figures["size"] == made.size == (folder / "a.html").stat().st_size
    assert figures["best"]["inside_quotes"]["unit"] == made.best["inside_quotes"].unit


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["m.safetensors", "--text", "text.txt"], "Missing option '--out'"),
        (["m.safetensors", "--text", "no.txt", "--out", "a.html"], "'no.txt' does not exist"),
        (["m.safetensors", "--text", "empty.txt", "--out", "a.html"], "empty.txt: the file is empty"),
        (
            ["m.safetensors", "--text", "other.txt", "--out", "a.html"],
            "other.txt: expected characters of the voc",
        ),
        (["m.safetensors", "--text", "latin.txt", "--out", "a.html"], "latin.txt: not UTF-8"),
        (["m.safetensors", "--text", "text.txt", "--out", "text.txt"], "text.txt: is an input; it would be"),
        (["m.safetensors", "--text", "text.txt", "--out", "m.safetensors"], "m.safetensors: is an input"),
        (
            ["m.safetensors", "--text", "text.txt", "--out", "no/a.html"],
            "no/a.html: the folder does not exist",
        ),
        (["text.txt", "--text", "text.txt", "--out", "a.html"], "text.txt: not a safetensors file"),
        (
            ["r.safetensors", "--text", "text.txt", "--out", "a.html"],
            "r.safetensors: expected one that reads text",
        ),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(arguments, message, folder):
    (folder / "empty.txt").touch()
    (folder / "other.txt").write_text("Hé", encoding="utf-8")
    (folder / "latin.txt").write_bytes("Hé".encode("latin-1"))
    own = SequenceRegressor(hidden_size=4, epochs=1).fit([np.zeros((3, 2)), np.ones((4, 2))], [0.0, 1.0])
    own.save("r.safetensors")
    result = run("inspect", *arguments)
    assert (result.exit_code, result.stdout) == (2, "")
    assert message in result.stderr
    assert result.stderr.count("\n") == 1
    assert not (folder / "a.html").exists()
