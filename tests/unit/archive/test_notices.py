"""What an append found and changed beside adding a snapshot is told."""

import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from tests.unit.archive.common import OFTEN, dies_at, grow, grow_large, killed

from warp_portal.archive.options import PackOptions, PackReport, Source
from warp_portal.archive.state import StateStore
from warp_portal.archive.writer import append, create
from warp_portal.keys.signers import SigningKey

ALICE, BOB = (PackOptions(signing_key=SigningKey(name * 32)) for name in (b"a", b"b"))


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    root = tmp_path / "tree"
    grow(root, 20, 9000)
    monkeypatch.chdir(root)
    return root


def here() -> Source:
    """The working directory, which is the tree."""
    return Source.of(["."])


def told(report: PackReport) -> str:
    return "\n".join((*report.warnings, *report.notices))


def test_an_append_that_only_adds_tells_nothing(tree: Path, archive: Path, state: StateStore) -> None:
    assert not told(create(archive, here(), ALICE, state=state))
    (tree / "new").write_bytes(b"x")
    assert not told(append(archive, here(), ALICE, state=state))


def test_recovering_behind_what_was_seen_is_told(tree: Path, archive: Path, state: StateStore, tmp_path: Path) -> None:
    create(archive, here(), state=state)
    shutil.copy(archive, tmp_path / "copy.warp")
    (tree / "new").write_bytes(b"x")
    append(archive, here(), state=state)
    report = append(tmp_path / "copy.warp", here(), state=state, recover=True)
    assert "not the state that this machine saw last (commit 2)" in told(report)


def test_cutting_off_a_damaged_end_is_told(tree: Path, archive: Path, state: StateStore) -> None:
    create(archive, here(), state=state)
    with archive.open("ab") as file:
        file.write(bytes(1000))
    assert "1,000 bytes of an unfinished or damaged run were cut off" in told(append(archive, here(), recover=True))


def test_cutting_off_an_append_with_other_arguments_is_told(
    tree: Path, archive: Path, state: StateStore, tmp_path: Path
) -> None:
    often = replace(OFTEN, checkpoint_bytes=1 << 18)
    create(archive, here(), often, state=state)
    before, remembered = archive.read_bytes(), shutil.copytree(tmp_path / "state", tmp_path / "remembered")

    def reset() -> None:
        archive.write_bytes(before)
        shutil.rmtree(tmp_path / "state")
        shutil.copytree(remembered, tmp_path / "state")

    grow_large(tree / "more", 24 << 20, seed=2)
    killed(lambda: append(archive, here(), often, state=state, progress=dies_at(2)), reset)
    report = append(archive, replace(here(), excludes=("more",)), state=state)
    assert "of an unfinished or damaged run were cut off" in told(report)


def test_another_signer_is_told(tree: Path, archive: Path, state: StateStore) -> None:
    create(archive, here(), ALICE, state=state)
    report = append(archive, here(), BOB, state=state)
    assert "signed by another key than before" in told(report)
    assert not told(append(archive, here(), BOB, state=state))
