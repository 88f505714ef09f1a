"""The state directory: unfinished transfers and this machine's key need one that can be written, and by nobody else."""

import os
import stat
from dataclasses import dataclass
from pathlib import Path

from warp_portal.transport.doctoring.checks import Check, Grade, Part


@dataclass(frozen=True, slots=True)
class StateDirectory:
    """`mode` and `owner` are None while it is not there; then `writable` is whether it can be made."""

    path: str
    writable: bool
    mode: int | None = None
    owner: int | None = None
    is_directory: bool = True


def probe_state(path: Path) -> StateDirectory:
    """Look at it; nothing is made. Raises OSError."""
    try:
        found = path.stat()
    except FileNotFoundError:
        above = next(each for each in path.absolute().parents if each.exists())
        return StateDirectory(str(path), os.access(above, os.W_OK | os.X_OK))
    writable = os.access(path, os.W_OK | os.X_OK)
    return StateDirectory(str(path), writable, stat.S_IMODE(found.st_mode), found.st_uid, stat.S_ISDIR(found.st_mode))


def judge_state(state: StateDirectory, user: int) -> Check:
    """What is to be said of it to the user with this number."""
    grade, says, advice = Grade.MEND, "", ""
    if not state.is_directory:
        says, advice = "is no directory", "move away what lies there"
    elif state.owner not in (None, user):
        says, advice = "belongs to another user", "name one of your own: warp config set state_dir DIR"
    elif not state.writable:
        says, advice = "cannot be written", f"chmod u+rwx {state.path}, or warp config set state_dir DIR"
    elif state.mode is not None and state.mode & 0o022:
        says, advice = "can be written by others", f"chmod 700 {state.path}"
    elif state.mode is not None and state.mode & 0o077:
        # What matters in it is private by itself.
        grade, says, advice = Grade.NOTE, "can be read by others", f"chmod 700 {state.path}"
    else:
        grade = Grade.FINE
        says = "will be made when it is needed" if state.mode is None else "is private and can be written"
    figures = {"path": state.path, "writable": state.writable, "mode": state.mode}
    return Check(Part.DISK, "state", grade, f"the state directory {state.path} {says}", advice, figures)
