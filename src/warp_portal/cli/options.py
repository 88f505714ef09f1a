"""Options that several commands share, so that each means the same everywhere."""

import os
from collections.abc import Callable
from typing import Any, TypeVar

import click

from warp_portal.cli.output import Output

F = TypeVar("F", bound=Callable[..., Any])


def archive(function: F) -> F:
    """ARCHIVE that is there already: a file, since it is read here and there."""
    return _apply(function, click.argument("archive", callback=_no_pipe))


def common(function: F) -> F:
    """--json, -q and -v, and the Output as first argument: on every command."""
    return _apply(
        function,
        click.pass_obj,
        click.option(
            "--json", is_flag=True, expose_value=False, help="Write JSON lines to stdout, and nothing else there."
        ),
        click.option(
            "-q",
            "--quiet",
            is_flag=True,
            expose_value=False,
            callback=_set_quiet,
            help="Say nothing but results, errors and warnings.",
        ),
        click.option(
            "-v",
            "--verbose",
            count=True,
            expose_value=False,
            callback=_set_verbose,
            help="Log what happens; twice: in detail.",
        ),
    )


def work(function: F) -> F:
    """Threads and memory: on commands that move data."""
    return _apply(
        function,
        click.option("-j", "--threads", metavar="N", help="Threads to work on (default: one a core)."),
        click.option("--memory", metavar="SIZE", help="Memory for buffers and indexes, as 512M (default: 256M)."),
    )


def opening(function: F) -> F:
    """Keys that open an archive."""
    return _apply(
        function,
        click.option("-p", "--passphrase-file", metavar="FILE", help="Read the passphrase from FILE (its first line)."),
        click.option(
            "-i", "--identity", metavar="FILE", multiple=True, help="Open with the private key in FILE; repeatable."
        ),
    )


def snapshot(function: F) -> F:
    """Which state of the archive."""
    return _apply(
        function,
        click.option(
            "-s",
            "--snapshot",
            metavar="N",
            default="latest",
            callback=_snapshot_number,
            help="Snapshot number, or latest.",
        ),
    )


def trust(function: F) -> F:
    """What the archive must be to be believed."""
    return _apply(
        function,
        click.option(
            "--expect-commit",
            metavar="HASH",
            callback=_commit_hash,
            help="Read exactly the state of this commit, be it an old copy, and refuse any other.",
        ),
    )


def signed(function: F) -> F:
    """Whose it must be."""
    return _apply(
        function,
        click.option("--signer", metavar="KEY", help="Require a signature by this public key, or by that in a file."),
    )


def recovery(function: F) -> F:
    """Reading what is left of an archive whose end is damaged."""
    return _apply(
        function,
        click.option(
            "--recover",
            is_flag=True,
            help="Use the last whole snapshot of a damaged archive, even one older than remembered.",
        ),
    )


def choosing(function: F) -> F:
    """What is packed, and what is left out."""
    stdin = click.option("--stdin-name", metavar="NAME", help="Pack standard input as a file of this name.")
    return selecting(stdin(function))


def selecting(function: F) -> F:
    """Which paths, and what of them is left out."""
    return _apply(
        function,
        click.option("-C", "--directory", metavar="DIR", help="Take the paths relative to DIR."),
        click.option(
            "-x",
            "--exclude",
            metavar="PATTERN",
            multiple=True,
            help="Leave out what matches, as in a .gitignore at the top of each PATH (so `/photos`, not `work/photos`); repeatable.",
        ),
        click.option(
            "--exclude-from", metavar="FILE", multiple=True, help="Patterns from FILE, one a line; repeatable."
        ),
        click.option(
            "--exclude-caches", is_flag=True, default=None, help="Leave out directories marked by a CACHEDIR.TAG."
        ),
        click.option("--one-file-system", is_flag=True, default=None, help="Do not cross into other file systems."),
    )


def packing(function: F) -> F:
    """How chunks are made and written."""
    return _apply(
        function,
        click.option(
            "-z", "--compression", metavar="POLICY", help="auto, none, lz4, zstd or zstd:LEVEL (default: auto)."
        ),
        click.option("--no-verify", is_flag=True, help="Do not decode and compare chunks before they are written."),
        click.option(
            "--checkpoint-bytes",
            metavar="SIZE",
            help="Make a state to resume from at least every SIZE (default: 256M).",
        ),
        click.option("--checkpoint-seconds", metavar="S", help="… and at least every S seconds (default: 5)."),
        click.option("--sign", metavar="KEYFILE", help="Sign the snapshot with the signing key in KEYFILE."),
    )


def rewriting(function: F) -> F:
    """Keys that an archive needs when it is written anew, beside the one that opens it."""
    return _apply(
        function,
        click.option(
            "--slot-passphrase-file",
            metavar="FILE",
            multiple=True,
            help="A further passphrase, whose key slot is kept; repeatable.",
        ),
        click.option(
            "-r",
            "--recipient",
            metavar="KEY",
            multiple=True,
            help="A public key, or the file that holds it, whose key slot is kept; repeatable.",
        ),
        click.option(
            "--drop-slots",
            is_flag=True,
            help="Lose key slots that none of the keys given can make again, even if nothing else is left out.",
        ),
        click.option("--sign", metavar="KEYFILE", help="The signing key, if the archive is signed."),
    )


def _apply(function: F, *decorators: Callable[[Any], Any]) -> F:
    for decorator in reversed(decorators):
        function = decorator(function)
    return function


def _no_pipe(_context: click.Context, _parameter: click.Parameter, value: str) -> str:
    if value == "-" and not os.path.exists(value):
        raise click.UsageError(
            "an archive can't be read from a pipe: save it to a file, and give its name in place of -"
        )
    return value


def _set_quiet(context: click.Context, _parameter: click.Parameter, value: bool) -> None:
    if value and isinstance(context.obj, Output):
        context.obj.quiet = True


def _set_verbose(context: click.Context, _parameter: click.Parameter, value: int) -> None:
    if value and isinstance(context.obj, Output):
        context.obj.log_level = "info" if value == 1 else "debug"


def _snapshot_number(_context: click.Context, _parameter: click.Parameter, value: str) -> int | None:
    if value == "latest":
        return None
    if not value.isdecimal() or int(value) == 0:
        raise click.BadParameter(f"{value!r} is no snapshot: give its number, or latest")
    return int(value)


def _commit_hash(_context: click.Context, _parameter: click.Parameter, value: str | None) -> bytes | None:
    if value is None:
        return None
    try:
        digest = bytes.fromhex(value)
    except ValueError:
        digest = b""
    if not 8 <= len(digest) <= 32:
        raise click.BadParameter(
            "a commit hash is 64 hexadecimal digits, as `warp info` shows, or the first 16 or more"
        )
    return digest
