"""Settings: what holds, and where each value comes from.

A value is taken from the last of these that has it: defaults, /etc/warp-portal/config.toml, the user's config.toml,
`.warp-portal.toml` in the working directory, the environment (`WARP_THREADS`, …), flags; lists given by flags are added
to what is set elsewhere. The working directory's
file may set only what cannot harm (never keys, recipients, places to write to or what is left out): a tree one has been
sent may hold one.
This is the only module that reads the environment.

>>> load(files=(), environ={"WARP_MEMORY": "1G"}, flags={"threads": 4}).origin["memory"]
'WARP_MEMORY'
"""

import os
import re
import stat
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any, Final, NamedTuple, TypeVar

from warp_portal.errors import UsageError
from warp_portal.secrecy import IS_PRIVATE_KEY, holds_private_key, redacted, refuse_private_key

APP: Final = "warp-portal"
SYSTEM_FILE: Final = f"/etc/{APP}/config.toml"
PROJECT_FILE: Final = ".warp-portal.toml"
MAX_THREADS: Final = 1024
MAX_FILE: Final = 1 << 20
_LEAST_MEMORY: Final = 1_000_000
_MAX_DIGITS: Final = 20  # of the largest number in 64 bits; Python itself refuses to read some thousands
_PREFIX: Final = "WARP_"
# Set but empty they are most likely a secret that did not arrive: without it archives would be plain or unsigned.
_PROTECTING: Final = frozenset({"passphrase_file", "recipient", "sign"})
# An item of a list in the environment: the colon of a key's text parts no items.
_ITEM: Final = re.compile(rf"((?:warp-(?:recipient|identity)-\w+:)?[^{os.pathsep}]*)(?:{os.pathsep}|$)", re.IGNORECASE)
T = TypeVar("T")


class ConfigFile(NamedTuple):
    """A file to read settings from; an untrusted one may set only harmless ones."""

    path: str
    trusted: bool = True


def _text(value: object) -> str:
    if not isinstance(value, str) or not value:
        raise UsageError("expected a text")
    return value


def _whole(value: object) -> int:
    if isinstance(value, str) and value.isdecimal() and len(value) <= _MAX_DIGITS:
        value = int(value)
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < 1 << 63:
        raise UsageError("expected a whole number from 0, below 2^63")
    return value


def _threads(value: object) -> int:
    threads = _whole(value)
    if threads > MAX_THREADS:
        raise UsageError(f"expected a whole number from 0 to {MAX_THREADS}")
    return threads


def _seconds(value: object) -> float:
    try:
        seconds = float(value) if isinstance(value, str | int | float) and not isinstance(value, bool) else -1.0
    except ValueError:
        seconds = -1.0
    if not 0 < seconds < 1e9:
        raise UsageError("expected seconds, above 0")
    return seconds


def _size(value: object) -> int:
    from warp_portal.units import parse_bytes

    return parse_bytes(value) if isinstance(value, str) else _whole(value)


def _memory(value: object) -> int:
    memory = _size(value)
    if memory < _LEAST_MEMORY:
        raise UsageError("expected 1MB or more, for a number alone is bytes")
    return memory


def _switch(value: object) -> bool:
    words = {"true": True, "yes": True, "1": True, "on": True, "false": False, "no": False, "0": False, "off": False}
    found = value if isinstance(value, bool) else words.get(str(value).lower())
    if found is None:
        raise UsageError("expected true or false")
    return found


def _texts(value: object) -> tuple[str, ...]:
    items = _split(value) if isinstance(value, str) else value
    if not isinstance(items, Sequence) or not all(isinstance(item, str) and item for item in items):
        raise UsageError("expected a list of texts")
    return tuple(items)


def _split(value: str) -> list[str]:
    return [found[1] for found in _ITEM.finditer(value) if found.start() < len(value)]


def _one_of(*choices: str) -> Callable[[object], str]:
    def parse(value: object) -> str:
        if value not in choices:
            raise UsageError(f"expected one of {', '.join(choices)}")
        return str(value)

    return parse


def _setting(
    default: T, parse: Callable[[object], T], says: str, *, harmless: bool = False, names_file: bool = False
) -> T:
    metadata = {"parse": parse, "says": says, "harmless": harmless, "names_file": names_file}
    found: T = field(default=default, metadata=metadata)
    return found


@dataclass(frozen=True, slots=True)
class Config:
    """Every setting, with its default. Names are those of the files and, in upper case after WARP_, of the environment."""

    threads: int = _setting(0, _threads, "threads to work on; 0 = one a core", harmless=True)
    memory: int = _setting(256 << 20, _memory, "memory for buffers and indexes, as 512M", harmless=True)
    profile: str = _setting(
        "general", _one_of("fine", "general", "bulk"), "sizes of fragments and chunks", harmless=True
    )
    cutter: str = _setting("buzhash64", _one_of("buzhash64", "fixed"), "how files are cut", harmless=True)
    compression: str = _setting("auto", _text, "auto, none, lz4, zstd or zstd:LEVEL", harmless=True)
    cipher: str = _setting("chacha20-poly1305", _one_of("chacha20-poly1305", "aes-256-gcm"), "cipher of new archives")
    exclude: tuple[str, ...] = _setting((), _texts, "patterns left out, as in .gitignore")
    exclude_caches: bool = _setting(False, _switch, "leave out directories with a CACHEDIR.TAG")
    one_file_system: bool = _setting(False, _switch, "stay on the file systems of the paths given")
    verify_writes: bool = _setting(True, _switch, "decode and compare each chunk before it is written")
    checkpoint_bytes: int = _setting(256 << 20, _size, "bytes between checkpoints", harmless=True)
    checkpoint_seconds: float = _setting(5.0, _seconds, "seconds between checkpoints", harmless=True)
    overwrite: str = _setting("never", _one_of("never", "changed", "always"), "what extract does with existing files")
    passphrase_file: str | None = _setting(None, _text, "file that holds the passphrase", names_file=True)
    large_argon2: bool = _setting(False, _switch, "try passphrase slots that ask for more than 128M of memory")
    identity: tuple[str, ...] = _setting((), _texts, "identity files that open archives", names_file=True)
    recipient: tuple[str, ...] = _setting((), _texts, "recipients of every new archive", names_file=True)
    sign: str | None = _setting(None, _text, "key file that signs snapshots", names_file=True)
    state_dir: str | None = _setting(
        None, _text, "where remembered archives and unfinished creates are kept", names_file=True
    )
    log_level: str = _setting(
        "warning", _one_of("debug", "info", "warning", "error"), "least level that is logged", harmless=True
    )
    log_format: str = _setting(
        "auto", _one_of("auto", "text", "json"), "auto: JSON where stderr is no terminal", harmless=True
    )

    def state_path(self) -> str:
        """The state directory: as set, or the platform's place for it."""
        if self.state_dir is not None:
            return os.path.expanduser(self.state_dir)
        import platformdirs

        return platformdirs.user_state_dir(APP)


SETTINGS: Final[Mapping[str, Any]] = {item.name: item.metadata for item in fields(Config)}


@dataclass(frozen=True, slots=True)
class Effective:
    """The values that hold and, for each, where it comes from: "default", a file, a variable or a flag."""

    config: Config
    origin: Mapping[str, str]


def load(
    *,
    files: Sequence[ConfigFile] | None = None,
    environ: Mapping[str, str] | None = None,
    flags: Mapping[str, object] | None = None,
) -> Effective:
    """Read all sources. A flag that is None was not given. UsageError names the source and the setting that is wrong."""
    environ = os.environ if environ is None else environ
    found: list[tuple[str, object, str]] = []
    for file in default_files(environ) if files is None else files:
        found += [(name, value, file.path) for name, value in _read(file).items()]
    if "WARP_PASSPHRASE" in environ:  # or a file set somewhere would seal what that passphrase should open
        found = [each for each in found if each[0] != "passphrase_file"]
    found += [(name, value, _PREFIX + name.upper()) for name, value in _from_environment(environ).items()]
    given = {name: value for name, value in (flags or {}).items() if value is not None}
    found += [(name, value, "--" + name.replace("_", "-")) for name, value in given.items()]
    values: dict[str, Any] = {}
    origin = dict.fromkeys(SETTINGS, "default")
    for name, value, source in found:
        parsed = parse(name, value, source)
        if source.startswith("--") and isinstance(parsed, tuple):
            parsed = values.get(name, ()) + parsed
        values[name], origin[name] = parsed, source
    return Effective(replace(Config(), **values), origin)


def parse(name: str, value: object, source: str) -> object:
    """The value of a setting from what a file, a variable or a person wrote."""
    if name not in SETTINGS:
        raise UsageError(f"{source}: {unknown(name)}")
    where = source if source.startswith(("--", _PREFIX)) else f"{source}: {name}"
    refuse_private_key(value, where)
    try:
        return SETTINGS[name]["parse"](value)
    except UsageError as error:
        shown = (
            "a key" if isinstance(value, str) and "warp-" in value.lower() else _shown(value)
        )  # it may be a part of a secret
        raise UsageError(f"{where} = {shown}: {error}") from None


def unknown(name: str) -> str:
    """What to say of a name that no setting has."""
    if holds_private_key(name):
        return IS_PRIVATE_KEY
    import difflib

    near = difflib.get_close_matches(name, SETTINGS, 1)
    hint = f"did you mean {near[0]!r}?" if near else "`warp config list` shows them all"
    return f"no setting is called {name!r}: {hint}"


def _shown(value: object) -> str:
    try:
        return repr(value)
    except ValueError:  # Python writes no number of so many digits; in a file it stood in hexadecimal
        return "a number without end"
    except RecursionError:
        return "a table without bottom"


def default_files(environ: Mapping[str, str] | None = None) -> tuple[ConfigFile, ...]:
    """The system's, the user's and the working directory's files, whether they exist or not."""
    return ConfigFile(SYSTEM_FILE), ConfigFile(user_file(environ)), ConfigFile(PROJECT_FILE, trusted=False)


def user_file(environ: Mapping[str, str] | None = None) -> str:
    """The file that `warp config set` writes; WARP_CONFIG names another."""
    chosen = (os.environ if environ is None else environ).get("WARP_CONFIG")
    if chosen:
        refuse_private_key(chosen, "WARP_CONFIG")
        return chosen
    import platformdirs

    return os.path.join(platformdirs.user_config_dir(APP), "config.toml")


def environment_passphrase() -> str | None:
    """The passphrase in WARP_PASSPHRASE, for machines that can pass a secret in no better way."""
    passphrase = os.environ.get("WARP_PASSPHRASE")
    if passphrase == "":
        raise UsageError("WARP_PASSPHRASE is empty: give it a value, or unset it")
    return passphrase


def environment_code() -> str | None:
    """The code or ticket in WARP_CODE, which is none if it is empty."""
    return os.environ.get("WARP_CODE") or None


def mistyped_variables(environ: Mapping[str, str] | None = None) -> list[tuple[str, str]]:
    """Variables that nothing reads, each with the one that it resembles; others' (of Warp the terminal) resemble none.

    >>> mistyped_variables({"WARP_RECIPIENTS": "a", "WARP_IS_LOCAL_SHELL_SESSION": "1", "WARP_BENCH_DATA": "x"})
    [('WARP_RECIPIENTS', 'WARP_RECIPIENT')]
    """
    known = {name.upper() for name in SETTINGS} | {"CODE", "CONFIG", "DEBUG", "PASSPHRASE"}
    found = []
    for variable in sorted(os.environ if environ is None else environ):
        name = variable.removeprefix(_PREFIX)
        if name != variable and name not in known and not name.startswith("BENCH_"):
            import difflib

            found += [(variable, _PREFIX + near) for near in difflib.get_close_matches(name, known, 1)]
    return found


def completion_request(variable: str) -> str | None:
    """What a shell asks of the completion that it has loaded."""
    return os.environ.get(variable)


def colours_wanted() -> bool:
    """Whether NO_COLOR is not set (no-color.org)."""
    return not os.environ.get("NO_COLOR")


def debugging() -> bool:
    """Whether WARP_DEBUG asks for tracebacks."""
    return os.environ.get("WARP_DEBUG", "") not in ("", "0")


def _read(file: ConfigFile) -> dict[str, object]:
    import tomllib

    try:
        values = tomllib.loads(read_regular(file.path, "settings", MAX_FILE).decode())
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except (ValueError, RecursionError) as error:  # not TOML, not UTF-8, numbers without end, tables without bottom
        raise UsageError(f"{file.path}: not valid TOML: {redacted(str(error))}") from None
    for name in values:
        if not file.trusted and name in SETTINGS and not SETTINGS[name]["harmless"]:
            raise UsageError(f"{file.path}: {name} cannot be set here: set it in {user_file()} or by its flag")
    return values


def read_regular(path: str, what: str, limit: int, *, private: bool = False) -> bytes:
    """The content of a regular file of at most `limit` bytes (whole MiB); a FIFO or device is refused at once, not waited for.

    Raises:
        UsageError: it is none, or larger, or `private` and open to others; `what` says what should be there.
    """
    with open(path, "rb", opener=_without_waiting) as source:
        mode = os.fstat(source.fileno()).st_mode
        if not stat.S_ISREG(mode):
            raise UsageError(f"{path}: {what} are read from a regular file, and this is none")
        if private and mode & 0o077:
            raise UsageError(f"{path}: {what} are private, and this file is open to others: chmod 600 it")
        content = source.read(limit + 1)
    if len(content) > limit:
        raise UsageError(f"{path}: larger than {limit >> 20} MiB: these are no {what}")
    return content


def _without_waiting(path: str, flags: int) -> int:
    """A FIFO opens at once, and is refused."""
    return os.open(path, flags | os.O_NONBLOCK)


def _from_environment(environ: Mapping[str, str]) -> dict[str, object]:
    named = {name: environ.get(_PREFIX + name.upper()) for name in SETTINGS}
    for name, value in named.items():
        if value == "" and name in _PROTECTING:
            raise UsageError(f"{_PREFIX}{name.upper()} is empty: give it a value, or unset it")
    return {name: value for name, value in named.items() if value}
