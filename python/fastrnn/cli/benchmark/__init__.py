"""The tools of ``fastrnn bench`` and the benchmark suite: cases, peers, verification, timing.

A `Task` is a call to time and the answer it returns. Every answer is compared with the NumPy reference before
timing; the tasks then take turns (A B C A B C), so that a slowdown of the machine affects all of them. Each
number of threads gets its own process, bound to that many CPUs.
"""
