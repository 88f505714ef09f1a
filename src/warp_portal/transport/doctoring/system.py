"""What Linux tells of itself in files; where there is none, nothing is known."""

from pathlib import Path
from typing import Final

# The files of /proc and /sys that are read here are smaller by far.
_MOST_CHARACTERS: Final = 1 << 20


def read_text(path: str) -> str:
    """The text of a file of /proc or /sys; empty if it can't be read."""
    try:
        with Path(path).open(encoding="utf-8", errors="replace") as file:
            return file.read(_MOST_CHARACTERS)
    except OSError:
        return ""


def read_number(path: str) -> int | None:
    """The number that a file of /proc or /sys holds; None if it holds none, or one below 0, which stands for unknown."""
    text = read_text(path).strip()
    return int(text) if text.isdecimal() else None


def limits_of_tcp() -> int | None:
    """Bytes that the kernel lets one TCP connection of this machine have under way, in its slower direction; None if it does not say."""
    fields = [read_text(f"/proc/sys/net/ipv4/{name}").split() for name in ("tcp_rmem", "tcp_wmem")]
    largest = [int(each[2]) for each in fields if len(each) == 3 and each[2].isdecimal()]
    # A half of each buffer is the kernel's own bookkeeping.
    return min(largest) // 2 if len(largest) == 2 else None
