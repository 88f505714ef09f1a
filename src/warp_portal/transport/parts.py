"""What a receiver names temporary files by. Neither the sender nor another receiver of the same session knows it beforehand."""

import secrets
from pathlib import Path
from typing import Final

from warp_portal.config import read_regular
from warp_portal.errors import RecordsError
from warp_portal.transport.files import create_file

TAG_BYTES: Final = 8
_TAG: Final = "names"


def temporary_tag(records: Path) -> bytes:
    """That of a session, made when it is first asked for. Raises RecordsError if it is damaged, UsageError if it is open to others, OSError."""
    create_file(records / _TAG, secrets.token_bytes(TAG_BYTES))
    return _read(records / _TAG)


def beginning(records: Path) -> str | None:
    """How the names of a session's temporary files begin; None if it has made none. Raises as `temporary_tag`."""
    try:
        return f".warp-{_read(records / _TAG).hex()}-"
    except FileNotFoundError:
        return None


def _read(path: Path) -> bytes:
    tag = read_regular(str(path), "records of sessions", TAG_BYTES, private=True)
    if len(tag) != TAG_BYTES:
        raise RecordsError(f"{path}: damaged: discard the session (warp sessions discard), and receive again")
    return tag
