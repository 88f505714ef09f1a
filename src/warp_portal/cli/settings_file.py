"""The user's own settings file: one setting set or taken out of it, all else in it kept."""

import contextlib
import fcntl
import os
import re
import stat
import time
import tomllib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import tomlkit
from tomlkit import TOMLDocument
from tomlkit.exceptions import TOMLKitError

from warp_portal.config import MAX_FILE, SETTINGS, Config, parse, read_regular
from warp_portal.errors import BusyError, UsageError
from warp_portal.primitives.compression import policy
from warp_portal.secrecy import redacted, refuse_private_key

LOCK_WAIT_S: Final = 5.0  # a change takes milliseconds: who holds the lock for longer is stuck
_LOCK_POLL_S: Final = 0.02
_KEY: Final = re.compile(r"\s*warp-[\w-]+:", re.IGNORECASE)


def store(name: str, values: Sequence[str], path: Path) -> object:
    """Set one setting in a file, keeping its comments and its other lines; the value that it has from then on.

    Names of files are made absolute. Whatever is raised, the file is as it was: UsageError for a value or a file that does
    not do, BusyError if others keep changing it, OSError.
    """
    kept = _kept(name, values)
    os.makedirs(os.path.dirname(os.path.realpath(path)), exist_ok=True)
    with _locked(path):
        document = _document(path)
        document[name] = kept
        content = tomlkit.dumps(document).encode()
        value = _checked(name, content, path)
        _replace(path, content)
    return value


def remove(name: str, path: Path) -> bool:
    """Take one setting out of a file, be it one that nothing reads; whether it was there. Raises as `store`."""
    with _locked(path):
        document = _document(path)
        if name not in document:
            return False
        del document[name]
        _replace(path, tomlkit.dumps(document).encode())
    return True


def _kept(name: str, values: Sequence[str]) -> object:
    """What the file is to hold. Raises UsageError for what the setting cannot be, without repeating a secret."""
    refuse_private_key(name)
    refuse_private_key(values, name)
    is_list = isinstance(getattr(Config(), name, None), tuple)
    if not is_list and len(values) != 1:
        raise UsageError(f"{name} takes one value, not {len(values)}")
    if name == "compression":
        policy(values[0])  # what codecs there are is not known to the settings
    values = [_kept_text(name, value) for value in values]
    value = parse(name, values if is_list else values[0], "warp config set")
    if isinstance(value, int) and values[0][:1].isdigit():
        return value if values[0].isdecimal() else values[0]  # as written: 512M says more than 536870912
    return list(value) if isinstance(value, tuple) else value


def _kept_text(name: str, value: str) -> str:
    """A text as a settings file keeps it. Raises UsageError for what it cannot hold."""
    if name in SETTINGS and SETTINGS[name]["names_file"]:
        value = _absolute(value)
    try:
        value.encode()
    except UnicodeEncodeError:
        raise UsageError(f"{name}: {value} is not UTF-8, as a settings file must be: give another name") from None
    return value


def _absolute(value: str) -> str:
    """A file's name that means the same from every directory; a key's text, and what is empty, as it is."""
    if not value or _KEY.match(value):
        return value
    try:
        return os.path.abspath(os.path.expanduser(value))
    except FileNotFoundError:
        raise UsageError(f"{value}: the working directory is gone: give a name that begins with /") from None


def _document(path: Path) -> TOMLDocument:
    try:
        return tomlkit.parse(read_regular(str(path), "settings", MAX_FILE).decode())
    except (FileNotFoundError, NotADirectoryError):
        return tomlkit.document()
    except (ValueError, RecursionError, TOMLKitError) as error:
        raise UsageError(f"{path}: not valid TOML: {redacted(str(error))}") from None


def _checked(name: str, content: bytes, path: Path) -> object:
    """The value as every command will read it from this content; UsageError if none could."""
    if len(content) > MAX_FILE:
        raise UsageError(
            f"{path}: with this {name} it would be larger than {MAX_FILE >> 20} MiB, and no command would read it: nothing was "
            "stored: shorten it first"
        )
    try:
        return parse(name, tomllib.loads(content.decode())[name], str(path))
    except (ValueError, KeyError, RecursionError) as error:
        raise UsageError(
            f"{path}: no command can read it as it is: nothing was stored: mend it first: {redacted(str(error))}"
        ) from None


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Hold the lock of the file's directory, so that of two who change something neither undoes what the other did.

    Not of the file, which is replaced and may not be there yet. Where locks are none, or no directory, don't.
    """
    fd = None
    with contextlib.suppress(OSError):
        fd = os.open(os.path.dirname(os.path.realpath(path)), os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        if fd is not None:
            _wait_for_lock(fd, path)
        yield
    finally:
        if fd is not None:
            os.close(fd)


def _wait_for_lock(fd: int, path: Path) -> None:
    deadline = time.monotonic() + LOCK_WAIT_S
    while True:
        try:
            return fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= deadline:
                raise BusyError(
                    f"{path}: another program has held the lock of its directory for {LOCK_WAIT_S:g} s: nothing was changed: "
                    "try again when it is done"
                ) from None
        except OSError:  # a file system without locks
            return None
        time.sleep(_LOCK_POLL_S)


def _replace(path: Path, content: bytes) -> None:
    """Write the file anew, whole or not at all, and its mode as it was."""
    real = os.path.realpath(path)  # a link, as dotfiles are kept, stays one
    temporary = f"{real}.{os.urandom(8).hex()}.new"
    try:
        _write(temporary, content, _stat(real))
        os.replace(temporary, real)
    except OSError as error:
        error.filename = str(path)  # the other is gone by then
        raise
    finally:
        with contextlib.suppress(OSError):
            os.unlink(temporary)


def _stat(path: str) -> os.stat_result | None:
    try:
        return os.stat(path)
    except FileNotFoundError:
        return None


def _write(path: str, content: bytes, like: os.stat_result | None) -> None:
    """A new file with the mode of another and, by root, its owner, or with what the umask leaves.

    At no moment can more people read it than in the end.
    """
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666 if like is None else 0o600)
    with open(fd, "wb") as file:
        file.write(content)
        file.flush()
        if like is not None:
            if os.geteuid() == 0:
                os.fchown(fd, like.st_uid, like.st_gid)
            os.fchmod(fd, stat.S_IMODE(like.st_mode))
        os.fsync(fd)
