"""The benchmark suite: benchmarks besides the grid are verified, and its tables show what was measured."""

import copy
import importlib
import json
import shutil

import pytest

import fastrnn
from bench_cases import WRONG_WORKER, add_search_path, hide_jax
from benchmark_result import example, times
from fastrnn.cli.benchmark.cases import Case, Shape
from fastrnn.cli.benchmark.process import run_in_process
from fastrnn.cli.benchmark.timing import Clock

from benchmarks.compare import goals, limits, plots, results, run, tables  # isort: skip - bench_cases finds it
from benchmarks.compare.job import KINDS, Job  # isort: skip

CLOCK = Clock(rounds=2, seconds=0.0)


@pytest.fixture
def search_path(tmp_path, monkeypatch):
    return add_search_path(tmp_path, monkeypatch)


def test_a_peer_that_disagrees_ends_the_suite(search_path, monkeypatch, capsys):
    serve = "from benchmarks.compare import worker as suite\nsys.exit(serve(suite.work))\n"
    (search_path / "wrong_worker.py").write_text(WRONG_WORKER + serve)
    monkeypatch.setattr(run, "run_in_process", lambda _, job: run_in_process("wrong_worker", job))
    out = search_path / "result.json"
    options = "--kinds grid --shapes 3,2,4,5 --cells lstm --peers numpy --threads 1 --rounds 1 --out"
    assert run.main([*options.split(), str(out)]) == 1
    assert "STOPPED: grid lstm forward 3 2 4 5 1: fastrnn: y differs" in capsys.readouterr().err
    assert not out.exists()


def test_the_suite_names_a_missing_peer(search_path, capsys):
    hide_jax(search_path)
    out = search_path / "result.json"
    options = "--kinds grid step --shapes 3,1,4,5 --cells rnn --peers numpy jax --threads 1 --rounds 2 --out"
    assert run.main([*options.split(), str(out)]) == 0
    assert "NOT MEASURED: JAX: no JAX here (pip install jax)" in capsys.readouterr().out
    result = results.load(out)
    assert result["missing"] == {"jax": "no JAX here (pip install jax)"}
    assert [p["kind"] for p in result["points"]] == ["grid", "grid", "step"]
    assert set(result["points"][0]["limits"]) == {"fma", "read"}
    document = tables.document(result)
    assert "**not measured: JAX**: no JAX here (pip install jax)" in document
    assert "| rnn forward 3,1,4,5,1 |" in document


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda r: r.update(format="another"), "format: expected 'fastrnn-benchmark 1', got 'another'"),
        (lambda r: r.pop("machine"), r"lacks \['machine'\]"),
        (lambda r: r["points"][1].pop("limits"), r"point 1 lacks \['limits'\]"),
        (lambda r: r["points"][0]["peers"]["jax"].pop("low_us"), r"point 0, jax lacks \['low_us'\]"),
        (
            lambda r: r["points"][0]["peers"]["jax"].pop("difference"),
            "point 0, jax: timed without having been verified",
        ),
    ],
)
def test_a_result_of_another_form_is_refused(spoil, message, tmp_path):
    result = example()
    spoil(result)
    path = tmp_path / "result.json"
    path.write_text(json.dumps(result))
    with pytest.raises(ValueError, match=message):
        results.load(path)


def test_a_job_survives_json():
    job = Job(
        KINDS, (Case("gru", "training", Shape(3, 2, 4, 5, 2)),), ("gru",), ("fastrnn",), 2, Clock(3, 0.5)
    )
    assert Job.from_json(json.loads(json.dumps(job.to_json()))) == job


def rows(result, threads=1):
    return {goal.what: goal for goal in goals.goals(result, threads)}


def test_ratios_are_taken_within_a_round():
    point = {"peers": {"fastrnn": times(1, 10, 100), "jax": times(2, 20, 150)}}
    assert results.vs(point, "jax") == 2.0  # of 2, 2 and 1.5


def test_shares_of_the_limits():
    wide, alone, two, ragged, _ = example()["points"]
    assert results.fma_share(wide) == pytest.approx(0.9)
    assert results.read_share(alone) == pytest.approx(0.8)
    own, machine = results.speed_up(two)
    assert (own, machine) == pytest.approx((1.6, 1.6))
    assert results.ragged_cost(ragged) == pytest.approx(1.2)


def test_goals_are_judged():
    found = rows(example())
    best = found["forward, lstm, vs the best peer at each point"]
    assert best.measured == "G 1.26x, least 0.80x (lstm forward 10,1,0,512,1)"  # sqrt(2 * 0.8)
    assert best.reached is False
    assert found["forward, all cells, vs PyTorch"].reached is False  # sqrt(4 * 0.8) = 1.79
    assert found["forward, share of the FMA limit, N >= 32, H >= 512"].measured.startswith("90%")
    assert found["forward, share of the FMA limit, N >= 32, H >= 512"].reached is False
    assert found["N = 1, weights in L2 or L3, share of the read limit"].reached is False
    assert found["ragged batch, cost over the real steps' share"].reached is False
    assert found["one LSTM step from Python, above the kernel's own time"].reached is True
    assert found["one LSTM step from Python, vs ONNX Runtime"].reached is False  # 3x
    assert found["one LSTM step from Python, vs PyTorch's better form"].reached is True  # 20x, not 25x
    assert found["training, gru, vs the best peer at each point"].reached is None
    assert found["two threads over one, N*H >= 8000, two cores' limit as 2x"].reached is None
    two = rows(example(), threads=2)["two threads over one, N*H >= 8000, two cores' limit as 2x"]
    assert two.measured.startswith("2.00x")
    assert two.reached is True


def test_a_slower_fastrnn_does_not_reach_what_it_did():
    result = example()
    slow = copy.deepcopy(result)
    slow["points"][4]["peers"]["fastrnn"] = times(8)
    name = "one LSTM step from Python, vs PyTorch's better form"
    assert rows(result)[name].reached is True
    assert rows(slow)[name].reached is False


def test_the_document_shows_every_point_and_who_was_missing():
    document = tables.document(example())
    assert "**not measured: ONNX Runtime**: No module named 'onnx'" in document
    wide = "| 100.0 ±10% | 400.0 ±10% (4.00x) | 200.0 ±10% (2.00x) | 2.00x | 90% |"
    assert f"| lstm forward 10,32,512,512,1 {wide}" in document
    assert "| lstm forward 10,1,0,512,1 | 1,250.0 ±0% | 1,000.0 ±0% (0.80x) | - | 0.80x |" in document
    assert "## Ragged batch, one thread" in document
    assert "## Ragged batch, 2 threads" not in document
    assert "the machine was busy" not in document
    busy = example()
    busy["machine"]["load_average"] = 4.0
    assert "**the machine was busy**: load average 4.0" in tables.document(busy)


@pytest.mark.filterwarnings("default")
def test_plots_are_drawn(tmp_path):
    pytest.importorskip("matplotlib")
    drawn = plots.draw(example(), tmp_path)
    assert [path.name for path in drawn] == [
        "roofline-1-thread.png",
        "ratios-1-thread.png",
        "roofline-2-threads.png",
        "ratios-2-threads.png",
    ]
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in drawn)


@pytest.mark.parametrize("compiler", [True, False])
def test_limits_are_measured_with_and_without_a_compiler(compiler, monkeypatch):
    if compiler and not shutil.which("cc"):
        pytest.skip("no C compiler")
    monkeypatch.setattr(shutil, "which", lambda _: "cc" if compiler else None)
    monkeypatch.setattr(limits, "SECONDS", 1e-4)
    measured = limits.Limits(2)
    assert measured.loops.source == ("C loop" if compiler else "NumPy products")
    for task, amount in (measured.multiply_add(), measured.multiply_add(threads=1), measured.read(100_000)):
        assert amount > 1000
        task.run()
    for precision in filter(measured.multiplies, ("bfloat16", "int8")):
        task, amount = measured.multiply_add(precision=precision)
        assert amount > 1000
        task.run()
    assert compiler or not measured.multiplies("int8")  # NumPy's products are float32


SMALL = {
    "step": {"SHAPE": Shape(1, 1, 3, 4)},
    "ragged": {"SHAPES": (Shape(10, 3, 2, 4),)},
    "denormal": {"SHAPE": Shape(4, 2, 3, 5)},
    "isa": {"WIDE_SHAPES": (Shape(3, 2, 4, 5),)},
}


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "grid"])
def test_special_questions_are_verified_and_measured(kind, monkeypatch, search_path):
    module = importlib.import_module(f"benchmarks.compare.special.{kind}")
    small = SMALL[kind] if kind in SMALL else {"SIZES": (module.Size(3, 2, 5, 4, 6, 2),)}
    for name, value in small.items():
        monkeypatch.setattr(module, name, value)
    monkeypatch.setattr(limits, "SECONDS", 1e-4)
    job = Job((kind,), (), ("rnn", "lstm"), ("fastrnn", "numpy"), 1, CLOCK)
    before = fastrnn.get_num_threads()
    found = [point.measured(CLOCK) for point in module.points(job, limits.Limits(1))]
    fastrnn.set_num_threads(before)
    if kind == "isa" and not {"avx2", "avx512"} <= set(fastrnn.available_isas()):
        assert found == []
        return
    assert found
    result = {**example(), "points": json.loads(json.dumps(found))}
    results.check(result)
    assert tables.SPECIAL[kind][0] in tables.document(result)


def test_the_grid_of_the_project_is_measured_by_default():
    options = run.parse([])
    assert len(options.shapes) >= 14
    assert len(set(options.shapes)) == len(options.shapes)
    assert set(options.kinds) == set(KINDS)
    assert Case("rnn", "forward", Shape(3, 2, 4, 5, 2)).flops == 2 * 5 * (4 + 5 + 5 + 5) * 3 * 2
