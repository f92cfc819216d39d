"""What a launcher says in the environment, and starts that MPI does not connect."""

import os
import subprocess
import sys

import pytest

from fastrnn.train.distributed import mpi_library
from fastrnn.train.distributed.launch import Launch, launched_size, read_launch
from fastrnn.train.distributed.mpi_library import LaunchError

# As printed by ranks that these launchers started, but for srun, whose variables its manual lists.
MPICH = {"PMI_SIZE": "4", "PMI_RANK": "2", "MPI_LOCALNRANKS": "2", "MPI_LOCALRANKID": "0", "PMI_FD": "9"}
OPEN_MPI = {
    "OMPI_COMM_WORLD_SIZE": "4",
    "OMPI_COMM_WORLD_RANK": "2",
    "OMPI_COMM_WORLD_LOCAL_RANK": "0",
    "PMIX_RANK": "2",
}
MVAPICH = {
    "MV2_COMM_WORLD_SIZE": "4",
    "MV2_COMM_WORLD_RANK": "2",
    "MV2_COMM_WORLD_LOCAL_RANK": "0",
}
SBATCH = {
    "SLURM_JOB_ID": "7",
    "SLURM_NTASKS": "4",
    "SLURM_NPROCS": "4",
    "SLURM_PROCID": "0",
    "SLURM_LOCALID": "0",
}
SRUN = SBATCH | {"SLURM_STEP_NUM_TASKS": "4", "SLURM_PROCID": "2", "SLURM_STEP_ID": "0"}


@pytest.mark.parametrize(
    ("environment", "launcher"),
    [
        (MPICH, "mpiexec"),
        (OPEN_MPI, "mpiexec"),
        (MVAPICH, "mpiexec"),
        (SRUN, "srun"),
        (SRUN | {"PMI_SIZE": "4", "PMI_RANK": "2"}, "mpiexec"),  # srun --mpi=pmi2
    ],
)
def test_size_rank_and_local_rank_are_those_of_the_launcher(environment, launcher):
    assert read_launch(environment) == Launch(launcher, 4, 2, 0)
    assert (launched_size(environment), read_launch(environment).rank) == (4, 2)


def test_without_a_launcher_there_is_one_process():
    assert read_launch({"PATH": "/bin"}) == Launch("", 1, 0, 0)


def test_a_script_of_sbatch_is_one_process():
    assert launched_size(SBATCH) == 1


@pytest.mark.parametrize("inner", [MPICH, OPEN_MPI])
def test_an_mpiexec_that_srun_started_counts_and_not_srun(inner):
    assert read_launch({**SRUN, "SLURM_STEP_NUM_TASKS": "2", "SLURM_PROCID": "1", **inner}).size == 4


@pytest.mark.parametrize("size", ["", "four", "-1", "²"])
def test_a_variable_that_is_no_number_is_none_of_a_launcher(size):
    assert launched_size(MPICH | {"PMI_SIZE": size}) == 1


def test_the_environment_is_that_of_the_process_by_default(monkeypatch):
    monkeypatch.setenv("PMI_SIZE", "3")
    monkeypatch.setenv("PMI_RANK", "1")
    assert (launched_size(), read_launch().rank) == (3, 1)


def test_importing_fastrnn_imports_no_mpi4py():
    code = "import sys, fastrnn, fastrnn.cli.train; sys.exit('mpi4py' in sys.modules)"
    environment = {**os.environ, **MPICH}  # not even if a launcher started it
    subprocess.run([sys.executable, "-c", code], check=True, env=environment)


@pytest.fixture
def four_processes(monkeypatch):
    monkeypatch.setenv("PMI_SIZE", "4")
    monkeypatch.setenv("PMI_RANK", "0")


@pytest.mark.usefixtures("four_processes")
def test_several_processes_without_mpi4py_are_refused_with_what_to_type(monkeypatch):
    monkeypatch.setitem(sys.modules, "mpi4py", None)
    with pytest.raises(LaunchError) as error:
        mpi_library.load_mpi()
    assert str(error.value) == (
        'mpiexec started 4 processes, but mpi4py is not installed; type: pip install "fastrnn[mpi]"'
    )


def test_what_srun_started_may_be_as_many_trainings(monkeypatch):
    monkeypatch.setitem(sys.modules, "mpi4py", None)
    for name, value in SRUN.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(
        LaunchError, match=r"srun started 4 .*or, for as many trainings, unset SLURM_STEP_NUM_TASKS"
    ):
        mpi_library.load_mpi()


# What mpi4py raises where it finds no library: built for several MPIs, and built for one.
NO_LIBRARY = [
    RuntimeError("cannot load MPI library\nlibmpi.so: cannot open shared object file: No such file"),
    ImportError("libmpi.so.12: cannot open shared object file: No such file"),
]


@pytest.mark.usefixtures("four_processes")
@pytest.mark.parametrize("raised", NO_LIBRARY)
def test_an_mpi4py_that_finds_no_library_is_refused_with_its_reason(raised, monkeypatch):
    class Finder:
        @staticmethod
        def find_spec(name, path=None, target=None):
            if name == "mpi4py.MPI":
                raise raised

    class Package(type(sys)):
        __path__: tuple[str, ...] = ()

        @staticmethod
        def rc(**options):
            assert options["initialize"] is False

    monkeypatch.setitem(sys.modules, "mpi4py", Package("mpi4py"))
    monkeypatch.delitem(sys.modules, "mpi4py.MPI", raising=False)
    monkeypatch.setattr(sys, "meta_path", [Finder, *sys.meta_path])
    reason = str(raised).split("\n")[0]
    with pytest.raises(LaunchError) as error:
        mpi_library.load_mpi()
    assert f"mpi4py finds no MPI library ({reason}); load the module" in str(error.value)
    assert str(error.value).endswith("type: pip install mpich")


def test_a_library_that_sees_one_process_of_four_is_refused():
    with pytest.raises(LaunchError) as error:
        mpi_library.check_world(read_launch(MPICH), "Open MPI v5.0.11", 1)
    assert str(error.value) == (
        "mpiexec started 4 processes, but mpi4py uses Open MPI v5.0.11, which does not connect them; "
        "start them with the mpiexec of that library"
    )


def test_under_srun_the_remedy_is_another_way_to_connect():
    with pytest.raises(LaunchError, match="try srun --mpi=pmi2"):
        mpi_library.check_world(read_launch(SRUN), "MPICH 5.0.2", 1)


@pytest.mark.parametrize(("size", "launched"), [(4, 4), (2, 4), (1, 1), (4, 1)])
def test_a_world_of_several_processes_or_of_one_alone_is_accepted(size, launched):
    mpi_library.check_world(Launch("mpiexec", launched), "MPICH 5.0.2", size)


def test_another_library_under_the_mpiexec_of_open_mpi_is_refused_before_it_is_initialised():
    with pytest.raises(LaunchError, match=r"mpi4py uses MPICH 5.0.2, which does not connect them"):
        mpi_library.check_library(read_launch(OPEN_MPI), "MPICH 5.0.2", OPEN_MPI)
    mpi_library.check_library(read_launch(OPEN_MPI), "Open MPI v4.1.6", OPEN_MPI)
    mpi_library.check_library(read_launch(MPICH), "MPICH 5.0.2", MPICH)


@pytest.mark.parametrize(
    ("said", "name"),
    [
        ("MPICH Version:      5.0.2\nMPICH Release date: Fri", "MPICH 5.0.2"),
        ("Open MPI v5.0.11, package: Open MPI user@localhost\0", "Open MPI v5.0.11"),
        ("Intel(R) MPI Library 2021.14 for Linux* OS\n\0", "Intel(R) MPI Library 2021.14 for Linux* OS"),
        ("MVAPICH Version      :\t3.0\nMVAPICH", "MVAPICH 3.0"),
    ],
)
def test_a_library_is_named_by_its_name_and_number(said, name):
    assert mpi_library._name(said) == name


CONNECTED = """
from fastrnn.train.distributed.launch import read_launch
from fastrnn.train.distributed.mpi_library import load_mpi
world = load_mpi().COMM_WORLD
launch = read_launch()
assert (world.size, world.rank) == (launch.size, launch.rank) == (2, launch.local_rank), launch
"""


def test_ranks_of_the_right_mpiexec_are_connected_as_its_environment_says(mpiexec):
    finished = mpiexec(2, ["-W", "error", "-c", CONNECTED])
    assert (finished.returncode, finished.stderr) == (0, "")


# Of a process that is connected to nothing: so is one whose mpiexec is that of another MPI.
@pytest.mark.usefixtures("mpiexec")
@pytest.mark.parametrize(
    ("environment", "remedy"), [(MPICH, "with the mpiexec"), (SRUN, "try srun --mpi=pmi2")]
)
def test_the_launcher_of_another_mpi_is_refused(environment, remedy):
    others = {name: value for name, value in environment.items() if name != "PMI_FD"}
    code = "from fastrnn.train import distributed; distributed.start()"
    finished = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        capture_output=True,
        text=True,
        env={**os.environ, **others},
    )
    *_, last = finished.stderr.splitlines()
    assert f"{read_launch(others).launcher} started 4 processes, but mpi4py uses " in last
    assert f", which does not connect them; {remedy}" in last.replace("start them ", "")


WITHOUT_ON_ONE = """
import sys
from fastrnn.train import distributed
from fastrnn.train.distributed.launch import read_launch
if read_launch().rank == 1:
    sys.modules["mpi4py"] = None
distributed.start()
"""


def test_one_rank_without_mpi4py_ends_all_ranks_with_its_message(mpiexec):
    finished = mpiexec(3, ["-c", WITHOUT_ON_ONE], timeout=60)
    assert finished.returncode != 0
    assert finished.stderr.count('mpi4py is not installed; type: pip install "fastrnn[mpi]"') == 1


def test_all_ranks_without_mpi4py_end_with_a_message(mpiexec):
    finished = mpiexec(3, ["-c", WITHOUT_ON_ONE.replace("== 1", "< 3")], timeout=60)
    assert finished.returncode != 0
    assert "mpi4py is not installed" in finished.stderr


@pytest.mark.parametrize(("local_rank", "said"), [("0", 1), ("1", 0)])
def test_one_process_of_each_machine_says_that_mpi4py_is_missing_there(local_rank, said, tmp_path):
    code = "import sys; sys.modules['mpi4py'] = None; from fastrnn.cli import main; main(['train'])"
    environment = {**os.environ, "PMI_SIZE": "4", "PMI_RANK": "2", "MPI_LOCALRANKID": local_rank}
    finished = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=environment, cwd=tmp_path
    )
    assert finished.returncode == 2
    assert finished.stderr.count("mpi4py is not installed; type: ") == said
    assert list(tmp_path.iterdir()) == []
