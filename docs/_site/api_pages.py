"""The pages of the API reference: one for each room of fastrnn, and one for each of its public names.

A name has one page, under the shortest path that leads to it: `fastrnn.LSTM`, not `fastrnn.layers.LSTM`. It
is listed in the first room that has it.
"""

from __future__ import annotations

import importlib
import inspect
from dataclasses import dataclass
from types import ModuleType

#: The rooms in the order of the navigation, with a title for each. fastrnn itself comes last: what is left
#: when the others have taken their names.
ROOMS = {
    "fastrnn.layers": "Layers",
    "fastrnn.layers.init": "Initial values",
    "fastrnn.losses": "Losses",
    "fastrnn.models": "Models",
    "fastrnn.language": "Language model",
    "fastrnn.data": "Data",
    "fastrnn.data.synthetic": "Made-up data",
    "fastrnn.train": "Training",
    "fastrnn.train.distributed": "Training on several processes",
    "fastrnn.decode": "Generating and decoding",
    "fastrnn.inspect": "Looking inside",
    "fastrnn.inspect.properties": "Properties of a text",
    "fastrnn.plots": "Plots",
    "fastrnn.interop": "Other libraries",
    "fastrnn.reference": "The reference in NumPy",
    "fastrnn": "Threads and instruction sets",
}
#: Groups of a room's names, by the module that defines them; names of other modules come last.
GROUPS = {
    "fastrnn.layers": {
        "recurrent": "Recurrent layers",
        "stack": "Several layers as one",
        "sequential": "Several layers as one",
        "composite": "Several layers as one",
        "dense": "Dense layers and attention",
        "loss": "Outputs and losses",
        "base": "Parameters and modules",
    },
    "fastrnn.data": {"shipped": "Data sets to start with"},
    "fastrnn.models": {"reservoir": "Reservoirs"},
    "fastrnn.interop": {"pytorch": "PyTorch", "onnx": "ONNX", "keras": "Keras"},
}
_NO_PAGE = ("__version__",)
#: Their methods are Python's, and no news.
_STRANGERS = "object, tuple, dict, Exception, ValueError, RuntimeError, OSError, Protocol, Generic"


@dataclass(frozen=True)
class Entry:
    """A public name: its full path, its kind ("class", "function" or "data"), its page and its group."""

    path: str
    kind: str
    page: str
    group: str


def public_names(room: str) -> dict[str, object]:
    """Return the objects that a room lists in ``__all__``, without rooms."""
    module = importlib.import_module(room)
    values = {name: getattr(module, name) for name in module.__all__ if name not in _NO_PAGE}
    return {name: value for name, value in values.items() if not isinstance(value, ModuleType)}


def entries() -> dict[str, list[Entry]]:
    """Return each room's entries; a name that several rooms have is in the first, with its shortest path."""
    top = {id(value): name for name, value in public_names("fastrnn").items()}
    found: dict[str, list[Entry]] = {}
    seen: set[int] = set()
    pages: set[str] = set()
    for room in ROOMS:
        names = {name: value for name, value in public_names(room).items() if id(value) not in seen}
        seen |= {id(value) for value in names.values()}
        paths = {
            f"fastrnn.{top[id(v)]}" if id(v) in top else f"{room}.{name}": v for name, v in names.items()
        }
        found[room] = [_entry(path, value, room, pages) for path, value in paths.items()]
    return found


def _entry(path: str, value: object, room: str, pages: set[str]) -> Entry:
    kind = "class" if inspect.isclass(value) else "function" if callable(value) else "data"
    page = path
    while page.lower() in pages:  # report and Report: one file on systems that do not tell them apart
        page += f"-{kind}"
    pages.add(page.lower())
    return Entry(path, kind, page, _group(room, getattr(value, "__module__", "")))


def _group(room: str, module: str) -> str:
    part = module.removeprefix(f"{room}.").partition(".")[0]
    return GROUPS.get(room, {}).get(part, "")


def room_page(room: str, members: list[Entry]) -> str:
    """Return the page of a room: what its docstring says, and a table of its names, group by group."""
    title = f"{ROOMS[room]}"
    lines = [title, "=" * len(title), ""]
    if room != "fastrnn":
        lines += [f".. automodule:: {room}", "   :no-members:", ""]
    titles = dict.fromkeys(GROUPS.get(room, {}).values())
    members = sorted(members, key=lambda member: member.path.count(".") > 1)  # those of fastrnn itself first
    for group in [*titles, ""]:
        paths = [member for member in members if member.group == group]
        if paths and titles:
            heading = group or "More"
            lines += [heading, "-" * len(heading), ""]
        lines += _table(paths)
    pages = [f"   {_short(member.path)} <{member.page}>" for member in members]
    return "\n".join([*lines, ".. toctree::", "   :hidden:", "", *pages, ""])


def _table(members: list[Entry]) -> list[str]:
    if not members:
        return []
    return [
        ".. currentmodule:: None",
        "",
        ".. autosummary::",
        "   :nosignatures:",
        "",
        *(f"   ~{m.path}" for m in members),
        "",
    ]


def _short(path: str) -> str:
    return path.rpartition(".")[2]


def name_page(entry: Entry) -> str:
    """Return the page of a name; a class's has its call and its methods, inherited ones included."""
    module, _, name = entry.path.rpartition(".")
    lines = [name, "=" * len(name), "", f".. currentmodule:: {module}", "", f".. auto{entry.kind}:: {name}"]
    if entry.kind == "class":
        lines += ["   :members:", f"   :inherited-members: {_STRANGERS}", "   :special-members: __call__"]
    return "\n".join([*lines, ""])


def api_pages() -> dict[str, str]:
    """Return the text of every page, by its name without ending."""
    rooms = entries()
    pages = {"api/index": _index()}
    for room, members in rooms.items():
        pages[f"api/{room}-room"] = room_page(room, members)
        pages |= {f"api/{member.page}": name_page(member) for member in members}
    return pages


def _index() -> str:
    rooms = "\n".join(f"   {title} <{room}-room>" for room, title in ROOMS.items())
    return f"""API reference
=============

Every public name has a page. ``import fastrnn as fr`` is assumed, and what stands under ``fastrnn`` here
is under ``fr`` there: :obj:`fastrnn.LSTM` is ``fr.LSTM``. In shapes, T is time steps, N sequences, D the
width of the input, H the hidden width and V the size of the vocabulary.

.. toctree::
   :maxdepth: 1

{rooms}
"""
