"""Figures that the README and the pages of docs/ quote are those of the files they come from.

Versions and extras are compared with pyproject.toml, numbers of parameters with models, and the tables of
measurements with benchmarks/results/*.json, to the last digit quoted.
"""

import json
import re
from pathlib import Path

import pytest

import bench_cases  # noqa: F401 - it makes benchmarks importable
import fastrnn as fr
from fastrnn.cli.benchmark.timing import ratio
from test_package_contents import WHEEL_LIMIT

from benchmarks import distributed_model, distributed_steps  # isort: skip

ROOT = Path(__file__).resolve().parents[1]
PROJECT = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
PATHS = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "benchmarks/README.md")),
    *sorted((ROOT / "docs").glob("*.md")),
    *sorted((ROOT / "docs" / "tutorials").glob("*.md")),
]
PAGES = {str(path.relative_to(ROOT)): path.read_text(encoding="utf-8") for path in PATHS}
NUMBER = re.compile(r"-?\d[\d,]*(?:\.\d+)?")


def result(name):
    return json.loads((ROOT / "benchmarks" / "results" / f"{name}.json").read_text(encoding="utf-8"))


def table(page, head):
    """Return the rows of the table whose head begins so: lists of cells."""
    lines = PAGES[page].splitlines()
    first = next(number for number, line in enumerate(lines) if line.startswith(head))
    rows = []
    for line in lines[first + 2 :]:
        if not line.startswith("|"):
            break
        rows.append([cell.strip() for cell in line.strip("|").split("|")])
    return rows


def agrees(quoted, exact):
    """Return whether a quoted number is the exact one, rounded to as many digits."""
    digits = len(quoted.partition(".")[2])
    return abs(float(quoted.replace(",", "")) - exact) <= 0.5 * 10**-digits * (1 + 1e-9)


def assert_numbers(cells, exact):
    quoted = [number for cell in cells for number in NUMBER.findall(cell)]
    assert len(quoted) == len(exact), (quoted, exact)
    wrong = [pair for pair in zip(quoted, exact, strict=True) if not agrees(*pair)]
    assert wrong == [], cells


def test_a_digit_more_or_less_does_not_agree():
    assert agrees("1.28", 1.281)
    assert agrees("2,277", 2277)
    assert not agrees("1.28", 1.2851)
    with pytest.raises(AssertionError):
        assert_numbers(["1.28x"], [1.3])


def test_the_oldest_python_is_that_of_the_project():
    oldest = re.search(r'requires-python = ">=([\d.]+)"', PROJECT)[1]
    quoted = {number for text in PAGES.values() for number in re.findall(r"Python (3\.\d+) or later", text)}
    assert quoted == {oldest}


def test_every_extra_that_a_page_installs_exists():
    section = PROJECT.partition("[project.optional-dependencies]")[2].partition("\n[")[0]
    extras = set(re.findall(r"^([\w-]+) = \[", section, flags=re.MULTILINE))
    quoted = {
        name
        for text in PAGES.values()
        for names in re.findall(r'pip install "(?:fastrnn|\.)\[([\w,-]+)\]"', text)
        for name in names.split(",")
    }
    assert {"test", "onnx"} <= quoted <= extras


def test_the_version_is_that_of_the_package():
    (quoted,) = re.findall(r"Version (\d+\.\d+\.\d+)", PAGES["docs/limits.md"])
    assert quoted == fr.__version__


def test_the_size_of_the_wheel_is_within_its_limit():
    quoted = {float(size) for size in re.findall(r"wheel of ([\d.]+) MB", PAGES["README.md"])}
    assert len(quoted) == 1
    assert 0.9 * WHEEL_LIMIT < max(quoted) * 1e6 <= WHEEL_LIMIT


def test_the_time_of_the_installation_is_the_same_on_every_page():
    (seconds,) = re.findall(r"compiles the kernels: (\d+) seconds on two cores", PAGES["README.md"])
    assert 75 <= int(seconds) <= 105
    for name in ("start", "limits", "troubleshooting"):
        assert "a minute and a half" in " ".join(PAGES[f"docs/{name}.md"].split()), name


def test_versions_of_peers_are_those_that_were_measured():
    machine = result("torch-modules")["machine"]
    versions = {"PyTorch": machine["torch"].partition("+")[0], **result("reservoirs")["versions"]}
    for name in ("PyTorch", "reservoirpy"):
        quoted = {v for text in PAGES.values() for v in re.findall(rf"\b{name} (\d+\.\d+[\d.]*\d)", text)}
        assert quoted
        assert all(f"{versions[name]}.".startswith(f"{one}.") for one in quoted), (name, quoted)


def test_numbers_of_parameters_are_those_of_the_models():
    standard = fr.LanguageModel(96, hidden_size=256, num_layers=2)  # 96 symbols: the standard library's
    assert f"lstm, 2 x 256, {standard.num_parameters:,} parameters" in PAGES["README.md"]
    words = {"hidden_size": 200, "num_layers": 2, "embedding_size": 200}
    sizes = [fr.LanguageModel(10_002, tied=tied, **words).num_parameters for tied in (True, False)]
    assert "It has {:,} parameters instead of {:,}.".format(*sizes) in PAGES["docs/language-models.md"]


def test_the_quality_of_precisions_is_what_was_measured():
    rows = table("benchmarks/README.md", "| model | loss, float32 |")
    trainings = result("precision-quality")["trainings"]
    assert [row[0] for row in rows] == list(trainings)
    for row, training in zip(rows, trainings.values(), strict=True):
        exact, narrow = (training["curves"][precision][-1] for precision in ("float32", "bfloat16"))
        perplexities = [one["perplexity"] for one in training["inference"].values()]
        ratio = exact["seconds"] / narrow["seconds"]
        assert_numbers(row[1:], [exact["loss"], narrow["loss"], ratio, *perplexities])
    page = table("docs/precision.md", "| | loss in float32, nats |")
    for row, training in zip(page, trainings.values(), strict=True):
        losses = [training["curves"][precision][-1]["loss"] for precision in ("float32", "bfloat16")]
        assert_numbers(row[1:], [*losses, *(one["perplexity"] for one in training["inference"].values())])
    pairs = trainings["words"]["pairs"].values()
    assert all((one["right"], one["of"], one["other than float32"]) == (19, 20, []) for one in pairs)


def test_the_speed_of_precisions_is_what_was_measured():
    points = {}
    for point in result("precision-speed")["points"]:
        case = point["case"]
        sizes = ", ".join(str(case[size]) for size in ("T", "N", "D", "H"))
        if case["layers"] == 1:
            times = {name: time["median_us"] for name, time in point["peers"].items()}
            points[f"{case['cell'].upper()} {sizes}", case["mode"]] = times
    for row in table("docs/precision.md", "| T, N, D, H | float32 |"):
        forward, training = (points[row[0], mode] for mode in ("forward", "training"))
        for cell, times, precision in (
            (row[1], forward, "float32"),
            (row[2], forward, "bfloat16"),
            (row[3], forward, "int8"),
            (row[4], training, "float32"),
            (row[5], training, "bfloat16"),
        ):
            assert_numbers([cell.partition(" (")[0]], [times[f"fastrnn-{precision}"]])


def test_the_accuracy_of_activations_is_what_was_measured():
    worst = max(one["worst_ulp"] for one in result("activation_error")["float32"].values())
    (quoted,) = re.findall(r"within ([\d.]+) units in the\s+last place", PAGES["README.md"])
    assert worst <= float(quoted) < worst + 0.05


def test_the_speeds_of_the_readme_are_those_of_the_benchmark_page():
    rows = table("benchmarks/README.md", "| threads | against |")
    means = [cell[:-1] for row in rows if row[0] == "1" for cell in row[3:] if cell]
    speed = re.search(r"\*\*Speed\.\*\*.*?\n- ", PAGES["README.md"], flags=re.DOTALL)[0]
    assert re.findall(r"([\d.]+)x", speed) == means


def test_the_table_of_large_vocabularies_is_what_was_measured():
    rows = table("docs/language-models.md", "| output | parameters |")
    for (name, *cells), way in zip(rows, result("large-vocabulary")["ways"], strict=True):
        assert name == way["way"]
        keys = "parameters", "peak MiB of training", "training tokens a second", "scoring tokens a second"
        assert_numbers(cells, [way[key] for key in keys])


def test_the_table_of_large_texts_is_what_was_measured():
    found = result("large-corpus")
    for (_, *cells), name in zip(
        table("docs/language-models.md", "| two ranks |"), ("prepare", "train"), strict=True
    ):
        memory = found[name]["MB of each process"][0]
        assert_numbers(cells, [found[name]["seconds"], *(memory[key] for key in ("peak", "own", "mapped"))])
        assert memory["peak"] < 1000
    sizes = re.search(r"A text of ([\d.]+) GB .* gives (\d+) MB of ids", PAGES["docs/language-models.md"])
    assert_numbers(sizes.groups(), [found["bytes"]["corpus.txt"] / 1e9, found["bytes"]["corpus.ids"] / 1e6])


def test_the_table_of_name_lengths_is_what_was_measured():
    rows = table("docs/language-models.md", "| | nats a name |")
    keys = (
        "nats a name",
        "of its length",
        "of its symbols",
        "mean length sampled",
        "total variation of lengths",
    )
    for (_, *cells), way in zip(rows, result("name-lengths")["ways"], strict=True):
        assert_numbers(cells, [way[key] for key in keys])


def test_the_table_of_wikitext_is_what_was_measured():
    rows = table("docs/language-models.md", "| epoch | | minutes |")
    keys = "minutes", "tokens a second", "training perplexity", "validation perplexity"
    epochs = result("wikitext")["epochs"]
    measured = [(epoch, name) for epoch in epochs for name in ("fastrnn", "pytorch")]
    for row, (epoch, name) in zip(rows, measured, strict=True):
        ratio = [epoch["ratio"]] if name == "fastrnn" else []
        assert_numbers([row[0], *row[2:]], [epoch["epoch"], *(epoch[name][key] for key in keys), *ratio])


def test_the_table_of_confusable_pairs_is_what_was_measured():
    rows = table("docs/language-models.md", "| sentence | words |")
    for (sentence, words, *cells), pair in zip(rows, result("confusable-pairs")["pairs"], strict=True):
        assert (sentence, words) == (pair["sentence"], " / ".join(pair["words"]))
        assert_numbers(cells, pair["log p"])


def test_the_table_of_steps_in_c_is_what_was_measured():
    rows = table("docs/in-and-out.md", "| | RTNeural |")
    for (name, *cells), point in zip(rows, result("c-step")["points"], strict=True):
        assert name == f"{point['cell'].upper()} {point['D']} -> {point['H']}"
        assert_numbers(cells, [point[key] for key in ("rtneural", "fastrnn_step", "fastrnn_run")])


def test_the_table_of_modules_in_pytorch_is_what_was_measured():
    training = [point for point in result("torch-modules")["points"] if point["mode"] == "training"]
    shape = None
    for name, *cells in table("docs/in-and-out.md", "| T, N, D, H | RNN |"):
        shape = [int(size) for size in re.findall(r"\d+", name)] or shape
        ragged = name == "the same, packed sequences"
        rows = [point for point in training if (point["shape"], point["ragged"]) == (shape, ragged)]
        assert_numbers(cells, [point["ratio"] for point in rows])


def test_the_table_of_costs_of_options_is_what_was_measured():
    unit = {"forward": 1e-3, "training": 1e-3, "step": 1.0}  # milliseconds, and microseconds for a step
    costs = {
        (point["layer"], point["mode"]): [point["ratio"], point["microseconds"] * unit[point["mode"]]]
        for point in result("variant-costs")["results"]
        if point["shape"] == [50, 32, 256, 256]
    }
    rows = table("docs/layers.md", "| layer | forward | training step |")
    assert len(rows) > 30
    for layer, *cells in rows:
        for cell, mode in zip(cells, unit, strict=True):
            assert_numbers([cell.removesuffix("-")], costs.get((layer.strip("`"), mode), []))


def test_the_ranges_of_sequence_models_are_what_was_measured():
    points = {point["name"]: 1 / point["ratio"] for point in result("sequence-models")["points"]}
    parts = "crf", "additive", "multiplicative", "ctc"
    ranges = [
        [value for name, value in points.items() if not name.startswith(parts)],
        [value for name, value in points.items() if name.startswith("ctc")],
        [value for name, value in points.items() if name.startswith("crf")],
        [value for name, value in points.items() if name.startswith(parts[1:3])],
    ]
    sentence = re.search(
        r"A training step takes .*? of PyTorch's.*?\n\n", PAGES["docs/sequence-models.md"], re.DOTALL
    )
    quoted = re.findall(r"([\d.]+\d) to ([\d.]+\d)", sentence[0])
    assert_numbers([number for pair in quoted for number in pair], [f(r) for r in ranges for f in (min, max)])


def test_the_table_of_models_in_fewer_bits_is_what_was_measured():
    points = result("precision-models")["points"]
    rows = table("benchmarks/README.md", "| data | held out | measured |")
    shown = ["bfloat16", "bfloat16, quantized to int8"]
    shown += [f"float32, quantized to {precision}" for precision in ("bfloat16", "int8")]
    for (name, examples, unit, *cells), point in zip(rows, points, strict=True):
        assert (name, unit) == (point["name"], point["unit"])
        ways = {way["way"]: way for way in point["ways"]}
        assert_numbers(
            [examples, *cells[:2]], [point["examples"], point["baseline"], ways["float32"]["mean"]]
        )
        pairs = [(ways[way]["difference"], ways[way]["standard error"]) for way in shown]
        assert_numbers(cells[2:], [number for pair in pairs for number in pair])


def test_the_table_of_reservoirs_is_what_was_measured():
    points = result("reservoirs")["points"]
    for name, *cells in table("docs/seeing-through-time.md", "| units, density | states |"):
        units, _, density = name.replace(",", "", 1).partition(", ")
        size = (int(units), 1.0 if density == "dense" else float(density))
        for cell, what in zip(cells, ("states", "fit"), strict=True):
            measured = [
                point[what]["ratio"] for point in points if (point["units"], point["density"]) == size
            ]
            assert_numbers([cell.partition(" (")[0]], measured)


def test_the_sentence_about_busy_machines_is_what_was_measured():
    times = [point["times"] for point in result("busy-machine")["points"] if point["busy"] > 0]
    ratios = [
        [one[f"{peer}-2"]["mean_us"] / one[f"{peer}-1"]["mean_us"] for one in times]
        for peer in ("fastrnn", "pytorch")
    ]
    sentence = re.search(r"\*\*Beside other work\.\*\*.*?\(\[how", PAGES["README.md"], flags=re.DOTALL)[0]
    quoted = [number for pair in re.findall(r"([\d.]+) to ([\d.]+)", sentence) for number in pair]
    assert_numbers(quoted, [limit(one) for one in ratios for limit in (min, max)])


def test_the_tables_of_many_processes_are_what_was_measured():
    page = PAGES["docs/distributed.md"]
    assert distributed_steps.document(result("distributed-steps")) in page
    model = result("distributed-model")
    *tables, _, pays = distributed_model.document(model).split("\n\n")
    assert [table for table in tables if table not in page] == []
    assert re.search(r"networks slower than \S+ Gbit/s", page)[0] in pays
    points = [p for p in result("distributed-reduction")["points"] if 4 * p["parameters"] >= 1 << 16]
    ratios = [ratio(point["times"]["ordered"], point["times"]["fastest"]) for point in points]
    (quoted,) = re.findall(r"takes ([\d.]+) to ([\d.]+) times as long as MPI's own", page)
    assert_numbers(quoted, [min(ratios), max(ratios)])
    sentence = r"hide ([\d.]+) % .* ([\d.]+) % on sixteen; at 100 Gbit/s ([\d.]+) and ([\d.]+) %"
    hidden = re.search(sentence, page, flags=re.DOTALL)
    assert_numbers(hidden.groups(), [100 * one["fraction"] for one in model["hidden"]])
