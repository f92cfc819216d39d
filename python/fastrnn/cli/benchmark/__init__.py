"""What ``fastrnn bench`` and the benchmark suite measure with: cases, peers, verification, clocks.

A `Task` is a thing to time together with the answer it gives. Every answer is compared with the NumPy
reference before any clock runs; the tasks then take turns (A B C A B C), so that a machine that slows down
slows all of them. Each number of threads has a process of its own, bound to that many CPUs.
"""
