"""A point: several tasks for one problem, verified and then timed."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from fastrnn.cli.benchmark.cases import Case, Problem, make_problem
from fastrnn.cli.benchmark.peers import PEERS, Peer
from fastrnn.cli.benchmark.task import Answer, Task, Unsupported
from fastrnn.cli.benchmark.timing import Clock, measure, summary
from fastrnn.cli.benchmark.verify import expected_answer, verify

__all__ = ["Point", "add_peers", "grid_point"]


@dataclass
class Point:
    """Several tasks for one problem.

    Attributes
    ----------
    kind : str
        "grid" or another kind of point.
    case : dict
        Values that JSON can hold and that identify the problem.
    threads : int
    expected : dict of str to ndarray
        The expected answer.
    facts : dict
        More values for the result, such as "flops".
    tasks : dict of str to Task
    tolerances : dict of str to float
        For each task, see `verify`. A task without a tolerance is a limit: it has no answer to verify.
    unsupported : dict of str to str
        For each peer that does not support the problem, the reason.
    """

    kind: str
    case: dict[str, Any]
    threads: int
    expected: Answer
    facts: dict[str, Any] = field(default_factory=dict)
    tasks: dict[str, Task] = field(default_factory=dict)
    tolerances: dict[str, float] = field(default_factory=dict)
    unsupported: dict[str, str] = field(default_factory=dict)

    def add(self, name: str, task: Task, tolerance: float | None = 1e-4) -> None:
        """Add a task; a task without a tolerance is a limit."""
        self.tasks[name] = task
        if tolerance is not None:
            self.tolerances[name] = tolerance

    def verified(self) -> dict[str, float]:
        """Return the difference of each answer from the expected one, see `verify`.

        Raises
        ------
        Disagreement
            If one is too large.
        """
        what = " ".join(str(value) for value in self.case.values())
        differences = {}
        for name, tolerance in self.tolerances.items():
            task = self.tasks[name]
            task.before()
            answer = task.answer(task.run())
            differences[name] = verify(f"{self.kind} {what}: {name}", answer, self.expected, tolerance)
        return differences

    def measured(self, clock: Clock) -> dict[str, Any]:
        """Verify every task, then time all in turn.

        Returns
        -------
        result : dict
            Values that JSON can hold.

        Raises
        ------
        Disagreement
            If an answer differs from the expected one; nothing has been timed then.
        """
        differences = self.verified()
        times = {name: summary(samples) for name, samples in measure(self.tasks, clock).items()}
        for name, difference in differences.items():
            times[name]["difference"] = difference
        return {
            "kind": self.kind,
            "case": self.case,
            "threads": self.threads,
            **self.facts,
            "peers": {name: time for name, time in times.items() if name in differences},
            "limits": {name: time for name, time in times.items() if name not in differences},
            "unsupported": self.unsupported,
        }


def add_peers(point: Point, problem: Problem, peers: Iterable[str]) -> None:
    """Add the tasks of installed peers, or the reason why a peer does not support the problem."""
    for name in peers:
        peer: Peer = PEERS[name]
        try:
            point.add(name, peer.prepare(problem), peer.tolerance)
        except Unsupported as reason:
            point.unsupported[name] = str(reason)


def grid_point(case: Case, peers: Iterable[str], threads: int) -> Point:
    """Return the point of a grid case.

    Examples
    --------
    >>> from fastrnn.cli.benchmark.cases import Shape
    >>> point = grid_point(Case("gru", "training", Shape(2, 1, 3, 4)), ["fastrnn", "numpy"], 1)
    >>> result = point.measured(Clock(rounds=1))
    >>> list(result["peers"]), result["flops"], result["peers"]["fastrnn"]["difference"] < 1e-5
    (['fastrnn', 'numpy'], 1008, True)
    """
    problem = make_problem(case, threads)
    point = Point("grid", case.described(), threads, expected_answer(problem), {"flops": case.flops})
    add_peers(point, problem, peers)
    return point
