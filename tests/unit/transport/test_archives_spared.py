"""Locator pages that came on an earlier connection do not travel again, as far as they are what they were."""

from collections.abc import Callable

import pytest
from tests.unit.transport.archive_hands import ArchiveReceiving, transfer
from tests.unit.transport.archive_place import Place

from warp_portal.archive.offering import Offering
from warp_portal.archive.receiving import Receiving
from warp_portal.archive.toc import PageRef
from warp_portal.protocol.session import Outputs
from warp_portal.transport import archive_sending


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Numbers of the locator pages that leave."""
    numbers = list[int]()
    push = archive_sending._push_page

    def pushed(number: int, stored: bytes) -> archive_sending.Push:
        numbers.append(number)
        return push(number, stored)

    monkeypatch.setattr(archive_sending, "_push_page", pushed)
    return numbers


def locators(place: Place) -> tuple[PageRef, ...]:
    with Offering(place.archive) as offering:
        return offering.locators


def cut(place: Place, sent: list[int]) -> None:
    """All locator pages came, and not all chunks."""
    transfer(place.archive, place.target(), stop_after=100)
    assert sent == list(range(len(locators(place))))
    sent.clear()


def test_pages_that_are_here_stay_there(place: Place, sent: list[int]) -> None:
    cut(place, sent)
    transfer(place.archive, place.target())
    place.check()
    assert sent == []


def test_a_page_that_is_damaged_here_travels_again(place: Place, sent: list[int]) -> None:
    cut(place, sent)
    last = len(locators(place)) - 1
    with open(place.copy.parent / "b.warp.warp-part", "r+b") as part:
        part.seek(locators(place)[last].offset + 30)
        part.write(b"damage")
    transfer(place.archive, place.target())
    place.check()
    assert sent == [last]


def test_of_an_archive_that_has_grown_all_travel(place: Place, sent: list[int]) -> None:
    cut(place, sent)
    place.append(1)
    transfer(place.archive, place.target())
    place.check()
    assert sent == list(range(len(locators(place))))


def without(receiving: ArchiveReceiving, begin: Callable[[ArchiveReceiving], Outputs]) -> Outputs:
    receiving._spares = False
    return begin(receiving)


def test_a_source_that_does_not_know_of_it_sends_all(
    place: Place, sent: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    cut(place, sent)
    begin = ArchiveReceiving.begin
    monkeypatch.setattr(ArchiveReceiving, "begin", lambda receiving: without(receiving, begin))
    transfer(place.archive, place.target())
    place.check()
    assert sent == list(range(len(locators(place))))


def test_pages_that_no_archive_has_say_nothing(place: Place, sent: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    cut(place, sent)
    look = Receiving.look_for_locators
    monkeypatch.setattr(Receiving, "look_for_locators", lambda receiving: (*look(receiving), 10**6, 2**32 - 1))
    transfer(place.archive, place.target())
    place.check()
    assert sent == []
