"""One pass over a batch of sequences, forward and back, and one step at a time."""
