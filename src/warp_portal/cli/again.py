"""How a command is run again that was not finished: its words and where it was run, without what is secret in them.

<session directory>/again, <state directory>/creates/<hash of the archive's path>   JSON, mode 0600: {"cwd": …, "words": [...]}
"""

import json
import os
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Final

import click

from warp_portal.cli.output import Output
from warp_portal.config import read_regular
from warp_portal.errors import FormatError, NotFoundError, UsageError

NAME: Final = "again"
_MOST_BYTES: Final = 1 << 20


def noted(output: Output, secrets: Collection[str] = (), options: Collection[str] = ()) -> bytes:
    """The words of this run, without those in `secrets`, and without `options` and their values."""
    kept, skips = list[str](), False
    for word in output.words:
        if skips or word in secrets or word.partition("=")[0] in options:
            skips = not skips and word in options
        else:
            kept.append(word)
    return json.dumps({"cwd": os.getcwd(), "words": kept}).encode()


def run(output: Output, path: Path, more: Sequence[str] = ()) -> int:
    """Run it again, with more words behind the command's name. Raises FormatError, NotFoundError, UsageError and what it raises."""
    from warp_portal.cli.main import cli

    try:
        content = json.loads(read_regular(str(path), "notes of commands", _MOST_BYTES, private=True))
        directory, words = content["cwd"], content["words"]
        if not isinstance(directory, str) or not isinstance(words, list) or not words:
            raise TypeError
        if not all(isinstance(word, str) for word in words) or not os.path.isabs(directory):
            raise TypeError
    except FileNotFoundError:
        raise NotFoundError("it is not noted how this was run: run the same command again") from None
    except (ValueError, TypeError, KeyError, RecursionError):
        raise FormatError(f"{path}: it does not say how this was run: run the same command again") from None
    try:
        os.chdir(directory)
    except OSError as error:
        raise UsageError(f"it was run in {directory}, which can't be entered now: {error.strerror}") from None
    output.words = (words[0], *more, *words[1:])
    try:
        with cli.make_context("warp", list(output.words), obj=output) as context:
            return int(cli.invoke(context) or 0)
    except click.exceptions.Exit as done:
        return done.exit_code
