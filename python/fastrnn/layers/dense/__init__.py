"""Layers without time: linear, embedding, the head of several layers."""
