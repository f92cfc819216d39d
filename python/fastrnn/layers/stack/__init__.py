"""Stacks of recurrent layers of different kinds and widths."""
