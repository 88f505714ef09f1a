"""Archives on a faulty file system that lose something when they are written anew, and the commands that do so.

forget     of two snapshots the first, and with it the chunks that only it uses
compact    one snapshot, with chunks that a stopped run left and no snapshot uses
"""

import os
import random
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from tests.faults.mount import FaultyMount
from warp_portal.archive import PackOptions, PackProgress, Source, StateStore, append, create, open_archive
from warp_portal.primitives.cutting import PROFILES

SEED = 20261125
VERBS = ("forget", "compact")
OPTIONS = PackOptions(cutting=PROFILES["fine"], threads=1, checkpoint_bytes=64 << 10)

Contents = dict[str, bytes]


@dataclass(frozen=True, slots=True)
class CompactScene:
    """An archive on the faulty file system; its originals and the state of the tool are beside that."""

    mount: FaultyMount
    home: Path

    @property
    def archive(self) -> Path:
        """As the command sees it."""
        return self.mount.path / "a.warp"

    @property
    def behind(self) -> Path:
        """As it lies on the disk."""
        return self.mount.backing / "a.warp"

    def original(self, verb: str) -> Path:
        """The archive before a command."""
        return self.home / f"{verb}.warp"

    def set(self, verb: str) -> None:
        """The state before a command, straight in the backing directory."""
        for child in self.mount.backing.iterdir():
            child.unlink()
        shutil.rmtree(self.home / "state", ignore_errors=True)
        shutil.copy2(self.original(verb), self.behind)
        shutil.copytree(self.home / f"{verb}.state", self.home / "state")

    def run(self, verb: str) -> subprocess.CompletedProcess[str]:
        """The command, as a user gives it."""
        options = ["-s", "1", "--compact"] if verb == "forget" else []
        command = [sys.executable, "-m", "warp_portal", verb, str(self.archive), *options]
        environment = {**os.environ, "WARP_STATE_DIR": str(self.home / "state")}
        return subprocess.run(command, capture_output=True, text=True, env=environment, check=False, timeout=60)

    def beside(self) -> list[str]:
        """What lies beside the archive."""
        return sorted(path.name for path in self.mount.backing.iterdir() if path.name != "a.warp")


def new_scene(mount: FaultyMount, home: Path) -> CompactScene:
    """Both archives, made without faults."""
    tree, rng = home / "tree", random.Random(SEED)
    tree.mkdir()
    for number in range(12):
        (tree / f"f{number:02}").write_bytes(rng.randbytes(100_000))
    _stop_create(home / "compact.warp", tree, home / "compact.state")
    create(home / "forget.warp", source(tree), OPTIONS, state=StateStore(home / "forget.state"))
    for path in sorted(tree.iterdir())[:6]:
        path.unlink()
    (tree / "new").write_bytes(rng.randbytes(200_000))
    append(home / "forget.warp", source(tree), OPTIONS, state=StateStore(home / "forget.state"))
    resumed = create(home / "compact.warp", source(tree), OPTIONS, state=StateStore(home / "compact.state"))
    assert resumed.resumed
    return CompactScene(mount, home)


def source(tree: Path) -> Source:
    """The tree under its own name."""
    return Source(((b"tree", os.fsencode(tree)),))


def _stop_create(archive: Path, tree: Path, state: Path) -> None:
    """A create that is stopped once it has some chunks, which a checkpoint keeps."""

    def stop(progress: PackProgress) -> None:
        if progress.checkpoints >= 2 or (progress.walk_done and progress.chunks >= 4):
            raise KeyboardInterrupt

    try:
        create(archive, source(tree), OPTIONS, state=StateStore(state), progress=stop)
    except KeyboardInterrupt:
        return
    raise AssertionError("the run ended before it could be stopped")


def snapshots(archive: Path, *, recover: bool = False) -> list[Contents]:
    """The files of every snapshot, by name."""
    with open_archive(archive, recover=recover) as newest:
        readers = [newest.at(snapshot.number) for snapshot in newest.snapshots()]
        return [
            {entry.name: reader.open_file(entry.path).read() for entry in reader if entry.kind.name == "FILE"}
            for reader in readers
        ]
