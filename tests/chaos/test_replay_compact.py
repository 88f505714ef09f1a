"""What a loss of power may leave of `forget --compact`: its recorded writes and renames cut off at every point, with what was not synced lost or out of order.

At each point the archive's name leads to the old archive or to the new one, whole.
"""

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.chaos.compact_scene import SEED, VERBS, CompactScene, new_scene, snapshots
from tests.chaos.test_replay import applied
from tests.faults.filesystem import Operation
from tests.faults.mount import faulty, reason_to_skip
from warp_portal.archive import CompactRequest, Level, Selection, compact, verify

pytestmark = pytest.mark.skipif(bool(reason_to_skip()), reason=reason_to_skip())

SHUFFLES = 4
NAMES = ("create", "rename", "unlink")


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CompactScene]:
    with faulty(tmp_path_factory.mktemp("faults")) as mounted:
        yield new_scene(mounted, tmp_path_factory.mktemp("scene"))


@dataclass(slots=True)
class Disk:
    """Files by number with what was done to them, and which names lead to them, as far as one of these was kept."""

    base: bytes
    contents: dict[int, list[Operation]] = field(default_factory=lambda: {0: []})
    names: dict[str, int] = field(default_factory=lambda: {"/a.warp": 0})

    def image(self) -> dict[str, bytes]:
        """The files by name."""
        return {name: applied(b"" if file else self.base, self.contents[file]) for name, file in self.names.items()}


def replayed(base: bytes, log: Sequence[Operation], rng: random.Random | None, keep: float) -> dict[str, bytes]:
    """The directory after `log`: what was synced, and of the rest each operation with the chance `keep`, writes in any order.

    Changes of names happen in their order or not at all from one on, as in a journal; a sync of a file says nothing of its name.
    """
    disk, files = Disk(base), {"/a.warp": 0}  # `files`: the names as the program saw them
    last_sync = {operation.path: number for number, operation in enumerate(log) if operation.kind == "sync"}
    names_sure = max((number for number, operation in enumerate(log) if operation.kind == "syncdir"), default=-1)
    loose: list[tuple[int, Operation]] = []
    journal = True
    for number, operation in enumerate(log):
        if operation.kind in NAMES:
            journal = journal and (number < names_sure or rng is None or rng.random() < keep)
            _change_name(files, operation, disk.contents)
            if journal:
                disk.names = dict(files)
        elif operation.kind in ("write", "truncate"):
            if rng is None or number < last_sync.get(operation.path, -1):
                disk.contents[files[operation.path]].append(operation)
            elif rng.random() < keep:
                loose.append((files[operation.path], operation))
    if rng is not None:
        rng.shuffle(loose)
    for file, operation in loose:
        disk.contents[file].append(operation)
    return disk.image()


def _change_name(names: dict[str, int], operation: Operation, contents: dict[int, list[Operation]]) -> None:
    if operation.kind == "create":
        names[operation.path] = len(contents)
        contents[len(contents)] = []
    elif operation.kind == "rename":
        names[operation.target] = names.pop(operation.path)
    else:
        del names[operation.path]


def images(base: bytes, log: Sequence[Operation], seed: str) -> Iterator[tuple[int, dict[str, bytes]]]:
    """(operations done, files by name) as they may be found."""
    rng = random.Random(seed)
    for end in range(len(log) + 1):
        yield end, replayed(base, log[:end], None, 1.0)
        yield end, replayed(base, log[:end], rng, 0.0)
        for _ in range(SHUFFLES):
            yield end, replayed(base, log[:end], rng, rng.choice((0.5, 0.9)))


@pytest.mark.parametrize("verb", VERBS)
def test_at_every_point_the_name_leads_to_the_old_archive_or_the_new_one(
    scene: CompactScene, tmp_path: Path, verb: str
) -> None:
    scene.set(verb)
    scene.mount.plan()
    assert scene.run(verb).returncode == 0
    _, log, _ = scene.mount.plan()
    base, new = scene.original(verb).read_bytes(), scene.behind.read_bytes()
    seen: list[bool] = []
    for end, image in images(base, log, f"{SEED} {verb}"):
        assert image["/a.warp"] in (base, new), end
        seen.append(image["/a.warp"] == new)
        if end == len(log):
            assert seen[-1], "renamed and synced, and lost all the same"
            assert list(image) == ["/a.warp"]
    renamed = next(number for number, operation in enumerate(log) if operation.kind == "rename")
    assert sum(seen) > len(log) - renamed, "the new one is found where the rename was not yet synced"
    assert not all(seen)
    (tmp_path / "new.warp").write_bytes(new)
    assert verify(tmp_path / "new.warp", Level.DEEP).ok
    assert snapshots(tmp_path / "new.warp") == snapshots(scene.original(verb))[-1:]


def test_from_every_point_the_next_run_tidies_up(scene: CompactScene, tmp_path: Path) -> None:
    scene.set("forget")
    scene.mount.plan()
    assert scene.run("forget").returncode == 0
    _, log, _ = scene.mount.plan()
    base, kept = scene.original("forget").read_bytes(), snapshots(scene.original("forget"))[-1:]
    tidied = 0
    for end, image in images(base, log, f"{SEED} again"):
        for name, content in image.items():
            (tmp_path / name[1:]).write_bytes(content)
        tidied += len(image) > 1
        if image["/a.warp"] == base:
            compact(tmp_path / "a.warp", CompactRequest(Selection(forgotten=frozenset({1}))))
        assert [path.name for path in tmp_path.iterdir()] == ["a.warp"], end
        assert snapshots(tmp_path / "a.warp") == kept, end
    assert tidied > 0
