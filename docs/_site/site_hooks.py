"""What Sphinx asks while it builds: pages that are written first, the text of pages, and of docstrings."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from api_pages import api_pages
from command_pages import command_pages
from docstrings import escaped
from gallery_pages import gallery_pages
from repository_text import DOCS, ROOT, page_text, taken_files

WRITTEN = ("api", "commands", "gallery")  # folders of pages that are written here


def connect(app: Any) -> None:
    """Connect the functions of this file with the events of Sphinx."""
    app.connect("builder-inited", write_pages)
    app.connect("source-read", read_page)
    app.connect("autodoc-process-docstring", read_docstring, priority=400)  # before numpydoc, which has 500
    app.connect("autodoc-skip-member", skip_member)
    app.connect("html-page-context", open_own_branch, priority=400)  # before the theme draws the navigation


def write_pages(app: Any) -> None:
    """Write the pages that are not kept in the repository; one that has not changed is left alone."""
    pages = {DOCS / f"{name}.rst": text for name, text in api_pages().items()}
    pages |= {DOCS / f"{name}.md": text for name, text in (command_pages() | gallery_pages()).items()}
    old = {path for folder in WRITTEN for path in (DOCS / folder).glob("*.*")}
    for path in old - pages.keys():
        path.unlink()
    for path, text in pages.items():
        write_if_changed(path, text)


def write_if_changed(path: Path, text: str) -> None:
    """Write a file, unless it has this text already: Sphinx reads again what is newer than its last build."""
    path.parent.mkdir(exist_ok=True)
    if not path.exists() or path.read_text(encoding="utf-8") != text:
        path.write_text(text, encoding="utf-8")


def read_page(app: Any, docname: str, source: list[str]) -> None:
    """Put in the files that a page takes over, and turn its links to those of the site."""
    if app.env.doc2path(docname).suffix == ".md":
        for file in taken_files(source[0]):
            app.env.note_dependency(ROOT / file)
        source[0] = page_text(docname, source[0])


def read_docstring(app: Any, what: str, name: str, obj: object, options: object, lines: list[str]) -> None:
    """Escape what is no markup in a docstring."""
    lines[:] = escaped(lines)


def skip_member(app: Any, what: str, name: str, obj: object, skip: bool, options: object) -> bool | None:
    """Leave out the fields of named tuples: the class's docstring describes them."""
    return True if str(getattr(obj, "__doc__", "")).startswith("Alias for field number") else None


def open_own_branch(
    app: object, pagename: str, template: str, context: dict[str, Any], doctree: object
) -> None:
    """Draw of the navigation only a page's own branch: all branches are 300 links on each of 300 pages."""
    toctree = context.get("toctree")
    if toctree:
        context["toctree"] = lambda **options: toctree(**{**options, "collapse": True})
