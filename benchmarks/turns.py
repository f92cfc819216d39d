"""Processes that measure in turn: each sleeps until it is asked, so that only one works at a time.

A process reads one request per line from standard input and writes one answer per line to standard output,
both JSON objects. All belong to the session of the program that starts them: Linux shares the CPUs among
sessions first (autogroup), and among the processes of a session only then.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any

from benchmarks.compare.run import origin, save
from fastrnn.cli.benchmark.machine import choose_cpus
from fastrnn.cli.benchmark.machine import facts as machine_facts
from fastrnn.cli.benchmark.peers import PEERS, installed
from fastrnn.cli.benchmark.process import thread_environment

Message = dict[str, Any]


class Asked:
    """A process that measures when asked.

    Parameters
    ----------
    module : str
        Name for ``python -m``; it calls `serve_requests` when it gets these arguments.
    arguments : sequence of str
    threads : int
        What its libraries may use; see `thread_environment`.
    """

    def __init__(self, module: str, arguments: Sequence[str], threads: int) -> None:
        self.name = " ".join(arguments)
        self.process = subprocess.Popen(
            [sys.executable, "-m", module, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=thread_environment(threads),
        )

    def ask(self, what: str, **request: Any) -> Message:
        """Send a request, sleep until the answer is there, and return it.

        Raises
        ------
        RuntimeError
            If the process fails; details may be on standard error.
        """
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        try:
            self.process.stdin.write(json.dumps({"what": what, **request}) + "\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            pass  # then there is no answer either
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError(f"{self.name}: the process ended with exit code {self.process.wait()}")
        answer: Message = json.loads(line)
        if "failure" in answer:
            raise RuntimeError(f"{self.name}: {answer['failure']}")
        return answer

    def __enter__(self) -> Asked:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        self.process.kill()
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe is not None:
                with suppress(OSError):  # a request that was never read
                    pipe.close()


def serve_requests(handle: Callable[..., Message]) -> int:
    """Call ``handle(what, **request)`` for each request until there are no more; return the exit code."""
    try:
        for line in sys.stdin:
            try:
                answer = handle(**json.loads(line))
            except Exception as error:
                answer = {"failure": f"{type(error).__name__}: {error}"}
            print(json.dumps(answer, allow_nan=False), flush=True)
    except KeyboardInterrupt:
        return 130  # the program that asks reports it
    except BrokenPipeError:
        os._exit(1)  # nobody asks any more
    return 0


def bind_to_cpus(count: int) -> list[int]:
    """Bind this process, and all that it starts from now on, to that many CPUs; return their numbers."""
    cpus = choose_cpus(count)
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, cpus)
    return cpus


def new_result(format_: str, module: str, peers: Iterable[str]) -> Message:
    """Return the beginning of a result: how, when, on which machine, and which peers are installed."""
    found, missing = installed(peers)
    for name, reason in missing.items():
        print(f"NOT MEASURED: {PEERS[name].title}: {reason}", flush=True)
    return {**origin(format_, module), "machine": machine_facts(), "peers": found, "missing": missing}


def keep_results(
    results: Iterable[Message], out: Path, describe: Callable[[Message], str]
) -> tuple[Message, int]:
    """Save each result as it comes, and tell its last point; return the last one and the exit code."""
    result: Message = {}
    try:
        for result in results:
            save(result, out)
            print(describe(result["points"][-1]), file=sys.stderr, flush=True)
    except KeyboardInterrupt:
        return result, 130
    except RuntimeError as error:
        print(f"STOPPED: {error}", file=sys.stderr)
        return result, 1
    return result, 0
