"""Entries of a snapshot as lines for people and as fields for programs, a block of them at once.

A tree may have millions of entries, so that what repeats from one to the next (mode and owners, the second of a time) is
formatted once, names are looked at together, and a block is one write.
"""

import os
import stat
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import lru_cache
from typing import Final

from warp_portal._native import EntryTable
from warp_portal.archive import ArchiveReader, Kind
from warp_portal.archive.filetable import KIND_BITS
from warp_portal.cli.text import local_time, path_fields, printable, printable_all

# So many names of the greatest length are 32 MiB; larger blocks are not faster.
BLOCK_ENTRIES: Final = 512
CACHED: Final = 4096
_NAMES: Final = {int(kind): kind.name.lower() for kind in Kind}
_DEVICES: Final = (Kind.CHAR_DEVICE, Kind.BLOCK_DEVICE)
_ARROWS: Final = {int(Kind.SYMLINK): " -> ", int(Kind.HARDLINK): " link to "}

Indices = Sequence[int]
Names = dict[int, bytes]


def blocks(reader: ArchiveReader, patterns: Iterable[str]) -> Iterator[tuple[EntryTable, Indices]]:
    """The entries that match, in archive order."""
    for table, indices in reader.matching(patterns):
        for start in range(0, len(indices), BLOCK_ENTRIES):
            yield table, indices[start : start + BLOCK_ENTRIES]


def shown_paths(table: EntryTable, indices: Indices) -> list[str]:
    """The paths as a terminal may show them."""
    return [name or "." for name in printable_all([table.path(index) for index in indices])]


def long_lines(owners: tuple[Names, Names]) -> Callable[[EntryTable, Indices], Iterator[str]]:
    """What makes lines as of `ls -l`: mode, owner, group, size or device, time (local) and path."""
    head = _heads(owners)

    def lines(table: EntryTable, indices: Indices) -> Iterator[str]:
        for index, name in zip(indices, shown_paths(table, indices), strict=True):
            _, kind, mode, uid, gid, size, mtime_ns, _, _, _, link, rdev, _, _, _ = table.entry(index)
            start = f"{head(kind, mode, uid, gid)} {_amount(kind, size, rdev):>12} {_moment(mtime_ns // 10**9)} {name}"
            yield start + _ARROWS[kind] + printable(link) if link else start

    return lines


def _amount(kind: int, size: int, rdev: int) -> int | str:
    return f"{os.major(rdev)},{os.minor(rdev)}" if kind in _DEVICES else size


def _heads(owners: tuple[Names, Names]) -> Callable[[int, int, int, int], str]:
    users, groups = owners

    @lru_cache(CACHED)
    def head(kind: int, mode: int, uid: int, gid: int) -> str:
        owner = printable(users.get(uid, b"")) or str(uid)
        group = printable(groups.get(gid, b"")) or str(gid)
        return f"{stat.filemode(KIND_BITS[Kind(kind)] | mode)} {owner:<8} {group:<8}"

    return head


@lru_cache(CACHED)
def _moment(seconds: int) -> str:
    return f"{local_time(seconds):<19}"  # as wide as a date of this millennium


def entry_fields(owners: tuple[Names, Names]) -> Callable[[EntryTable, Indices], Iterator[dict[str, object]]]:
    """What makes entries for programs, without loss."""
    owner_fields = _owner_fields(owners)

    def entries(table: EntryTable, indices: Indices) -> Iterator[dict[str, object]]:
        for index in indices:
            path, kind, mode, uid, gid, size, mtime_ns, _, _, _, link, rdev, _, _, _ = table.entry(index)
            fields: dict[str, object] = {
                **path_fields(path),
                "kind": _NAMES[kind],
                "mode": mode,
                "uid": uid,
                "gid": gid,
                "size": size,
                "mtime_ns": mtime_ns,
                **owner_fields(uid, gid),
            }
            if link:
                fields |= path_fields(link, "link")
            if kind in _DEVICES:
                fields |= {"major": os.major(rdev), "minor": os.minor(rdev)}
            yield fields

    return entries


def _owner_fields(owners: tuple[Names, Names]) -> Callable[[int, int], dict[str, str]]:
    users, groups = owners

    @lru_cache(CACHED)
    def fields(uid: int, gid: int) -> dict[str, str]:
        owner = path_fields(users[uid], "owner") if uid in users else {}
        group = path_fields(groups[gid], "group") if gid in groups else {}
        return owner | group

    return fields
