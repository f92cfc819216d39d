"""A network that is a chain of layers, its stream and its file."""
