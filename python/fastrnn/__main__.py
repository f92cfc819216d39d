"""``python -m fastrnn``: the same program as ``fastrnn``."""

from fastrnn.cli import main

if __name__ == "__main__":
    main(prog_name="fastrnn")
