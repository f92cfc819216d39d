"""The baseline module's list of CPU features, against the operating system's."""

import platform
from pathlib import Path

import pytest

from fastrnn import _cpu

ORDER = ["avx512", "avx2", "baseline"]
CPUINFO = Path("/proc/cpuinfo")
# Linux uses other names for these, and has none for the register states.
LINUX_NAMES = {"sse3": "pni", "lzcnt": "abm", "lahf": "lahf_lm"}
WITHOUT_LINUX_NAME = {"osxsave", "os_avx", "os_avx512"}
IS_X86 = platform.machine() in {"x86_64", "AMD64"}


def test_supported_is_best_first_and_ends_in_the_baseline():
    names = _cpu.supported()
    assert names == [name for name in ORDER if name in names]
    assert names[-1] == "baseline"


@pytest.mark.skipif(IS_X86, reason="an x86-64 CPU has its own list")
def test_other_cpus_have_the_baseline_alone():
    assert _cpu.supported() == ["baseline"]
    assert _cpu.features() == {}


@pytest.mark.skipif(
    not IS_X86 or not CPUINFO.exists(), reason="Linux on x86-64 lists the flags to compare with"
)
def test_features_are_those_that_linux_sees():
    line = next(line for line in CPUINFO.read_text().splitlines() if line.startswith("flags"))
    flags = set(line.partition(":")[2].split())
    features = _cpu.features()
    assert len(features) == 23
    for name, present in features.items():
        if name not in WITHOUT_LINUX_NAME:
            # Linux clears a flag whose register state it does not save, as the states below do here.
            assert present == (LINUX_NAMES.get(name, name) in flags), name
    assert features["os_avx"] == ("avx" in flags)
    assert features["os_avx512"] == ("avx512f" in flags)


@pytest.mark.skipif(not IS_X86, reason="only x86-64 has levels")
def test_a_level_needs_its_features_and_the_saved_registers():
    features, names = _cpu.features(), _cpu.supported()
    if "avx2" in names:
        assert all(features[name] for name in ("osxsave", "os_avx", "avx", "avx2", "fma", "f16c"))
        assert all(features[name] for name in ("bmi1", "bmi2", "lzcnt", "movbe"))
    if "avx512" in names:
        assert "avx2" in names
        assert features["os_avx512"]
        assert all(features[f"avx512{name}"] for name in ("f", "bw", "cd", "dq", "vl"))
    if not features["os_avx"]:
        assert names == ["baseline"]
