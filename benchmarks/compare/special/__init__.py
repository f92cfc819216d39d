"""Benchmarks besides the grid. Each file has ``points(job, limits)``, which yields its points."""
