"""The gallery: a page for each script of examples/, from its docstring, its picture and its code.

The docstrings are Markdown and have the figures that the scripts were measured with. Pictures and printed
results are stored: the scripts made them with the command that stands below them, which `SHOWN` names.
"""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass
from pathlib import Path

from repository_text import DOCS, ROOT

EXAMPLES = ROOT / "examples"
IMAGES = DOCS / "images"


@dataclass(frozen=True)
class Shown:
    """What a page shows: a picture of docs/images, what is seen in it, and the command that drew it."""

    picture: str
    seen: str
    command: str


SHOWN = {
    "dates": Shown(
        "dates.png",
        "Attention: for each character of an ISO date, how much of it each character of the written date has",
        "python examples/dates.py --seeds 1 --draw dates.png",
    ),
    "echo_state": Shown(
        "echo-state.png",
        "The Mackey-Glass series and an echo state network that goes on alone for 1,500 steps, and its error",
        "python examples/echo_state.py --task mackey-glass --plot echo-state.png",
    ),
    "forecast": Shown(
        "forecast.png",
        "Twelve steps of a made-up series with a season: the median of the forecast, its band, and the truth",
        "python examples/forecast.py --small --plot forecast.png",
    ),
    "reber": Shown(
        "reber.png",
        "Reber strings: the validation loss of eight networks during training, and the gradient norm by lag",
        "python examples/long_term/reber.py --plot reber.png",
    ),
    "temporal_order": Shown(
        "temporal-order.png",
        "Temporal order: the validation loss of eight networks during training, and the gradient norm by lag",
        "python examples/long_term/temporal_order.py --plot temporal-order.png",
    ),
    "inspect_text": Shown(
        "unit.png",
        "A text of Shakespeare, each symbol coloured by the value of one unit, which falls along each line",
        "python examples/inspect_text.py model.best.safetensors valid.txt --draw unit.png",
    ),
    "gradient_flow": Shown(
        "gradient-flow.png",
        "The norm of the gradient against the lag, for five networks as they begin",
        "python examples/long_term/gradient_flow.py --plot gradient-flow.png",
    ),
    "clipping": Shown(
        "clipping.png",
        "Three descents on the loss of one unit: without clipping, clipped by norm and clipped by value",
        "python examples/long_term/clipping.py --plot clipping.png",
    ),
    "adding": Shown(
        "adding-problem-100.png",
        "The adding problem: each network's error during training, and its gradient norm against the lag",
        "python examples/long_term/adding.py --lengths 100 --plot adding-problem.png",
    ),
}
FOLDERS = {
    "": ("Sequences and texts", "Run them from a clone of the repository."),
    "long_term": (
        "Long-term dependencies",
        "Eight networks of as many parameters learn the classic tasks.",
    ),
}


def scripts() -> list[Path]:
    """Return the scripts in the order of the gallery: what is run, not what others import."""
    found = [path for path in sorted(EXAMPLES.rglob("*.py")) if "__main__" in path.read_text("utf-8")]
    return sorted(found, key=lambda path: path.parent != EXAMPLES)


def title_and_text(script: Path) -> tuple[str, str]:
    """Return a script's title, its docstring's first clause, and the whole docstring as Markdown."""
    docstring = ast.get_docstring(ast.parse(script.read_text(encoding="utf-8"))) or ""
    first = docstring.partition("\n\n")[0].replace("\n", " ")
    title = re.split(r"(?<=\?) |: |, with |\. ", first.rstrip("."), maxsplit=1)[0]
    return title, docstring.replace("::\n", ":\n")


def script_page(script: Path) -> str:
    """Return the page of a script."""
    title, text = title_and_text(script)
    parts = [f"# {title}", text]
    shown = SHOWN.get(script.stem)
    if shown:
        parts += [f"![{shown.seen}](/images/{shown.picture})", "Drawn by:", _fenced("sh", shown.command)]
    name = script.relative_to(ROOT).as_posix()
    include = f"{{literalinclude}} ../../{name}\n:language: python\n:caption: {name}"
    return "\n\n".join([*parts, "## The script", _fenced(include)]) + "\n"


def _fenced(language: str, text: str = "") -> str:
    return f"```{language}\n{text}\n```" if text else f"```{language}\n```"


def gallery_index() -> str:
    """Return the gallery's first page: a card for each script, those with a picture first in each group."""
    parts = [
        "# Gallery",
        "Each page is a script of `examples/`: what it shows, figures that were measured with its full "
        "settings, and its code. `--small` runs any of them in seconds, to see that it runs; "
        "its figures mean nothing. A picture was drawn by the command below it.",
    ]
    for folder, (title, text) in FOLDERS.items():
        found = [s for s in scripts() if s.parent == EXAMPLES / folder]
        parts += [f"## {title}", text, _cards(sorted(found, key=lambda s: s.stem not in SHOWN))]
    pages = "\n".join([*(script.stem for script in scripts()), "c"])
    return "\n\n".join([*parts, f"```{{toctree}}\n:hidden:\n\n{pages}\n```"]) + "\n"


def _cards(found: list[Path]) -> str:
    return "\n\n".join(["::::{grid} 1 2 3 3\n:gutter: 3", *map(_card, found), "::::"])


def _card(script: Path) -> str:
    title, _ = title_and_text(script)
    head = f":::{{grid-item-card}} {title}\n:link: /gallery/{script.stem}\n:link-type: doc"
    shown = SHOWN.get(script.stem)
    image = f"\n:img-top: /images/{shown.picture}\n:img-alt: {shown.seen}" if shown else ""
    return f"{head}{image}\n\n`{script.name}`\n:::"


def gallery_pages() -> dict[str, str]:
    """Return the text of every page of the gallery, by its name without ending."""
    pages = {f"gallery/{script.stem}": script_page(script) for script in scripts()}
    return pages | {"gallery/index": gallery_index(), "gallery/c": _programs_in_c()}


def _programs_in_c() -> str:
    files = sorted((EXAMPLES / "c").glob("*.c"))
    code = [
        f"## {path.name}\n\n" + _fenced(f"{{literalinclude}} ../../examples/c/{path.name}\n:language: c")
        for path in files
    ]
    return "\n\n".join(["<!-- examples/c/README.md -->", *code]) + "\n"
