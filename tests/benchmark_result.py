"""A result of the benchmark suite, small enough to check by hand."""

from typing import Any


def times(*microseconds: float, difference: float | None = 1e-7) -> dict[str, Any]:
    low, *_, high = sorted([*microseconds, *microseconds])
    result = {"median_us": sorted(microseconds)[len(microseconds) // 2], "low_us": low, "high_us": high}
    result["samples_us"] = list(microseconds)
    return result if difference is None else {**result, "difference": difference}


def limit(*microseconds: float) -> dict[str, Any]:
    return times(*microseconds, difference=None)


def point(kind: str, case: dict[str, Any], peers: dict[str, Any], threads: int = 1, **facts: Any) -> dict:
    limits = facts.pop("limits", {})
    base = {"kind": kind, "case": case, "threads": threads, "peers": peers, "limits": limits}
    return {**base, "unsupported": {}, **facts}


def grid_case(cell: str, mode: str, *shape: int) -> dict[str, Any]:
    return {"cell": cell, "mode": mode, **dict(zip(("T", "N", "D", "H", "layers"), shape, strict=True))}


def example() -> dict[str, Any]:
    """PyTorch takes 4 times as long as fastrnn, JAX 2 times, the machine alone 0.9 times."""
    wide = grid_case("lstm", "forward", 10, 32, 512, 512, 1)
    peers = {"fastrnn": times(90, 100, 110), "pytorch": times(360, 400, 440), "jax": times(180, 200, 220)}
    first = point(
        "grid",
        wide,
        peers,
        flops=1000,
        amounts={"fma": 1000.0},
        limits={"fma": limit(81, 90, 99)},
    )
    # W_hh read ten times at the rate of the limit: 1000 of 1250 us. D is 0: there is no input product.
    alone = grid_case("lstm", "forward", 10, 1, 0, 512, 1)
    second = point(
        "grid",
        alone,
        {"fastrnn": times(1250), "pytorch": times(1000)},
        flops=2 * 4 * 512 * 512 * 10,
        amounts={"fma": 1.0, "read": 4 * 4 * 512 * 512},
        limits={"fma": limit(1), "read": limit(100)},
    )
    two = point(
        "grid",
        wide,
        {"fastrnn": times(55), "jax": times(200)},
        threads=2,
        flops=1000,
        amounts={"fma": 2000.0, "fma-1-thread": 1000.0},
        limits={"fma": limit(125), "fma-1-thread": limit(100), "fastrnn-1-thread": limit(88)},
    )
    ragged = point(
        "ragged",
        wide,
        {"fastrnn": times(60), "pytorch": times(120)},
        real_share=0.5,
        flops=1,
        limits={"fastrnn-padded": limit(100)},
    )
    step = point(
        "step",
        grid_case("lstm", "forward", 1, 1, 64, 128, 1),
        {
            "fastrnn": times(4),
            "pytorch": times(100),
            "pytorch-cell": times(80),
            "onnxruntime": times(12),
        },
        limits={"smallest": limit(0.5)},
    )
    levels = {"L1": {"bytes": 24576, "bytes_per_second": 1e11}}
    return {
        "format": "fastrnn-benchmark 1",
        "started": "2026-01-01T00:00:00+0000",
        "command": "python -m benchmarks.compare.run",
        "commit": "0123456789ab",
        "rounds": 3,
        "seconds": 1.0,
        "machine": {
            "cpu": "A CPU",
            "caches": {"L1": 32768, "L2": 1 << 20, "L3": 1 << 25},
            "load_average": 0.0,
        },
        "peers": ["fastrnn", "pytorch", "jax"],
        "missing": {"onnxruntime": "No module named 'onnx' (pip install onnxruntime onnx)"},
        "limits": {
            "1": {"source": "C loop", "levels": levels},
            "2": {"source": "C loop", "levels": levels},
        },
        "points": [first, second, two, ragged, step],
    }
