r"""Prompts: the texts that a model goes on from, as they are typed, in a file, or on standard input."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from fastrnn.cli.output import warn
from fastrnn.cli.text_input import STANDARD_INPUT, read_input, warn_of_file

if TYPE_CHECKING:
    from fastrnn.data import Vocabulary

__all__ = ["check_prompt", "read_prompt"]

_MOST_NAMED = 10
_ESCAPE = re.compile(r"\\[nt]")


def read_prompt(name: str, text: str, path: str | None = None, instead: str | None = None) -> str:
    r"""Return a prompt: a file's text if there is a path, that of standard input if it is -, or itself.

    A final line end of a file or of standard input is not part of it, as in a shell's ``$(cat FILE)``.

    Parameters
    ----------
    name : str
        The argument, as messages call it.
    text : str
    path : str, optional
    instead : str, optional
        What to type to read a file, in case the text is the name of one.

    Raises
    ------
    ValueError, OSError
        As `read_input`.

    Examples
    --------
    >>> from fastrnn.cli.prompt_input import read_prompt
    >>> read_prompt("--prompt", "First Citizen:")
    'First Citizen:'
    """
    if path is None and text != STANDARD_INPUT:
        if instead is not None:
            warn_of_file(name, text, instead)
        return text
    try:
        read = read_input([STANDARD_INPUT if path is None else path], "utf-8")
    except ValueError as error:
        message = str(error)
        if "not UTF-8" in message:  # there is no --encoding here
            message = f"{message.partition('; ')[0]}; save it as UTF-8"
        raise ValueError(message) from None
    return read.removesuffix("\n").removesuffix("\r")


def check_prompt(name: str, vocabulary: Vocabulary, prompt: str) -> None:
    r"""Check that the model knows the characters or words of a prompt, and name those it does not.

    A vocabulary that replaces or skips them leads to a warning instead.

    Parameters
    ----------
    name : str
        The argument, as messages call it.
    vocabulary : Vocabulary
    prompt : str

    Raises
    ------
    ValueError
        If there are unknown ones, and the vocabulary has no replacement.

    Examples
    --------
    >>> import fastrnn as fr
    >>> from fastrnn.cli.prompt_input import check_prompt
    >>> check_prompt("--prompt", fr.Vocabulary("ab"), "abba")
    >>> check_prompt("--prompt", fr.Vocabulary("ab"), "aXbY")
    Traceback (most recent call last):
    ...
    ValueError: --prompt: the model does not know the characters 'X', 'Y'
    """
    unknown = [token for token in dict.fromkeys(vocabulary.tokens(prompt)) if token not in vocabulary]
    if not unknown:
        return
    kind = "character" if vocabulary.level == "char" else "word"
    named = ", ".join(map(repr, unknown[:_MOST_NAMED]))
    more = f" and {len(unknown) - _MOST_NAMED} more" if len(unknown) > _MOST_NAMED else ""
    message = f"{name}: the model does not know the {kind}{'s'[: len(unknown) > 1]} {named}{more}"
    if vocabulary.unknown == "error":
        raise ValueError(message + _escape_hint(prompt, unknown))
    instead = "leaves out" if vocabulary.unknown == "skip" else f"reads {vocabulary.unknown} for"
    warn(f"{message}, and {instead} {'each' if len(unknown) > 1 else 'it'}{_escape_hint(prompt, unknown)}")


def _escape_hint(prompt: str, unknown: list[str]) -> str:
    """Explain that a backslash and an n are two characters, if they are, and the model reads no backslash."""
    found = _ESCAPE.search(prompt)
    if found is None or not any("\\" in token for token in unknown):
        return ""
    kind, quoted = ("line end", "tab")[found[0] == r"\t"], prompt.replace("'", r"\'")
    return (
        f"; {found[0]} is a backslash and a letter here: for a {kind} type $'{quoted}' in bash or zsh, or "
        "put the text into a file or on standard input"
    )
