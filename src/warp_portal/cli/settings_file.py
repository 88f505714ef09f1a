"""The user's own settings file: one setting set or taken out of it, all else in it kept."""

import os
import re
import stat
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import tomlkit
from tomlkit import TOMLDocument

from warp_portal.config import MAX_FILE, SETTINGS, Config, parse, read_regular
from warp_portal.errors import UsageError, naming

_SECRET: Final = re.compile(r"\s*warp-(?:identity-\w+|signing-key)\s*:", re.IGNORECASE)
_KEY: Final = re.compile(r"\s*warp-[\w-]+:", re.IGNORECASE)


def store(name: str, values: Sequence[str], path: Path) -> None:
    """Set one setting in a file, keeping its comments and its other lines; names of files are made absolute."""
    is_list = isinstance(getattr(Config(), name, None), tuple)
    if not is_list and len(values) != 1:
        raise UsageError(f"{name} takes one value, not {len(values)}")
    values = [_kept(name, value) for value in values]
    value = parse(name, list(values) if is_list else values[0], "warp config set")
    kept: object = list(value) if isinstance(value, tuple) else value
    if isinstance(value, int) and values[0][:1].isdigit():
        kept = value if values[0].isdecimal() else values[0]  # as written: 512M says more than 536870912
    document = _document(path)
    document[name] = kept
    _replace(path, document)


def remove(name: str, path: Path) -> bool:
    """Take one setting out of a file, be it one that nothing reads; whether it was there."""
    document = _document(path)
    if name not in document:
        return False
    del document[name]
    _replace(path, document)
    return True


def _kept(name: str, value: str) -> str:
    """A text as a settings file keeps it. Raises UsageError for what it cannot hold, or should not, and repeats no secret."""
    if _SECRET.match(os.path.basename(value)):
        raise UsageError(
            f"{name}: this is a private key itself, which settings do not hold: name the file that holds it"
        )
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
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{path}: not valid TOML: {error}") from None


def _replace(path: Path, document: TOMLDocument) -> None:
    """Write the file anew, whole or not at all."""
    path = path.resolve()  # a link, as dotfiles are kept, stays one
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f"{path.name}.{os.getpid()}.new")
    try:
        with naming(str(path)):
            temporary.write_text(tomlkit.dumps(document), encoding="utf-8")
        if path.exists():
            temporary.chmod(stat.S_IMODE(path.stat().st_mode))
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
