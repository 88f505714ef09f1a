"""The door is asked by the threads of many connections at once."""

import sys
import threading
from collections.abc import Iterator

import pytest

from warp_portal.clock import SYSTEM_CLOCK
from warp_portal.errors import NotFoundError
from warp_portal.protocol.code import ShortCode
from warp_portal.protocol.door import MAX_GUESSES, Door, OpenCode

THREADS = 8
ROUNDS = 400


@pytest.fixture(autouse=True)
def _eager_threads() -> Iterator[None]:
    """Threads take turns as often as they can, so that what is not one step is seen to be none."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


def at_once(door: Door, ask: "list[OpenCode | None]", number: int) -> None:
    """All threads guess at the same code, as near to the same moment as they can."""
    together = threading.Barrier(THREADS)

    def guess() -> None:
        together.wait()
        try:
            ask.append(door.guess(number))
        except NotFoundError:
            ask.append(None)

    threads = [threading.Thread(target=guess) for _ in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def test_a_code_is_guessed_at_no_more_than_so_often_however_many_come_at_once() -> None:
    door = Door(SYSTEM_CLOCK)
    for _ in range(ROUNDS):
        code, answers = ShortCode.of_words(7), list[OpenCode | None]()
        door.show(code)
        at_once(door, answers, 7)
        taken = [each for each in answers if each is not None]
        assert len(taken) == MAX_GUESSES
        door.use(taken[0])
        with pytest.raises(NotFoundError):
            door.use(taken[1])
