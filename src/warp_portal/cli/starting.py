"""What every command does first: settings from all sources, and logs if they are asked for."""

import signal
import threading
from types import FrameType
from typing import TYPE_CHECKING, Final

from warp_portal.cli.output import Output
from warp_portal.cli.text import printable
from warp_portal.config import Config, load, mistyped_variables
from warp_portal.errors import NotFoundError, UsageError

if TYPE_CHECKING:
    from warp_portal.archive import ArchiveReader


# What a service manager, a shutdown and a terminal that is closed send.
_ENDS: Final = (signal.SIGTERM, signal.SIGHUP)


def heed_ends() -> None:
    """Let these signals end a transfer as Ctrl-C does, so that the other side is told and nothing is left behind.

    One that the caller has ignored, as `nohup` does, stays ignored.
    """
    if threading.current_thread() is not threading.main_thread():
        return
    for number in _ENDS:
        if signal.getsignal(number) is signal.SIG_DFL:
            signal.signal(number, _interrupt)


def _interrupt(number: int, frame: FrameType | None) -> None:
    """As whoever handles Ctrl-C now does; also where that is ignored, as in what a shell runs in the background."""
    handler = signal.getsignal(signal.SIGINT)
    if callable(handler):
        handler(number, frame)
    else:
        raise KeyboardInterrupt


def begin(output: Output, command: str, **flags: object) -> Config:
    """Announce the command and load its settings; flags that are None or empty were not given."""
    output.record("status", message="started", command=command)
    given = {name: value for name, value in flags.items() if value not in (None, ())}
    if output.log_level is not None:
        given["log_level"] = output.log_level
    settings = load(flags=given).config
    for variable, near in mistyped_variables():
        output.note(f"{variable} is not read: did you mean {near}?")
    if settings.log_level != "warning" or settings.log_format != "auto":
        from warp_portal import telemetry

        telemetry.configure(settings.log_level, settings.log_format, output.stderr)
        telemetry.logger("warp").info("command.started", command=command)
    return settings


def read_patterns(paths: tuple[str, ...]) -> tuple[str, ...]:
    """Exclude patterns from files: one a line, without blank lines and # comments."""
    patterns: list[str] = []
    for path in paths:
        try:
            with open(path, encoding="utf-8") as file:
                lines = file.read().splitlines()
        except UnicodeDecodeError:
            raise UsageError(f"{path}: patterns must be UTF-8") from None
        patterns += [line for line in lines if line.strip() and not line.startswith("#")]
    return tuple(patterns)


def matched(patterns: tuple[str, ...], entries: int, reader: "ArchiveReader | None" = None) -> None:
    """Raises NotFoundError where patterns chose nothing, or one of several alone has no match in `reader`: most likely mistyped.

    To be called when what the others choose is done.
    """
    if patterns and not entries:
        raise NotFoundError(f"nothing in the archive matches {' or '.join(map(printable, patterns))}: see `warp list`")
    if reader is not None and len(patterns) > 1 and (missed := _unmatched(patterns, reader)):
        names = " or ".join(map(printable, missed))
        raise NotFoundError(f"nothing in the archive matches {names}: see `warp list`; the other patterns are done")


def _unmatched(patterns: tuple[str, ...], reader: "ArchiveReader") -> list[str]:
    """Those of `patterns` that no entry matches, whatever the others say."""
    positive = (pattern for pattern in patterns if not pattern.startswith("!"))
    return [pattern for pattern in positive if not any(len(chosen) for _, chosen in reader.matching([pattern]))]
