"""What a loss of power may leave: the recorded writes of a run cut off at every point, with unsynced ones lost or out of order.

At each point the last committed snapshot opens and is whole, and the same command ends in the whole result.
"""

import errno
import random
import shutil
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

import pytest

from tests.chaos.test_faults import SEED, Scene, contents, files, mount, scene
from tests.faults.filesystem import Fault, Operation
from tests.faults.mount import reason_to_skip
from warp_portal.archive import Level, PackOptions, Source, append, open_archive, verify
from warp_portal.errors import DamagedTailError

__all__ = ["mount", "scene"]  # fixtures

pytestmark = pytest.mark.skipif(bool(reason_to_skip()), reason=reason_to_skip())

SHUFFLES = 3
TRIES = 20


def recorded(scene: Scene, verb: str) -> list[Operation]:
    """What the command did to the archive's file."""
    scene.set(verb)
    scene.mount.plan()
    assert scene.run(verb).returncode == 0
    _, log, _ = scene.mount.plan()
    return [operation for operation in log if operation.path == "/a.warp"]


def stopped_at_its_last_sync(scene: Scene) -> list[Operation]:
    """What a create did that wrote its commit, could not sync it, and so keeps the memory of an unfinished run.

    How often a run syncs depends on when its threads hand over their work: a count from another run is only a guess.
    """
    for _ in range(TRIES):
        syncs = sum(operation.kind == "sync" for operation in recorded(scene, "create"))
        scene.set("create")
        scene.mount.plan(Fault("sync", syncs - 1, errno.EIO))
        stopped = scene.run("create").returncode == 1
        log = [operation for operation in scene.mount.plan()[1] if operation.path == "/a.warp"]
        with suppress(DamagedTailError):  # it was stopped at a checkpoint
            if stopped and verify(scene.mount.backing / "a.warp", Level.DEEP).ok:
                return log
    raise AssertionError(f"no run of {TRIES} was stopped at its last sync")


def images(base: bytes, log: Sequence[Operation], seed: str) -> Iterator[tuple[int, bytes]]:
    """(operations done, content) of the file as it may be found: every prefix, with what was not synced kept, lost or in part."""
    rng = random.Random(seed)
    for end in range(len(log) + 1):
        synced = max((number + 1 for number in range(end) if log[number].kind == "sync"), default=0)
        sure, loose = list(log[:synced]), list(log[synced:end])
        yield end, applied(base, sure + loose)
        if loose:
            yield end, applied(base, sure)
        for _ in range(SHUFFLES if len(loose) > 1 else 0):
            some = [operation for operation in loose if rng.random() < 0.5]
            rng.shuffle(some)
            yield end, applied(base, sure + some)


def applied(base: bytes, operations: Sequence[Operation]) -> bytes:
    """The file after these operations; what was never written between them is zero."""
    image = bytearray(base)
    for operation in operations:
        if operation.kind == "truncate":
            del image[operation.offset :]
        elif operation.kind == "write":
            image.extend(bytes(max(0, operation.offset + len(operation.data) - len(image))))
            image[operation.offset : operation.offset + len(operation.data)] = operation.data
    return bytes(image)


def test_at_every_point_of_an_append_a_committed_snapshot_opens(scene: Scene, tmp_path: Path) -> None:
    log = recorded(scene, "append")
    base = (scene.home / "v1.warp").read_bytes()
    old, new = files(scene.home / "v1"), files(scene.home / "v2")
    archive = tmp_path / "a.warp"
    found = []
    for end, image in images(base, log, f"{SEED} append"):
        archive.write_bytes(image)
        with open_archive(archive, recover=True) as reader:
            snapshots = len(reader.snapshots())
            assert contents(reader) == (old, new)[snapshots - 1], end
        assert snapshots == 2 or end < len(log), "committed and synced, and lost all the same"
        found.append(snapshots)
    assert found[0] == 1
    assert found[-1] == 2


def test_from_every_point_of_an_append_the_same_command_ends_in_the_whole_result(
    scene: Scene, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = recorded(scene, "append")
    base, expected = (scene.home / "v1.warp").read_bytes(), files(scene.home / "v2")
    archive = tmp_path / "a.warp"
    monkeypatch.chdir(scene.mount.backing)
    for end, image in images(base, log, f"{SEED} append again"):
        archive.write_bytes(image)
        append(archive, Source.of(["tree"]), PackOptions(checkpoint_bytes=64 << 10), recover=True)
        check_whole(archive, expected, end)


def test_from_every_point_of_a_create_the_same_command_ends_in_the_whole_result(scene: Scene, tmp_path: Path) -> None:
    log = stopped_at_its_last_sync(scene)
    remembered = shutil.copytree(scene.home / "state", tmp_path / "state")  # as the run left it before its last sync
    archive = scene.mount.backing / "a.warp"
    for end, image in images(b"", log, f"{SEED} create again"):
        archive.write_bytes(image)
        shutil.rmtree(scene.home / "state")
        shutil.copytree(remembered, scene.home / "state")
        done = scene.run("create")
        assert done.returncode == 0 or "finished" in done.stderr, f"{end}: {done.stderr}"
        check_whole(archive, files(scene.home / "v1"), end)


def check_whole(archive: Path, expected: dict[str, bytes], end: int) -> None:
    assert verify(archive, Level.DEEP).ok, end
    with open_archive(archive) as reader:
        assert contents(reader) == expected, end
