"""Snapshots that a change of keys made are told from others, also in an archive that was written anew."""

from pathlib import Path

import pytest
from tests.unit.archive.common import grow

from warp_portal.archive.compaction import CompactRequest, compact
from warp_portal.archive.options import Source
from warp_portal.archive.reader import open_archive
from warp_portal.archive.rekey import add_slot, remove_slot
from warp_portal.archive.retention import KeepRules, Selection
from warp_portal.archive.unlock import Lock, Unlock
from warp_portal.archive.writer import append, create
from warp_portal.errors import KeyRequiredError
from warp_portal.keys.recipients import Identity
from warp_portal.keys.signers import SigningKey

ME, SPARE = Identity.generate("x25519"), Identity.generate("x25519")
UNLOCK = Unlock(identities=(ME,))


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    root = tmp_path / "tree"
    grow(root, 5, 9000)
    return root


@pytest.fixture
def changed(tree: Path, archive: Path) -> Path:
    """Snapshots 1 and 4 are of other files each, 5 is of those of 4; 2, 3 and 6 are changes of keys."""
    create(archive, Source.of([str(tree)]), lock=Lock(recipients=(ME.recipient,)))
    slot = add_slot(archive, UNLOCK, recipient=SPARE.recipient)
    remove_slot(archive, UNLOCK, slot.slot_id)
    (tree / "new").write_bytes(b"new")
    append(archive, Source.of([str(tree)]), unlock=UNLOCK)
    append(archive, Source.of([str(tree)]), unlock=UNLOCK)
    add_slot(archive, UNLOCK, recipient=SPARE.recipient)
    return archive


def key_changes(archive: Path) -> set[int]:
    with open_archive(archive, UNLOCK) as reader:
        return set(reader.key_changes())


def forget(archive: Path, selection: Selection) -> dict[int, tuple[str, ...]]:
    """The rules of the snapshots that stay."""
    request = CompactRequest(selection, recipients=(SPARE.recipient,))
    report = compact(archive, request, unlock=UNLOCK)
    return {fate.number: fate.rules for fate in report.snapshots if fate.becomes}


def test_changes_of_keys_are_told_from_snapshots_of_equal_files(changed: Path) -> None:
    assert key_changes(changed) == {2, 3, 6}


def test_rules_pass_over_changes_of_keys_but_the_newest_stays(changed: Path) -> None:
    assert forget(changed, Selection(KeepRules(last=2))) == {4: ("last",), 5: ("last",), 6: ("newest",)}
    assert key_changes(changed) == {3}
    append(changed, Source.of([str(changed)]), unlock=UNLOCK)
    assert forget(changed, Selection(KeepRules(last=2))) == {2: ("last",), 4: ("last",)}
    assert key_changes(changed) == set()


def test_what_stays_of_files_whose_snapshot_goes_is_a_snapshot_like_others(changed: Path) -> None:
    assert set(forget(changed, Selection(forgotten=frozenset({1, 2, 5})))) == {3, 4, 6}
    assert key_changes(changed) == set()


def test_a_change_of_keys_stays_for_what_it_repeats_if_that_is_forgotten_by_number(changed: Path) -> None:
    append(changed, Source.of([str(changed)]), unlock=UNLOCK)
    kept = Selection(KeepRules(last=5), forgotten=frozenset({1, 2})).kept(range(7), passed_over={2, 3, 6})
    assert set(kept) == {3, 4, 5, 7}
    assert set(forget(changed, Selection(KeepRules(last=5), forgotten=frozenset({1, 2})))) == {3, 4, 5, 7}


def test_a_change_of_keys_in_place_of_a_snapshot_forgotten_by_number_takes_no_other_place(changed: Path) -> None:
    assert forget(changed, Selection(KeepRules(last=2), forgotten=frozenset({5}))) == {4: ("last",), 6: ("last",)}


def test_what_is_signed_otherwise_than_the_one_before_is_no_mere_change_of_keys(tree: Path, archive: Path) -> None:
    create(archive, Source.of([str(tree)]), lock=Lock(recipients=(ME.recipient,)))
    signing = SigningKey.generate()
    for _ in range(2):
        add_slot(archive, UNLOCK, recipient=SPARE.recipient, signing_key=signing)
    assert key_changes(archive) == {3}


def test_without_a_key_they_cannot_be_told(changed: Path) -> None:
    with open_archive(changed) as reader, pytest.raises(KeyRequiredError):
        reader.key_changes()


def test_an_unreadable_table_of_contents_of_an_earlier_snapshot_is_not_in_the_way(changed: Path) -> None:
    with open_archive(changed, UNLOCK) as reader:
        offset = reader.at(2).commit.toc_offset
    with changed.open("r+b") as file:
        file.seek(offset)
        file.write(bytes(200))
    assert key_changes(changed) == {6}


def test_a_plain_archive_has_none(tree: Path, archive: Path) -> None:
    create(archive, Source.of([str(tree)]))
    append(archive, Source.of([str(tree)]))
    with open_archive(archive) as reader:
        assert reader.key_changes() == frozenset()
