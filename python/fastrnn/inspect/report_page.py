"""The page of the report: one HTML file of the template, the style, the scripts and the data."""

from __future__ import annotations

import base64
import hashlib
import html
import json
from collections.abc import Mapping
from importlib import resources
from string import Template
from typing import Any

from fastrnn._version import __version__
from fastrnn.inspect.shown_symbols import visible

__all__ = ["build_page"]

# In this order: each uses what those before it define.
_SCRIPTS = ("data.js", "charts.js", "text_panel.js", "unit_panel.js", "details.js", "report.js")
# What could end the element that holds the data, or begin another one.
_MARKUP = {"<": "\\u003c", ">": "\\u003e", "&": "\\u0026"}


def build_page(title: str, data: Mapping[str, Any]) -> str:
    """Return the text of the HTML file.

    Titles, symbols and all other data are never markup: they are JSON inside an element that no browser runs,
    without any ``<``, and the page's script sets them as text. The page's policy allows its own script and
    style, by their hashes, and nothing else: no other script, no network.

    Parameters
    ----------
    title : str
    data : mapping
        Plain values.
    """
    script = "\n".join(map(_asset, _SCRIPTS))
    style = _asset("report.css")
    return Template(_asset("report.html")).substitute(
        title=html.escape(visible(title)),
        generator=f"fastrnn {__version__}",
        script=script,
        script_hash=_digest(script),
        style=style,
        style_hash=_digest(style),
        data=_as_json(data),
    )


def _asset(name: str) -> str:
    return resources.files("fastrnn.inspect").joinpath("assets", name).read_text(encoding="utf-8")


def _digest(text: str) -> str:
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode("ascii")


def _as_json(data: Mapping[str, Any]) -> str:
    """Return JSON in ASCII that is also safe inside an HTML element."""
    text = json.dumps(data, separators=(",", ":"), allow_nan=False)
    for character, escape in _MARKUP.items():
        text = text.replace(character, escape)
    return text
