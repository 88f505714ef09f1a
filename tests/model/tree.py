"""A small tree of files that is edited in every way that a backup meets, and what it holds as plain values."""

import os
import random
import shutil
import stat
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from hypothesis import strategies as st

from warp_portal.archive import ArchiveReader, Kind

NAMES: Final = (b"a", b"a.b", b"a-b", b"b\xff\xfe", b"c\nd", b" e ", b"-f", "ü–".encode(), b"x" * 200)
SIZES: Final = (0, 1, 100, 4095, 4096, 4097, 9_000, 20_000, 70_000, 200_000)
FILE_MODES: Final = (0o644, 0o600, 0o755, 0o444, 0o4755, 0o2711)
DIRECTORY_MODES: Final = (0o755, 0o700, 0o1777, 0o2751)
TIMES_NS: Final = (0, 1, -1_500_000_001, 1_600_000_000_000_000_001, 4_102_444_800_123_456_789)
DEPTH: Final = 3
BULK_BYTES: Final = 1_200_000
CROWD: Final = 1100
SPARSE_BYTES: Final = 300_000


@dataclass(frozen=True, slots=True)
class Node:
    """What an archive must keep of an entry; of a further name of a file, which is its first."""

    kind: Kind
    mode: int
    mtime_ns: int
    size: int = 0
    content: bytes = b""
    link: bytes = b""


Contents = dict[bytes, Node]


def scanned(root: bytes) -> Contents:
    """The tree as it is, in archive order; the root is the empty path."""
    found: Contents = {}
    names: dict[int, bytes] = {}
    for path in [b"", *_below(root, b"")]:
        found[path] = _node(os.path.join(root, path) if path else root, path, names)
    return found


def _below(root: bytes, path: bytes) -> list[bytes]:
    """Paths below a directory in archive order: by component, a directory before what is in it."""
    found = []
    with os.scandir(os.path.join(root, path)) as entries:
        for entry in sorted(entries, key=lambda entry: entry.name):
            below = os.path.join(path, entry.name)
            found.append(below)
            if entry.is_dir(follow_symlinks=False):
                found += _below(root, below)
    return found


def _node(disk: bytes, path: bytes, names: dict[int, bytes]) -> Node:
    status = os.lstat(disk)
    mode, mtime_ns = stat.S_IMODE(status.st_mode), status.st_mtime_ns
    if stat.S_ISDIR(status.st_mode):
        return Node(Kind.DIRECTORY, mode, mtime_ns)
    if stat.S_ISLNK(status.st_mode):
        return Node(Kind.SYMLINK, mode, mtime_ns, link=os.readlink(disk))
    if stat.S_ISFIFO(status.st_mode):
        return Node(Kind.FIFO, mode, mtime_ns)
    first = names.setdefault(status.st_ino, path)
    if first != path:
        return Node(Kind.HARDLINK, mode, mtime_ns, status.st_size, link=first)
    with open(disk, "rb") as file:
        return Node(Kind.FILE, mode, mtime_ns, status.st_size, file.read())


def stored(reader: ArchiveReader) -> Contents:
    """The same of a snapshot: every entry with its content."""
    return {
        entry.path: Node(
            entry.kind,
            entry.mode,
            entry.mtime_ns,
            entry.size,
            reader.open_file(entry.path).read() if entry.kind == Kind.FILE else b"",
            entry.link,
        )
        for entry in reader
    }


@dataclass(frozen=True, slots=True)
class Edit:
    """A change; `pick` and `other` choose among what is there, `seed` the content: few of them, so that much comes again."""

    verb: str
    pick: int
    other: int
    name: bytes
    size: int
    seed: int


def content(size: int, seed: int) -> bytes:
    """Random bytes for an even seed, a text for an odd one."""
    return (
        random.Random(seed).randbytes(size) if seed % 2 == 0 else (b"line %d again\n" % seed * (size // 10 + 1))[:size]
    )


class Tree:
    """A directory; `edit` changes it if there is something for the edit to change."""

    def __init__(self, root: bytes) -> None:
        self.root = root

    def edit(self, edit: Edit) -> None:
        """Carry it out."""
        VERBS[edit.verb](self, edit)

    def _at(self, path: bytes) -> bytes:
        return os.path.join(self.root, path)

    def _all(self, wanted: Callable[[int], bool]) -> list[bytes]:
        return [path for path in _below(self.root, b"") if wanted(os.lstat(self._at(path)).st_mode)]

    def _picked(self, number: int, wanted: Callable[[int], bool] = lambda _: True) -> bytes | None:
        paths = self._all(wanted)
        return self._at(paths[number % len(paths)]) if paths else None

    def _directory(self, number: int) -> bytes:
        below = [path for path in self._all(stat.S_ISDIR) if path.count(b"/") < DEPTH - 1]
        return self._at(([b"", *below])[number % (len(below) + 1)])

    def _free(self, edit: Edit) -> bytes:
        """A place for something new; what is there goes."""
        path = os.path.join(self._directory(edit.other), edit.name)
        remove(path)
        return path

    def write(self, edit: Edit) -> None:
        """A new file, or one replaced by another; a directory becomes a file."""
        with open(self._free(edit), "wb") as file:
            file.write(content(edit.size, edit.seed))

    def modify(self, edit: Edit) -> None:
        """Bytes changed in place; for every other seed the time of modification is set back."""
        path = self._picked(edit.pick, stat.S_ISREG)
        if path is None:
            return
        status = os.stat(path)
        with open(path, "r+b") as file:
            file.seek(status.st_size * (edit.other % 8) // 8)
            file.write(content(min(edit.size, 5000), edit.seed)[: max(0, status.st_size - file.tell())])
        if edit.seed % 3:
            os.utime(path, ns=(0, status.st_mtime_ns))

    def grow(self, edit: Edit) -> None:
        """Bytes appended."""
        if path := self._picked(edit.pick, stat.S_ISREG):
            with open(path, "ab") as file:
                file.write(content(edit.size, edit.seed))

    def shrink(self, edit: Edit) -> None:
        """Bytes cut off."""
        if path := self._picked(edit.pick, stat.S_ISREG):
            os.truncate(path, os.stat(path).st_size * (edit.other % 8) // 8)

    def copy(self, edit: Edit) -> None:
        """A file's content under a further name, as a file of its own."""
        path = self._picked(edit.pick, stat.S_ISREG)
        if path is not None:
            with open(path, "rb") as file:
                raw = file.read()
            with open(self._free(edit), "wb") as file:
                file.write(raw)

    def rename(self, edit: Edit) -> None:
        """Something moved over whatever has that name."""
        path, directory = self._picked(edit.pick), self._directory(edit.other)
        target = os.path.join(directory, edit.name)
        if path is None or (target + b"/").startswith(path + b"/") or (path + b"/").startswith(target + b"/"):
            return
        remove(target)
        os.rename(path, target)

    def remove(self, edit: Edit) -> None:
        """Something gone, with all below it."""
        if path := self._picked(edit.pick):
            remove(path)

    def mkdir(self, edit: Edit) -> None:
        """An empty directory; a file becomes one."""
        os.mkdir(self._free(edit))

    def hard_link(self, edit: Edit) -> None:
        """A further name of a file."""
        path = self._picked(edit.pick, stat.S_ISREG)
        target = os.path.join(self._directory(edit.other), edit.name)
        if path is not None and path != target and not (path + b"/").startswith(target + b"/"):
            remove(target)
            os.link(path, target)

    def symlink(self, edit: Edit) -> None:
        """A link to somewhere, mostly nowhere."""
        os.symlink(NAMES[edit.pick % len(NAMES)], self._free(edit))

    def sparse(self, edit: Edit) -> None:
        """A file with holes, and data at its beginning, middle or end."""
        with open(self._free(edit), "wb") as file:
            file.truncate(SPARSE_BYTES)
            file.seek((SPARSE_BYTES - min(edit.size, 20_000)) * (edit.pick % 3) // 2)
            file.write(content(min(edit.size, 20_000), edit.seed))

    def fifo(self, edit: Edit) -> None:
        """A pipe with a name."""
        os.mkfifo(self._free(edit), 0o640)

    def chmod(self, edit: Edit) -> None:
        """Another mode."""
        path = self._picked(edit.pick, lambda mode: not stat.S_ISLNK(mode))
        if path is not None:
            modes = DIRECTORY_MODES if os.path.isdir(path) else FILE_MODES
            os.chmod(path, modes[edit.other % len(modes)])

    def touch(self, edit: Edit) -> None:
        """Another time of modification, the root's too."""
        path = self._picked(edit.pick) or self.root
        os.utime(path, ns=(0, TIMES_NS[edit.other % len(TIMES_NS)]), follow_symlinks=False)


VERBS: Final[dict[str, Callable[[Tree, Edit], None]]] = {
    name: getattr(Tree, name)
    for name in (
        "write", "modify", "grow", "shrink", "copy", "rename", "remove", "mkdir",
        "hard_link", "symlink", "sparse", "fifo", "chmod", "touch",
    )
}  # fmt: skip
PICKS: Final = st.integers(0, 40)
SEEDS: Final = st.integers(0, 30)
EDITS: Final = st.builds(
    Edit, st.sampled_from(list(VERBS)), PICKS, PICKS, st.sampled_from(NAMES), st.sampled_from(SIZES), SEEDS
)


def bulk(root: bytes, seed: int) -> None:
    """A file so large that a run which packs it makes checkpoints."""
    path = os.path.join(root, b"bulk")
    remove(path)
    with open(path, "wb") as file:
        file.write(random.Random(seed).randbytes(BULK_BYTES))


def crowd(root: bytes) -> None:
    """So many entries that the file table takes two pages: the first ends at the 1043rd of these names (docs/format.md §7)."""
    directory = os.path.join(root, b"fff")
    os.mkdir(directory)
    for number in range(CROWD):
        with open(os.path.join(directory, b"%d" % number), "wb") as file:
            file.write(content(number % 5 * 10, number % 7))


def remove(path: bytes) -> None:
    """Whatever is there, if anything."""
    if os.path.isdir(path) and not os.path.islink(path):
        shutil.rmtree(path)
    elif os.path.lexists(path):
        os.unlink(path)
