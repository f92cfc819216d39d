"""The examples at the end of each command's help: lines to type, with what each does."""

from __future__ import annotations

__all__ = ["EXAMPLES", "examples_of"]

#: For each command, and "" for the program: pairs of a line and what it does.
EXAMPLES: dict[str, tuple[tuple[str, str], ...]] = {
    "": (
        ("fastrnn train book.txt", "train a model of characters"),
        ("fastrnn sample fastrnn-model.safetensors", "let it write"),
        ("fastrnn help train", "the options of a command"),
    ),
    "train": (
        ("fastrnn train", "on text that is there: Python's own source"),
        ("fastrnn train book.txt --out book.safetensors", "a model of characters"),
        ("fastrnn train news.txt --level word --tied --dropout 0.25", "a model of words"),
        ("fastrnn train book.txt --precision bfloat16", "in half the bits"),
        ("fastrnn train --resume book.safetensors --steps 5000", "continue a training"),
        ("cat *.txt | fastrnn train -", "texts from standard input"),
        ("mpiexec -n 4 fastrnn train book.txt --batch-size 64", "on four processes"),
    ),
    "prepare": (
        ("fastrnn prepare wiki.txt --level word --max-types 50000 --out wiki.ids", "once"),
        ("fastrnn train wiki.ids", "as often as you like"),
        ("fastrnn prepare test.txt --vocabulary wiki.ids --out test.ids", "to fastrnn eval"),
    ),
    "sample": (
        ('fastrnn sample book.safetensors --prompt "Once upon"', "continue a text"),
        ("fastrnn sample book.safetensors --temperature 0.5 --length 300", "a safer text"),
        ("fastrnn sample names.safetensors --count 10", "ten texts"),
    ),
    "eval": (
        ("fastrnn eval book.safetensors other.txt", "loss and perplexity"),
        ("cat other.txt | fastrnn eval book.safetensors -", "of standard input"),
        ("fastrnn eval book.safetensors other.txt --precision int8", "what int8 costs"),
    ),
    "score": (
        ('fastrnn score news.safetensors "a text" "another text" --rank', "the likeliest first"),
        ("fastrnn score news.safetensors --unit bits < lines.txt", "each line of a file"),
    ),
    "next": (('fastrnn next news.safetensors "the cat" --top 5', "the likeliest words after it"),),
    "inspect": (
        ("fastrnn inspect book.safetensors --text valid.txt --out report.html", "then open report.html"),
    ),
    "fit": (
        ("fastrnn fit classify names.csv --out names.safetensors", "two columns: text, class"),
        ("fastrnn fit tag train.conllu --out tagger.safetensors", "a tag for each word"),
        ("mpiexec -n 4 fastrnn fit tag train.conllu --out tagger.safetensors", "on four processes"),
        ("fastrnn help fit classify", "the options of a task"),
    ),
    "fit classify": (
        ("fastrnn fit classify names.csv --x name --y country --out names.safetensors", ""),
        ("fastrnn fit classify notes.jsonl --y tags --y-as labels --out n.safetensors", ""),
    ),
    "fit regress": (("fastrnn fit regress reviews.csv --x text --y stars --out stars.safetensors", ""),),
    "fit tag": (("fastrnn fit tag train.conllu --x form --y upos --out tagger.safetensors", ""),),
    "fit translate": (("fastrnn fit translate pairs.txt --format pairs --out dates.safetensors", ""),),
    "fit transcribe": (("fastrnn fit transcribe list.csv --x file --y said --out speech.safetensors", ""),),
    "fit generate": (("fastrnn fit generate names.csv --x country --y name --out names.safetensors", ""),),
    "fit forecast": (("fastrnn fit forecast sales.csv --y sales --out sales.safetensors", ""),),
    "sweep": (
        ("fastrnn sweep search.toml --dry-run", "the trials, and how many there are"),
        ("fastrnn sweep search.toml --processes 4", "four trials at a time"),
        ("fastrnn sweep search.toml --resume", "those that are missing"),
    ),
    "predict": (
        ("fastrnn predict names.safetensors new.csv", "adds a column, on standard output"),
        ("fastrnn predict names.safetensors new.csv --proba --out done.csv", "with probabilities"),
        ("fastrnn predict sales.safetensors --steps 12", "the next twelve steps"),
    ),
    "plot": (
        ("fastrnn plot book.jsonl", "losses and learning rate"),
        ("fastrnn plot lstm.jsonl gru.jsonl --x seconds", "two trainings"),
    ),
    "data": (
        ("fastrnn data", "what there is"),
        ("fastrnn data names", "its files, into this folder"),
        ("fastrnn data names --out names", "into another folder"),
    ),
    "quantize": (
        ("fastrnn quantize book.safetensors --out small.safetensors", "in int8"),
        ("fastrnn quantize names.safetensors --precision bfloat16 --out n.safetensors", "in bfloat16"),
    ),
    "convert": (
        ("fastrnn convert model.pt model.safetensors --check", "from PyTorch"),
        ("fastrnn convert model.safetensors model.onnx", "to ONNX"),
    ),
    "bench": (("fastrnn bench --cell gru --shape 64,32,128,256", "one cell, one shape"),),
    "info": (("fastrnn info --json", "for a report of a fault"),),
    "help": (("fastrnn help fit classify", ""),),
}
_ROOM = 68  # for a line and what it does, in a terminal of 80 columns


def examples_of(command: str) -> str | None:
    """Return the examples of a command as a paragraph whose lines click keeps; None if there are none."""
    found = EXAMPLES.get(command)
    if found is None:
        return None
    width = max(len(line) for line, _ in found)
    beside = all(width + len(what) <= _ROOM for _, what in found)
    lines = []
    for line, what in found:
        if beside:
            lines.append(f"  {line:{width}}  # {what}" if what else f"  {line}")
        else:
            lines += ([f"  # {what}"] if what else []) + [f"  {line}"]
    return "\n".join(["\b", "Examples:", *lines])
