"""The benchmarks of data-parallel training: they run, and the cost model finds the costs that it is given."""

import json

import pytest

import bench_cases

from benchmarks import distributed_model, distributed_steps  # isort: skip
from benchmarks.distributed import cost, simulation, turn  # isort: skip
from benchmarks.distributed.models import Size, make_model  # isort: skip
from benchmarks.distributed.networks import NETWORKS, Network  # isort: skip

LATENCY, PER_BYTE = 5e-6, 2e-10
FITS = dict.fromkeys(cost.REDUCTIONS, cost.Fit(LATENCY, PER_BYTE, 0.0))
SIZE = [8, 4, 20, 0, 16, 1]  # T, N, V, E, H, layers
#: Steps of a millisecond and another one for each row, with a million parameters.
MODEL = simulation.Measured(10**6, 16, {rows: 1e-3 * (1 + rows) for rows in (1, 2, 8, 16, 64)}, {})


def time_us(seconds):
    return {"median_us": 1e6 * seconds, "samples_us": [1e6 * seconds]}


def reductions():
    """Points that cost exactly so much."""
    return [
        {
            "ranks": ranks,
            "parameters": parameters,
            "times": {
                name: time_us(cost.seconds(name, ranks, parameters, LATENCY, PER_BYTE))
                for name in cost.REDUCTIONS
            },
        }
        for ranks in (2, 4)
        for parameters in (1_000, 100_000, 10_000_000)
    ]


def steps():
    """What `distributed_steps` writes of the model, if the costs are exactly those."""
    seconds = {"1 x 1": 17e-3, "1 x 2": 9e-3}
    for reduction, contender in distributed_model.CONTENDERS.items():
        seconds[contender] = simulation.step_seconds(MODEL, 8, 2, reduction, FITS[reduction])
    seconds |= {f"{rows} rows": time for rows, time in MODEL.steps.items()}
    contenders = {key: {"step": time_us(value)} for key, value in seconds.items()}
    return [{"model": "words", "N": 16, "V": 500, "H": 999, "parameters": 10**6, "contenders": contenders}]


@pytest.mark.parametrize("reduction", cost.REDUCTIONS)
def test_a_fit_finds_the_costs_of_a_message_and_of_a_byte(reduction):
    fit = cost.fit_costs(reductions(), reduction)
    assert fit.latency == pytest.approx(LATENCY)
    assert fit.per_byte == pytest.approx(PER_BYTE)
    assert fit.error < 1e-6


def test_a_fit_has_no_negative_cost():
    falling = [
        {"ranks": 2, "parameters": parameters, "times": {"ordered": time_us(seconds)}}
        for parameters, seconds in ((1_000, 1e-3), (100_000, 1e-4))
    ]
    assert min(cost.fit_costs(falling, "ordered")) >= 0.0


def test_one_rank_sends_nothing():
    assert all(cost.bytes_sent(name, 1, 1000) == cost.messages_sent(name, 1) == 0 for name in cost.REDUCTIONS)


def test_a_faster_network_is_never_slower():
    slow, fast = Network(50e-6, 1e9, ""), Network(1e-6, 1e10, "")
    for strong in (True, False):
        values = [
            simulation.efficiencies(MODEL, 1024, "ordered", FITS["ordered"], network, strong=strong)
            for network in (slow, fast)
        ]
        assert all(one <= two for one, two in zip(*values, strict=True))
        assert values[0][0] == pytest.approx(1.0)


def test_without_communication_ranks_lose_only_what_few_rows_lose():
    free, network = cost.Fit(0.0, 0.0, 0.0), Network(0.0, float("inf"), "")
    weak = simulation.efficiencies(MODEL, 16, "ordered", free, network, strong=False)
    assert weak == pytest.approx([1.0] * len(weak))
    strong = simulation.efficiencies(MODEL, 1024, "ordered", free, network, strong=True)
    assert strong[:5] == pytest.approx([1.0] * 5)  # up to 64 rows a rank, the most that were measured
    alone = 1024 * (1 + 64) / 64
    assert strong[-1] == pytest.approx(alone / (1024 * (1 + 1)))


def test_the_fastest_number_of_ranks_divides_the_batch_and_falls_with_the_latency():
    found = [
        simulation.fastest(MODEL, "ordered", FITS["ordered"], Network(latency, 1e12, ""))
        for latency in (0.0, 3e-4, 1.0)
    ]
    assert [ranks for ranks, _ in found] == [16, 8, 1]
    assert found[0][1] > found[1][1] > found[2][1] == pytest.approx(1.0)


def test_the_model_says_what_was_measured_where_its_costs_are_exact(tmp_path, capsys):
    fit = {name: one._asdict() for name, one in FITS.items()}
    (tmp_path / "reductions.json").write_text(json.dumps({"fit": fit}))
    (tmp_path / "steps.json").write_text(json.dumps({"machine": {}, "points": steps()}))
    paths = [f"--{name}={tmp_path / name}.json" for name in ("reductions", "steps", "out")]
    pytest.importorskip("matplotlib")
    assert distributed_model.main([*paths, f"--picture={tmp_path / 'model.png'}"]) == 0
    result = json.loads((tmp_path / "out.json").read_text())
    assert len(result["checks"]) == 4
    assert all(abs(check["error"]) < 1e-9 for check in result["checks"])
    hidden = result["hidden"][0]
    assert (hidden["ranks"], hidden["network"]) == (2, "25 Gbit Ethernet, RDMA")
    network = NETWORKS[hidden["network"]]
    step = simulation.step_seconds(MODEL, 16, 2, "ordered", FITS["ordered"], network)
    assert hidden["fraction"] == pytest.approx(500 * 1000 * 4 / network.bandwidth / step)
    assert set(result["simulated"]["words"]["weak"]) == set(NETWORKS)
    assert (tmp_path / "model.png").stat().st_size > 10_000
    printed = capsys.readouterr().out
    assert "| words | 17.00 / 17.00 (+0 %) | 9.82 / 9.82 (+0 %) |" in printed
    assert "| ordered | 5.0 | 0.20 | 0 % |" in printed


def test_a_turn_of_one_process_reports_its_step():
    job = {"threads": 1, "options": {}, "size": SIZE, "seconds": 0.01}
    answer = turn.take_turn(1, job)
    assert answer["step"] > 0
    assert answer["steps"] >= 4
    assert answer["bytes_sent"] == answer["communication"] == answer["waiting"] == 0


def test_a_turn_that_fails_says_why():
    job = {"threads": 1, "options": {"reduction": "quickest"}, "size": SIZE, "seconds": 0.01}
    with pytest.raises(RuntimeError, match=r"(?s)1 ranks: exit code 1: .*reduction: expected"):
        turn.take_turn(1, job)


def test_the_table_of_steps_has_ratios_and_the_share_of_communication():
    found = {"step": time_us(8e-3), "communication": time_us(1e-3), "waiting": time_us(2e-3)}
    contenders = dict.fromkeys(distributed_steps.CONTENDERS, found | {"bytes_sent": 4000})
    contenders["1 x 1"] = {"step": time_us(12e-3)}
    point = {"model": "words", "parameters": 1000, "contenders": contenders}
    assert list(distributed_steps.row(point)) == [
        *("words", "1,000", "12.0"),
        *["8.00 (1.50x)"] * 4,
        *("12 %", "25 %", "4,000"),
    ]


def test_two_ranks_report_what_they_send_and_how_long_they_wait(mpiexec):
    job = {"threads": 1, "options": {}, "size": SIZE, "seconds": 0.01}
    done = mpiexec(2, ["-m", "benchmarks.distributed.step_worker", json.dumps(job)], cwd=bench_cases.ROOT)
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    assert answer["bytes_sent"] == pytest.approx(4 * make_model(Size(*SIZE)).num_parameters, abs=4)
    assert 0 < answer["communication"] <= answer["waiting"] <= answer["step"]


def test_every_way_to_add_up_is_verified_and_fitted(mpiexec, tmp_path):
    out = tmp_path / "reduction.json"
    command = [
        "-m",
        "benchmarks.distributed_reduction",
        "--models",
        "--rounds",
        "2",
        "--bytes",
        "4096",
        "8200",
    ]
    done = mpiexec(2, [*command, "--out", out], cwd=bench_cases.ROOT)
    assert done.returncode == 0, done.stderr
    result = json.loads(out.read_text())
    assert [point["parameters"] for point in result["points"]] == [1024, 2050]
    assert result["points"][0]["bytes_sent"] == {"ordered": 4096, "fastest": 4096, "bfloat16": 2048}
    assert set(result["fit"]) == set(cost.REDUCTIONS)
    assert "| 2,050 |" in done.stdout
