"""This machine's identity: its Ed25519 key, made when it is first needed and kept in the state directory.

    <state directory>/machine-key   a key file (keys/text.py) of mode 0600: `# public key: warp-machine:…`, `warp-machine-key:…`

Whoever has the file is this machine to all that have saved it, and who loses it is a stranger to them.
"""

from pathlib import Path
from typing import Final

from warp_portal.config import read_regular
from warp_portal.errors import BusyError, UsageError
from warp_portal.keys.machines import MachineKey
from warp_portal.transport.files import create_file, make_directory

FILE_NAME: Final = "machine-key"
_MAX_FILE: Final = 1 << 20
_AFRESH: Final = "put it back from a copy, or remove it: this machine is a stranger to its peers then"


def machine_key(directory: Path) -> MachineKey:
    """The key of this machine, from the state directory; the first call makes it. Processes that come at once get the same one.

    Raises:
        UsageError: the file is open to others, no regular file, or holds no such key; nothing of it is repeated.
        OSError: it cannot be read or made.
    """
    path = directory / FILE_NAME
    return _read(path) or _made(path)


def _made(path: Path) -> MachineKey:
    key = MachineKey.generate()
    make_directory(path.parent)
    if create_file(path, f"# public key: {key.public}\n{key.secret_text()}\n".encode()):
        return key
    found = _read(path)
    if found is None:
        raise BusyError(f"{path}: another program removes the key of this machine as it is made: try again")
    return found


def _read(path: Path) -> MachineKey | None:
    """The key in the file; None if there is none."""
    try:
        content = read_regular(str(path), "keys of machines", _MAX_FILE, private=True)
    except FileNotFoundError:
        return None
    lines = content.decode("ascii", errors="replace").splitlines()
    keys = [line for line in map(str.strip, lines) if line and not line.startswith("#")]
    if len(keys) != 1:
        raise UsageError(f"{path}: {len(keys)} keys instead of one: {_AFRESH}")
    try:
        return MachineKey.parse(keys[0])
    except UsageError as error:
        raise UsageError(f"{path}: {error}: {_AFRESH}") from None
