"""One reservoir in fastrnn and in reservoirpy, from equal matrices: its states, and a whole fit.

`benchmarks.reservoirs` starts this module in a process of its own for each reservoir and number of threads.
Results are compared first. Then both run in turn, A B A B. reservoirpy gets what is fastest for it:
compressed rows or a dense array, and for float32 also a state in float32; by itself it starts from one in
float64, and converts W in every step. On one thread, times are those of the CPU, which other programs disturb
less.
"""

from __future__ import annotations

import copy
import gc
import os
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from fastrnn.cli.benchmark.process import serve
from fastrnn.cli.benchmark.verify import Disagreement
from fastrnn.models import EchoStateNetwork
from fastrnn.models.reservoir.readouts import ReadoutSettings

WASHOUT, RIDGE, LEAK_RATE = 100, 1e-2, 0.3
TOLERANCE = {"float32": 1e-5, "float64": 1e-10}  # of states, relative to the largest
# Of predictions, relative to their standard deviation. Both solve for the readout in float64.
PREDICTION_TOLERANCE = {"float32": 1e-2, "float64": 1e-6}


def mackey_glass(steps: int) -> np.ndarray:
    """Return a Mackey-Glass series, tau = 17, [steps + 1, 1], in about -1 .. 1."""
    import reservoirpy.datasets

    series = reservoirpy.datasets.mackey_glass(steps + 1, tau=17, seed=0)
    return np.asarray(2 * (series - series.mean()))


class Ours:
    """fastrnn's network, and its weights."""

    def __init__(self, units: int, density: float, dtype: str, series: np.ndarray) -> None:
        self.model = EchoStateNetwork(
            hidden_size=units, density=density, leak_rate=LEAK_RATE, bias_scaling=0.2, washout=WASHOUT,
            input_to_readout=False, ridge=RIDGE, dtype=dtype, random_state=0,
        )  # fmt: skip
        self.x, self.y = series[:-1].astype(dtype), series[1:].astype(dtype)
        self.model.fit([self.x[: WASHOUT + 50]], [self.y[: WASHOUT + 50]])  # makes the network
        self.layer = self.model.network_.layers[0]

    def states(self) -> np.ndarray:
        """Return the states, [T, H]."""
        return np.asarray(self.layer(self.x[:, np.newaxis])[0][:, 0])

    def fit(self, states: np.ndarray) -> np.ndarray:
        """Fit the readout of the network that there is; return what it says of some states."""
        network = self.model.network_
        fresh = copy.copy(self.model)
        fresh._accumulator = ReadoutSettings.of(fresh).accumulator(network.width, 1)
        fresh._carried, fresh.history_ = None, {"loss": []}
        fresh._add(fresh._data([self.x], [self.y]))
        return np.asarray(network.readout(states))


class Theirs:
    """The same in reservoirpy."""

    def __init__(self, ours: Ours, dtype: str) -> None:
        import reservoirpy.nodes
        import scipy.sparse

        layer, own = ours.layer, ours.layer.parameters
        if "connections_l0" in own:
            ends = np.append(0, layer.row_ends)
            weight = scipy.sparse.csr_matrix((own["connections_l0"], layer.columns, ends))
            weight.indices, weight.indptr = weight.indices.astype("i4"), weight.indptr.astype("i4")
        else:
            weight = np.array(own["weight_hh_l0"])
        self.x, self.y, self.dtype = ours.x, ours.y, np.dtype(dtype)
        self.reservoir = reservoirpy.nodes.Reservoir(
            W=weight, Win=np.array(own["weight_ih_l0"]), bias=np.array(own["bias_ih_l0"]), lr=LEAK_RATE,
            dtype=dtype, input_dim=1,
        )  # fmt: skip
        self.reservoir.initialize(self.x)
        self.ridge = reservoirpy.nodes.Ridge(ridge=RIDGE)
        self.model = self.reservoir >> self.ridge

    def start(self) -> None:
        """Set the state to zero, which each run continues from."""
        self.reservoir.state = {"out": np.zeros(self.reservoir.units, self.dtype)}

    def states(self) -> np.ndarray:
        """Return the states, [T, H]."""
        self.start()
        return np.asarray(self.reservoir.run(self.x))

    def fit(self, states: np.ndarray) -> np.ndarray:
        """Fit the readout; return what it says of some states."""
        self.start()
        self.model.fit(self.x, self.y, warmup=WASHOUT)
        return np.asarray(states @ self.ridge.Wout + self.ridge.bias)


def in_turn(
    ours: Callable[[], object], theirs: Callable[[], object], job: dict[str, Any], rounds: int
) -> dict[str, float]:
    """Return the medians of the seconds of both, and of their ratio."""
    clock = time.process_time if job["threads"] == 1 else time.perf_counter

    def seconds(call: Callable[[], object]) -> float:
        gc.collect()
        started = clock()
        call()
        return clock() - started

    samples = [(seconds(ours), seconds(theirs)) for _ in range(rounds)]
    return {
        "fastrnn": statistics.median(a for a, _ in samples),
        "reservoirpy": statistics.median(b for _, b in samples),
        "ratio": statistics.median(b / a for a, b in samples),
        "rounds": rounds,
    }


def compare(what: str, ours: np.ndarray, theirs: np.ndarray, scale: float, tolerance: float) -> float:
    """Return the largest difference relative to `scale`; refuse one above the tolerance."""
    difference = float(np.abs(ours - theirs).max() / scale)
    if not difference <= tolerance:
        raise Disagreement(
            f"{what}: fastrnn and reservoirpy differ by {difference:.3g}, allowed {tolerance:g}"
        )
    return difference


def measure(job: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Compare and measure one reservoir."""
    units, density, dtype = job["units"], job["density"], job["dtype"]
    series = mackey_glass(max(job["state_steps"], job["fit_steps"])).astype(dtype)
    name = f"{units} units, density {density:g}, {dtype}"
    ours = Ours(units, density, dtype, series)
    theirs = Theirs(ours, dtype)

    def take(steps: int) -> None:
        for peer in (ours, theirs):
            peer.x, peer.y = series[:steps], series[1 : steps + 1]

    point: dict[str, Any] = {key: job[key] for key in ("units", "density", "dtype", "threads")}
    take(job["state_steps"])
    states = ours.states()
    largest = float(np.abs(states).max())
    point["states_differ"] = compare(name, states, theirs.states(), largest, TOLERANCE[dtype])
    some = states[-500:].copy()
    del states
    timing = in_turn(ours.states, theirs.states, job, job["rounds"])
    point["states"] = {"steps": job["state_steps"], **timing}
    take(job["fit_steps"])
    found: list[np.ndarray] = [some, some]

    def fit(which: int) -> None:
        found[which] = (ours, theirs)[which].fit(some)

    timing = in_turn(lambda: fit(0), lambda: fit(1), job, job["fit_rounds"])
    point["fit"] = {"steps": job["fit_steps"], **timing}
    deviation = float(found[1].std())
    point["predictions_differ"] = compare(name, *found, deviation, PREDICTION_TOLERANCE[dtype])
    yield {**point, "load": os.getloadavg()[0]}


if __name__ == "__main__":
    sys.exit(serve(measure))
