"""Every write, sync, read, rename and other step of `forget --compact` and `compact` fails once: the archive is the old one or the new one.

`./dev test` takes a seeded sample of the points, `./dev soak faults_compact` all of them.
"""

import errno
import random
from collections.abc import Iterator

import pytest

from tests.chaos.compact_scene import SEED, VERBS, CompactScene, new_scene, snapshots
from tests.faults.filesystem import SHORT, Fault
from tests.faults.mount import faulty, reason_to_skip
from warp_portal.archive import Level, StateStore, open_archive, verify
from warp_portal.errors import EXIT_OK

pytestmark = pytest.mark.skipif(bool(reason_to_skip()), reason=reason_to_skip())

SAMPLE = 2
FULL = 17
FAULTS = [
    ("write", errno.ENOSPC, True),
    ("write", errno.EIO, False),
    ("write", SHORT, False),
    ("sync", errno.EIO, False),
    ("read", errno.EIO, False),
    ("read", errno.EIO, True),
    ("read", SHORT, False),
    ("create", errno.EACCES, False),
    ("create", errno.ENOSPC, False),
    ("open", errno.EIO, False),
    ("chmod", errno.EIO, False),
    ("rename", errno.EIO, False),
    ("rename", errno.ENOSPC, False),
    ("syncdir", errno.EIO, False),
]


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CompactScene]:
    with faulty(tmp_path_factory.mktemp("faults")) as mounted:
        yield new_scene(mounted, tmp_path_factory.mktemp("scene"))


@pytest.fixture(scope="module")
def counts(scene: CompactScene) -> dict[str, dict[str, int]]:
    """How many operations of each kind the commands take when nothing fails."""
    found = {}
    for verb in VERBS:
        scene.set(verb)
        scene.mount.plan()
        done = scene.run(verb)
        assert done.returncode == EXIT_OK, done.stderr
        assert scene.behind.stat().st_size < scene.original(verb).stat().st_size - 300_000
        found[verb], _, _ = scene.mount.plan()
    return found


def points(total: int, seed: str, limit: int) -> list[int]:
    """Numbers of the operations to fail: all, or a seeded sample."""
    assert total > 0, f"nothing to fail: {seed}"
    return sorted(random.Random(f"{SEED} {seed}").sample(range(total), min(total, limit)))


@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize(("kind", "error", "lasting"), FAULTS)
@pytest.mark.parametrize("limit", [SAMPLE, pytest.param(1_000_000, marks=pytest.mark.soak)])
def test_a_failing_operation_leaves_the_old_archive_or_the_new_one(
    scene: CompactScene,
    counts: dict[str, dict[str, int]],
    verb: str,
    kind: str,
    error: int,
    lasting: bool,
    limit: int,
) -> None:
    old = snapshots(scene.original(verb))
    for number in points(counts[verb].get(kind, 0), f"{verb} {kind} {error} {lasting}", limit):
        scene.set(verb)
        scene.mount.plan(Fault(kind, number, error, lasting))
        done = scene.run(verb)
        _, _, failed = scene.mount.plan()
        where = f"{verb}: {kind} {number} fails with {error}: exit {done.returncode}\n{done.stderr}"
        assert failed, where
        assert "Traceback" not in done.stderr, where
        assert "internal error" not in done.stderr, where
        if done.returncode == EXIT_OK:
            # The kernel makes one large read or write of several: where a later one fails, it was short, and is repeated.
            assert error == SHORT or (kind in ("read", "write") and not lasting), where
            assert snapshots(scene.behind) == old[-1:], where
        else:
            assert error != SHORT, where
            assert (done.returncode == FULL) == (error == errno.ENOSPC), where
            assert "warp: " in done.stderr, where
            assert "a.warp" in done.stderr, where
        check_one_of_both(scene, verb, old, where)
        assert scene.beside() == [], where
        check_repeating(scene, verb, old, where)


def check_one_of_both(scene: CompactScene, verb: str, old: list[dict[str, bytes]], where: str) -> None:
    """The archive is byte for byte as it was, or holds what is kept, is whole, and is the state that is remembered."""
    if scene.behind.read_bytes() == scene.original(verb).read_bytes():
        return
    assert snapshots(scene.behind) == old[-1:], where
    assert verify(scene.behind, Level.DEEP, state=StateStore(scene.home / "state")).ok, where


def check_repeating(scene: CompactScene, verb: str, old: list[dict[str, bytes]], where: str) -> None:
    """The same command again ends as if nothing had happened."""
    if scene.behind.stat().st_size == scene.original(verb).stat().st_size:
        again = scene.run(verb)
        assert again.returncode == EXIT_OK, f"{where}\nagain: {again.stderr}"
        assert scene.behind.stat().st_size < scene.original(verb).stat().st_size, where
    assert snapshots(scene.behind) == old[-1:], where
    with open_archive(scene.behind, state=StateStore(scene.home / "state")) as reader:
        assert not reader.damaged_tail, where


def test_what_cannot_be_removed_is_named_beside_the_failure(scene: CompactScene) -> None:
    """The disk fails while the copy is written, and then when it is to be removed."""
    scene.set("forget")
    scene.mount.plan(Fault("write", 4, errno.ENOSPC, True), Fault("unlink", 0, errno.EIO))
    done = scene.run("forget")
    assert done.returncode == FULL, done.stderr
    assert scene.behind.read_bytes() == scene.original("forget").read_bytes()
    (left,) = scene.beside()
    assert left in done.stderr
    scene.mount.plan()
    assert scene.run("forget").returncode == EXIT_OK
    assert scene.beside() == []


def test_a_leftover_that_cannot_be_removed_stops_nothing(scene: CompactScene) -> None:
    """It is only room that it takes, and the next run tries again."""
    scene.set("forget")
    (scene.mount.backing / "a.warp.compact-0123abcd").write_bytes(b"left by a run that was killed")
    scene.mount.plan(Fault("unlink", 0, errno.EIO))
    assert scene.run("forget").returncode == EXIT_OK
    assert scene.beside() == ["a.warp.compact-0123abcd"]
    assert len(snapshots(scene.behind)) == 1
