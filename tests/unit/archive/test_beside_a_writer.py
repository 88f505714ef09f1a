"""Readers that a writer overtakes: what it has done meanwhile is neither damage nor a rollback, and is not forgotten."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.unit.archive.common import KEY, LOCK, OFTEN, UNLOCK, UUID, grow

from warp_portal.archive import opening, reader, verification
from warp_portal.archive.options import Source
from warp_portal.archive.reader import open_archive
from warp_portal.archive.rekey import add_slot
from warp_portal.archive.state import Remembered, StateStore
from warp_portal.archive.storage import ArchiveFile
from warp_portal.archive.verification import Level, verify
from warp_portal.archive.writer import append, create
from warp_portal.errors import RollbackError
from warp_portal.keys.recipients import Identity


@pytest.fixture
def archive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    grow(tmp_path / "tree", 10, 9000)
    monkeypatch.chdir(tmp_path / "tree")
    create(tmp_path / "a.warp", Source.of(["."]), OFTEN, lock=LOCK, archive_key=KEY, uuid=UUID)
    return tmp_path / "a.warp"


def before(monkeypatch: pytest.MonkeyPatch, module: object, name: str, happens: Callable[[], object]) -> None:
    """Let something happen once, just before a function of a module is called."""
    function, left = getattr(module, name), [happens]

    def called(*arguments: object, **options: object) -> object:
        if left:
            left.pop()()
        return function(*arguments, **options)

    monkeypatch.setattr(module, name, called)


@pytest.mark.parametrize("point", ["newest", "open_keys", "check_state"])
def test_an_append_that_ends_while_an_archive_is_opened_is_no_rollback(
    archive: Path, state: StateStore, point: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    open_archive(archive, UNLOCK, state=state).close()
    first = archive.read_bytes()
    before(monkeypatch, reader, point, lambda: append(archive, Source.of(["."]), OFTEN, unlock=UNLOCK, state=state))
    with open_archive(archive, UNLOCK, state=state) as opened:
        assert len(opened.snapshots()) == (2 if point == "newest" else 1)
    archive.write_bytes(first)
    with pytest.raises(RollbackError, match="older"):  # the reader did not put back what the writer had noted
        open_archive(archive, UNLOCK, state=state)


def test_a_reader_that_saw_nothing_before_does_not_put_back_what_a_writer_notes(
    archive: Path, state: StateStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = archive.read_bytes()
    before(
        monkeypatch, reader, "check_state", lambda: append(archive, Source.of(["."]), OFTEN, unlock=UNLOCK, state=state)
    )
    open_archive(archive, UNLOCK, state=state).close()
    archive.write_bytes(first)
    with pytest.raises(RollbackError, match="older"):
        open_archive(archive, UNLOCK, state=state)


def test_only_who_goes_back_may_note_an_older_state(state: StateStore) -> None:
    newer, older = Remembered(7, b"7" * 32, b""), Remembered(6, b"6" * 32, b"")
    state.remember(UUID, newer)
    state.remember(UUID, older)
    assert state.remembered(UUID) == newer
    state.remember(UUID, older, go_back=True)
    assert state.remembered(UUID) == older


def test_an_append_that_ends_after_the_look_at_the_end_is_no_damage(
    archive: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    append(archive, Source.of(["."]), OFTEN, unlock=UNLOCK)
    whole = archive.read_bytes()
    os.truncate(archive, len(whole) - 100)
    before(monkeypatch, ArchiveFile, "being_written", lambda: archive.write_bytes(whole))
    with open_archive(archive, UNLOCK) as opened:
        assert len(opened.snapshots()) == 2


def test_a_key_change_that_ends_while_the_slots_are_read_is_no_damage(
    archive: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stranger = Identity.generate().recipient
    before(monkeypatch, opening, "open_commit", lambda: add_slot(archive, UNLOCK, recipient=stranger))
    with open_archive(archive, UNLOCK) as opened:
        assert opened.commit.sequence == 2


@pytest.mark.parametrize("change", ["append", "keys"])
def test_a_change_that_ends_while_an_archive_is_verified_is_no_damage(
    archive: Path, change: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def happens() -> None:
        if change == "append":
            append(archive, Source.of(["."]), OFTEN, unlock=UNLOCK)
        else:
            add_slot(archive, UNLOCK, recipient=Identity.generate().recipient)

    before(monkeypatch, verification, "check_coverage", happens)
    assert verify(archive, Level.DEEP, unlock=UNLOCK).ok


def test_bytes_that_are_no_commits_of_a_writer_are_damage(archive: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = archive.read_bytes()
    append(archive, Source.of(["."]), OFTEN, unlock=UNLOCK)
    longer = bytearray(archive.read_bytes())
    longer[-250] ^= 1  # in a commit's sequence
    for bad in (whole + b"rubbish", bytes(longer), whole + whole[-256:]):
        archive.write_bytes(whole)
        with monkeypatch.context() as patches:
            before(patches, verification, "check_coverage", lambda bad=bad: archive.write_bytes(bad))  # type: ignore[misc]
            report = verify(archive, Level.DEEP, unlock=UNLOCK)
        assert any("follow the newest commit" in reason for reason in report.metadata_damage)
