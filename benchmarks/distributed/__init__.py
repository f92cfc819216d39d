"""Data-parallel training: what its reductions and steps cost, and a model of that."""
