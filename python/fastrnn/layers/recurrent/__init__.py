"""Recurrent layers: options, shapes, the engine that runs them, and a class for each cell."""
