import errno

import pytest

from warp_portal.cli.failures import explain
from warp_portal.errors import BusyError, RollbackError, StorageFullError


def test_our_errors_keep_their_words_and_code() -> None:
    failure = explain(RollbackError("a.warp: older than seen: ask"))
    assert failure == ("a.warp: older than seen: ask", "RollbackError", 13)
    assert explain(BusyError("x")).code == 11


@pytest.mark.parametrize(
    ("number", "code"),
    [
        (errno.ENOSPC, 17),
        (errno.EDQUOT, 17),
        (errno.ENOENT, 10),
        (errno.EACCES, 1),
        (errno.EISDIR, 2),
        (errno.ELOOP, 1),
    ],
)
def test_system_errors_say_where_what_and_what_to_do(number: int, code: int) -> None:
    failure = explain(OSError(number, "whatever", b"/data/\x1b[2J"))
    assert failure.code == code
    assert failure.message.startswith("/data/\\x1b[2J: ")
    assert "\x1b" not in failure.message


def test_a_full_disk_has_the_name_of_our_error() -> None:
    assert explain(OSError(errno.ENOSPC, "x")).name == StorageFullError.__name__


def test_anything_else_asks_for_a_report() -> None:
    failure = explain(ZeroDivisionError("oh"))
    assert (failure.name, failure.code) == ("InternalError", 1)
    assert "WARP_DEBUG" in failure.message
    assert "--memory" in explain(MemoryError()).message


def test_a_port_that_is_taken_says_how_to_name_another() -> None:
    error = OSError(errno.EADDRINUSE, "listen on [::]:4433: Address already in use (os error 98)")
    assert explain(error).message == "listen on [::]:4433: Address already in use: name another port with --port"
