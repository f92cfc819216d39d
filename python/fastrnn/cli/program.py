"""The program's commands; every failure becomes one line and an exit code."""

from __future__ import annotations

import importlib
import sys
from typing import Any, NoReturn

import click

from fastrnn._version import __version__
from fastrnn.cli.command_group import CommandGroup
from fastrnn.cli.command_line import remember_arguments
from fastrnn.cli.errors import BAD_INPUT, failure_of
from fastrnn.cli.examples import examples_of
from fastrnn.cli.one_process import is_launched, leave_to_first
from fastrnn.cli.standard_streams import open_closed_streams, show

__all__ = ["main"]

# The module of each command, imported when the command runs.
_COMMANDS = {
    "train": "fastrnn.cli.train",
    "prepare": "fastrnn.cli.prepare",
    "sample": "fastrnn.cli.sample",
    "eval": "fastrnn.cli.evaluate",
    "score": "fastrnn.cli.score",
    "next": "fastrnn.cli.next",
    "inspect": "fastrnn.cli.inspect",
    "fit": "fastrnn.cli.fit",
    "sweep": "fastrnn.cli.sweep",
    "predict": "fastrnn.cli.predict",
    "plot": "fastrnn.cli.plot",
    "data": "fastrnn.cli.data",
    "quantize": "fastrnn.cli.quantize",
    "convert": "fastrnn.cli.convert",
    "bench": "fastrnn.cli.bench",
    "info": "fastrnn.cli.info",
    "help": "fastrnn.cli.help",
}

# Those that the processes of mpiexec do not share.
_OF_ONE_PROCESS = {*"sample next inspect plot data quantize convert bench info help".split()}


class _Program(CommandGroup):
    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _COMMANDS:
            return None
        command: click.Command = importlib.import_module(_COMMANDS[cmd_name]).command
        command.epilog = command.epilog or examples_of(cmd_name)
        return command

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        remember_arguments(ctx, args)
        return super().parse_args(ctx, args)

    def main(self, *args: Any, **extra: Any) -> NoReturn:
        """Run a command and exit: 0 success, 2 bad input, 130 after Ctrl-C, 1 any other failure."""
        extra["standalone_mode"] = False
        open_closed_streams()
        try:
            result = super().main(*args, **extra)
        except BaseException as error:
            said = _of_all_ranks(error, list(args[0]) if args and args[0] else sys.argv[1:])
            failure = failure_of(said)
            if failure is None:
                raise said  # noqa: B904  # in one process it is the error itself
            show(failure.line(), err=True)
            sys.exit(failure.code)
        sys.exit(result if isinstance(result, int) else 0)


def _of_all_ranks(error: BaseException, words: list[str]) -> BaseException:
    """Return an exception, or what all ranks say of it where others wait to meet this one."""
    shared = words[:1] and words[0] in _COMMANDS and words[0] not in _OF_ONE_PROCESS
    if not shared or "mpi4py.MPI" in sys.modules or not is_launched() or isinstance(error, SystemExit):
        return error
    from fastrnn.cli.ranked_command import meet_late

    return meet_late(error)


_SETTINGS = {
    "max_content_width": 100,
    "help_option_names": ["-h", "--help"],
    "token_normalize_func": lambda word: word.replace("_", "-"),  # --batch_size is --batch-size
}


@click.group(cls=_Program, invoke_without_command=True, context_settings=_SETTINGS, epilog=examples_of(""))
@click.version_option(__version__, prog_name="fastrnn")
@click.pass_context
def main(context: click.Context) -> None:
    """Recurrent neural networks on the CPU: train models of text and of sequences, use them.

    Exit codes: 0 success, 2 bad input, 130 interrupted (the training is saved), 1 any other failure.
    """
    if context.invoked_subcommand is None:
        show(context.get_help(), err=True)
        context.exit(BAD_INPUT)
    if context.invoked_subcommand in _OF_ONE_PROCESS:
        leave_to_first(context, context.invoked_subcommand)
