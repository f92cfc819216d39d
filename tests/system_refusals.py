"""Make the system refuse threads and memory: a library loaded before others, scripts under it."""

import functools
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

__all__ = ["PATIENCE", "needs_shim", "run_script", "run_under_shim"]

PATIENCE = 60.0  # seconds after which a silent process counts as hanging
TESTS = Path(__file__).resolve().parent
COMPILER = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")

# `threads_allowed`: pthread_create calls that still succeed; negative: all. `allocations_until_failure`: n
# makes the n-th allocation from now on fail, once; 0: none.
SHIM = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <stddef.h>

int threads_allowed = -1;
long allocations_until_failure = 0;

int pthread_create(pthread_t *thread, const pthread_attr_t *how, void *(*run)(void *), void *argument) {
    static int (*create)(pthread_t *, const pthread_attr_t *, void *(*)(void *), void *);
    if (!create) *(void **)&create = dlsym(RTLD_NEXT, "pthread_create");
    if (threads_allowed == 0) return EAGAIN;
    if (threads_allowed > 0) --threads_allowed;
    return create(thread, how, run, argument);
}

// One allocation fails, though several threads count: a count below zero fails none.
static int refuses(void) {
    if (__atomic_load_n(&allocations_until_failure, __ATOMIC_RELAXED) <= 0) return 0;
    if (__atomic_sub_fetch(&allocations_until_failure, 1, __ATOMIC_RELAXED) != 0) return 0;
    errno = ENOMEM;
    return 1;
}

void *__libc_malloc(size_t);
void *__libc_calloc(size_t, size_t);
void *__libc_realloc(void *, size_t);
void *__libc_memalign(size_t, size_t);

void *malloc(size_t bytes) { return refuses() ? NULL : __libc_malloc(bytes); }
void *calloc(size_t count, size_t bytes) { return refuses() ? NULL : __libc_calloc(count, bytes); }
void *realloc(void *old, size_t bytes) { return bytes && refuses() ? NULL : __libc_realloc(old, bytes); }
void *memalign(size_t to, size_t bytes) { return refuses() ? NULL : __libc_memalign(to, bytes); }
void *aligned_alloc(size_t alignment, size_t bytes) { return memalign(alignment, bytes); }
int posix_memalign(void **to, size_t alignment, size_t bytes) {
    *to = memalign(alignment, bytes);
    return *to ? 0 : ENOMEM;
}
"""

# What each script begins with: `allow(threads)`, and `fail(n)` for the n-th allocation.
PREAMBLE = f"""
import ctypes, os, sys, time
import numpy as np
sys.path.insert(0, {str(TESTS)!r})
import fastrnn as fr
_shim = ctypes.CDLL(None)
_threads, _count = ctypes.c_int.in_dll(_shim, "threads_allowed"), ctypes.c_long.in_dll(
    _shim, "allocations_until_failure")
def allow(threads): _threads.value = threads
def fail(n): _count.value = n
"""


@functools.cache
def shim() -> str | None:
    """Compile the library; None if this system cannot."""
    if COMPILER is None or not sys.platform.startswith("linux") or os.confstr("CS_GNU_LIBC_VERSION") is None:
        return None
    folder = Path(tempfile.mkdtemp(prefix="fastrnn-shim-"))
    source, library = folder / "shim.c", folder / "shim.so"
    source.write_text(SHIM)
    command = [COMPILER, "-O1", "-shared", "-fPIC", "-o", str(library), str(source), "-ldl"]
    return str(library) if subprocess.run(command, capture_output=True).returncode == 0 else None


needs_shim = pytest.mark.skipif(
    not sys.platform.startswith("linux") or COMPILER is None, reason="no C compiler, or not Linux"
)


def run_script(script: str, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run a Python script in a process of its own."""
    command = [sys.executable, "-X", "faulthandler", "-c", script, *arguments]
    environment = os.environ | variables
    return subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, env=environment)


def run_under_shim(script: str, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run a script that may call `allow` and `fail`; skip the test if the library cannot be compiled."""
    library = shim()
    if library is None:
        pytest.skip("the library that refuses threads and memory cannot be compiled")
    return run_script(PREAMBLE + script, *arguments, LD_PRELOAD=library, **variables)
