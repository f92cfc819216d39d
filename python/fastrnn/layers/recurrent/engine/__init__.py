"""The engine: one pass over a batch of sequences, forward or backward, and streams of single steps."""
