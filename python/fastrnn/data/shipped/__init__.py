"""Small data sets that come with fastrnn, to start with: each a function, and files for the program."""

from fastrnn.data.shipped.data_set import DataSet
from fastrnn.data.shipped.dates import load_dates
from fastrnn.data.shipped.sentences import load_sentences, load_tales
from fastrnn.data.shipped.series import load_cycles, load_sines
from fastrnn.data.shipped.strings import load_reber
from fastrnn.data.shipped.surnames import load_names
from fastrnn.data.shipped.written import as_conllu, as_json_lines, as_lines, table_writer

__all__ = [
    "DATA_SETS",
    "DataSet",
    "load_cycles",
    "load_dates",
    "load_names",
    "load_reber",
    "load_sentences",
    "load_sines",
    "load_tales",
]

_WRITTEN = "written for fastrnn, under its licence"
_GENERATED = "generated from a fixed seed, under the licence of fastrnn"
#: By name.
DATA_SETS = {
    each.name: each
    for each in (
        DataSet(
            "names", "900 surnames and the language of each, one of twelve", "classify", _WRITTEN,
            ("names.csv", "names-valid.csv"),
            "fastrnn fit classify names.csv --valid names-valid.csv --epochs 30 --dropout 0.5 "
            "--out names.safetensors",
            load_names, table_writer("name", "language"),
        ),
        DataSet(
            "sines", "1,200 noisy sines and the period of each", "regress", _GENERATED,
            ("sines.jsonl", "sines-valid.jsonl"),
            "fastrnn fit regress sines.jsonl --valid sines-valid.jsonl --epochs 30 --out sines.safetensors",
            load_sines, as_json_lines,
        ),
        DataSet(
            "sentences", "1,200 English sentences with a tag for each word", "tag", _GENERATED,
            ("sentences.conllu", "sentences-valid.conllu"),
            "fastrnn fit tag sentences.conllu --valid sentences-valid.conllu --out sentences.safetensors",
            load_sentences, as_conllu,
        ),
        DataSet(
            "dates", "4,400 dates in many written forms, and as ISO dates", "translate", _GENERATED,
            ("dates.csv", "dates-valid.csv"),
            "fastrnn fit translate dates.csv --valid dates-valid.csv --out dates.safetensors",
            load_dates, table_writer("written", "iso"),
        ),
        DataSet(
            "reber", "1,200 strings of the embedded Reber grammar", "generate", _GENERATED,
            ("reber.txt", "reber-valid.txt"),
            "fastrnn fit generate reber.txt --valid reber-valid.txt --out reber.safetensors",
            load_reber, as_lines,
        ),
        DataSet(
            "cycles", "500 years of a series like yearly sunspot numbers", "forecast", _GENERATED,
            ("cycles.csv", "cycles-valid.csv"),
            "fastrnn fit forecast cycles.csv --valid cycles-valid.csv --window 22 --epochs 100 "
            "--out cycles.safetensors",
            load_cycles, table_writer("activity"),
        ),
        DataSet(
            "tales", "a text of simple English sentences", "text", _GENERATED,
            ("tales.txt", "tales-valid.txt"),
            "fastrnn train tales.txt --valid tales-valid.txt --epochs 5 --out tales.safetensors",
            load_tales, str,
        ),
    )
}  # fmt: skip
