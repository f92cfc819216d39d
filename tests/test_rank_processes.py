"""What starts the ranks of the tests: it sees their output and exit code, and leaves no process running."""

import pytest

SLEEP = "from mpi4py import MPI; import time; print('started', flush=True); time.sleep(600)"


def test_every_rank_runs_and_is_one_of_a_world(mpiexec):
    finished = mpiexec(
        2, ["-c", "from mpi4py import MPI; w = MPI.COMM_WORLD; print(f'{w.rank} of {w.size}\\n', end='')"]
    )
    assert finished.returncode == 0, finished.stderr
    assert sorted(filter(None, finished.stdout.splitlines())) == ["0 of 2", "1 of 2"]


def test_the_exit_code_and_the_error_output_are_those_of_the_ranks(mpiexec):
    finished = mpiexec(2, ["-c", "import sys; sys.exit('expected so')"])
    assert finished.returncode == 1
    assert finished.stderr.count("expected so") == 2


def test_a_timeout_ends_every_rank_and_shows_what_they_wrote(mpiexec):
    with pytest.raises(AssertionError, match=r"(?s)2 ranks took more than 4 s.*started"):
        mpiexec(2, ["-c", SLEEP], timeout=4)
    assert mpiexec.running() == []


def test_started_ranks_run_until_they_are_killed(mpiexec):
    process = mpiexec.start(2, ["-c", SLEEP], env={"PYTHONUNBUFFERED": "1"})
    assert "started" in process.stdout.readline()
    assert len(mpiexec.running()) >= 3  # the launcher and two ranks
    mpiexec.kill()
    assert process.wait(timeout=10) != 0
    assert mpiexec.running() == []
