"""What an examination says: checks with their grade and what to do, and stages with their rate."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum


class Part(StrEnum):
    """What a transfer can be held up by."""

    CPU = "cpu"
    DISK = "disk"
    BUFFERS = "buffers"
    NETWORK = "network"
    PATH = "path"


class Grade(StrEnum):
    """What a check found."""

    FINE = "ok"
    NOTE = "note"
    """Worth to know; nothing is broken."""
    MEND = "mend"
    """Transfers are slower, or do not work, until it is mended."""
    FAILED = "failed"
    """The check could not be made."""


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at: what it is like, and what to do if that is not as it should be. `figures` are for programs."""

    part: Part
    name: str
    grade: Grade
    says: str
    advice: str = ""
    figures: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Stage:
    """What all bytes of a transfer go through: `rate` in bytes a second. `says` is a verb, as in "the disk writes"."""

    part: Part
    says: str
    rate: float
    sends: bool = True
    receives: bool = True
    advice: str = ""
