"""Precisions measured: layers and whole training steps in float32, bfloat16 and int8, and the peers' own."""
