"""The choice of the compiled module and of the number of threads, each in a separate process."""

import importlib.util
import os
import subprocess
import sys
from types import SimpleNamespace

import pytest

import fastrnn as fr
from fastrnn import _cpu, _dispatch
from fastrnn._cpus import count_cpus

KNOWN = ["avx512_bf16", "avx512", "avx2", "baseline"]


def run(script, **environment):
    """Run a script with these environment variables; return its output, or the last line of its error."""
    variables = {name: value for name, value in os.environ.items() if not name.startswith("FASTRNN_")}
    variables.update({name: value for name, value in environment.items() if value is not None})
    result = subprocess.run([sys.executable, "-c", script], env=variables, capture_output=True, text=True)
    return result.stdout.strip() if result.returncode == 0 else result.stderr.strip().splitlines()[-1]


ISA = "import fastrnn; print(fastrnn.isa())"
THREADS = "import fastrnn; print(fastrnn.get_num_threads())"


def on_cpu(names, script):
    """Return the script for a CPU that runs only these instruction sets."""
    fake = (
        "import importlib.machinery, importlib.util, os, sys\n"
        "package = importlib.machinery.PathFinder.find_spec('fastrnn')\n"
        "name = 'fastrnn._cpu'\n"
        "spec = importlib.machinery.PathFinder.find_spec(name, package.submodule_search_locations)\n"
        "cpu = importlib.util.module_from_spec(spec)\n"
        "spec.loader.exec_module(cpu)\n"
        f"cpu.supported = lambda: {names!r}\n"
        "sys.modules[name] = cpu\n"
    )
    return fake + script


def test_the_available_sets_are_known_ones_best_first():
    available = fr.available_isas()
    assert available
    assert [name for name in KNOWN if name in available] == available
    assert list(_dispatch.MODULES) == KNOWN


def test_the_best_set_is_taken():
    for value in (None, ""):
        assert run(ISA, FASTRNN_ISA=value) == fr.available_isas()[0]


@pytest.mark.parametrize("name", fr.available_isas())
def test_every_available_set_can_be_asked_for(name):
    assert run(ISA, FASTRNN_ISA=name) == name


@pytest.mark.parametrize("name", ["sse9", "AVX2", "avx512 ", "avx512-bf16", "neon"])
def test_an_unknown_set_is_refused(name):
    message = f"ValueError: FASTRNN_ISA: expected one of {', '.join(KNOWN)}, got {name!r}"
    assert run(ISA, FASTRNN_ISA=name) == message


def test_a_set_that_the_cpu_lacks_is_refused_in_other_words():
    last = fr.available_isas()[-1]
    missing = next(name for name in KNOWN if name != last)
    message = f"ImportError: FASTRNN_ISA: this CPU cannot run {missing}; available: {last}"
    assert run(on_cpu([last], ISA), FASTRNN_ISA=missing) == message


def test_a_lesser_cpu_gets_the_lesser_set():
    last = fr.available_isas()[-1]
    assert run(on_cpu([last], ISA)) == last


def without_module(module, script):
    """Return the script for an installation that lacks one compiled module."""
    hide = (
        "from importlib.machinery import PathFinder\n"
        "find = PathFinder.find_spec\n"
        "def find_spec(name, path=None, target=None):\n"
        f"    return None if name == 'fastrnn.{module}' else find(name, path, target)\n"
        "PathFinder.find_spec = find_spec\n"
    )
    return hide + script


@pytest.mark.parametrize(
    ("name", "module"),
    [("avx2", "_kernels_avx2"), ("avx512", "_kernels_avx512"), ("avx512_bf16", "_kernels_avx512")],
)
def test_a_set_that_the_installation_lacks_is_refused_in_other_words(name, module):
    said = run(on_cpu(KNOWN, without_module(module, ISA)), FASTRNN_ISA=name)
    assert said.startswith(f"ImportError: FASTRNN_ISA: this installation lacks {name}; available: ")
    assert said.endswith("(to build all sets: pip install . -C cmake.define.FASTRNN_ISAS=all)")
    available = said.partition("available: ")[2].partition(" (")[0].split(", ")
    assert not {found for found in available if _dispatch.MODULES.get(found) == module}


def test_a_module_serves_both_of_its_sets_or_neither(monkeypatch):
    monkeypatch.setattr(_cpu, "supported", lambda: KNOWN)
    monkeypatch.setattr(_cpu, "native_products", True)
    for built, available, missing in [
        ({"_kernels_avx512"}, ["avx512_bf16", "avx512"], None),
        ({"_kernels_avx2", "_kernels_baseline"}, ["avx2", "baseline"], "avx512_bf16"),
    ]:
        found = {f"fastrnn.{name}" for name in built}
        monkeypatch.setattr(importlib.util, "find_spec", lambda name, found=found: name in found or None)
        assert fr.available_isas() == available
        assert _dispatch.missing_isa() == missing


def test_a_build_without_products_of_its_own_has_the_module_for_the_other_set(monkeypatch):
    monkeypatch.setattr(_cpu, "supported", lambda: KNOWN)
    monkeypatch.setattr(_cpu, "native_products", False)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: name == "fastrnn._kernels_avx512" or None)
    assert fr.available_isas() == ["avx512"]
    assert _dispatch.missing_isa() is None
    monkeypatch.delenv("FASTRNN_ISA", raising=False)
    assert _dispatch._choose() == "avx512"
    monkeypatch.setenv("FASTRNN_ISA", "avx512_bf16")
    with pytest.raises(ImportError, match=r"^FASTRNN_ISA: this installation lacks avx512_bf16; avail"):
        _dispatch._choose()


@pytest.mark.parametrize("name", KNOWN)
def test_a_module_is_told_to_use_the_products_of_its_own_set_alone(name, monkeypatch):
    told = []
    module = SimpleNamespace(use_native_products=told.append)
    monkeypatch.setattr(importlib, "import_module", lambda asked: (told.append(asked), module)[1])
    _dispatch._load(name)
    assert told == [f"fastrnn.{_dispatch.MODULES[name]}", *([True] if name == "avx512_bf16" else [])]


def test_the_modules_have_the_products_that_the_build_says():
    script = "from fastrnn import _dispatch; print(_dispatch.kernels.native_products)"
    for name in fr.available_isas():
        native = _cpu.native_products and _dispatch.MODULES[name] == "_kernels_avx512"
        assert run(script, FASTRNN_ISA=name) == ("avx512_bf16" if native else "none")


def test_an_installation_from_another_machine_says_what_this_cpu_could_run():
    script = "from fastrnn import _dispatch; print(_dispatch.missing_isa())"
    last = fr.available_isas()[-1]
    assert run(on_cpu(["future", last], script)) == "future"
    assert run(on_cpu([last], script)) == "None"


def test_an_installation_without_any_module_says_so():
    script = on_cpu(["none"], ISA)
    message = "ImportError: fastrnn: this installation contains no compiled module; reinstall it"
    assert run(script) == message


def test_only_one_compiled_module_is_loaded():
    script = (
        "import sys, fastrnn; fastrnn.LSTM; print(*[name for name in sys.modules if '_kernels_' in name])"
    )
    assert run(script) == f"fastrnn.{_dispatch.MODULES[fr.available_isas()[0]]}"


def test_there_are_as_many_threads_as_cpus_to_use():
    script = "import os; os.sched_setaffinity(0, {{{cpus}}}); " + THREADS
    cpus = sorted(os.sched_getaffinity(0))
    assert run(script.format(cpus=cpus[0])) == "1"
    assert run(THREADS) == str(count_cpus())


def test_the_environment_sets_the_threads():
    assert run(THREADS, FASTRNN_NUM_THREADS="3") == "3"
    assert run(THREADS, FASTRNN_NUM_THREADS="") == str(count_cpus())


@pytest.mark.parametrize("value", ["0", "-1", "1025", "two", "1.5", "²", " 2"])
def test_a_wrong_number_of_threads_in_the_environment(value):
    message = f"ValueError: FASTRNN_NUM_THREADS: expected an integer in 1 .. 1024, got {value!r}"
    assert run(THREADS, FASTRNN_NUM_THREADS=value) == message


def test_the_number_of_threads_can_be_set():
    before = fr.get_num_threads()
    try:
        for threads in (1, 3):
            fr.set_num_threads(threads)
            assert fr.get_num_threads() == threads
        for wrong, error, message in [
            (0, ValueError, "threads: expected 1 .. 1024, got 0"),
            (-2, ValueError, "threads: expected 1 .. 1024, got -2"),
            (2**70, ValueError, f"threads: expected 1 .. 1024, got {2**70}"),
            (1.0, TypeError, "threads: expected an integer, got float"),
            ("2", TypeError, "threads: expected an integer, got str"),
        ]:
            with pytest.raises(error) as caught:
                fr.set_num_threads(wrong)
            assert str(caught.value) == message
        assert fr.get_num_threads() == 3
    finally:
        fr.set_num_threads(before)


def test_the_public_names_are_there():
    for name in fr.__all__:
        assert getattr(fr, name) is not None
    assert set(fr.__all__) <= set(dir(fr))
    with pytest.raises(AttributeError, match=r"^module 'fastrnn' has no attribute 'LTSM'$"):
        _ = fr.LTSM


def test_a_forked_child_works():
    script = (
        "import os, numpy as np, fastrnn as fr\n"
        "fr.set_num_threads(2)\n"
        "rnn = fr.LSTM(64, 128, seed=0)\n"
        "x = np.ones((20, 32, 64), np.float32)\n"
        "y = rnn(x)[0].tobytes()\n"
        "child = os.fork()\n"
        "if child == 0: os._exit(int(rnn(x)[0].tobytes() != y))\n"
        "print(os.waitpid(child, 0)[1])\n"
    )
    assert run(script) == "0"
