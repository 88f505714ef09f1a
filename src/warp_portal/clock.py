"""Time as an argument, so that code which depends on it can be run in virtual time.

Wall time (`now_ns`) is for what is written down; monotonic time (`monotonic_s`) is for what is measured.
"""

import time
from typing import Final, Protocol


class Clock(Protocol):
    """What code may ask about time."""

    def now_ns(self) -> int:
        """Wall time, nanoseconds since the epoch; may jump."""
        ...

    def monotonic_s(self) -> float:
        """Seconds since some fixed moment; never goes back."""
        ...


class SystemClock:
    """The machine's clocks."""

    def now_ns(self) -> int:
        """Wall time of the machine."""
        return time.time_ns()

    def monotonic_s(self) -> float:
        """CLOCK_MONOTONIC."""
        return time.monotonic()


class VirtualClock:
    """A clock that stands still until it is advanced.

    >>> clock = VirtualClock(now_ns=1_000)
    >>> clock.advance(2.5)
    >>> clock.now_ns(), clock.monotonic_s()
    (2500001000, 2.5)
    """

    def __init__(self, now_ns: int = 0) -> None:
        self._start_ns = now_ns
        self._passed_ns = 0

    def now_ns(self) -> int:
        """Start plus what was advanced."""
        return self._start_ns + self._passed_ns

    def monotonic_s(self) -> float:
        """Seconds advanced so far."""
        return self._passed_ns / 1e9

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        if seconds < 0:
            raise ValueError("time does not go back")
        self._passed_ns += round(seconds * 1e9)


SYSTEM_CLOCK: Final = SystemClock()
