"""Foundations of all layers: named parameters in one flat array, modules, random numbers, dropout."""
