import pytest

from warp_portal.clock import SYSTEM_CLOCK, Clock, VirtualClock


def test_virtual_time_passes_only_when_advanced() -> None:
    clock: Clock = VirtualClock(now_ns=5)
    assert (clock.now_ns(), clock.monotonic_s()) == (5, 0.0)
    assert isinstance(clock, VirtualClock)
    clock.advance(1.5)
    assert (clock.now_ns(), clock.monotonic_s()) == (1_500_000_005, 1.5)


def test_virtual_time_does_not_go_back() -> None:
    with pytest.raises(ValueError, match="back"):
        VirtualClock().advance(-1)


def test_system_time_goes_on() -> None:
    before = SYSTEM_CLOCK.monotonic_s()
    assert SYSTEM_CLOCK.monotonic_s() >= before
    assert SYSTEM_CLOCK.now_ns() > 1_700_000_000 * 10**9
