"""The number of CPUs that this process may use: affinity masks, and quotas of control groups."""

import os
import shutil
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from fastrnn._cpus import count_cpus, cpu_quota

V1 = "32 31 0:29 {top} {point} rw,relatime shared:7 - cgroup cgroup rw,cpu,cpuacct\n"
V2 = "41 31 0:38 {top} {point} rw,relatime - cgroup2 cgroup2 rw\n"
OTHERS = (
    "23 1 254:0 / / rw,relatime - ext4 /dev/root rw\n"
    "33 31 0:30 / /sys/fs/cgroup/cpuset rw,relatime - cgroup cgroup rw,cpuset\n"
    "40 31 0:37 / /sys/fs/cgroup/systemd rw,relatime - cgroup cgroup rw,name=systemd\n"
)
THREADS = "import fastrnn; print(fastrnn.get_num_threads())"


@pytest.fixture
def tree(tmp_path):
    """Return a function that writes files below a root of its own, and returns the root."""

    def write(cgroup, mountinfo, **files):
        contents = {"proc/self/cgroup": cgroup, "proc/self/mountinfo": OTHERS + mountinfo, **files}
        for name, text in contents.items():
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(text.encode() if isinstance(text, str) else text)
        return str(tmp_path)

    return write


def v2(tree, path="/a/b", top="/", point="/sys/fs/cgroup", **quotas):
    """Write a tree of version 2; quotas by the groups' paths below the mount point, with _ for /."""
    files = {f"{point[1:]}/{name.replace('_', '/')}/cpu.max": text for name, text in quotas.items()}
    return tree(f"0::{path}\n", V2.format(top=top, point=point.replace(" ", r"\040")), **files)


def v1(tree, path="/a/b", top="/", point="/sys/fs/cgroup/cpu,cpuacct", **quotas):
    """Write a tree of version 1; quota and period of each group."""
    files = {}
    for name, (quota, period) in quotas.items():
        folder = f"{point[1:]}/{name.replace('_', '/')}"
        files |= {f"{folder}/cpu.cfs_quota_us": quota, f"{folder}/cpu.cfs_period_us": period}
    cgroup = f"9:name=systemd:/z\n4:cpuset:/z\n3:cpu,cpuacct:{path}\n0::/\n"
    return tree(cgroup, V1.format(top=top, point=point), **files)


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("200000 100000\n", 2),
        ("150000 100000\n", 2),
        ("100001 100000\n", 2),
        ("100000 100000\n", 1),
        ("1000 100000\n", 1),
        ("25000 50000\n", 1),
        ("6400000 100000\n", 64),
        ("max 100000\n", None),
        ("max\n", None),
        ("0 100000\n", None),
        ("100000 0\n", None),
        ("-1 100000\n", None),
        ("100000\n", None),
        ("1 2 3\n", None),
        ("two three\n", None),
        ("1e5 100000\n", None),
        ("", None),
        (b"\xff\xfe\x00 100000", None),
    ],
)
def test_the_quota_of_version_2(tree, text, wanted):
    assert cpu_quota(v2(tree, a_b=text)) == wanted


@pytest.mark.parametrize(
    ("quota", "period", "wanted"),
    [
        ("150000\n", "100000\n", 2),
        ("50000\n", "100000\n", 1),
        ("400000\n", "100000\n", 4),
        ("-1\n", "100000\n", None),
        ("100000\n", "0\n", None),
        ("100000\n", "", None),
        ("", "100000\n", None),
        ("many\n", "100000\n", None),
    ],
)
def test_the_quota_of_version_1(tree, quota, period, wanted):
    assert cpu_quota(v1(tree, a_b=(quota, period))) == wanted


def test_the_least_quota_of_the_groups_above_counts(tree):
    assert cpu_quota(v2(tree, a_b="max 100000", a="300000 100000")) == 3
    assert cpu_quota(v2(tree, a_b="500000 100000", a="300000 100000")) == 3
    assert cpu_quota(v2(tree, a_b="200000 100000", a="300000 100000")) == 2


def test_the_group_at_the_mount_point_counts_and_groups_elsewhere_do_not(tree):
    assert cpu_quota(v2(tree, path="/", **{"": "200000 100000", "a": "100000 100000"})) == 2
    assert cpu_quota(v2(tree, path="/b", **{"": "200000 100000", "a": "100000 100000"})) == 2
    assert cpu_quota(v1(tree, path="/", **{"": ("200000", "100000"), "z": ("100000", "100000")})) == 2


def test_a_container_that_sees_its_group_as_the_mount_point(tree):
    """Docker without a namespace of control groups: the path is the host's, the mount only the group."""
    quotas = {"": "300000 100000", "b": "200000 100000"}
    assert cpu_quota(v2(tree, path="/docker/12ab", top="/docker/12ab", **quotas)) == 3
    assert cpu_quota(v2(tree, path="/docker/12ab/b", top="/docker/12ab", **quotas)) == 2
    assert cpu_quota(v1(tree, path="/docker/12ab", top="/docker/12ab", **{"": ("150000", "100000")})) == 2


def test_a_mount_that_does_not_hold_the_group_is_no_quota(tree):
    one = {"": "100000 100000"}
    assert cpu_quota(v2(tree, path="/docker/12abc", top="/docker/12ab", **one)) is None
    assert cpu_quota(v2(tree, path="/../other", **one)) is None


def test_both_versions_at_once(tree):
    """A hybrid: the controller may be in either, and the other has no such file."""
    cgroup = "1:cpu:/a\n0::/b\n"
    mounts = V1.format(top="/", point="/cg/cpu") + V2.format(top="/", point="/cg/unified")
    files = {"cg/cpu/a/cpu.cfs_quota_us": "300000", "cg/cpu/a/cpu.cfs_period_us": "100000"}
    assert cpu_quota(tree(cgroup, mounts, **files)) == 3
    assert cpu_quota(tree(cgroup, mounts, **files, **{"cg/unified/b/cpu.max": "200000 100000"})) == 2


def test_a_mount_point_with_a_space(tree):
    assert cpu_quota(v2(tree, point="/control groups/all of them", a_b="200000 100000")) == 2


@pytest.mark.parametrize(
    "cgroup", ["", "\n", "0:\n", "0::a/b\n", "no colon\n", "::\n", b"\xff\n", "5:memory:/a\n", "0::/gone\n"]
)
@pytest.mark.parametrize(
    "mountinfo",
    ["", "-\n", " - \n", " - cgroup2\n", "1 2 3 - cgroup cgroup rw,cpu\n", V2.format(top="/", point="/c")],
)
def test_what_is_not_understood_is_no_quota(tree, cgroup, mountinfo):
    assert cpu_quota(tree(cgroup, mountinfo)) is None


def test_no_files_are_no_quota(tmp_path):
    assert cpu_quota(str(tmp_path)) is None
    assert cpu_quota(str(tmp_path / "gone")) is None


def test_a_quota_is_counted_only_where_it_is_less_than_the_cpus(tree):
    cpus = count_cpus(v2(tree, a_b="max 100000"))
    assert cpus == (len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count())
    assert count_cpus(v2(tree, a_b="102400000 100000")) == cpus
    assert count_cpus(v2(tree, a_b="20000 100000")) == 1


def threads_of(command, **variables):
    """Return the default number of threads of a process."""
    environment = {name: value for name, value in os.environ.items() if name != "FASTRNN_NUM_THREADS"}
    run = subprocess.run(command, env=environment | variables, capture_output=True, text=True, timeout=60)
    assert run.returncode == 0, run.stderr
    return int(run.stdout)


@pytest.mark.skipif(shutil.which("taskset") is None, reason="taskset is not installed")
def test_the_default_number_of_threads_on_one_cpu():
    cpu = min(os.sched_getaffinity(0))
    command = ["taskset", "-c", str(cpu), sys.executable, "-c", THREADS]
    assert threads_of(command) == 1
    assert threads_of(command, FASTRNN_NUM_THREADS="2") == 2


@pytest.mark.skipif(not hasattr(os, "process_cpu_count"), reason="Python before 3.13")
def test_python_can_be_told_how_many_cpus_there_are():
    assert threads_of([sys.executable, "-c", THREADS], PYTHON_CPU_COUNT="1") == 1


@pytest.fixture
def group():
    """Make a control group below this process's own, in either version, and remove it again."""
    own = {}
    for line in Path("/proc/self/cgroup").read_text().splitlines() if sys.platform == "linux" else ():
        _, controllers, path = line.split(":", 2)
        for name in controllers.split(","):
            own[name] = path.lstrip("/")
    places = [Path("/sys/fs/cgroup/cpu") / own["cpu"]] if "cpu" in own else []
    places += [Path("/sys/fs/cgroup") / own[""]] if "" in own else []
    for place in places:
        folder = place / f"fastrnn-test-{os.getpid()}"
        with suppress(OSError):
            folder.mkdir()
            try:
                if (folder / "cpu.max").exists() or (folder / "cpu.cfs_quota_us").exists():
                    yield folder
                    return
            finally:
                folder.rmdir()
    pytest.skip("this system does not allow a control group with a CPU quota")


def test_the_default_number_of_threads_in_a_real_control_group(group):
    """Run with a quota of a CPU and a half, then of half a CPU, then without one."""
    cpus = count_cpus()
    join = f"import os; open({str(group / 'cgroup.procs')!r}, 'w').write(str(os.getpid())); "
    for quota, wanted in ((150_000, min(2, cpus)), (50_000, 1), (None, cpus)):
        try:
            if (group / "cpu.max").exists():
                (group / "cpu.max").write_text(f"{quota or 'max'} 100000")
            else:
                (group / "cpu.cfs_quota_us").write_text(str(quota or -1))
        except OSError as error:
            pytest.skip(f"this system does not allow a CPU quota: {error}")
        assert threads_of([sys.executable, "-c", join + THREADS]) == wanted
