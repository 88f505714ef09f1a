r"""Text as man(7) takes it: what would be read as markup is escaped, and letters beyond ASCII are written as groff_char(7) says.

>>> line(".warp-portal.toml, `warp`")
'\\&.warp\\-portal.toml, \\fBwarp\\fR'
"""

import inspect
import re


def text(raw: str) -> str:
    """A piece of a line, shown exactly as it is."""
    escaped = (
        raw.replace("\\", "\\e").replace("-", "\\-").replace("~", "\\(ti").replace("^", "\\(ha").replace("'", "\\(aq")
    )
    escaped = escaped.replace("`", "\\(ga").replace('"', "\\(dq")
    return "".join(char if ord(char) < 128 else f"\\[u{ord(char):04X}]" for char in escaped)


def line(raw: str) -> str:
    """A line of text, in which `code` is bold."""
    parts = re.split(r"`([^`]+)`", " ".join(raw.split()))
    joined = "".join(f"\\fB{text(part)}\\fR" if number % 2 else text(part) for number, part in enumerate(parts))
    return f"\\&{joined}" if joined.startswith((".", "'")) else joined


def literal(raw: str) -> list[str]:
    """Lines that stay as they are."""
    return [".RS 4", ".nf", *("\\&" + text(each) for each in raw.splitlines()), ".fi", ".RE"]


def prose(help_text: str) -> list[str]:
    r"""A docstring of click: paragraphs, and after a line `\b` one that stays as it is."""
    lines: list[str] = []
    for paragraph in re.split(r"\n\s*\n", inspect.cleandoc(help_text)):
        if paragraph.startswith("\b"):
            lines += [".PP", *literal(inspect.cleandoc(paragraph.removeprefix("\b").strip("\n")))]
        else:
            lines += [".PP", line(paragraph)]
    return lines[1:] if lines[:1] == [".PP"] and len(lines) > 1 and not lines[1].startswith(".") else lines


def listed(items: "list[tuple[str, str]]") -> list[str]:
    """Terms, bold, with what is said of each."""
    return [row for term, says in items for row in (".TP", f"\\fB{text(term)}\\fR", line(says) or "\\&")]
