"""Where a bench works: scratch space in memory, the versions of a data set under one path, and the state of the page cache."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from benches.harness import shell, tree_bytes

DROP_CACHES: Final = Path("/proc/sys/vm/drop_caches")
ROOM_BYTES: Final = 2 << 30  # for the tools themselves and the limit's samples
PASSPHRASE: Final = "correct horse battery staple\n"


@dataclass(frozen=True, slots=True)
class Place:
    """`current/tree` is swapped between versions under an unchanged path; everything that a tool writes is below `scratch`."""

    scratch: Path
    current: Path
    versions: tuple[Path, ...]

    @property
    def secret(self) -> Path:
        """A file with the passphrase that all tools use."""
        return self.scratch / "passphrase"

    @contextmanager
    def version(self, number: int) -> Iterator[None]:
        """Put a version's tree at the common path."""
        tree = self.versions[number] / "tree"
        tree.rename(self.current / "tree")
        try:
            yield
        finally:
            (self.current / "tree").rename(tree)


@contextmanager
def place(versions: tuple[Path, ...], scratch: Path) -> Iterator[Place]:
    """Scratch space for one data set, gone afterwards; SystemExit if there is too little."""
    check_room(versions, scratch)
    directory = Path(tempfile.mkdtemp(prefix="warp-bench-", dir=scratch))
    current = versions[0].parent / "current"
    restore_interrupted(current, versions)
    current.mkdir()
    made = Place(directory, current, versions)
    made.secret.touch(0o600)
    made.secret.write_text(PASSPHRASE)
    try:
        yield made
    finally:
        shutil.rmtree(directory)
        current.rmdir()


def restore_interrupted(current: Path, versions: tuple[Path, ...]) -> None:
    """Put back the tree that a killed run left at the common path; the version without one is where it belongs."""
    if not current.exists():
        return
    missing = [version for version in versions if not (version / "tree").exists()]
    if (current / "tree").exists() and len(missing) == 1:
        (current / "tree").rename(missing[0] / "tree")
    if any(current.iterdir()):
        raise SystemExit(
            f"{current} holds a tree of another set from a run that was killed: run that set, or delete both"
        )
    current.rmdir()


def check_room(versions: tuple[Path, ...], scratch: Path) -> None:
    """What a set needs at once: a tool's repository (at worst all versions as they are), one restored tree, and some room."""
    sizes = [tree_bytes(version / "tree") for version in versions if (version / "tree").exists()]
    needed = sum(sizes) + max(sizes, default=0) * 5 // 4 + ROOM_BYTES
    free = free_room(scratch)
    if free < needed:
        raise SystemExit(
            f"{scratch} has {free / 1e9:.1f} GB free and this set needs {needed / 1e9:.1f}: "
            "delete what is there, or name another directory with --scratch"
        )


def free_room(scratch: Path) -> int:
    """Bytes that can be written there; in memory no more than is free."""
    return min(shutil.disk_usage(scratch).free, _free_memory() if _in_memory(scratch) else 1 << 62)


def _in_memory(directory: Path) -> bool:
    found = subprocess.run(["stat", "-f", "-c", "%T", directory], check=True, capture_output=True, text=True).stdout
    return found.strip() in ("tmpfs", "ramfs")


def _free_memory() -> int:
    lines = Path("/proc/meminfo").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable"))


def warm(versions: tuple[Path, ...]) -> None:
    """Read each tree once, so that input comes from the page cache."""
    for version in versions:
        shell(
            f"tar -C {version} -cf /dev/null --checkpoint=1000000 tree "
            f"&& find {version} -type f -print0 | xargs -0 cat > /dev/null"
        )


def can_drop_caches() -> bool:
    """Whether this process may make the page cache cold."""
    return os.access(DROP_CACHES, os.W_OK)


def drop_caches() -> None:
    """Forget all clean pages, directory entries and inodes: also those of the programs. Files in memory stay."""
    os.sync()
    DROP_CACHES.write_text("3")


@contextmanager
def empty(directory: Path) -> Iterator[Path]:
    """A fresh directory that is gone afterwards."""
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir()
    try:
        yield directory
    finally:
        shutil.rmtree(directory)


def differences(expected: Path, restored: Path) -> list[str]:
    """What rsync would change: contents, types, owners, modes, times (whole seconds), links, attributes."""
    if not restored.exists():
        return [f"{restored.name} is missing"]
    compare = ["rsync", "-aHAXn", "--checksum", "--itemize-changes", "--delete", f"{expected}/", f"{restored}/"]
    return subprocess.run(compare, check=True, capture_output=True, text=True).stdout.splitlines()
