"""Commands with many options: their help has the options in sections."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import click

__all__ = ["SectionedCommand"]


class SectionedCommand(click.Command):
    """A command whose options are listed in sections.

    Parameters
    ----------
    *arguments, **options
        Those of `click.Command`.
    sections : mapping of str to str, optional
        The names of the parameters in each section, with blanks between them. Options in no section come
        last, as "Other options".
    """

    def __init__(self, *arguments: Any, sections: Mapping[str, str] | None = None, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.sections: dict[str, list[str]] = {
            title: names.split() for title, names in (sections or {}).items()
        }

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the sections."""
        records = {
            option.name: record
            for option in self.get_params(ctx)
            if isinstance(option, click.Option) and (record := option.get_help_record(ctx)) is not None
        }
        shown = {name for names in self.sections.values() for name in names}
        rest = [name for name in records if name not in shown]
        last = "Other options" if self.sections else "Options"
        for title, names in {**self.sections, last: rest}.items():
            rows = [records[name] for name in names if name in records]
            if rows:
                with formatter.section(title):
                    formatter.write_dl(rows)
