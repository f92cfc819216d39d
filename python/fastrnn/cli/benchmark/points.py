"""A point: tasks that answer one question. It is verified, then measured."""

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
    """Tasks that answer one question.

    Attributes
    ----------
    kind : str
        "grid", or what else is asked.
    case : dict
        Plain values that say what is asked.
    threads : int
    expected : dict of str to ndarray
        The answer.
    facts : dict
        More plain values for the result, such as "flops".
    tasks : dict of str to Task
    tolerances : dict of str to float
        For each task, see `verify`; a task without one is a limit: it has no answer to give.
    unsupported : dict of str to str
        For each peer that cannot do it the reason why.
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
        """Add a task; without a tolerance it is a limit."""
        self.tasks[name] = task
        if tolerance is not None:
            self.tolerances[name] = tolerance

    def measured(self, clock: Clock) -> dict[str, Any]:
        """Verify every task, then measure all in turn.

        Returns
        -------
        result : dict
            Plain values, ready for JSON.

        Raises
        ------
        Disagreement
            If an answer is not the expected one; then nothing has been timed.
        """
        what = " ".join(str(value) for value in self.case.values())
        differences = {}
        for name, tolerance in self.tolerances.items():
            task = self.tasks[name]
            task.before()
            answer = task.answer(task.run())
            differences[name] = verify(f"{self.kind} {what}: {name}", answer, self.expected, tolerance)
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
    """Add the tasks of peers that can be imported, and the reasons of those that cannot do the problem."""
    for name in peers:
        peer: Peer = PEERS[name]
        try:
            point.add(name, peer.prepare(problem), peer.tolerance)
        except Unsupported as reason:
            point.unsupported[name] = str(reason)


def grid_point(case: Case, peers: Iterable[str], threads: int) -> Point:
    """Make the point of a case of the grid.

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
