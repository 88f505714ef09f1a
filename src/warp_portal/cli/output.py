"""What a command says, to whom, and in which form.

Results go to stdout, everything said along the way to stderr. With `--json` stdout holds JSON lines only, each with
`type` and `schema`: `status`, `progress` (at most one a second), data records (`entry`, `snapshot`, …), `summary`,
`error` (`fatal` tells whether the command stopped at it), and always a last `{"type": "exit", "code": …}`.
"""

import contextlib
import io
import os
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Final, TextIO

from warp_portal.cli.text import defanged, encodable, path_fields, printable
from warp_portal.errors import UsageError, naming
from warp_portal.secrecy import redacted

if TYPE_CHECKING:
    from warp_portal.archive import Problem

# Raised when a field changes its meaning or goes away; new fields and types do not raise it.
SCHEMA: Final = 1
# Of the paths that one damaged chunk takes along, which may be hundreds, a person sees so many.
DAMAGED_PATHS: Final = 20
# What a message calls the file that results go to.
STDOUT: Final = "standard output"
# Characters written at a time to stderr: escaped, they fit into its buffer, and into a pipe that says that it takes something.
_PIECE: Final = 400
# How JSON writes a surrogate, paired or not (and a few letters).
_SURROGATE: Final = "\\ud"


class Output:
    """The two streams of one run of a command."""

    def __init__(self, *, json_lines: bool, stdout: TextIO | None = None, stderr: TextIO | None = None) -> None:
        self.json_lines = json_lines
        self.quiet = False
        self.log_level: str | None = None
        self.resume_hint = ""
        self.words: tuple[str, ...] = ()
        """The command line, without the program."""
        # Either is None where the caller has closed it (`>&-`).
        self._stdout: TextIO | None = stdout or sys.stdout
        self._stderr: TextIO | None = stderr or sys.stderr
        self._abandoned = False

    @property
    def stderr(self) -> TextIO:
        """Where progress and remarks go."""
        return self._stderr or io.StringIO()

    @property
    def results_on_terminal(self) -> bool:
        """Whether a person watches stdout, where a bar of progress would be torn by the lines of the result."""
        return not self.json_lines and self._stdout is not None and self._stdout.isatty()

    def result(self, text: str) -> None:
        """A line of the command's result, for people; nothing with --json."""
        if not self.json_lines:
            self._write(text)

    def results(self, lines: Iterable[str]) -> None:
        """Many such lines, in one write."""
        if text := "\n".join(lines):
            self.result(text)

    def record(self, kind: str, /, **fields: object) -> None:
        """A line of JSON; nothing without --json."""
        self.records(kind, [fields])

    def records(self, kind: str, many: Iterable[Mapping[str, object]]) -> None:
        """Many such lines, in one write."""
        if self.json_lines and (lines := [self._line({"type": kind, "schema": SCHEMA, **fields}) for fields in many]):
            self._write("\n".join(lines))

    def _line(self, fields: Mapping[str, object]) -> str:
        line = self._encode(fields)
        # Few lines hold any, and looking is faster than copying all fields of a list of millions.
        return self._encode(encodable(fields)) if _SURROGATE in line else line

    @cached_property
    def _encode(self) -> Callable[[object], str]:
        import json

        return json.JSONEncoder(separators=(",", ":")).encode

    def write_bytes(self, piece: bytes) -> None:
        """A part of a file that is the command's result, at once."""
        if self._stdout is not None:
            with naming(STDOUT):
                if _waits(self._stdout):
                    self._stdout.buffer.write(piece)
                    self._stdout.buffer.flush()
                else:
                    _send_bytes(self._stdout, piece)

    def status(self, message: str) -> None:
        """A remark along the way, unless --quiet."""
        self.record("status", message=message)
        self.flush()
        if not self.json_lines and not self.quiet:
            self.remark(message)

    def note(self, message: str) -> None:
        """A remark on what the user may not have meant, or may want to know."""
        self.status(f"note: {message}")

    def warning(self, message: str) -> None:
        """A remark on what may do harm, even with --quiet."""
        message = f"warning: {message}"
        self.record("status", message=message)
        if not self.json_lines:
            self.remark(message)

    def summary(self, text: str, **fields: object) -> None:
        """The closing account of a command that works."""
        self.record("summary", **fields)
        if not self.json_lines and not self.quiet:
            self.remark(text)

    def problems(self, problems: "tuple[Problem, ...]", failed: int) -> None:
        """What failed for single paths while the rest was done: the first of `failed`, which are all."""
        for problem in problems:
            self._record_problem(problem)
            self._remark_problem(problem)
        self._unlisted(failed - len(problems))

    def damage(self, problems: "tuple[Problem, ...]", failed: int) -> None:
        """As `problems`, but for people only so many of the paths whose data is damaged in the same chunk."""
        found: Counter[str] = Counter()
        for problem in problems:
            self._record_problem(problem)
            found[problem.what] += problem.errno == 0
            if problem.errno or found[problem.what] <= DAMAGED_PATHS:
                self._remark_problem(problem)
        for what, number in found.items():
            self.more(number - DAMAGED_PATHS, f": {printable(what)}")
        self._unlisted(failed - len(problems))

    def _unlisted(self, number: int) -> None:
        """That so many paths more failed, if any, of which nothing else is known any more."""
        if number > 0:
            message = f"… and {number:,} more paths failed, too many to list"
            self.record("status", message=message)
            self.remark(f"warp: {message}")

    def more(self, number: int, what: str = "") -> None:
        """That so many paths are not shown to people, if any."""
        if number > 0:
            self.remark(f"warp: … and {number:,} more{what} (--json names them)")

    def _remark_problem(self, problem: "Problem") -> None:
        reason = f": {os.strerror(problem.errno)}" if problem.errno else ""
        rest = f"; {printable(problem.rest.says)}" if problem.rest else ""
        self.remark(f"warp: {printable(problem.path)}: {printable(problem.what)}{reason}{rest}")

    def _record_problem(self, problem: "Problem") -> None:
        rest: dict[str, object] = {}
        if problem.rest:
            _, kept, lost, lost_bytes = problem.rest
            names = {"kept": None} if kept is None else path_fields(kept, "kept")
            rest = {**names, "lost": lost, "lost_bytes": lost_bytes}
        paths = path_fields(problem.path)
        self.record("error", fatal=False, message=problem.what, errno=problem.errno, **paths, **rest)

    def failure(self, message: str, name: str, code: int) -> None:
        """The error that the command stops at; it may be that stdout takes nothing."""
        message = redacted(message)  # whatever was given in a wrong place, and is repeated for it
        try:
            self.record("error", fatal=True, message=message, error=name, code=code)
            self.flush()
        except BrokenPipeError:
            raise
        except (OSError, UsageError):
            self.abandon()
        self.remark("warp: " + message.replace("\n", " "))  # one line, whatever a name in it holds

    def exit(self, code: int) -> None:
        """The last line of every run."""
        self.record("exit", code=code)
        self.flush()

    def remark(self, text: str) -> None:
        """A line on stderr, whatever the options."""
        self.flush()
        if self._stderr is not None:
            try:
                _send(self._stderr, defanged(text) + "\n")
            except OSError:  # there is nowhere left to say it
                _discard(self._stderr, 2)

    def flush(self) -> None:
        """Send what is buffered for stdout."""
        if self._stdout is not None and not self._abandoned:
            with naming(STDOUT):
                self._stdout.flush()

    def abandon(self) -> None:
        """Write nothing more to stdout, and keep the interpreter from flushing into it at the end."""
        self._abandoned = True
        _discard(self._stdout, 1)

    def _write(self, line: str) -> None:
        if self._abandoned:
            return
        if self._stdout is None:
            raise UsageError("standard output is closed: there is nowhere to write the result")
        with naming(STDOUT):
            if _waits(self._stdout):
                self._stdout.write(line + "\n")
            else:
                _send(self._stdout, line + "\n")


def _send(stream: TextIO, text: str) -> None:
    """Write and flush, however long the reader takes: a pipe that does not wait and is full is waited for here."""
    for start in range(0, len(text), _PIECE):
        _wait(stream)
        unsent = text[start : start + _PIECE]
        while True:
            try:
                stream.write(unsent)
                stream.flush()
                break
            except BlockingIOError:  # the stream has kept what it could not write
                unsent = ""
                _wait(stream)


def _send_bytes(stream: TextIO, piece: bytes) -> None:
    """As `_send`, for a descriptor that does not wait."""
    stream.flush()
    rest = memoryview(piece)
    while rest:
        _wait(stream)
        with contextlib.suppress(BlockingIOError):
            rest = rest[os.write(stream.fileno(), rest) :]


def _waits(stream: TextIO) -> bool:
    """Whether writing waits until the reader takes it, as it does unless another program has set the pipe otherwise."""
    try:
        return os.get_blocking(stream.fileno())
    except (OSError, ValueError):  # a stream without a descriptor is never full
        return True


def _wait(stream: TextIO) -> None:
    """Until a descriptor that does not wait takes something, or fails."""
    if not _waits(stream):
        import select

        with contextlib.suppress(OSError, ValueError):
            select.select([], [stream.fileno()], [])


def _discard(stream: TextIO | None, fd: int) -> None:
    """Let what is buffered go nowhere; the interpreter would fail on it at the end, with a code of its own."""
    with contextlib.suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, fd if stream is None else stream.fileno())
        os.close(nowhere)
