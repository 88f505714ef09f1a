"""Every error this package raises on purpose, as one tree.

A class exists where a caller can do something different; the message says what failed, on what, and what to do.
`exit_code` is what the command line ends with; numbers are never reused (4 is no error but the answer "different"). System errors stay `OSError`.

    WarpPortalError                1   something failed
    ├── UsageError                 2   the call or the options make no sense: change them
    │   └── ExistsError            2   the target is there already and is not an unfinished one of ours: name another
    ├── PartialError               3   done, but for some inputs: read the list, repeat for those
    ├── NotFoundError             10   no such archive, snapshot, path or slot: name another
    ├── BusyError                 11   another writer holds the archive, or the settings: wait for it
    ├── KeyRequiredError          12   encrypted, and no key was given: give one
    │   └── WrongKeyError         12   a key was given and opens nothing: give another
    ├── IdentityError             12   the machine that answers is not the one expected: check its address, or the key you have of it
    ├── IntegrityError            13   bytes are not what they must be: fetch them again, or recover
    │   ├── FormatError           13   malformed: these bytes are no valid archive structure
    │   │   └── RecordsError      13   what is kept of a session here is damaged: discard it
    │   ├── BeginningError        13   the header or the key slots are damaged: put those bytes back from a copy
    │   ├── DamagedTailError      13   the newest commit is damaged or followed by bytes: resume or recover
    │   ├── DamagedPageError      13   a page of metadata is damaged: an earlier snapshot may do without it
    │   ├── RollbackError         13   an older state than one already seen: ask where the newer went
    │   ├── UnsignedError         13   a signature was expected and there is none
    │   └── SignatureError        13   a signature is there and does not hold
    │       └── SignerError       13   it holds, but by another signer than the one expected or remembered
    ├── PolicyError               14   refused by a rule (expired, limit reached, schedule)
    ├── UnreachableError          15   no source answers, or the connection to it broke: try again later
    │   └── GivenUpError          15   the other machine gave the connection up, without a reason: try again
    ├── VersionError              16   written by a newer version, or needs a feature that is not here: update
    ├── StorageFullError          17   no room or quota left: make room, then repeat
    ├── CapError                  18   stopped by a cap that was asked for (volume, rate, battery)
    ├── ProtocolError             19   the other machine broke a rule of the transfer protocol: update both
    ├── ClosedError                1   the other machine closed the connection: what to do, its code says
    ├── FailedError                1   the other machine can't go on, for a reason of its own: mend that, and come again
    └── CancelledError           130   the user or `abort()` stopped it: repeat to resume
"""

import contextlib
from collections.abc import Iterator
from typing import ClassVar, Final

EXIT_OK: Final = 0
EXIT_DIFFERENT: Final = 4  # what was compared differs, where the code was to tell; no error, so it has no class
EXIT_INTERRUPTED: Final = 130  # 128 + SIGINT, as shells report it
EXIT_BROKEN_PIPE: Final = 141  # 128 + SIGPIPE: the reader of stdout has left


class WarpPortalError(Exception):
    """Something failed; the root of the tree. `str(error)` is one line for a person."""

    exit_code: ClassVar[int] = 1


class UsageError(WarpPortalError):
    """The call or its options make no sense together."""

    exit_code = 2


class ExistsError(UsageError):
    """The target exists already, finished or made by other arguments."""


class PartialError(WarpPortalError):
    """The work is done except for some inputs, which were listed as they failed."""

    exit_code = 3


class NotFoundError(WarpPortalError):
    """The archive, snapshot, path or key slot that was named does not exist."""

    exit_code = 10


class BusyError(WarpPortalError):
    """Another process writes to the archive, or to the settings."""

    exit_code = 11


class KeyRequiredError(WarpPortalError):
    """The archive is encrypted and no passphrase or identity was given."""

    exit_code = 12


class WrongKeyError(KeyRequiredError):
    """A passphrase or identity was given, and opens no key slot."""


class IdentityError(WarpPortalError):
    """The machine at the other end holds another key than the one expected, or did not prove that it holds its own."""

    exit_code = 12


class IntegrityError(WarpPortalError):
    """Bytes are not what they must be: damaged, exchanged or forged."""

    exit_code = 13


class FormatError(IntegrityError):
    """Bytes that are no valid structure of the format: bad magic, length, order or padding."""


class RecordsError(FormatError):
    """What is kept of an unfinished session on this machine is damaged, or not of the kind that is kept: the session is to be discarded."""


class BeginningError(IntegrityError):
    """The header or the key slots are not what a commit says: what follows may be whole, and can't be read without them."""


class DamagedTailError(IntegrityError):
    """The newest commit is damaged, or bytes follow it; earlier snapshots may be readable."""


class DamagedPageError(IntegrityError):
    """A page of an archive's metadata is damaged; an earlier snapshot may do without it."""


class RollbackError(IntegrityError):
    """An archive older than the state remembered or expected for it."""


class UnsignedError(IntegrityError):
    """A signature was expected (by option, or because it had one before), and there is none."""


class SignatureError(IntegrityError):
    """A signature is present and does not hold."""


class SignerError(SignatureError):
    """The signature holds, but its signer is another than the one expected or remembered."""


class PolicyError(WarpPortalError):
    """Refused by a rule: expired, a limit reached, outside its schedule."""

    exit_code = 14


class UnreachableError(WarpPortalError):
    """No source answers, or the connection to it broke; trying again later may help. The message names its address."""

    exit_code = 15


class GivenUpError(UnreachableError):
    """The other side closed the connection without a reason."""


class VersionError(WarpPortalError):
    """Written by a newer version, or for a feature or platform that this build lacks."""

    exit_code = 16


class StorageFullError(WarpPortalError):
    """No room left on the device, or a quota is used up."""

    exit_code = 17


class CapError(WarpPortalError):
    """Stopped by a cap that the user set (volume, rate, battery)."""

    exit_code = 18


class ProtocolError(WarpPortalError):
    """What another machine said breaks a rule of docs/transfer-protocol.md: it is damaged, hostile or not of this protocol."""

    exit_code = 19


class ClosedError(WarpPortalError):
    """The other machine closed the connection. `code` is of docs/transfer-protocol.md §8, or unknown; `text` is what it said, unchecked."""

    def __init__(self, message: str, code: int = 1, text: str = "") -> None:
        super().__init__(message)
        self.code: Final = code
        self.text: Final = text


class FailedError(WarpPortalError):
    """The other machine can't go on, for a reason of its own that is no fault of what was said; it may come again."""


class CancelledError(WarpPortalError):
    """Stopped by the user or by `abort()`; the same call again resumes where that is possible."""

    exit_code = EXIT_INTERRUPTED


@contextlib.contextmanager
def naming(place: str) -> Iterator[None]:
    """Give a system error that names no file this place: what is written to an open file fails without its name."""
    try:
        yield
    except OSError as error:
        if error.filename is None:
            error.filename = place
        raise
