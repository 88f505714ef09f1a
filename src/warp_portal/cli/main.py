"""The entry point of `warp`: finds the command, runs it, and turns whatever happens into a message and an exit code.

Commands are imported only when they run or complete, so that `warp --help` stays fast.
"""

import errno
import os
import sys
import traceback
from collections.abc import Sequence
from importlib import import_module
from typing import Final

import click

from warp_portal.cli.output import STDOUT, Output
from warp_portal.errors import EXIT_BROKEN_PIPE, EXIT_INTERRUPTED, EXIT_OK, UsageError, VersionError

COMPLETION_VARIABLE: Final = "_WARP_COMPLETE"
# Section, then (command, what it does); the module of a command is `warp_portal.cli.<command>_command`.
SECTIONS: Final = (
    (
        "Archives",
        (
            ("analyze", "Tell what a create would give, before it is done."),
            ("create", "Pack paths into a new archive, or resume one."),
            ("append", "Add a snapshot to an archive."),
            ("extract", "Restore files from an archive."),
            ("cat", "Write one file of an archive to stdout."),
            ("list", "List the entries of a snapshot."),
            ("info", "Show what an archive is and holds."),
            ("diff", "Show what changed between snapshots, or since one."),
            ("verify", "Check an archive for damage and forgery."),
            ("forget", "Keep some snapshots of an archive, and lose the others."),
            ("compact", "Write an archive anew without what nothing uses."),
        ),
    ),
    ("Keys", (("key", "Make keys; add, remove and list an archive's."),)),
    (
        "Transfer",
        (
            ("send", "Send files and directories to another machine."),
            ("receive", "Receive what another machine sends."),
            ("serve", "Keep offering files or an archive to many machines."),
            ("sessions", "List, resume and discard what was not finished."),
            ("peers", "Save, list and forget other machines."),
        ),
    ),
    (
        "This machine",
        (
            ("doctor", "Find out what holds transfers up."),
            ("bench", "Measure what this machine can do."),
            ("config", "Show and change settings."),
            ("completion", "Print the completion script of a shell."),
        ),
    ),
)
# What other programs call it.
OTHER_WORDS: Final = {
    **dict.fromkeys(("backup", "pack", "new", "init"), "create"),
    **dict.fromkeys(("add", "update", "snapshot"), "append"),
    **dict.fromkeys(("restore", "unpack", "x"), "extract"),
    **dict.fromkeys(("ls", "find"), "list"),
    **dict.fromkeys(("snapshots", "stats", "show"), "info"),
    **dict.fromkeys(("check", "test"), "verify"),
    **dict.fromkeys(("prune", "gc", "delete", "remove", "rm"), "forget"),
    **dict.fromkeys(("keygen", "passwd"), "key"),
    **dict.fromkeys(("diagnose", "ping", "speedtest"), "doctor"),
    "repair": "extract",
    "sign": "append",
    "help": "--help",
}
_HELP: Final = {name: says for _, commands in SECTIONS for name, says in commands}


class LazyGroup(click.Group):
    """A group that knows its commands by name and imports one when it is asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """All names, in the order of the help."""
        return list(_HELP)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import a command."""
        if cmd_name not in _HELP:
            return None
        command: click.Command = import_module(f"warp_portal.cli.{cmd_name}_command").command
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """As click, but who mistypes a command, or uses another program's word for it, is told ours."""
        if args and args[0] not in _HELP and (near := _nearest(args[0])):
            ctx.fail(f"No such command {args[0]!r}: what comes nearest is `warp {near}`")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The commands by section, without importing any."""
        for title, commands in SECTIONS:
            with formatter.section(title):
                formatter.write_dl(list(commands), col_spacing=4)


def _nearest(word: str) -> str | None:
    """The command that a word stands for elsewhere, or that it resembles."""
    if word in OTHER_WORDS:
        return OTHER_WORDS[word]
    import difflib

    return next(iter(difflib.get_close_matches(word, _HELP, 1)), None)


@click.command(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(package_name="warp-portal", message="%(prog)s %(version)s")
def cli() -> None:
    """Pack trees into .warp archives: deduplicated, compressed, encrypted, verifiable, resumable. Send files from machine to machine.

    \b
      warp create home.warp work --encrypt     pack a tree
      warp append home.warp work               add its present state
      warp extract home.warp -C /tmp/back      restore it
      warp send photos                         offer files to another machine
      warp receive 7-apple-river-stone         take them there
    """  # noqa: D301  # click wants the character, not two


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; the exit code."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    _hold_standard_descriptors()
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    if sys.platform == "win32":
        sys.stderr.write("warp: Windows is not supported: run warp in WSL 2, or on Linux or macOS\n")
        return VersionError.exit_code
    completing = _complete()
    if completing is not None:
        return completing
    options = words[: words.index("--")] if "--" in words else words
    output = Output(json_lines="--json" in options)
    output.words = tuple(words)
    try:
        return _finished(_guarded(words, output), output)
    except BrokenPipeError:  # the reader of stdout has left: say nothing
        output.abandon()
        return EXIT_BROKEN_PIPE
    except KeyboardInterrupt:  # once more, where nobody reads what the first one had to say
        output.abandon()
        return EXIT_INTERRUPTED


def _hold_standard_descriptors() -> None:
    """Occupy 0, 1 and 2 where the caller has closed them, so that no archive is opened there and written to by mistake."""
    for fd in (0, 1, 2):
        try:
            os.fstat(fd)
        except OSError:
            os.open(os.devnull, os.O_RDONLY)  # takes the lowest free number, this one; writing to it fails


def _finished(code: int, output: Output) -> int:
    """Write what is still buffered; the exit code, of that if it fails."""
    try:
        output.exit(code)
    except BrokenPipeError:
        raise
    except Exception as error:  # noqa: BLE001  # as in _guarded
        return _explained(error, output)
    return code


def _complete() -> int | None:
    """Answer a shell that asks for completions; None if none does."""
    from warp_portal.config import completion_request

    instruction = completion_request(COMPLETION_VARIABLE)
    if not instruction:
        return None
    from click.shell_completion import shell_complete

    return shell_complete(cli, {}, "warp", COMPLETION_VARIABLE, instruction)


def _guarded(words: list[str], output: Output) -> int:
    """Run the command; every failure becomes one line and a code, except where WARP_DEBUG asks for the traceback."""
    try:
        with cli.make_context("warp", words, obj=output) as context:
            return int(cli.invoke(context) or EXIT_OK)
    except click.exceptions.Exit as done:
        return done.exit_code
    except click.exceptions.NoArgsIsHelpError as error:
        output.remark(error.format_message())
        return UsageError.exit_code
    except click.ClickException as error:
        output.failure(_usage_message(error), "UsageError", UsageError.exit_code)
        return UsageError.exit_code
    except (KeyboardInterrupt, click.Abort, EOFError):
        output.failure(f"interrupted{output.resume_hint}", "CancelledError", EXIT_INTERRUPTED)
        return EXIT_INTERRUPTED
    except BrokenPipeError:
        raise
    except Exception as error:  # noqa: BLE001  # the root of all commands: nothing may reach the user as a traceback
        return _explained(error, output)


def _explained(error: Exception, output: Output) -> int:
    from warp_portal.cli.failures import explain
    from warp_portal.config import debugging

    if isinstance(error, OSError) and error.errno == errno.EPIPE:
        raise BrokenPipeError(errno.EPIPE, "the reader has left") from error
    if debugging():
        raise error
    failure = explain(_placed(error))
    output.failure(failure.message, failure.name, failure.code)
    return failure.code


def _placed(error: Exception) -> Exception:
    """The error, named by standard output if it is help or a version, which click writes, that found no place there."""
    if isinstance(error, OSError) and error.filename is None:
        frames = traceback.walk_tb(error.__traceback__)
        if any(frame.f_code is click.echo.__code__ for frame, _ in frames):
            error.filename = STDOUT
    return error


def _usage_message(error: click.ClickException) -> str:
    where = error.ctx.command_path if isinstance(error, click.UsageError) and error.ctx else "warp"
    return f"{error.format_message().rstrip('.')}: see {where} --help"
