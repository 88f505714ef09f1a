"""Archives that go from one machine to another as they are stored: whole, in part, again, and with damage."""

import os
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from tests.unit.archive.common import KEY, LOCK, OFTEN, UNLOCK, grow, grow_large, in_child
from tests.unit.transport.archive_hands import ArchiveReceiving, ArchiveSending, transfer

from warp_portal.archive.limits import KIND_LOCATOR, KIND_TABLE, PAGE_RECORDS
from warp_portal.archive.offering import Offering
from warp_portal.archive.opening import history
from warp_portal.archive.options import Source
from warp_portal.archive.partfile import discard
from warp_portal.archive.receiving import Target
from warp_portal.archive.state import Remembered, StateStore
from warp_portal.archive.storage import ArchiveFile
from warp_portal.archive.trust import Expectation, SignatureState
from warp_portal.archive.unlock import NO_KEY
from warp_portal.archive.verification import Level, verify
from warp_portal.archive.writer import append, create
from warp_portal.errors import (
    BeginningError,
    BusyError,
    ExistsError,
    FormatError,
    IntegrityError,
    RollbackError,
    SignatureError,
    UnsignedError,
    WarpPortalError,
)
from warp_portal.keys.signers import SigningKey

SIGNER = SigningKey(b"k" * 32)


class Place:
    """A tree, its archive, and where that goes."""

    def __init__(self, path: Path, *, encrypted: bool = False, signing_key: SigningKey | None = None) -> None:
        self.path, self.tree, self.archive = path, path / "tree", path / "a.warp"
        self.copy, self.records = path / "there" / "b.warp", path / "records"
        self.options = replace(OFTEN, signing_key=signing_key)
        self.state = StateStore(path / "state")
        self.encrypted = encrypted
        self.copy.parent.mkdir()
        self.records.mkdir()
        grow(self.tree, 120, 20_000)
        grow_large(self.tree / "large", 20 << 20)
        self.create()

    def create(self) -> None:
        source = Source.of([self.tree])
        if self.encrypted:
            create(self.archive, source, self.options, lock=LOCK, archive_key=KEY, state=self.state)
        else:
            create(self.archive, source, self.options, state=self.state)

    def append(self, seed: int, size: int = 3 << 20) -> None:
        grow_large(self.tree / f"more{seed}", size, seed=seed)
        unlock = UNLOCK if self.encrypted else NO_KEY
        append(self.archive, Source.of([self.tree]), self.options, unlock=unlock, state=self.state)

    def target(self, expectation: Expectation = Expectation(), state: StateStore | None = None) -> Target:
        return Target(self.copy, self.records, expectation, state)

    def check(self, level: Level = Level.DATA) -> None:
        """The copy is the archive, and nothing else is left."""
        assert self.copy.read_bytes() == self.archive.read_bytes()
        assert verify(self.copy, level).ok
        assert os.listdir(self.copy.parent) == ["b.warp"]
        assert os.listdir(self.records) == []

    def damage(self, offset: int) -> None:
        with open(self.archive, "r+b") as file:
            file.seek(offset)
            byte = file.read(1)[0]
            file.seek(offset)
            file.write(bytes([byte ^ 1]))


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


@pytest.mark.parametrize("encrypted", [False, True])
@pytest.mark.parametrize("signed", [False, True])
def test_an_archive_arrives_byte_for_byte(tmp_path: Path, encrypted: bool, signed: bool) -> None:
    place = Place(tmp_path, encrypted=encrypted, signing_key=SIGNER if signed else None)
    place.append(1)
    sending, receiving = transfer(place.archive, place.target())
    place.check()
    report = receiving.report
    assert report
    assert report.missing == 0
    assert report.chunks == receiving.durable > PAGE_RECORDS
    state = SignatureState.UNSIGNED
    if signed:
        state = SignatureState.UNCHECKED if encrypted else SignatureState.UNKNOWN_SIGNER
    assert report.signature is state
    assert sending.session.over


def test_only_what_is_new_travels(place: Place) -> None:
    transfer(place.archive, place.target())
    before = place.copy.stat().st_ino
    place.append(1)
    sending, receiving = transfer(place.archive, place.target())
    place.check()
    assert 3 << 20 <= sending.sent < 4 << 20
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
    assert (sending.sent, receiving.durable) == (0, 0)
    assert place.copy.stat() == before
    place.check()


@pytest.mark.parametrize("known", [False, True])
def test_what_is_durable_does_not_travel_again(place: Place, known: bool) -> None:
    if known:
        transfer(place.archive, place.target())
        shutil.copy(place.copy, place.path / "before")
        place.append(1, 12 << 20)
    durable = 0
    for least in (1, 500, 700):
        _, receiving = transfer(place.archive, place.target(), stop_after=least)
        durable += receiving.durable
        assert (place.copy.parent / "b.warp.warp-part").exists()
        if known:
            assert place.copy.read_bytes() == (place.path / "before").read_bytes()
        else:
            assert not place.copy.exists()
    with Offering(place.archive) as offering:
        chunks = offering.commit.chunks
        before = (
            [commit.chunks for commit in history(offering.file, offering.commit) if commit.snapshot][1] if known else 0
        )
    _, receiving = transfer(place.archive, place.target())
    place.check()
    # What was noted in the journal may not have been told any more.
    assert receiving.durable <= chunks - before - durable


@pytest.mark.parametrize("side", [ArchiveSending, ArchiveReceiving])
def test_it_goes_on_after_a_kill(
    place: Place, side: type[ArchiveSending | ArchiveReceiving], monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        if side is ArchiveReceiving:
            patch.setattr(ArchiveReceiving, "kill", lambda _: os._exit(9))
        else:
            patch.setattr(ArchiveReceiving, "kill", lambda _: None)
            patch.setattr(ArchiveSending, "beat", lambda hands: os._exit(9) if hands.durable > 1000 else None)
        assert in_child(lambda: transfer(place.archive, place.target(), stop_after=1500)) == 9
    with Offering(place.archive) as offering:
        chunks = offering.commit.chunks
    sending, receiving = transfer(place.archive, place.target())
    place.check()
    assert receiving.durable < chunks - 1000
    assert sending.sent < place.archive.stat().st_size * 5 / 6


def test_it_goes_on_though_the_archive_has_grown(place: Place) -> None:
    _, first = transfer(place.archive, place.target(), stop_after=2000)
    place.append(1)
    _, second = transfer(place.archive, place.target())
    place.check()
    with Offering(place.archive) as offering:
        assert second.durable <= offering.commit.chunks - first.durable


def test_it_does_not_go_on_with_another_archive(place: Place) -> None:
    transfer(place.archive, place.target(), stop_after=100)
    place.archive.unlink()
    place.create()
    with pytest.raises(RollbackError, match="discard the session"):
        transfer(place.archive, place.target())


def test_a_part_that_is_not_its_own_is_left_alone(place: Place) -> None:
    part = place.copy.parent / "b.warp.warp-part"
    part.write_bytes(b"mine")
    with pytest.raises(ExistsError, match="another transfer"):
        transfer(place.archive, place.target())
    assert part.read_bytes() == b"mine"


def test_a_part_that_was_exchanged_is_begun_anew(place: Place) -> None:
    transfer(place.archive, place.target(), stop_after=100)
    (place.copy.parent / "b.warp.warp-part").write_bytes(b"another")
    transfer(place.archive, place.target())
    place.check()


def test_what_is_given_up_leaves_nothing(place: Place) -> None:
    part = place.copy.parent / "b.warp.warp-part"
    transfer(place.archive, place.target(), stop_after=100)
    discard(place.copy, place.records)
    assert not part.exists()
    assert os.listdir(place.records) == []
    transfer(place.archive, place.target(), stop_after=100)
    part.write_bytes(b"another's")
    discard(place.copy, place.records)
    assert part.read_bytes() == b"another's"


def test_a_record_that_is_damaged_is_told(place: Place) -> None:
    transfer(place.archive, place.target(), stop_after=100)
    record = place.records / "archive"
    raw = record.read_bytes()
    for damaged in (raw[:-1], raw[:5] + b"x" + raw[6:], b""):
        record.write_bytes(damaged)
        with pytest.raises(FormatError, match="discard the session"):
            transfer(place.archive, place.target())


def test_a_part_has_one_process(place: Place) -> None:
    transfer(place.archive, place.target(), stop_after=100)
    with ArchiveFile(place.copy.parent / "b.warp.warp-part", os.O_RDWR) as file:
        file.lock()
        with pytest.raises(BusyError):
            transfer(place.archive, place.target())
    transfer(place.archive, place.target())
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
    report = receiving.report
    assert report
    assert (report.chunks, report.missing) == (chunks - 1, 1)
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
    assert receiving.report
    assert receiving.report.missing == 1
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
    assert receiving.report
    assert receiving.report.missing >= 1
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
    assert receiving.report
    assert receiving.report.signature is SignatureState.TRUSTED
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


def test_a_target_that_changes_meanwhile_is_kept(place: Place) -> None:
    transfer(place.archive, place.target())
    place.append(1, 12 << 20)
    transfer(place.archive, place.target(), stop_after=100)
    append(place.copy, Source.of([place.tree / "d3"]), OFTEN)
    changed = place.copy.read_bytes()
    with pytest.raises(WarpPortalError):
        transfer(place.archive, place.target())
    assert place.copy.read_bytes() == changed


def _numbers(offering: Offering) -> range:
    step = next(offering.steps(None))
    return range(sum(ref.kind == KIND_LOCATOR for ref in offering.locators), step.pages)
