"""The baseline module's list of CPU features, against the operating system's."""

import platform
import shutil
import subprocess
from pathlib import Path

import pytest

from fastrnn import _cpu

ROOT = Path(__file__).resolve().parents[1]
ORDER = ["avx512_bf16", "avx512", "avx2", "baseline"]
CPUINFO = Path("/proc/cpuinfo")
# Linux uses other names for these, and has none for the register states.
LINUX_NAMES = {"sse3": "pni", "lzcnt": "abm", "lahf": "lahf_lm"}
WITHOUT_LINUX_NAME = {"osxsave", "os_avx", "os_avx512"}
IS_X86 = platform.machine() in {"x86_64", "AMD64"}
# Word, bit, and the best set without it, from the manuals of Intel and AMD (CPUID; XCR0).
BITS = {
    ("1.ecx", bit): "baseline"  # SSE3, SSSE3, FMA, CX16, SSE4.1, SSE4.2, MOVBE, POPCNT, OSXSAVE, AVX, F16C
    for bit in (0, 9, 12, 13, 19, 20, 22, 23, 27, 28, 29)
}
BITS |= {("7.ebx", bit): "baseline" for bit in (3, 5, 8)}  # BMI1, AVX2, BMI2
BITS |= {("7.ebx", bit): "avx2" for bit in (16, 17, 28, 30, 31)}  # AVX512 F, DQ, CD, BW, VL
BITS |= {("7.ecx", 11): "avx512", ("7.1.eax", 5): "avx512"}  # AVX512_VNNI, AVX512_BF16
BITS |= {("80000001.ecx", bit): "baseline" for bit in (0, 5)}  # LAHF, LZCNT
BITS |= {("xcr0", bit): "baseline" for bit in (1, 2)} | {("xcr0", bit): "avx2" for bit in (5, 6, 7)}


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
    assert len(features) == 25
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
    if "avx512_bf16" in names:
        assert "avx512" in names
        assert features["avx512_bf16"]
        assert features["avx512_vnni"]
    if not features["os_avx"]:
        assert names == ["baseline"]


@pytest.mark.skipif(not IS_X86, reason="only x86-64 has these bits")
@pytest.mark.skipif(not shutil.which("c++"), reason="needs a C++ compiler, as c++")
def test_each_bit_that_decides_is_the_one_of_the_manuals(tmp_path):
    """Made-up CPUs that lack one bit each."""
    program = tmp_path / "instruction_sets_check"
    source = ROOT / "tests/cpp/instruction_sets_check.cpp"
    subprocess.run(["c++", "-std=c++17", f"-I{ROOT / 'cpp'}", source, "-o", program], check=True)
    run = subprocess.run([program], capture_output=True, text=True, check=True, timeout=60)
    lines = [line.split() for line in run.stdout.splitlines()]
    assert {(word, int(bit)): best for word, bit, best in lines} == BITS | {("nothing", 0): "baseline"}
