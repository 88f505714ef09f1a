"""Strangers who come as often as they like do not fill a log."""

from warp_portal.clock import VirtualClock
from warp_portal.transport.listening import NOTE_EVERY_S, NOTES_AT_ONCE, Complaints


def test_strangers_are_told_of_no_faster_than_a_person_reads() -> None:
    clock, told = VirtualClock(0), list[str]()
    complaints = Complaints(told.append, clock)
    for number in range(1000):
        complaints.add(f"{number} was not let in")
    assert told == [f"{number} was not let in" for number in range(NOTES_AT_ONCE)]
    told.clear()
    clock.advance(NOTE_EVERY_S)
    complaints.add("one")
    complaints.add("another")
    assert told == [f"one ({1000 - NOTES_AT_ONCE:,} others were not let in either)"]
    clock.advance(NOTE_EVERY_S * 1000)
    told.clear()
    for _ in range(100):
        complaints.add("again")
    assert len(told) == NOTES_AT_ONCE
