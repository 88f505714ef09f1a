"""Where what comes goes: a directory, a file, standard output; and what is done with it when it is whole.

    offered     -C DIR                       -o FILE                              -o -
    tree        into DIR                     one file, or packed into FILE.warp   one file
    archive     DIR/NAME.warp, or restored   FILE                                 the archive

What is not written at its place as it comes is *staged* beside it, under a name that this machine drew for the session, so
that a transfer goes on where it stopped.
"""

import errno
import os
import re
import secrets
import shutil
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final, NamedTuple

from typing_extensions import override

from warp_portal.archive.partfile import rename_new
from warp_portal.archive.storage import ArchiveFile
from warp_portal.config import read_regular
from warp_portal.errors import ExistsError, NotFoundError, RecordsError, UsageError
from warp_portal.protocol.offers import Offer, TreeOffer
from warp_portal.transport.files import replace_file
from warp_portal.transport.record import SessionRecord

SUFFIX: Final = ".warp"
STDOUT: Final = Path("/dev/stdout")
STAGED: Final = "staged"
_TOKEN_BYTES: Final = 32
_TOKEN: Final = re.compile(r"[0-9a-f]{32}")
_NAMELESS: Final = "received"
_NAME_BYTES: Final = 200  # so that suffixes of parts fit into the 255 of a name

Convert = Callable[[Path, Path], None]
"""From what is staged to where it goes: packs a directory, restores an archive."""


def staging(target: Path, records: Path, is_tree: bool) -> Path:
    """Where a session that does not write into its target stages what comes: a directory of a tree, or an archive.

    The name is kept in the session's directory, `records`, and drawn by chance the first time: a session's number is the sender's choice,
    and may be that of others too.
    """
    return staged(target, records, is_tree) or _stage(target, records, is_tree)


def staged(target: Path, records: Path, is_tree: bool) -> Path | None:
    """As `staging`; None if this session has staged nothing."""
    try:
        token = read_regular(str(records / STAGED), "names of what is staged", _TOKEN_BYTES, private=True).decode()
    except FileNotFoundError:
        return None
    except ValueError:
        token = ""
    if not _TOKEN.fullmatch(token):
        raise RecordsError(f"{records / STAGED}: damaged: discard the session (warp sessions discard)")
    return _staged_at(target, records, is_tree, token)


def _stage(target: Path, records: Path, is_tree: bool) -> Path:
    token = secrets.token_hex(_TOKEN_BYTES // 2)
    replace_file(records / STAGED, token.encode())
    return _staged_at(target, records, is_tree, token)


def _staged_at(target: Path, records: Path, is_tree: bool, token: str) -> Path:
    name = f".warp-{token}" + (".d" if is_tree else SUFFIX)
    if target == STDOUT:
        return records / name
    return (target.parent if is_tree else target) / name


def packed(staged: Path) -> Path:
    """The archive that a staged directory is packed into, beside it, until it takes its name."""
    return staged.with_suffix(SUFFIX)


def archive_name(title: str) -> str:
    """A file name for an archive from the title of an offer, which a stranger may have chosen."""
    name = title
    is_sound = (
        name.isprintable() and "/" not in name and not name.startswith((".", "-")) and len(name.encode()) <= _NAME_BYTES
    )
    stem = name.removesuffix(SUFFIX) if is_sound else ""
    return (stem or _NAMELESS) + SUFFIX


class Arriving(NamedTuple):
    """What a destination has to know of an offer. `entries`: at least so many."""

    session: bytes
    title: str
    is_tree: bool
    entries: int = 1

    @classmethod
    def of(cls, offer: Offer) -> "Arriving":
        """Of what is offered now."""
        roots = offer.what.roots if isinstance(offer.what, TreeOffer) else 1
        return cls(offer.session, offer.title, isinstance(offer.what, TreeOffer), max(roots, offer.entries or 1))

    @classmethod
    def noted(cls, record: SessionRecord) -> "Arriving":
        """Of what was offered before."""
        return cls(record.session, record.title, record.scope_secret is not None)


class Destination(ABC):
    """Where one session goes."""

    target: Path
    """Absolute."""
    shown: str
    """What a person calls the place."""

    @abstractmethod
    def check(self) -> None:
        """Whether anything can go there at all, before anybody is troubled. Raises OSError."""

    @abstractmethod
    def place(self, what: Arriving, records: Path) -> Path:
        """The directory of a tree, or the file of an archive, into which it comes."""

    @abstractmethod
    def make(self, what: Arriving, records: Path) -> Path:
        """The place, ready: a directory is made if it is not there. Raises UsageError, OSError."""

    @abstractmethod
    def noted(self, what: Arriving) -> Path:
        """The target as the session's record has it."""

    @abstractmethod
    def is_staged(self, what: Arriving) -> bool:
        """Whether `finish` has something to do."""

    @abstractmethod
    def finish(self, what: Arriving, place: Path) -> None:
        """All has come: do with it what is to be done. Raises a WarpPortalError or OSError; then it may be called again."""


class IntoDirectory(Destination):
    """A tree into a directory, an archive as a file in it, or with `restore` what is in the archive."""

    def __init__(self, directory: Path, restore: Convert | None = None) -> None:
        self.target, self.shown = directory.resolve(), str(directory)
        self._restore = restore

    @override
    def noted(self, what: Arriving) -> Path:
        """Of an archive that stays one, its file."""
        if what.is_tree or self._restore is not None:
            return self.target
        return self.target / archive_name(what.title)

    @override
    def check(self) -> None:
        """It is made. Raises PermissionError where nothing could be written into it, nor below it."""
        self.target.mkdir(parents=True, exist_ok=True)
        if not any(os.access(place, os.W_OK | os.X_OK) for place in (self.target, *_directories(self.target))):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(self.target))

    @override
    def place(self, what: Arriving, records: Path) -> Path:
        """The directory itself, or a file in it."""
        return staging(self.target, records, False) if self.is_staged(what) else self.noted(what)

    @override
    def make(self, what: Arriving, records: Path) -> Path:
        """Raises ExistsError for a link at the name of an archive: what came here before may have made it, to lead elsewhere."""
        self.check()
        place = self.place(what, records)
        if place.is_symlink():
            raise _is_link(place)
        return place

    @override
    def is_staged(self, what: Arriving) -> bool:
        """An archive that is to be restored is."""
        return self._restore is not None and not what.is_tree

    @override
    def finish(self, what: Arriving, place: Path) -> None:
        """Restore what is staged, and remove it."""
        if self._restore is not None and self.is_staged(what) and place.exists():
            self._restore(place, self.target)
            place.unlink()


class IntoFile(Destination):
    """An archive into a file; a tree of one file likewise, or any tree packed into an archive by `pack`."""

    def __init__(self, path: Path, pack: Convert | None, overwrite: bool) -> None:
        self.target, self.shown = path.parent.resolve() / path.name, str(path)
        self._pack, self._overwrite = pack, overwrite

    @override
    def noted(self, what: Arriving) -> Path:
        """The file."""
        return self.target

    @override
    def check(self) -> None:
        """There must be a directory for it."""
        os.stat(self.target.parent)

    @override
    def place(self, what: Arriving, records: Path) -> Path:
        """The file, or a directory beside it."""
        return staging(self.target, records, True) if self.is_staged(what) else self.target

    @override
    def make(self, what: Arriving, records: Path) -> Path:
        """Raises ExistsError for a tree if something is there that may not go."""
        if not self.is_staged(what):
            return self.target
        if self._pack is None:
            _check_single(what)
        if not self._overwrite and os.path.lexists(self.target):
            raise ExistsError(f"{self.target} exists already: name another file, or give --overwrite always")
        return _made(self.place(what, records))

    @override
    def is_staged(self, what: Arriving) -> bool:
        """A tree is."""
        return what.is_tree

    @override
    def finish(self, what: Arriving, place: Path) -> None:
        """Pack what is staged, or give it its name: the new file is whole before it takes that."""
        if not self.is_staged(what):
            return
        if self._pack is None:
            # Where nothing is staged any more, a kill came right behind the rename.
            if not (os.path.lexists(self.target) and _is_empty(place)):
                self._rename(_single(place))
            shutil.rmtree(place, ignore_errors=True)
            return
        archive = packed(place)
        if place.exists():
            if not _is_whole(archive):
                self._pack(place, archive)
            shutil.rmtree(place)
        if archive.exists():
            self._rename(archive)

    def _rename(self, file: Path) -> None:
        if self._overwrite:
            os.replace(file, self.target)
        else:
            rename_new(os.fsencode(file), os.fsencode(self.target))


class IntoStdout(Destination):
    """One file, or an archive, to standard output, when it is whole: a pipe can't go back."""

    def __init__(self, write: Callable[[bytes], None]) -> None:
        self.target, self.shown = STDOUT, "standard output"
        self._write = write

    @override
    def noted(self, what: Arriving) -> Path:
        """There is none but this."""
        return self.target

    @override
    def check(self) -> None:
        """It is open."""

    @override
    def place(self, what: Arriving, records: Path) -> Path:
        """In the session's own directory, with which it goes."""
        return staging(self.target, records, what.is_tree)

    @override
    def make(self, what: Arriving, records: Path) -> Path:
        """Raises UsageError for more than one file."""
        _check_single(what)
        place = self.place(what, records)
        return _made(place) if what.is_tree else place

    @override
    def is_staged(self, what: Arriving) -> bool:
        """All is."""
        return True

    @override
    def finish(self, what: Arriving, place: Path) -> None:
        """Copy it out."""
        source = _single(place) if what.is_tree else place
        with source.open("rb") as file:
            while piece := file.read(1 << 20):
                self._write(piece)


def _directories(place: Path) -> Iterator[Path]:
    """Those directly in it, as far as it can be read."""
    with suppress(PermissionError):
        yield from (each for each in place.iterdir() if each.is_dir())


def _is_whole(archive: Path) -> bool:
    """Whether it was packed to its end before."""
    # With it comes all that writes archives, which takes longer to load than all that a tree needs.
    from warp_portal.archive.abandoning import is_finished

    try:
        with ArchiveFile(archive) as file:
            return is_finished(file)
    except NotFoundError:
        return False


def _made(directory: Path) -> Path:
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    if directory.is_symlink():
        raise _is_link(directory)
    return directory


def _is_link(path: Path) -> ExistsError:
    return ExistsError(
        f"{path} is a link, and would lead what comes elsewhere: remove it, or receive into another directory"
    )


def _check_single(what: Arriving) -> None:
    if what.is_tree and what.entries != 1:
        raise UsageError(
            "more than one file is offered, which one file can't hold: receive into a directory (-C), or into a .warp"
        )


def _is_empty(directory: Path) -> bool:
    try:
        return not any(directory.iterdir())
    except FileNotFoundError:
        return True


def _single(directory: Path) -> Path:
    """The one file that came. Raises UsageError."""
    found = list(directory.iterdir())
    if len(found) != 1 or found[0].is_symlink() or not found[0].is_file():
        raise UsageError(f"what came is not one file: it is in {directory}")
    return found[0]
