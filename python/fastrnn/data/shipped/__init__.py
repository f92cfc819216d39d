"""Small data sets that come with fastrnn, to start with: each a function, and files for the program."""

from fastrnn.data.shipped.data_set import DataSet
from fastrnn.data.shipped.surnames import load_names
from fastrnn.data.shipped.written import table_writer

__all__ = ["DATA_SETS", "DataSet", "load_names"]

#: By name.
DATA_SETS = {
    each.name: each
    for each in (
        DataSet(
            "names", "900 surnames and the language of each, one of twelve", "classify",
            "written for fastrnn, under its licence", ("names.csv", "names-valid.csv"),
            "fastrnn fit classify names.csv --valid names-valid.csv --out names.safetensors",
            load_names, table_writer("name", "language"),
        ),
    )
}  # fmt: skip
