"""Inputs made of parts: `u32 length │ bytes`, one after the other, as rust/fuzz/src/sections.rs has them.

Any bytes are some list of parts. A corpus (`corpus/NAME`) is one file of parts, an input each.
"""

import atexit
import os
import shutil
import tempfile
from pathlib import Path

CORPUS = Path(__file__).resolve().parent / "corpus"


def split(data: bytes) -> list[bytes]:
    """The parts; the last one may be shorter than it says, and fewer than four bytes at the end are nothing."""
    parts, at = [], 0
    while at + 4 <= len(data):
        length = int.from_bytes(data[at : at + 4], "little")
        parts.append(data[at + 4 : at + 4 + length])
        at += 4 + length
    return parts


def split_into(data: bytes, count: int) -> list[bytes]:
    """Exactly so many parts: those missing are empty, those left over are dropped."""
    return (split(data) + [b""] * count)[:count]


def join(parts: list[bytes]) -> bytes:
    """The bytes of a list of parts."""
    return b"".join(len(part).to_bytes(4, "little") + part for part in parts)


def corpus(name: str) -> list[bytes]:
    """The kept inputs of a target."""
    path = CORPUS / name
    return split(path.read_bytes()) if path.exists() else []


def keep(name: str, inputs: list[bytes]) -> None:
    """Replace the kept inputs of a target; the shortest first, none twice."""
    CORPUS.mkdir(exist_ok=True)
    (CORPUS / name).write_bytes(join(sorted(set(inputs), key=lambda one: (len(one), one))))


def scratch() -> Path:
    """A new directory for a target's files, gone when the process ends; in memory if it can be, as appends wait for the disk."""
    memory = "/dev/shm" if "TMPDIR" not in os.environ and os.access("/dev/shm", os.W_OK) else None
    place = Path(tempfile.mkdtemp(prefix="warp-fuzz-", dir=memory))
    atexit.register(shutil.rmtree, place, ignore_errors=True)
    return place
