"""Docstrings as the site reads them.

They are plain text with ``code`` and `names`; an asterisk is a product or a list of arguments, and a name may
end with an underscore; "H." is a sentence. reStructuredText would read markup in the first two and a list in
the last, so they are escaped here, once, and the source stays readable.
"""

from __future__ import annotations

import re

_LITERAL = re.compile(r"``.*?``|`[^`]*`_{0,2}")
_LETTER = re.compile(r"^( *)(?=[A-Za-z]\.(?: |$))")
_MARKUP = re.compile(r"(?<!\\)([*|]|(?<=\w)_(?!\w))")


def escaped(lines: list[str]) -> list[str]:
    r"""Return a docstring's lines with asterisks, bars and last underscores of names escaped.

    Code stays: what is in backticks, examples, and blocks after "::".

    Examples
    --------
    >>> escaped(["x : [L*directions, N]", "    Of ``a*b``, see classes_."])
    ['x : [L\\*directions, N]', '    Of ``a*b``, see classes\\_.']
    """
    text, code, literal = [], None, False
    for line in lines:
        indent = len(line) - len(line.lstrip())
        if code is not None and line.strip() and indent <= code:
            code = None
        literal = bool(line.strip()) and (literal or line.lstrip().startswith(">>>"))
        text.append(line if literal or code is not None else _escaped_line(line))
        if code is None and line.rstrip().endswith("::"):
            code = indent
    return text


def _escaped_line(line: str) -> str:
    line = _LETTER.sub(r"\1\\", line)
    pieces, end = [], 0
    for match in _LITERAL.finditer(line):
        pieces += [_MARKUP.sub(r"\\\1", line[end : match.start()]), match[0]]
        end = match.end()
    return "".join([*pieces, _MARKUP.sub(r"\\\1", line[end:])])
