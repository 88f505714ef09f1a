"""Ctrl-C at a moment that suits: between two batches, not inside one whose records would be lost.

Python raises KeyboardInterrupt wherever it happens to be, most likely just as a native call returns and before its result is
kept. Inside this context the first Ctrl-C only sets a flag that `check` turns into the exception; a second one raises at once.
"""

import signal
import threading
from types import FrameType
from typing import Self


class Interruption:
    """A context manager; without effect outside the main thread, or if the program handles SIGINT in its own way."""

    def __init__(self) -> None:
        self._asked = False
        self._active = False

    def check(self) -> None:
        """Raises KeyboardInterrupt if Ctrl-C was pressed since the context was entered."""
        if self._asked:
            self._asked = False
            raise KeyboardInterrupt

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self._asked:
            signal.default_int_handler(number, frame)
        self._asked = True

    def __enter__(self) -> Self:
        main = threading.current_thread() is threading.main_thread()
        if main and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
            signal.signal(signal.SIGINT, self._note)
            self._active = True
        return self

    def __exit__(self, *_: object) -> None:
        if self._active:
            signal.signal(signal.SIGINT, signal.default_int_handler)
            self._active = False
