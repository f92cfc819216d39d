"""Python on several ranks of `mpiexec`: run to the end or started; no process outlives its time."""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path

#: In the environment of every process of one start. A launcher's children have process groups of their own,
#: so the launcher's does not name them.
TAG = "FASTRNN_TEST_RANKS"


def find_mpiexec() -> str | None:
    """Return the launcher installed beside this Python, or else the one on PATH."""
    beside = Path(sys.prefix, "bin", "mpiexec")
    return str(beside) if beside.exists() else shutil.which("mpiexec")


class RankProcesses:
    """Start Python on several ranks; `close` ends what still runs."""

    def __init__(self, launcher: str) -> None:
        version = subprocess.run([launcher, "--version"], capture_output=True, text=True, timeout=60).stdout
        self.launcher = [launcher]
        self.environment: dict[str, str] = {}
        self.started: dict[str, subprocess.Popen[str]] = {}
        if "Open MPI" in version or "prte" in version.lower():
            self.launcher.append("--oversubscribe")
            self.environment |= {"OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1"}

    def __call__(
        self,
        ranks: int,
        arguments: Sequence[str | os.PathLike[str]],
        *,
        timeout: float = 120,
        text: str | None = None,
        env: Mapping[str, str] | None = None,
        cwd: str | os.PathLike[str] | None = None,
    ) -> subprocess.CompletedProcess[str]:
        """Run `python ARGUMENTS` on so many ranks and return what they wrote; the test fails at a timeout.

        `text` is the launcher's standard input.
        """
        process = self.start(ranks, arguments, env=env, cwd=cwd, stdin=subprocess.PIPE if text else None)
        try:
            stdout, stderr = process.communicate(text, timeout=timeout)
        except subprocess.TimeoutExpired as error:
            self.kill()
            stdout, stderr = process.communicate()
            message = f"{ranks} ranks took more than {timeout} s:\n{stdout}\n{stderr}"
            raise AssertionError(message) from error
        return subprocess.CompletedProcess(process.args, process.returncode, stdout, stderr)

    def start(
        self,
        ranks: int,
        arguments: Sequence[str | os.PathLike[str]],
        *,
        env: Mapping[str, str] | None = None,
        cwd: str | os.PathLike[str] | None = None,
        stdin: int | None = None,
    ) -> subprocess.Popen[str]:
        """Start `python ARGUMENTS` on so many ranks and return the launcher, which is still running."""
        tag = uuid.uuid4().hex
        self.started[tag] = subprocess.Popen(
            [*self.launcher, "-n", str(ranks), sys.executable, *map(os.fspath, arguments)],
            env={**os.environ, **self.environment, **(env or {}), TAG: tag},
            cwd=cwd,
            text=True,
            stdin=subprocess.DEVNULL if stdin is None else stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
        return self.started[tag]

    def running(self) -> list[int]:
        """Return the ids of the processes that still run, launchers included."""
        tags = [f"{TAG}={tag}".encode() for tag in self.started]
        found = []
        for folder in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):  # it has ended, or is another user's
                if not set(tags).isdisjoint(Path(folder, "environ").read_bytes().split(b"\0")):
                    found.append(int(folder.name))
        return found

    def kill(self) -> None:
        """End every process that was started here."""
        while running := self.running():  # a launcher may start one more while the others are killed
            for process in running:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(process, signal.SIGKILL)

    def close(self) -> None:
        """End every process, and close the pipes of those that nobody has read to the end."""
        self.kill()
        for process in self.started.values():
            with process:
                pass
