"""What a writer is told and what it says: sources, options, progress and the report."""

import builtins
import os
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise
from typing import Final, Self

from warp_portal.archive.filetable import order_key
from warp_portal.archive.limits import MAX_PATH, SUITE_AES_256_GCM, SUITE_CHACHA20_POLY1305, SUITE_PLAIN
from warp_portal.archive.problems import Problem
from warp_portal.archive.storage import AnyPath
from warp_portal.config import MAX_THREADS
from warp_portal.errors import NotFoundError, UsageError
from warp_portal.keys.signers import SigningKey
from warp_portal.primitives.compression import AUTO, Policy
from warp_portal.primitives.cutting import PROFILES, Cutting

MIB: Final = 1024 * 1024
POLICY: Final = "policy"  # key of `arguments`: the version of the compression's policy
SUITES: Final = {
    "plain": SUITE_PLAIN,
    "chacha20-poly1305": SUITE_CHACHA20_POLY1305,
    "aes-256-gcm": SUITE_AES_256_GCM,
}


@dataclass(frozen=True, slots=True)
class Source:
    """Trees to pack: `roots` are (stored path, absolute path on disk), sorted and disjoint."""

    roots: tuple[tuple[bytes, bytes], ...]
    excludes: tuple[str, ...] = ()
    exclude_caches: bool = False
    one_file_system: bool = False

    @classmethod
    def of(
        cls,
        paths: Iterable[AnyPath],
        *,
        excludes: Iterable[str] = (),
        exclude_caches: bool = False,
        one_file_system: bool = False,
    ) -> Self:
        """Paths as given: stored normalized, without a leading `/` or `../`; `.` becomes the tree's root.

        Raises:
            NotFoundError: a path does not exist.
            UsageError: no path, two that would be stored at the same place, one inside another, or a pattern not UTF-8.
        """
        roots = sorted((_root(path) for path in paths), key=lambda root: order_key(root[0]))
        if not roots:
            raise UsageError("nothing to pack: name at least one path")
        for (above, _), (stored, disk) in pairwise(roots):
            if not above or stored == above or stored.startswith(above + b"/"):
                raise UsageError(f"{os.fsdecode(disk)} would be stored inside another of the given paths")
        return cls(tuple(roots), tuple(checked_patterns(excludes)), exclude_caches, one_file_system)

    def arguments(self) -> dict[str, object]:
        """What the archive records of it."""
        return {
            "roots": [list(root) for root in self.roots],
            "excludes": list(self.excludes),
            "exclude_caches": self.exclude_caches,
            "one_file_system": self.one_file_system,
        }


def checked_patterns(patterns: Iterable[str]) -> list[str]:
    """Patterns as the native module takes them; UsageError for one that is not UTF-8, as names may be.

    What begins with ./ counts from the top, as a shell's completion means it; gitignore has no such form.
    """
    checked = [
        pattern[1:] if pattern.startswith("./") and len(pattern) > len("./") else pattern for pattern in patterns
    ]
    for pattern in checked:
        try:
            pattern.encode()
        except UnicodeEncodeError:
            raise UsageError(
                f"the pattern {pattern} is not UTF-8: write ? for a byte of a name that is not, or * for any number"
            ) from None
    return checked


def _root(path: AnyPath) -> tuple[bytes, bytes]:
    raw = os.fsencode(path)
    if not raw:
        raise UsageError("a path to pack is empty: name a file or directory, or '.' for this one")
    disk = _place(raw)
    stored = os.path.normpath(raw).lstrip(b"/")
    while stored.startswith(b"../"):
        stored = stored[3:]
    if stored in (b".", b".."):
        stored = b""
    if len(stored) > MAX_PATH:
        raise UsageError(f"the path {os.fsdecode(raw)[:60]}… is too long")
    return stored, disk


def _place(raw: bytes) -> bytes:
    """The absolute path of what `raw` means to the kernel: `..` after a link leaves its target, and `link/` is its target."""
    if not os.path.lexists(raw):
        raise NotFoundError(f"no such file or directory: {os.fsdecode(raw)}")
    parts = raw.split(b"/")
    if parts[-1] in (b"", b".", b".."):
        return os.path.realpath(raw) if b".." in parts or os.path.islink(os.path.abspath(raw)) else os.path.abspath(raw)
    if b".." in parts:
        return os.path.join(os.path.realpath(os.path.dirname(raw)), parts[-1])
    return os.path.abspath(raw)


@dataclass(frozen=True, slots=True)
class Stream:
    """One file whose content is read from a descriptor to its end."""

    name: bytes
    fd: int = 0
    mode: int = 0o644

    def __post_init__(self) -> None:
        parts = self.name.split(b"/")
        if b"\0" in self.name or len(self.name) > MAX_PATH or not all(parts) or b"." in parts or b".." in parts:
            raise UsageError("the name of a stream is a relative path without empty, '.' or '..' parts")

    def arguments(self) -> dict[str, object]:
        """What the archive records of it."""
        return {"stream": self.name, "mode": self.mode}


@dataclass(frozen=True, slots=True)
class PackOptions:
    """How to pack. `threads` 0 = one a core; `memory` in bytes; a checkpoint follows whichever comes first."""

    cutting: Cutting = PROFILES["general"]
    policy: Policy = AUTO
    threads: int = 0
    memory: int = 256 * MIB
    verify: bool = True
    checkpoint_bytes: int = 256 * MIB
    checkpoint_s: float = 5.0
    signing_key: SigningKey | None = None

    def arguments(self) -> dict[str, object]:
        """What the archive records of it: only what shapes the content."""
        return {"compression": self.policy.name, POLICY: self.policy.version}


PACK_DEFAULTS: Final = PackOptions()


def thread_count(wanted: int) -> int:
    """`wanted`, or the number of cores that this process may use."""
    if not 0 <= wanted <= MAX_THREADS:
        raise UsageError(f"{wanted} threads: name a number from 1 to {MAX_THREADS}, or 0 for one a core")
    return wanted or cores()


def cores() -> int:
    """The number of cores that this process may use, or, on macOS, that there are."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@dataclass(frozen=True, slots=True)
class PackProgress:
    """How far a run is. Of a tree, (bytes_read + bytes_reused) / walked_bytes is done, once `walk_done`."""

    entries: int = 0
    files: int = 0
    bytes_read: int = 0
    bytes_reused: int = 0
    bytes_duplicate: int = 0
    bytes_raw: int = 0
    bytes_stored: int = 0
    chunks: int = 0
    fragments: int = 0
    archive_bytes: int = 0
    walked_entries: int = 0
    walked_bytes: int = 0
    walk_done: bool = False
    checkpoints: int = 0
    resumed: bool = False
    current: bytes = b""
    elapsed_s: float = 0.0


@dataclass(frozen=True, slots=True)
class PackReport:
    """A finished run: the snapshot it made (its number, from 1), and what it could not take.

    `failed` counts all paths that were left out or are in doubt; `problems` are the first of them, up to 16 MiB.
    `path` is None for a pipe; `bytes` are logical; `notices` are sentences on what the run found there and changed, `warnings`
    those of them that change what readers accept.
    """

    path: "builtins.bytes | None"
    uuid: "builtins.bytes"
    snapshot: int
    sequence: int
    commit_hash: "builtins.bytes"
    resumed: bool
    entries: int
    files: int
    bytes: int
    progress: PackProgress
    problems: tuple[Problem, ...]
    failed: int
    encrypted: bool = False
    notices: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
