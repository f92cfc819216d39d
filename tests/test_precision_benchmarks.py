"""The benchmarks of precisions: answers are verified, ratios and goals are those of the points."""

import json
import time
from dataclasses import replace
from functools import partial

import numpy as np
import pytest

import fastrnn
from bench_cases import add_search_path
from benchmark_result import times
from fastrnn.cli.benchmark.cases import Case, Shape
from fastrnn.cli.benchmark.points import Point
from fastrnn.cli.benchmark.task import Task
from fastrnn.cli.benchmark.verify import Disagreement

from benchmarks import precision_quality, precision_speed, precision_steps  # isort: skip - bench_cases finds it
from benchmarks.precision import goals, points, ratios, shapes, steps, tables  # isort: skip
from benchmarks.precision.peers import TOLERANCES  # isort: skip

MACHINE = {"caches": {"L2": 1 << 20}, "isa": "avx512_bf16"}


def point(N=16, H=256, mode="forward", T=1, **peers):
    """Return a point whose multiply-adds take 10 us, half of it in bfloat16, a quarter in int8."""
    case = Case("rnn", mode, Shape(T, N, H, H))
    found = {
        "kind": "layer",
        "case": case.described(),
        "threads": 1,
        "flops": case.flops,
        "amounts": {},
        "peers": {name.replace("_", "-"): times(*samples) for name, samples in peers.items()},
        "limits": {},
        "unsupported": {},
    }
    for precision, part in (("float32", 1), ("bfloat16", 2), ("int8", 4)):
        found["amounts"] |= {f"fma-{precision}": case.flops, f"read-{precision}": 4 * H * H // part}
        found["limits"] |= {f"fma-{precision}": times(10 / part), f"read-{precision}": times(6 / part)}
    return found


def test_a_gain_is_the_median_of_the_ratios_within_a_round():
    one = point(fastrnn_float32=(2, 20, 150), fastrnn_bfloat16=(1, 10, 100))
    assert ratios.gain(one, "bfloat16") == 2.0  # of 2, 2 and 1.5
    assert ratios.gain(one, "int8") is None


def test_the_best_peer_is_of_the_same_precision():
    one = point(
        fastrnn_float32=(8,),
        fastrnn_bfloat16=(4,),
        pytorch_float32=(10,),
        pytorch_bfloat16=(9,),
        pytorch_bfloat16_autocast=(6,),
        pytorch_int8_onednn=(1,),
    )
    assert ratios.best_peer(one, "bfloat16") == (1.5, "pytorch-bfloat16-autocast")
    assert ratios.best_peer(one, "float32") == (1.25, "pytorch-float32")
    assert ratios.best_peer(one, "int8") is None  # fastrnn was not measured
    assert tables.title("pytorch-bfloat16-autocast") == "PyTorch autocast"


def test_the_share_of_a_batch_is_of_its_precisions_multiply_adds():
    one = point(fastrnn_float32=(12.5,), fastrnn_bfloat16=(10,), fastrnn_int8=(5,))
    assert ratios.share(one, "float32") == pytest.approx(0.8)
    assert ratios.share(one, "bfloat16") == pytest.approx(0.5)
    assert ratios.share(one, "int8") == pytest.approx(0.5)
    del one["limits"]["fma-bfloat16"]  # a CPU without the instruction
    assert ratios.share(one, "bfloat16") is None


def test_one_sequence_reads_its_recurrent_weights_at_each_step():
    one = point(N=1, fastrnn_int8=(8,))
    assert ratios.share(one, "int8") == pytest.approx(
        (1.5 + 1.25) / 8
    )  # the input product is half of the work
    assert ratios.share(point(N=1, mode="training", fastrnn_int8=(8,)), "int8") == pytest.approx(2.5 / 8)


def test_goals_are_judged_where_they_are_set():
    peers = {"fastrnn_float32": (10,), "fastrnn_bfloat16": (6,), "fastrnn_int8": (2.5,), "pytorch_int8": (3,)}
    small, wide = point(N=1, T=2, **{**peers, "fastrnn_int8": (9,)}), point(**peers)
    alone = point(N=1, H=1024, T=2, **peers)  # 8 MiB of float32 weights
    found = {goal.what: goal for goal in goals.goals([small, wide, alone], MACHINE, "forward")}
    assert found["bfloat16, over own float32, N >= 16, H >= 256"].reached is False  # 1.67
    assert found["int8, over own float32, N >= 16, H >= 256"].reached is True
    assert found["int8, over own float32, N = 1, weights beyond L2"].measured.startswith("4.00x (rnn forward")
    assert found["int8, over the best peer, every point"].measured.startswith("0.33x")
    assert found["bfloat16, over the best peer, every point"].reached is None
    assert found["int8, share of the limit, wide or one row"].reached is True  # all of it
    training = {goal.what for goal in goals.goals([point(mode="training", **peers)], MACHINE, "training")}
    assert not any(what.startswith("int8") for what in training)


def test_where_numbers_are_widened_they_must_not_cost_more_than_float32():
    peers = {"fastrnn_float32": (10,), "fastrnn_bfloat16": (11,), "fastrnn_int8": (10,), "pytorch_int8": (3,)}
    found = list(goals.goals([point(**peers)], {**MACHINE, "isa": "avx2"}, "forward"))
    assert [(goal.what, goal.goal, goal.reached) for goal in found] == [
        ("float32, over the best peer, every point", ">= 1.0x", None),
        ("bfloat16, over own float32, every point", ">= 0.91x", False),
        ("int8, over own float32, every point", ">= 0.91x", True),
    ]


def test_the_document_marks_what_misses_its_goal():
    one = point(fastrnn_float32=(10,), fastrnn_bfloat16=(6.25,), fastrnn_int8=(4,), pytorch_int8_fbgemm=(5,))
    document = tables.document({"points": [one], "machine": MACHINE})
    float32, bfloat16, int8 = (
        "10 | - | 100%",
        "6 | 1.60x ! | - | 80%",
        "4 | 2.50x | 1.25x ! PyTorch fbgemm | 62% !",
    )
    assert f"| rnn | 1, 16, 256, 256, 1 | {float32} | {bfloat16} | {int8} |" in document
    assert "| all | geometric mean |  | - |  |  | 1.60x | - |  |  | 2.50x | 1.25x |  |" in document


def made(**answers):
    """Return a point of tasks with these answers, of which 1 is right."""
    one = Point("layer", {"cell": "lstm"}, 1, {"y": np.ones(1)})
    for name, y in answers.items():
        one.add(name, Task(run=lambda: None, answer=lambda _, y=y: {"y": np.array([y])}), 0.1)
    return one


def test_a_wrong_peer_is_left_out(capsys):
    measured = points.measured(made(**{"fastrnn-float32": 1.0, "pytorch-float32": 2.0}), 7)
    assert [len(times["samples_us"]) for times in measured["peers"].values()] == [7]
    assert "y differs from the reference" in measured["unsupported"]["pytorch-float32"]
    assert "LEFT OUT: lstm: pytorch-float32" in capsys.readouterr().err


def test_a_wrong_fastrnn_ends_the_run():
    with pytest.raises(Disagreement, match="fastrnn-bfloat16: y differs"):
        points.measured(made(**{"fastrnn-bfloat16": 2.0, "pytorch-float32": 1.0}), 2)


def test_a_peer_far_from_the_best_of_its_precision_stops_after_five_rounds():
    one = made(**{"fastrnn-int8": 1.0, "pytorch-int8-fbgemm": 1.0, "onnxruntime-int8": 1.0})
    pause = partial(time.sleep, 0.02)
    one.tasks["pytorch-int8-fbgemm"] = replace(one.tasks["pytorch-int8-fbgemm"], run=pause)
    one.tasks["fastrnn-int8"] = replace(one.tasks["fastrnn-int8"], run=pause)
    measured = points.measured(one, 7)
    assert {name: len(times["samples_us"]) for name, times in measured["peers"].items()} == {
        "fastrnn-int8": 7,
        "pytorch-int8-fbgemm": 5,
        "onnxruntime-int8": 7,
    }


def test_the_speed_of_layers_is_verified_and_measured(tmp_path, capsys, monkeypatch):
    add_search_path(tmp_path, monkeypatch)
    out = tmp_path / "speed.json"
    options = "--shapes 3,2,4,5 3,1,4,5 --cells gru --libraries fastrnn --threads 1 --rounds 2 --out"
    assert precision_speed.main([*options.split(), str(out)]) == 0
    found = json.loads(out.read_text())["points"]
    assert [(one["case"]["mode"], len(one["peers"])) for one in found] == [
        ("forward", 3),
        ("training", 2),
    ] * 2
    for one in found:
        for name, measured in one["peers"].items():
            assert measured["difference"] < TOLERANCES[name.split("-")[1]]
            assert len(measured["samples_us"]) == 2
    assert "int8 is for inference" in found[1]["unsupported"]["fastrnn-int8"]
    assert "read-int8" in found[2]["limits"]
    assert "| gru | 3, 2, 4, 5, 1 |" in capsys.readouterr().out


def test_whole_training_steps_are_verified_and_measured(tmp_path, capsys, monkeypatch):
    add_search_path(tmp_path, monkeypatch)
    monkeypatch.setattr(precision_steps, "SIZES", {"words": steps.Size(3, 2, 5, 4, 6, 2)})
    out = tmp_path / "steps.json"
    options = "--models words --libraries fastrnn --threads 1 --rounds 2 --out"
    assert precision_steps.main([*options.split(), str(out)]) == 0
    (found,) = json.loads(out.read_text())["points"]
    assert found["case"] == {"model": "words", "T": 3, "N": 2, "V": 5, "E": 4, "H": 6, "layers": 2}
    assert list(found["peers"]) == ["fastrnn-float32", "fastrnn-bfloat16"]
    assert "| words | 3, 2, 5, 4, 6, 2 | 1 |" in capsys.readouterr().out


def test_a_step_is_judged_by_the_best_precision_of_both_libraries():
    one = point(
        fastrnn_float32=(4,), fastrnn_bfloat16=(2,), pytorch_float32=(9,), pytorch_bfloat16_autocast=(3,)
    )
    assert precision_steps.vs_best(one) == 1.5
    assert precision_steps.vs_best(point(fastrnn_float32=(4,))) is None


def folder_of_words(folder):
    """Write two texts in the form of WikiText-2."""
    rng = np.random.default_rng(0)
    for part in ("train", "valid"):
        lines = (" ".join(rng.choice(["the", "song", "was", "there", "."], 8)) for _ in range(200))
        (folder / f"wiki.{part}.tokens").write_text("\n".join(lines) + "\n")
    return folder


@pytest.mark.filterwarnings("default")
def test_trainings_in_both_precisions_are_compared(tmp_path, capsys):
    pytest.importorskip("matplotlib")
    text, out, picture = (tmp_path / name for name in ("text.txt", "quality.json", "curves.png"))
    text.write_text("the rain in Spain stays mainly in the plain\n" * 100)
    options = f"--characters {text} --words {folder_of_words(tmp_path)} --character-steps 4 --word-steps 3"
    before = fastrnn.get_num_threads()
    precision_quality.main([*options.split(), "--out", str(out), "--picture", str(picture)])
    fastrnn.set_num_threads(before)
    found = json.loads(out.read_text())["trainings"]
    for name, steps_taken in (("characters", [1, 2, 3, 4]), ("words", [1, 2, 3])):
        for curve in found[name]["curves"].values():
            assert [row["step"] for row in curve] == steps_taken
        assert sorted(found[name]["inference"]) == ["bfloat16, quantized", "float32", "int8, quantized"]
        exact, narrow = (found[name]["curves"][p][-1]["loss"] for p in ("float32", "bfloat16"))
        assert 0 < abs(narrow / exact - 1) < 0.01
    assert len(found["words"]["pairs"]["int8, quantized"]["log p"]) == 20
    assert "words: loss " in capsys.readouterr().out
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_a_goal_of_quality_that_is_missed_is_told():
    curves = {p: [{"loss": loss, "seconds": 1.0}] for p, loss in (("float32", 2.0), ("bfloat16", 2.01))}
    inference = {"float32": {"perplexity": 10.0}, "int8, quantized": {"perplexity": 10.04}}
    pairs = {"int8, quantized": {"right": 19, "of": 20, "other than float32": ["a"]}}
    result = {"curves": curves, "inference": inference, "pairs": pairs}
    lines = list(precision_quality.verdict("words", result))
    assert [reached for _, reached in lines] == [False, True, False]
    assert lines[0][0] == "words: loss 2.0000 float32, 2.0100 bfloat16: +0.50%; 1.00x as fast"


def test_the_standard_cases_are_distinct_and_the_quick_ones_few():
    standard = shapes.cases(shapes.STANDARD)
    assert len(set(standard)) == len(standard)
    wanted = {(H, N) for H in (256, 512, 1024) for N in (1, 16, 64)}
    for cell in ("lstm", "gru", "rnn"):
        assert wanted <= {(case.shape.H, case.shape.N) for case in standard if case.cell == cell}
    assert len(shapes.cases(shapes.QUICK)) < 10
