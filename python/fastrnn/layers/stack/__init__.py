"""Recurrent layers of different kinds and widths above one another."""
