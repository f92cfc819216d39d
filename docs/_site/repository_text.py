"""Text of the repository's own files on the site, and the links between them.

A page takes over a file of the repository with one line, a comment that GitHub does not show::

    <!-- CHANGELOG.md -->
    <!-- README.md: introduction -->
    <!-- README.md: sections -->

The first takes the whole file, the second what stands between its title and its first section, the third all
from its first section on. Links are written as GitHub reads them, from the file's own folder; on the site
they lead to the page that shows the file, or to the file itself.
"""

from __future__ import annotations

import os
import re
from pathlib import Path, PurePosixPath

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
#: The pages that show a file or a folder of the repository outside docs/.
PAGES = {
    "README.md": "index",
    "CONTRIBUTING.md": "project/contributing",
    "CHANGELOG.md": "project/changelog",
    "SECURITY.md": "project/security",
    "benchmarks/README.md": "project/benchmarks",
    "examples": "gallery/index",
    "examples/c": "gallery/c",
    "examples/c/README.md": "gallery/c",
    "examples/long_term": "gallery/index",
}
_TAKEN = re.compile(r"^<!-- ([\w./-]+\.md)(?:: (introduction|sections))? -->$", re.MULTILINE)
_FENCE = re.compile(r"^(```+|~~~+).*?^\1 *$", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"(?P<open>!?\[(?P<text>[^\]]*)\]\()(?P<target>[^)\s]+)(?P<close>\))")


def taken_files(text: str) -> list[str]:
    """Return the files of the repository that a page's text takes over."""
    return [match[1] for match in _TAKEN.finditer(text)]


def page_text(docname: str, text: str) -> str:
    """Return a page's text with the files that it takes over, and links that lead to pages.

    Examples
    --------
    >>> page_text("layers", "[How](how-it-works.md#the-step), [a file](../cpp/c/fastrnn.h)")
    '[How](/how-it-works.md#the-step), [a file](../cpp/c/fastrnn.h)'
    """
    folder = PurePosixPath(docname).parent
    own = relinked(text, PurePosixPath("docs") / folder, folder)
    return _TAKEN.sub(lambda match: _taken(match[1], match[2], folder), own)


def _taken(file: str, part: str | None, folder: PurePosixPath) -> str:
    """Return a part of a file, with links as from a page in a folder of docs/."""
    text = (ROOT / file).read_text(encoding="utf-8")
    if part:
        introduction, _, sections = text.partition("\n## ")
        text = introduction.partition("\n")[2] if part == "introduction" else f"## {sections}"
    return relinked(text, PurePosixPath(file).parent, folder)


def relinked(text: str, origin: PurePosixPath, folder: PurePosixPath) -> str:
    """Return Markdown of a file in the repository's folder `origin`, with links as from docs/`folder`."""

    def replaced(match: re.Match[str]) -> str:
        target = site_target(match["target"], origin, folder)
        return match["text"] if target is None else match["open"] + target + match["close"]

    pieces, end = [], 0
    for fence in _FENCE.finditer(text):  # code stays as it is
        pieces += [_LINK.sub(replaced, text[end : fence.start()]), fence[0]]
        end = fence.end()
    return "".join([*pieces, _LINK.sub(replaced, text[end:])])


def site_target(target: str, origin: PurePosixPath, folder: PurePosixPath) -> str | None:
    """Return where a link leads on the site: /PAGE.md for a page, else the file; None for a folder."""
    if re.match(r"[a-z]+:|#|/", target):
        return target
    path, hash_sign, heading = target.partition("#")
    file = os.path.normpath(origin / path)
    page = page_of(file)
    if page is not None:
        return f"/{page}.md{hash_sign}{heading}"
    if (ROOT / file).is_dir():
        return None
    path = os.path.relpath(file, PurePosixPath("docs") / folder)
    return f"path:{path}" if path.endswith(".md") else path  # to the file as it is


def page_of(file: str) -> str | None:
    """Return the page that shows a file of the repository, by its name without ending; None if none does.

    Examples
    --------
    >>> page_of("docs/layers.md"), page_of("CHANGELOG.md"), page_of("examples/names.py"), page_of("LICENSE")
    ('layers', 'project/changelog', 'gallery/names', None)
    """
    path = PurePosixPath(file)
    if path.parts[0] == "docs" and path.suffix == ".md":
        return path.relative_to("docs").with_suffix("").as_posix()
    if path.parts[0] == "examples" and path.suffix == ".py":
        return f"gallery/{path.stem}"
    return PAGES.get(path.as_posix())
