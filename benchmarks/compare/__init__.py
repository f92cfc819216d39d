"""The suite: fastrnn against its peers over a grid of shapes; see benchmarks/README.md."""
