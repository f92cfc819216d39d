"""Networks that users make of layers: by names or as a chain, their streams and their files."""
