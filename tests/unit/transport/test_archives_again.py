"""Archives that go on after a cut, a kill or a change: what is durable does not travel again, and what is not ours is left alone."""

import os
import shutil

import pytest
from tests.unit.archive.common import OFTEN, in_child
from tests.unit.transport.archive_hands import ArchiveReceiving, ArchiveSending, transfer
from tests.unit.transport.archive_place import Place

from warp_portal.archive.offering import Offering
from warp_portal.archive.opening import history
from warp_portal.archive.options import Source
from warp_portal.archive.partfile import discard
from warp_portal.archive.storage import ArchiveFile
from warp_portal.archive.writer import append
from warp_portal.errors import (
    BusyError,
    ExistsError,
    FormatError,
    RollbackError,
    WarpPortalError,
)


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
            patch.setattr(ArchiveSending, "beat", lambda hands: os._exit(9) if hands.kept > 1000 else None)
        assert in_child(lambda: transfer(place.archive, place.target(), stop_after=1500)) == 9
    with Offering(place.archive) as offering:
        chunks = offering.commit.chunks
    sending, receiving = transfer(place.archive, place.target())
    place.check()
    assert receiving.durable < chunks - 1000
    assert sending.bytes_done < place.archive.stat().st_size * 5 / 6


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


def test_a_target_that_changes_meanwhile_is_kept(place: Place) -> None:
    transfer(place.archive, place.target())
    place.append(1, 12 << 20)
    transfer(place.archive, place.target(), stop_after=100)
    append(place.copy, Source.of([place.tree / "d3"]), OFTEN)
    changed = place.copy.read_bytes()
    with pytest.raises(WarpPortalError):
        transfer(place.archive, place.target())
    assert place.copy.read_bytes() == changed
