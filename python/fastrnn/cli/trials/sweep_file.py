"""The file of ``fastrnn sweep``: a command, its fixed options, and the options that are tried."""

from __future__ import annotations

from collections.abc import Iterator
from difflib import get_close_matches
from typing import Any

import click

from fastrnn.cli.config import checked_option
from fastrnn.cli.fit import command as fit_command
from fastrnn.cli.model_tasks import TASKS
from fastrnn.cli.toml_files import as_toml, place_of, read_toml
from fastrnn.cli.train import command as train_command
from fastrnn.cli.trials.random_values import RandomValue, read_random_value
from fastrnn.cli.trials.sweep_plan import Sweep

__all__ = ["read_sweep"]

_TABLES = ("command", "grid", "random")
_COMMANDS = ("train", *(f"fit {task}" for task in TASKS))
#: Options that a sweep sets itself, or that its trials cannot share, and what to do instead.
_OWN = {
    "out": "each trial has a folder; --out of fastrnn sweep is where they are",
    "resume": "type fastrnn sweep FILE --resume",
    "overwrite": "each trial has a folder of its own",
    "config": "write the options into [command]",
    "json": "type fastrnn sweep FILE --json",
    "threads": "type fastrnn sweep FILE --threads N",
    "tensorboard": "draw the logs of the trials: fastrnn plot OUT/trial-*/model.jsonl",
}


def read_sweep(path: str) -> Sweep:
    """Read and check the file of a sweep.

    Raises
    ------
    ValueError
        If it is not TOML, has another form, or an option or a value that the command does not have; the
        message has the line where there is one.
    OSError
        If it cannot be read.
    """
    return _Reader(path).read()


class _Reader:
    """Reads a file; messages have its path and lines."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._text, self._tables = read_toml(path)
        self._keys: dict[str, str] = {}  # of options by name, as the file has them

    def read(self) -> Sweep:
        for name, table in self._tables.items():
            if name not in _TABLES:
                similar = get_close_matches(name, _TABLES, n=1)
                hint = f"; did you mean [{similar[0]}]?" if similar else ""
                expected = f"the tables [command], [grid] and [random], got {name}"
                raise ValueError(f"{self._path}: expected {expected}{hint}")
            if not isinstance(table, dict):
                raise ValueError(f"{self._place(name)}: expected a table: [{name}] in a line of its own")
        command, fixed = self._command(dict(self._tables.get("command", {})))
        context = _context_of(command)
        self._check_values(context, {name: (value,) for name, value in fixed.items()})
        grid = self._by_name({key: self._list(key, value) for key, value in self._table("grid")})
        self._check_values(context, {name: tuple(values) for name, values in grid.items()})
        draws, seed, drawn = self._random(dict(self._table("random")))
        self._check_values(context, {name: each.extremes for name, each in drawn.items()})
        sweep = Sweep(command, fixed, grid, drawn, draws, seed)
        self._check_whole(sweep)
        self._check_first(context, sweep)
        return sweep

    def _table(self, name: str) -> list[tuple[str, Any]]:
        return list(self._tables.get(name, {}).items())

    def _place(self, key: str) -> str:
        return place_of(self._path, self._text, self._keys.get(key, key))

    def _by_name(self, values: dict[str, Any]) -> dict[str, Any]:
        """Return values by the names of options, which may be written with underscores."""
        named: dict[str, Any] = {}
        for key, value in values.items():
            name = key.replace("_", "-")
            if name in named:
                raise ValueError(f"{self._place(key)}: expected each option once")
            named[name] = value
            self._keys[name] = key
        return named

    def _command(self, table: dict[str, Any]) -> tuple[str, dict[str, Any]]:
        name = table.pop("name", None)
        if name not in _COMMANDS:
            found = "none" if name is None else as_toml(name)
            names = ", ".join(map(as_toml, _COMMANDS))
            raise ValueError(f"{self._path}: [command]: expected name = one of {names}, got {found:.60}")
        return str(name), self._by_name(table)

    def _list(self, key: str, values: Any) -> list[Any]:
        if not isinstance(values, list):
            raise ValueError(
                f"{self._place(key)}: expected a list of the values to try, got {as_toml(values):.60}; "
                "an option that is fixed belongs in [command]"
            )
        if not values:
            raise ValueError(f"{self._place(key)}: expected at least one value to try, got []")
        if len(set(map(as_toml, values))) < len(values):
            raise ValueError(f"{self._place(key)}: expected different values, got {as_toml(values):.60}")
        return values

    def _random(self, table: dict[str, Any]) -> tuple[int, int, dict[str, RandomValue]]:
        if "random" not in self._tables:
            return 1, 0, {}
        draws, seed = table.pop("trials", None), table.pop("seed", 0)
        if type(draws) is not int or draws < 1:
            found = "none" if draws is None else as_toml(draws)
            raise ValueError(f"{self._path}: [random]: expected trials = N, how often to draw, got {found}")
        if type(seed) is not int or seed < 0:
            raise ValueError(f"{self._place('seed')}: expected an integer >= 0, got {as_toml(seed):.60}")
        drawn = {key: read_random_value(self._place(key), value) for key, value in table.items()}
        return draws, seed, self._by_name(drawn)

    def _check_values(self, context: click.Context, values: dict[str, tuple[Any, ...]]) -> None:
        for name, each in values.items():
            where = self._place(name)
            if name in _OWN:
                raise ValueError(f"{where}: expected no such option here; {_OWN[name]}")
            for value in each:
                if name in ("files", "valid") and "-" in (value if isinstance(value, list) else [value]):
                    raise ValueError(f"{where}: expected files, got -; trials cannot share standard input")
                try:
                    checked_option(context, where, name, value)
                except click.UsageError as error:  # of the command that is tried
                    raise ValueError(error.message) from None

    def _check_whole(self, sweep: Sweep) -> None:
        if not sweep.tried:
            raise ValueError(
                f"{self._path}: expected options to try: [grid] with lists such as hidden-size = [128, 256], "
                "or [random] with trials = N and ranges"
            )
        both = {*sweep.fixed} & {*sweep.tried} | {*sweep.grid} & {*sweep.random}
        for name in sorted(both):
            raise ValueError(f"{self._path}: {name}: expected it in one of [command], [grid] and [random]")
        if not all(_is_validated(sweep.command, {**sweep.fixed, **one}) for one in _first(sweep)):
            lines = ('valid = "FILE"', "valid-fraction = 0.1")
            if sweep.command != "train":
                lines = ('valid = ["FILE"]', "early-stopping = true")
            raise ValueError(
                f"{self._path}: expected data to validate on, as trials are compared by that: "
                f"write {' or '.join(lines)} into [command]"
            )

    def _check_first(self, context: click.Context, sweep: Sweep) -> None:
        """Check the options of the first trial together: what is required is there."""
        options = {**sweep.fixed, **next(iter(sweep))}
        checked = (checked_option(context, name, name, value) for name, value in options.items())
        context.default_map = dict(checked)
        try:
            context.command.parse_args(context, ["--out", "model.safetensors"])
        except click.UsageError as error:
            raise ValueError(f"{self._path}: [command]: {error.format_message()}") from None


def _first(sweep: Sweep) -> Iterator[dict[str, Any]]:
    """Yield every combination of the grid with one draw."""
    for _, options in zip(range(len(sweep) // sweep.draws), sweep, strict=False):
        yield options


def _is_validated(command: str, options: dict[str, Any]) -> bool:
    if options.get("valid"):
        return True
    if command == "train":
        return bool(options.get("valid-fraction", 0.1))
    return bool(options.get("early-stopping", False))


def _context_of(command: str) -> click.Context:
    """Return a context in which options of a command are checked."""
    root = click.Context(click.Group("fastrnn"), info_name="fastrnn")
    words = command.split()
    if words == ["train"]:
        return click.Context(train_command, info_name="train", parent=root)
    group = click.Context(fit_command, info_name="fit", parent=root)
    found = fit_command.get_command(group, words[1])
    assert found is not None  # it is in TASKS
    return click.Context(found, info_name=words[1], parent=group)
