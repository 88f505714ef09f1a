"""Archives that go from one machine to another as they are stored: whole, in part, again, and with damage."""

import os
import shutil
from pathlib import Path

import pytest
from tests.unit.archive.common import OFTEN
from tests.unit.transport.archive_hands import transfer
from tests.unit.transport.archive_place import SIGNER, Place

from warp_portal.archive.limits import KIND_LOCATOR, KIND_TABLE, PAGE_RECORDS
from warp_portal.archive.offering import Offering
from warp_portal.archive.opening import history
from warp_portal.archive.options import Source
from warp_portal.archive.state import Remembered, StateStore
from warp_portal.archive.trust import Expectation, SignatureState
from warp_portal.archive.verification import Level, verify
from warp_portal.archive.writer import append, create
from warp_portal.errors import (
    BeginningError,
    ExistsError,
    IntegrityError,
    RollbackError,
    SignatureError,
    UnsignedError,
)
from warp_portal.keys.signers import SigningKey


@pytest.mark.parametrize("encrypted", [False, True])
@pytest.mark.parametrize("signed", [False, True])
def test_an_archive_arrives_byte_for_byte(tmp_path: Path, encrypted: bool, signed: bool) -> None:
    place = Place(tmp_path, encrypted=encrypted, signing_key=SIGNER if signed else None)
    place.append(1)
    sending, receiving = transfer(place.archive, place.target())
    place.check()
    report = receiving.outcome
    assert report
    assert report.failed == 0
    assert report.restored == receiving.durable > PAGE_RECORDS
    state = SignatureState.UNSIGNED
    if signed:
        state = SignatureState.UNCHECKED if encrypted else SignatureState.UNKNOWN_SIGNER
    assert report.signature == state.value
    assert sending.session.over


def test_only_what_is_new_travels(place: Place) -> None:
    transfer(place.archive, place.target())
    before = place.copy.stat().st_ino
    place.append(1)
    sending, receiving = transfer(place.archive, place.target())
    place.check()
    assert 3 << 20 <= sending.bytes_done < 4 << 20
    assert 700 < receiving.durable < 1500
    assert place.copy.stat().st_ino != before
    place.append(2)
    place.append(3)
    transfer(place.archive, place.target())
    place.check()


def test_nothing_travels_where_all_is_there(place: Place) -> None:
    transfer(place.archive, place.target())
    before = place.copy.stat()
    sending, receiving = transfer(place.archive, place.target())
    assert (sending.bytes_done, receiving.durable) == (0, 0)
    assert place.copy.stat() == before
    place.check()


def test_a_file_that_is_no_archive_is_not_replaced(place: Place) -> None:
    place.copy.write_bytes(b"x" * 5000)
    with pytest.raises(ExistsError, match="no archive"):
        transfer(place.archive, place.target())
    assert place.copy.read_bytes() == b"x" * 5000


def test_another_archive_is_not_replaced(place: Place, tmp_path: Path) -> None:
    create(place.copy, Source.of([place.tree / "d1"]), OFTEN)
    before = place.copy.read_bytes()
    with pytest.raises((ExistsError, RollbackError)):
        transfer(place.archive, place.target())
    assert place.copy.read_bytes() == before


def test_a_newer_state_is_not_replaced(place: Place) -> None:
    shutil.copy(place.archive, place.path / "old.warp")
    place.append(1)
    shutil.copy(place.archive, place.copy)
    with pytest.raises(RollbackError, match="newer here"):
        transfer(place.path / "old.warp", place.target())
    assert os.listdir(place.copy.parent) == ["b.warp"]


def test_a_forked_state_is_not_replaced(place: Place) -> None:
    shutil.copy(place.archive, place.copy)
    append(place.copy, Source.of([place.tree / "d2"]), OFTEN)
    place.append(1)
    place.append(2)
    before = place.copy.read_bytes()
    with pytest.raises(RollbackError, match="no earlier state"):
        transfer(place.archive, place.target())
    assert place.copy.read_bytes() == before


def test_a_damaged_chunk_is_lost_and_the_rest_arrives(place: Place) -> None:
    with Offering(place.archive) as offering:
        offset = int.from_bytes(offering.locator(0)[36 + 8 * 77 : 44 + 8 * 77], "little")
        chunks = offering.commit.chunks
    place.damage(offset)
    _sending, receiving = transfer(place.archive, place.target())
    report = receiving.outcome
    assert report
    assert (report.restored, report.failed) == (chunks - 1, 1)
    copy, archive = place.copy.read_bytes(), place.archive.read_bytes()
    differing = [at for at in range(0, len(copy), 512) if copy[at : at + 512] != archive[at : at + 512]]
    assert len(copy) == len(archive)
    assert differing
    assert all(offset - 512 < at < offset + 9000 for at in differing)
    result = verify(place.copy, Level.DATA)
    assert not result.ok
    assert not result.metadata_damage


def test_a_damaged_page_is_lost_and_the_rest_arrives(place: Place) -> None:
    with Offering(place.archive) as offering:
        page = next(ref for ref in (offering.page(n) for n in _numbers(offering)) if ref.kind == KIND_TABLE)
    place.damage(page.offset + 1)
    _, receiving = transfer(place.archive, place.target())
    assert receiving.outcome
    assert receiving.outcome.failed == 1
    assert len(verify(place.copy, Level.DATA).metadata_damage) == 1


def test_a_damaged_locator_page_ends_it(place: Place) -> None:
    with Offering(place.archive) as offering:
        offset = offering.locators[0].offset
    place.damage(offset + 60)
    with pytest.raises(IntegrityError):
        transfer(place.archive, place.target())


def test_older_snapshots_that_are_damaged_are_lost(place: Place) -> None:
    place.append(1)
    with Offering(place.archive) as offering:
        older = list(history(offering.file, offering.commit))[-2]
    place.damage(older.toc_offset + 5)
    _, receiving = transfer(place.archive, place.target())
    assert receiving.outcome
    assert receiving.outcome.failed >= 1
    with Offering(place.copy) as copy:
        assert copy.commit.offset == place.archive.stat().st_size - 256


def test_bytes_behind_the_newest_snapshot_do_not_travel(place: Place) -> None:
    whole = place.archive.read_bytes()
    with open(place.archive, "ab") as file:
        file.write(b"unfinished" * 1000)
    transfer(place.archive, place.target())
    assert place.copy.read_bytes() == whole


def test_slots_that_were_taken_away_do_not_travel(tmp_path: Path) -> None:
    place = Place(tmp_path, encrypted=True)
    whole = place.archive.read_bytes()
    with open(place.archive, "r+b") as file:
        file.seek(256 + 4096)
        file.write(b"old slots")
    transfer(place.archive, place.target())
    assert place.copy.read_bytes() == whole


def test_what_has_a_damaged_beginning_is_not_offered(tmp_path: Path) -> None:
    place = Place(tmp_path, encrypted=True)
    place.damage(300)
    with pytest.raises(BeginningError):
        Offering(place.archive)


def test_an_expected_commit_and_signer_are_asked_for(tmp_path: Path) -> None:
    place = Place(tmp_path, signing_key=SIGNER)
    other = SigningKey(b"o" * 32).public
    for expectation, error in (
        (Expectation(signer=other), SignatureError),
        (Expectation(commit_hash=b"another commit.."), RollbackError),
    ):
        with pytest.raises(error):
            transfer(place.archive, place.target(expectation))
    with Offering(place.archive) as offering:
        digest = offering.commit.digest()
    _, receiving = transfer(place.archive, place.target(Expectation(SIGNER.public, digest)))
    assert receiving.outcome
    assert receiving.outcome.signature == SignatureState.TRUSTED.value
    place.check()


def test_an_unsigned_archive_is_refused_where_a_signature_is_asked_for(place: Place) -> None:
    with pytest.raises(UnsignedError):
        transfer(place.archive, place.target(Expectation(signer=SIGNER.public)))


def test_an_older_state_than_was_seen_is_refused(place: Place) -> None:
    with Offering(place.archive) as offering:
        uuid, commit = place.archive.read_bytes()[40:56], offering.commit
    seen = StateStore(place.path / "seen")
    seen.remember(uuid, Remembered(commit.sequence + 1, bytes(32), b""))
    with pytest.raises(RollbackError):
        transfer(place.archive, place.target(state=seen))
    seen = StateStore(place.path / "right")
    seen.remember(uuid, Remembered(commit.sequence, commit.digest(), b""))
    (place.copy.parent / "b.warp.warp-part").unlink()
    shutil.rmtree(place.records)
    place.records.mkdir()
    transfer(place.archive, place.target(state=seen))
    place.check()


def _numbers(offering: Offering) -> range:
    step = next(offering.steps(None))
    return range(sum(ref.kind == KIND_LOCATOR for ref in offering.locators), step.pages)
