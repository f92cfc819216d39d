"""`fastrnn bench`: every answer is verified, every missing peer named; its timing and its output."""

import json

import numpy as np
import pytest
from click.testing import CliRunner

import fastrnn.cli.bench as bench_command
from bench_cases import WRONG_WORKER, add_search_path, hide_jax
from fastrnn.cli import main
from fastrnn.cli.benchmark.cases import CELLS, MODES, Case, Shape, make_problem
from fastrnn.cli.benchmark.machine import choose_cpus, usable_cpus
from fastrnn.cli.benchmark.peers import PEERS, native
from fastrnn.cli.benchmark.points import Point
from fastrnn.cli.benchmark.process import run_in_process
from fastrnn.cli.benchmark.task import Task
from fastrnn.cli.benchmark.timing import Clock, measure
from fastrnn.cli.benchmark.verify import Disagreement, expected_answer, verify

TINY = Shape(T=3, N=2, D=4, H=5, layers=2)
TIME_KEYS = {"median_us", "low_us", "high_us", "samples_us", "difference"}


@pytest.fixture
def search_path(tmp_path, monkeypatch):
    return add_search_path(tmp_path, monkeypatch)


def bench(*arguments):
    return CliRunner().invoke(main, ["bench", "--shape", "3,2,4,5", "--seconds", "0", *arguments])


def test_every_peer_gives_the_answer_of_the_reference(search_path):
    # In a separate process: some peers start threads, and this process may have to fork.
    result = bench("--shape", "3,2,4,5,2", *(f"--peer={name}" for name in PEERS), "--json")
    assert result.exit_code == 0, result.stderr
    found = json.loads(result.stdout)
    assert set(found["peers"]) | set(found["missing"]) == set(PEERS)
    assert len(found["points"]) == 2 * len(CELLS) * len(MODES)
    for point in found["points"]:
        assert set(point["peers"]) | set(point["unsupported"]) == set(found["peers"])
        # Forward only; not on every CPU.
        assert set(point["unsupported"]) <= {"onnxruntime", "fastrnn-int8", "pytorch-bf16"}
        for name, time in point["peers"].items():
            assert 0.0 < time["difference"] <= PEERS[name].tolerance


@pytest.mark.parametrize(("mode", "arrays"), [("forward", 2), ("training", 2 + 1 + 8)])
def test_what_is_compared_is_everything(mode, arrays):
    problem = make_problem(Case("gru", mode, TINY))
    assert len(expected_answer(problem)) == arrays  # y, h; dx; four weights of each of two layers


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("mode", MODES)
def test_fastrnn_gives_the_answer_of_the_reference(cell, mode):
    problem = make_problem(Case(cell, mode, TINY))
    task = native.prepare(problem)
    for _ in range(2):  # gradients do not accumulate between runs
        difference = verify("fastrnn", task.answer(task.run()), expected_answer(problem), 1e-5)
    assert difference > 0.0  # float32 is not float64: the comparison reads the right arrays


@pytest.mark.parametrize(
    ("got", "message"),
    [
        ({"y": np.array([[1.0, 4.5]])}, r"y differs from the reference by 0.5 at \[0, 1\]: 4.5 instead of 4"),
        ({"y": np.array([[1.0, np.nan]])}, r"y differs from the reference by nan at \[0, 1\]"),
        ({"y": np.array([1.0, 4.0])}, r"y: expected shape \[1, 2\], got \[2\]"),
        ({"h": np.array([[1.0, 4.0]])}, r"expected \['y'\], got \['h'\]"),
    ],
)
def test_a_wrong_answer_is_described(got, message):
    with pytest.raises(Disagreement, match=message):
        verify("peer", got, {"y": np.array([[1.0, 4.0]])}, 0.1)


def test_a_peer_that_disagrees_is_not_timed():
    runs = []
    point = Point("grid", {"cell": "lstm"}, 1, {"y": np.zeros(2)})
    point.add("right", Task(lambda: runs.append("right"), lambda _: {"y": np.zeros(2)}))
    point.add("wrong", Task(lambda: runs.append("wrong"), lambda _: {"y": np.array([0.0, 1.0])}))
    with pytest.raises(Disagreement, match="grid lstm: wrong: y differs from the reference by 1 "):
        point.measured(Clock(rounds=1))
    assert runs == ["right", "wrong"]


def test_a_peer_that_disagrees_ends_the_command(search_path, monkeypatch):
    (search_path / "wrong_worker.py").write_text(WRONG_WORKER + "sys.exit(serve(worker.work))\n")
    monkeypatch.setattr(bench_command, "run_in_process", lambda _, job: run_in_process("wrong_worker", job))
    result = bench("--cell", "gru", "--peer", "numpy", "--json")
    assert result.exit_code == 1
    assert "grid gru forward 3 2 4 5 1: fastrnn: y differs from the reference by 0.25" in result.stderr
    assert result.stdout == ""


def test_the_command_names_a_missing_peer(search_path):
    hide_jax(search_path)
    result = bench("--cell", "rnn", "--mode", "forward", "--peer", "numpy", "--peer", "jax")
    assert result.exit_code == 0, result.stderr
    assert "not measured: JAX: no JAX here (pip install jax)" in result.stdout
    assert "geometric mean" in result.stdout


def test_the_command_prints_one_json_object(search_path):
    result = bench("--cell", "lstm", "--peer", "numpy", "--json")
    assert result.exit_code == 0, result.stderr
    found = json.loads(result.stdout)
    assert set(found) == {"machine", "peers", "missing", "threads", "points"}
    assert {"cpu", "cpus", "caches", "python", "fastrnn", "isa", "numpy", "load_average"} <= set(
        found["machine"]
    )
    assert [point["case"]["mode"] for point in found["points"]] == list(MODES)
    for point in found["points"]:
        assert set(point) >= {"kind", "case", "threads", "peers", "limits", "unsupported"}
        assert set(point["peers"]) == {"fastrnn", "numpy"}
        for time in point["peers"].values():
            assert set(time) == TIME_KEYS
            assert time["low_us"] <= time["median_us"] <= time["high_us"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--shape", "3,2,4"], "expected T,N,D,H[,layers], integers of at least 1, got '3,2,4'"),
        (["--shape", "3,0,4,5"], "got '3,0,4,5'"),
        (["--threads", "1025"], "the CPUs this process may use, got 1025"),
        (["--cell", "qrnn"], "'qrnn' is not one of"),
    ],
)
def test_the_command_refuses_bad_options(arguments, message):
    result = bench(*arguments)
    assert result.exit_code == 2
    assert message in result.stderr


def test_tasks_take_turns():
    turns = []
    tasks = {
        name: Task(lambda: None, lambda _: {}, before=lambda name=name: turns.append(name)) for name in "ab"
    }
    samples = measure(tasks, Clock(rounds=3))
    assert turns == [*"ab", *"abab", *"ab"]  # the first look, then three rounds
    assert [len(values) for values in samples.values()] == [3, 3]


def test_a_peer_that_has_used_up_its_time_takes_five_turns():
    samples = measure({"a": Task(lambda: None, lambda _: {})}, Clock(rounds=9, seconds=0.0))
    assert len(samples["a"]) == 5


def test_more_cpus_than_available_are_refused():
    assert choose_cpus(len(usable_cpus())) == usable_cpus()
    for count in (0, len(usable_cpus()) + 1):
        with pytest.raises(
            ValueError, match=rf"threads: expected 1 \.\. {len(usable_cpus())}, .* got {count}"
        ):
            choose_cpus(count)
