"""From an exception to what a person is told and the code the process ends with."""

import errno
import os
from typing import Final, NamedTuple

from warp_portal.cli.text import printable
from warp_portal.errors import NotFoundError, StorageFullError, UsageError, WarpPortalError


class Failure(NamedTuple):
    """`message` completes "warp: "; `name` is the class of the error, for programs."""

    message: str
    name: str
    code: int


_SYSTEM: Final[dict[int, tuple[type[WarpPortalError], str]]] = {
    errno.ENOSPC: (StorageFullError, "make room, then run the same command again"),
    errno.EDQUOT: (StorageFullError, "the quota is used up: make room, then run the same command again"),
    errno.EFBIG: (StorageFullError, "the file system or a limit allows no larger file"),
    errno.ENOENT: (NotFoundError, "check the path"),
    errno.ENOTDIR: (NotFoundError, "check the path"),
    errno.EACCES: (WarpPortalError, "check its permissions"),
    errno.EPERM: (WarpPortalError, "check its permissions, or run as its owner"),
    errno.EROFS: (WarpPortalError, "choose a place that can be written"),
    errno.EISDIR: (UsageError, "name a file"),
    errno.EEXIST: (UsageError, "name another path"),
    errno.EADDRINUSE: (WarpPortalError, "name another port with --port"),
    errno.EMFILE: (WarpPortalError, "raise the limit of open files (ulimit -n)"),
    errno.EIO: (WarpPortalError, "the device failed: check it before anything else"),
}


def explain(error: Exception) -> Failure:
    """What to say about an exception, and the exit code of its kind."""
    if isinstance(error, WarpPortalError):
        return Failure(str(error) or type(error).__name__, type(error).__name__, error.exit_code)
    if isinstance(error, OSError):
        return _explain_system(error)
    if isinstance(error, MemoryError):
        return Failure("memory ran out: lower --memory or --threads", "MemoryError", 1)
    said = f"internal error: {type(error).__name__}: {error}: please report it; WARP_DEBUG=1 shows where it came from"
    return Failure(said, "InternalError", 1)


def _explain_system(error: OSError) -> Failure:
    kind, advice = _SYSTEM.get(error.errno or 0, (WarpPortalError, ""))
    # Errors of the native module say in their text what was being done.
    what = (error.strerror or str(error)).removesuffix(f" (os error {error.errno})")
    where = "" if error.filename is None else f"{printable(os.fsencode(error.filename))}: "
    return Failure(f"{where}{printable(what)}{': ' + advice if advice else ''}", kind.__name__, kind.exit_code)
