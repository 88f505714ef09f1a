"""Small trees, a fixed key, and runs that die on the way."""

import os
import random
from collections.abc import Callable
from pathlib import Path

from tests.oracles.warp_reader import WarpReader

from warp_portal.archive.options import PackOptions, PackProgress
from warp_portal.archive.unlock import Lock, Unlock
from warp_portal.primitives.cutting import FIXED, KIB, Cutting, Sizes

KEY = bytes(range(32))
UUID = bytes(range(16))
LOCK = Lock(slot_copy_bytes=4096)
UNLOCK = Unlock(archive_key=KEY)

# A chunk a fragment: a few MiB fill several index pages.
TINY = Cutting(FIXED, Sizes(4 * KIB, 4 * KIB, 4 * KIB), Sizes(2 * KIB, 4 * KIB, 8 * KIB))
OFTEN = PackOptions(threads=2, checkpoint_bytes=1 << 20, cutting=TINY)


def grow(tree: Path, files: int, largest: int, seed: int = 1) -> None:
    """Files of random bytes below `tree`."""
    rng = random.Random(seed)
    for number in range(files):
        path = tree / f"d{number % 7}" / f"f{number:04}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(rng.randbytes(rng.randrange(largest)))


def grow_large(tree: Path, size: int = 24 << 20, seed: int = 2) -> None:
    """A file of exactly `size` random bytes in `tree`: many checkpoints, however fast the machine."""
    tree.mkdir(parents=True, exist_ok=True)
    (tree / "large").write_bytes(random.Random(seed).randbytes(size))


def read(archive: Path, key: bytes | None = KEY) -> WarpReader:
    """The archive, as the oracle sees it."""
    return WarpReader(archive.read_bytes(), archive_key=key)


def essence(reader: WarpReader) -> tuple[object, ...]:
    """What must not depend on how a run went: cids, fragments, recipes."""
    entries = [(entry["path"], entry["kind"], entry["size"], entry["runs"]) for entry in reader.entries]
    return [chunk["cid"] for chunk in reader.chunks], reader.fragments, entries


def check_contents(reader: WarpReader, tree: Path) -> None:
    """Every file of the tree is in the archive, with its content, and no other."""
    files = {os.fsencode(path.relative_to(tree)): path for path in tree.rglob("*") if path.is_file()}
    found = {entry["path"]: reader.content(entry) for entry in reader.entries if entry["kind"] == 0}
    assert found == {name: path.read_bytes() for name, path in files.items()}


def dies_at(checkpoint: int) -> Callable[[PackProgress], None]:
    """A progress callback that ends the process, as `kill -9` would, once there are so many checkpoints."""

    def stop(progress: PackProgress) -> None:
        if progress.checkpoints >= checkpoint:
            os._exit(9)

    return stop


def killed(action: Callable[[], object], reset: Callable[[], object]) -> None:
    """Run `action`, which dies at a checkpoint, until it does: on a busy machine a run may end before its first."""
    for _ in range(20):
        if in_child(action) == 9:
            return
        reset()
    raise AssertionError("the run always ended before it could be killed")


def in_child(action: Callable[[], object]) -> int:
    """Run `action` in a forked process; its exit status."""
    child = os.fork()
    if child == 0:
        try:
            action()
            os._exit(0)
        finally:
            os._exit(1)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
