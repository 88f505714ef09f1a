"""Warp + Portal: deduplicated, compressed, encrypted, signed, resumable `.warp` archives.

>>> import pathlib, tempfile, warp_portal
>>> home = pathlib.Path(tempfile.mkdtemp())
>>> (home / "letters").mkdir()
>>> _ = (home / "letters" / "first.txt").write_text("Dear reader, …")

>>> report = warp_portal.create(home / "letters.warp", home / "letters", passphrase="correct horse")
>>> report.files, report.problems
(1, ())

Iterate an archive for its entries; read one file by random access:

>>> with warp_portal.open(home / "letters.warp", passphrase="correct horse") as archive:
...     names = [entry.name for entry in archive]
...     with archive.open_file(names[-1]) as file:
...         _ = file.seek(5)
...         text = file.read(6).decode()
>>> names[-1].endswith("letters/first.txt"), text
(True, 'reader')

Restore it, and check every byte of it:

>>> _ = warp_portal.extract(home / "letters.warp", home / "restored", passphrase="correct horse")
>>> (home / "restored" / names[-1]).read_text()
'Dear reader, …'
>>> warp_portal.verify(home / "letters.warp", passphrase="correct horse").ok
True

These are short forms; `warp_portal.archive` has the whole of it. Nothing native is loaded before the first call.
"""

import os
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from warp_portal.archive import (
        Analysis,
        ArchiveReader,
        ExtractProgress,
        ExtractReport,
        PackProgress,
        PackReport,
        Unlock,
        VerifyReport,
    )
    from warp_portal.keys import Identity, Recipient, SigningKey

__all__ = ["analyze", "append", "create", "extract", "open", "verify"]

_Path = str | bytes | os.PathLike[str] | os.PathLike[bytes]


def create(  # noqa: PLR0913 - one call of the API, all by keyword
    archive: _Path,
    *paths: _Path,
    passphrase: str | None = None,
    recipients: "Iterable[Recipient]" = (),
    signing_key: "SigningKey | None" = None,
    excludes: Iterable[str] = (),
    compression: str = "auto",
    profile: str = "general",
    threads: int = 0,
    progress: "Callable[[PackProgress], None] | None" = None,
) -> "PackReport":
    """Pack paths into a new archive: encrypted if there is a passphrase or a recipient, else plain.

    `excludes` are gitignore-style patterns; `compression` is auto, none, lz4 or zstd[:level]; `profile` fine, general or bulk.
    What could not be read is in the report's `problems`.

    Raises:
        UsageError, NotFoundError, BusyError, StorageFullError: of `warp_portal.errors`.
    """
    from warp_portal.archive import Lock, PackOptions, Source
    from warp_portal.archive import create as create_archive
    from warp_portal.primitives.compression import policy
    from warp_portal.primitives.cutting import cutting

    passphrases = () if passphrase is None else (passphrase,)
    lock = Lock(passphrases, tuple(recipients))
    options = PackOptions(cutting(profile), policy(compression), threads, signing_key=signing_key)
    source = Source.of(paths, excludes=excludes)
    encrypted = lock.passphrases or lock.recipients
    return create_archive(archive, source, options, lock=lock if encrypted else None, progress=progress)


def analyze(
    *paths: _Path,
    excludes: Iterable[str] = (),
    compression: str = "auto",
    profile: str = "general",
    threads: int = 0,
    full: bool = False,
) -> "Analysis":
    """Tell what `create` of these paths with a passphrase would give: size, duplicates, seconds, memory, and options that suit.

    Of large trees a part is read, unless `full`. Nothing is written.

    Raises:
        UsageError, NotFoundError: of `warp_portal.errors`.
    """
    from warp_portal.archive import AnalyzeOptions, PackOptions, Source
    from warp_portal.archive import analyze as analyze_source
    from warp_portal.primitives.compression import policy
    from warp_portal.primitives.cutting import cutting

    options = PackOptions(cutting(profile), policy(compression), threads)
    return analyze_source(Source.of(paths, excludes=excludes), AnalyzeOptions(options, full=full))


def append(  # noqa: PLR0913 - one call of the API, all by keyword
    archive: _Path,
    *paths: _Path,
    passphrase: str | None = None,
    identity: "Identity | None" = None,
    signing_key: "SigningKey | None" = None,
    excludes: Iterable[str] = (),
    compression: str = "auto",
    threads: int = 0,
    progress: "Callable[[PackProgress], None] | None" = None,
) -> "PackReport":
    """Add the present state of paths as a new snapshot. Files unchanged since the last one are not read.

    `excludes` of earlier snapshots are not taken over.

    Raises:
        UsageError, NotFoundError, BusyError, WrongKeyError, IntegrityError, StorageFullError: of `warp_portal.errors`.
    """
    from warp_portal.archive import PackOptions, Source
    from warp_portal.archive import append as append_snapshot
    from warp_portal.primitives.compression import policy

    options = PackOptions(policy=policy(compression), threads=threads, signing_key=signing_key)
    source = Source.of(paths, excludes=excludes)
    return append_snapshot(archive, source, options, unlock=_unlock(passphrase, identity), progress=progress)


def open(  # noqa: A001 - `warp_portal.open(…)`, as `tarfile.open`
    archive: _Path,
    *,
    passphrase: str | None = None,
    identity: "Identity | None" = None,
    snapshot: int | None = None,
) -> "ArchiveReader":
    """Open an archive at its newest snapshot, or the one of this number. A context manager.

    Raises:
        NotFoundError, WrongKeyError, VersionError, IntegrityError: of `warp_portal.errors`.
    """
    from warp_portal.archive import open_archive

    return open_archive(archive, _unlock(passphrase, identity), snapshot=snapshot)


def extract(  # noqa: PLR0913 - one call of the API, all by keyword
    archive: _Path,
    directory: _Path,
    *patterns: str,
    passphrase: str | None = None,
    identity: "Identity | None" = None,
    snapshot: int | None = None,
    threads: int = 0,
    progress: "Callable[[ExtractProgress], None] | None" = None,
) -> "ExtractReport":
    """Restore what matches gitignore-style patterns, or everything; what is there already is left alone.

    Damaged content is in the report's `problems`.

    Raises:
        NotFoundError, WrongKeyError, VersionError, IntegrityError, StorageFullError: of `warp_portal.errors`.
    """
    from warp_portal.archive import ExtractRequest
    from warp_portal.archive import extract as extract_from

    with open(archive, passphrase=passphrase, identity=identity, snapshot=snapshot) as reader:
        return extract_from(reader, directory, ExtractRequest(patterns, threads=threads), progress)


def verify(
    archive: _Path,
    *,
    passphrase: str | None = None,
    identity: "Identity | None" = None,
    threads: int = 0,
) -> "VerifyReport":
    """Check every byte of an archive, and with a key every fragment; what is damaged is in the report.

    Raises:
        NotFoundError, WrongKeyError, VersionError, IntegrityError: of `warp_portal.errors`, if it cannot even be opened.
    """
    from warp_portal.archive import Level, open_archive
    from warp_portal.archive import verify as verify_archive

    unlock = _unlock(passphrase, identity)
    with open_archive(archive, unlock) as reader:
        level = Level.DEEP if reader.keyed else Level.DATA
    return verify_archive(archive, level, unlock=unlock, threads=threads)


def _unlock(passphrase: str | None, identity: "Identity | None") -> "Unlock":
    from warp_portal.archive import Unlock

    return Unlock(() if passphrase is None else (passphrase,), () if identity is None else (identity,))
