"""What the compiler put into each module: the baseline holds nothing that an older CPU would not run."""

import platform
import re
import shutil
import subprocess
from collections.abc import Iterator
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path

import pytest

import fastrnn

PACKAGE = Path(fastrnn.__file__).parent
OBJDUMP = shutil.which("objdump")

pytestmark = [
    pytest.mark.skipif(OBJDUMP is None, reason="objdump (binutils) is not installed"),
    pytest.mark.skipif(
        platform.machine() not in {"x86_64", "AMD64"} or platform.system() != "Linux",
        reason="reads x86-64 ELF code; other CPUs have the baseline alone",
    ),
]

# Mnemonics with a leading v that are not vector code: segment checks and virtualisation.
NOT_VECTOR = re.compile(r"ver[rw]|vm(call|launch|resume|xoff|xon|func|clear|read|write|ptrld|ptrst)[lq]?")
# Instructions of x86-64-v2 to v4 without a v prefix: SSSE3, SSE4, and the bit instructions.
BEYOND_SSE2 = re.compile(
    r"(pshufb|palignr|phadd\w+|phsub\w+|pabs[bwd]|psign[bwd]|pmaddubsw|pmulhrsw|pmulld|pmuldq|ptest|dpp[sd]"
    r"|round[sp][sd]|blendv?p[sd]|pblendvb|pblendw|insertps|extractps|p(ins|ext)r[bdq]|pm(ax|in)(sb|sd|ud|uw)"
    r"|pmov[sz]x\w+|pcmpeqq|pcmpgtq|packusdw|pcmp[ei]str[im]|crc32\w*|popcnt[wlq]?|movbe[wlq]?|lzcnt[wlq]?"
    r"|andn[lq]?|bextr[lq]?|bls(r|i|msk)[lq]?|bzhi[lq]?|mulx[lq]?|pdep[lq]?|pext[lq]?|rorx[lq]?|(sa|sh)[rl]x[lq]?)"
)
AVX512_ONLY = re.compile(r"%(zmm\d+|[xy]mm(1[6-9]|2\d|3[01])|k[0-7])\b")


def compiled(name: str) -> Path:
    for suffix in EXTENSION_SUFFIXES:
        if (PACKAGE / f"{name}{suffix}").exists():
            return PACKAGE / f"{name}{suffix}"
    pytest.skip(f"{name} is not built (the wheel's contents are another test's business)")


def instructions(path: Path) -> Iterator[tuple[str, str]]:
    """Yield mnemonic and operands of every instruction in the executable sections, in AT&T syntax."""
    assert OBJDUMP is not None
    command = [OBJDUMP, "--disassemble", "--no-show-raw-insn", "-M", "att", str(path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            _address, tab, text = line.rstrip().partition(":\t")
            words = text.split(None, 1)
            if not tab or not words:
                continue
            while len(words) == 2 and words[0] in {
                "rep",
                "repz",
                "repnz",
                "lock",
                "bnd",
                "notrack",
                "data16",
                "cs",
            }:
                words = words[1].split(None, 1)
            yield words[0], words[1].partition("#")[0].partition("<")[0] if len(words) == 2 else ""
    assert process.returncode == 0


def is_avx(mnemonic: str, operands: str) -> bool:
    if "%ymm" in operands or AVX512_ONLY.search(operands):
        return True
    return mnemonic.startswith("v") and not NOT_VECTOR.fullmatch(mnemonic)


@pytest.mark.parametrize("module", ["_kernels_baseline", "_cpu"])
def test_the_baseline_holds_no_instruction_beyond_sse2(module):
    count, offenders = 0, []
    for mnemonic, operands in instructions(compiled(module)):
        count += 1
        if is_avx(mnemonic, operands) or BEYOND_SSE2.fullmatch(mnemonic):
            offenders.append(f"{mnemonic} {operands}")
    assert count > 1000, "objdump showed no code: this test would pass on anything"
    assert not offenders, f"{len(offenders)} of {count}: {offenders[:10]}"


def test_the_avx2_module_uses_avx2_and_nothing_of_avx512():
    uses_ymm, fused, offenders = False, False, []
    for mnemonic, operands in instructions(compiled("_kernels_avx2")):
        uses_ymm = uses_ymm or "%ymm" in operands
        fused = fused or mnemonic.startswith("vfmadd")
        if AVX512_ONLY.search(operands):
            offenders.append(f"{mnemonic} {operands}")
    assert uses_ymm
    assert fused
    assert not offenders, offenders[:10]


def test_the_avx512_module_uses_512_bits():
    assert any("%zmm" in operands for _, operands in instructions(compiled("_kernels_avx512")))


def test_the_avx512_module_has_the_products_of_avx512_bf16():
    found = {mnemonic for mnemonic, _ in instructions(compiled("_kernels_avx512"))}
    assert {"vdpbf16ps", "vpdpbusd"} <= found


@pytest.mark.parametrize(
    ("line", "beyond"),
    [
        ("addps %xmm1,%xmm2", False),
        ("pinsrw $0x1,%eax,%xmm0", False),
        ("andnps %xmm1,%xmm2", False),
        ("verr %ax", False),
        ("vzeroupper ", True),
        ("vaddss %xmm0,%xmm1,%xmm2", True),
        ("movaps %xmm16,%xmm0", True),
        ("roundps $0x1,%xmm0,%xmm1", True),
        ("popcntq %rax,%rax", True),
        ("shlx %eax,%ebx,%ecx", True),
    ],
)
def test_the_check_itself_distinguishes(line, beyond):
    mnemonic, operands = line.split(" ", 1)
    assert bool(is_avx(mnemonic, operands) or BEYOND_SSE2.fullmatch(mnemonic)) == beyond
