"""The threads of a rank: its share of the CPUs, unless the user has chosen."""

import os
from types import SimpleNamespace

import pytest

import fastrnn as fr
from fastrnn import _dispatch
from fastrnn.train.distributed import cpu_share
from fastrnn.train.distributed.cpu_share import thread_share, use_share


def shares(masks, quota=None):
    return [thread_share(masks, own, quota) for own in range(len(masks))]


@pytest.mark.parametrize(("ranks", "share"), [(1, 8), (2, 4), (3, 2), (8, 1), (9, 1), (100, 1)])
def test_ranks_that_may_use_all_cpus_use_as_many_each(ranks, share):
    assert shares([range(8)] * ranks) == [share] * ranks


def test_ranks_that_are_bound_to_other_cpus_use_all_of_theirs():
    assert shares([{0, 1}, {2, 3}, {4, 5, 6}, {7}]) == [2, 2, 3, 1]


def test_only_those_that_are_bound_to_the_same_cpus_divide_them():
    assert shares([range(4), range(4), range(4, 12), range(4, 12)]) == [2, 2, 4, 4]


def test_a_cpu_of_two_ranks_counts_half_for_each():
    assert shares([{0, 1}, {1, 2, 3}, {4, 5}]) == [1, 2, 2]


def test_a_quota_is_divided_among_all_ranks_of_the_machine():
    assert shares([range(64)] * 4, quota=8) == [2] * 4
    assert shares([range(64)] * 4, quota=2) == [1] * 4
    assert shares([{0}, {1}], quota=64) == [1, 1]


class Machine:
    """A communicator of ranks on one machine."""

    freed = False

    def __init__(self, masks, rank):
        self.masks, self.rank = masks, rank

    def Split_type(self, kind):
        assert kind == "shared"
        return self

    def allgather(self, mask):
        assert mask == self.masks[self.rank]
        return self.masks

    def Get_rank(self):
        return self.rank

    def Free(self):
        self.freed = True


@pytest.fixture
def share(monkeypatch):
    """Return a function that uses the share of rank 1 of three: of nine CPUs, three."""
    before = fr.get_num_threads()
    monkeypatch.setattr(_dispatch, "_threads_are_chosen", False)
    monkeypatch.setattr(cpu_share, "_usable_cpus", lambda: set(range(9)))
    monkeypatch.setattr(cpu_share, "count_cpus", lambda: 9)
    monkeypatch.setattr(cpu_share, "cpu_quota", lambda: None)

    def use():
        machine = Machine([set(range(9))] * 3, 1)
        use_share(SimpleNamespace(COMM_TYPE_SHARED="shared"), machine)
        assert machine.freed
        return fr.get_num_threads()

    yield use
    fr.set_num_threads(before)


def test_a_rank_uses_its_share(share):
    assert share() == 3


def test_a_quota_counts(share, monkeypatch):
    monkeypatch.setattr(cpu_share, "cpu_quota", lambda: 6)
    assert share() == 2


def test_no_more_are_used_than_without_ranks(share, monkeypatch):
    monkeypatch.setattr(cpu_share, "count_cpus", lambda: 2)
    assert share() == 2


def test_a_number_of_threads_that_was_set_before_stays(share):
    fr.set_num_threads(5)
    assert share() == 5


PRINT = (
    "from fastrnn.train import distributed; import fastrnn, sys; ranks = distributed.start();"
    "sys.stdout.write(f'{fastrnn.get_num_threads()}\\n')"
)


def test_ranks_of_one_machine_divide_its_cpus(mpiexec):
    finished = mpiexec(2, ["-c", PRINT], env={"FASTRNN_NUM_THREADS": ""})
    assert finished.returncode == 0, finished.stderr
    bound = len(os.sched_getaffinity(0)) == 1
    assert finished.stdout.split() == [str(1 if bound else max(1, fr._cpus.count_cpus() // 2))] * 2


def test_the_environment_variable_wins(mpiexec):
    assert mpiexec(2, ["-c", PRINT], env={"FASTRNN_NUM_THREADS": "7"}).stdout.split() == ["7", "7"]
