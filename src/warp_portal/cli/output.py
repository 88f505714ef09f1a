"""What a command says, to whom, and in which form.

Results go to stdout, everything said along the way to stderr. With `--json` stdout holds JSON lines only, each with
`type` and `schema`: `status`, `progress` (at most one a second), data records (`entry`, `snapshot`, …), `summary`,
`error` (`fatal` tells whether the command stopped at it), and always a last `{"type": "exit", "code": …}`.
"""

import sys
from typing import TYPE_CHECKING, Final, TextIO

from warp_portal.cli.text import defanged, path_fields, printable

if TYPE_CHECKING:
    from warp_portal.archive import Problem

# Raised when a field changes its meaning or goes away; new fields and types do not raise it.
SCHEMA: Final = 1


class Output:
    """The two streams of one run of a command."""

    def __init__(self, *, json_lines: bool, stdout: TextIO | None = None, stderr: TextIO | None = None) -> None:
        self.json_lines = json_lines
        self.quiet = False
        self.log_level: str | None = None
        self.resume_hint = ""
        self._stdout = stdout or sys.stdout
        self._stderr = stderr or sys.stderr

    @property
    def stderr(self) -> TextIO:
        """Where progress and remarks go."""
        return self._stderr

    def result(self, text: str) -> None:
        """A line of the command's result, for people; nothing with --json."""
        if not self.json_lines:
            self._stdout.write(text + "\n")

    def record(self, kind: str, /, **fields: object) -> None:
        """A line of JSON; nothing without --json."""
        if self.json_lines:
            import json

            self._stdout.write(json.dumps({"type": kind, "schema": SCHEMA, **fields}, separators=(",", ":")) + "\n")

    def status(self, message: str) -> None:
        """A remark along the way, unless --quiet."""
        self.record("status", message=message)
        self.flush()
        if not self.json_lines and not self.quiet:
            self.remark(message)

    def summary(self, text: str, **fields: object) -> None:
        """The closing account of a command that works."""
        self.record("summary", **fields)
        if not self.json_lines and not self.quiet:
            self.remark(text)

    def problems(self, problems: "tuple[Problem, ...]") -> None:
        """What failed for single paths while the rest was done."""
        for problem in problems:
            self.record("error", fatal=False, message=problem.what, errno=problem.errno, **path_fields(problem.path))
            self.remark(f"warp: {printable(problem.path)}: {printable(problem.what)}")

    def failure(self, message: str, name: str, code: int) -> None:
        """The error that the command stops at."""
        self.record("error", fatal=True, message=message, error=name, code=code)
        self.remark("warp: " + message.replace("\n", " "))  # one line, whatever a name in it holds

    def exit(self, code: int) -> None:
        """The last line of every run."""
        self.record("exit", code=code)
        self.flush()

    def remark(self, text: str) -> None:
        """A line on stderr, whatever the options."""
        self.flush()
        self._stderr.write(defanged(text) + "\n")
        self._stderr.flush()

    def flush(self) -> None:
        """Send what is buffered for stdout."""
        self._stdout.flush()
