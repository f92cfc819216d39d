"""Check the built site: links lead somewhere, headings are in order, images have a text, figures are drawn.

::

    python docs/_site/check_built.py build/docs

Sphinx warns of links that a page's source has. This reads what a browser gets, the theme's links included.
"""

from __future__ import annotations

import sys
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path
from urllib.parse import unquote, urlsplit

HEADINGS = ("h1", "h2", "h3", "h4", "h5", "h6")


class Page(HTMLParser):
    """What a page has: targets of links, ids, levels of headings, and images without a text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.links: list[str] = []
        self.ids: set[str] = set()
        self.levels: list[int] = []
        self.silent_images: list[str] = []
        self.undrawn = text.count("&lt;Figure size")  # what a notebook prints of a figure that it cannot show
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note what a tag has."""
        values = dict(attrs)
        if values.get("id"):
            self.ids.add(values["id"] or "")
        if tag == "a" and values.get("href"):
            self.links.append(values["href"] or "")
        if tag in HEADINGS:
            self.levels.append(HEADINGS.index(tag) + 1)
        if tag == "img":
            self.links.append(values.get("src") or "")
            if not values.get("alt"):
                self.silent_images.append(values.get("src") or "")


def faults(site: Path) -> list[str]:
    """Return a line for each fault of a built site."""
    pages = {path: Page(path.read_text(encoding="utf-8")) for path in sorted(site.rglob("*.html"))}
    found = [] if pages else [f"no pages in {site}"]
    for path, page in pages.items():
        own = [f"an image without a text: {image}" for image in page.silent_images]
        own += [f"a broken link: {link}" for link in page.links if not leads_somewhere(link, path, pages)]
        own += heading_faults(page.levels) + ["a figure that is not drawn"] * page.undrawn
        found += [f"{path.relative_to(site)}: {fault}" for fault in own]
    return found


def leads_somewhere(link: str, path: Path, pages: dict[Path, Page]) -> bool:
    """Return whether a link of a page is external, or its file and the place in it exist."""
    parts = urlsplit(link)
    if parts.scheme or parts.netloc:
        return True
    target = (path.parent / unquote(parts.path)).resolve() if parts.path else path.resolve()
    if not parts.fragment or target not in pages:
        return target.is_file()
    return unquote(parts.fragment) in pages[target].ids


def heading_faults(levels: list[int]) -> list[str]:
    """Return a fault if there is not one first heading, and for each level that is left out.

    A page without headings is one that a script fills: that of search results.
    """
    found = [] if not levels or levels.count(1) == 1 else [f"{levels.count(1)} headings of the first level"]
    skipped = [(a, b) for a, b in pairwise(levels) if b > a + 1]
    return found + [f"a heading of level {b} follows one of level {a}" for a, b in skipped]


if __name__ == "__main__":
    lines = faults(Path(sys.argv[1]).resolve())
    print(*lines, f"{len(lines)} faults", sep="\n")
    sys.exit(bool(lines))
