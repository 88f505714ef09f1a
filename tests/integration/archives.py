"""Trees and their archives, to be sent."""

import os
from pathlib import Path
from typing import Final

from tests.transfers import noise
from warp_portal.archive import Lock, Source, create, open_archive
from warp_portal.archive.options import PackOptions
from warp_portal.archive.writer import append
from warp_portal.keys import SigningKey

KEY: Final = bytes(range(32))
MIB: Final = 1 << 20


def grown(tree: Path, files: int = 6, size: int = 50_000, seed: int = 0) -> Path:
    """Files that do not compress."""
    for number in range(files):
        noise(tree / f"d{number % 2}" / f"f{number}", size + number, seed=seed + number)
    return tree


def packed(archive: Path, tree: Path, lock: Lock | None = None, signing_key: SigningKey | None = None) -> Path:
    """An archive that holds the tree under its own name."""
    archive.parent.mkdir(parents=True, exist_ok=True)
    options = PackOptions(threads=1, signing_key=signing_key)
    create(archive, _source(tree), options, lock=lock, archive_key=KEY if lock else None)
    return archive


def appended(archive: Path, tree: Path) -> None:
    """Another snapshot of the tree."""
    append(archive, _source(tree), PackOptions(threads=1))


def names(archive: Path) -> set[str]:
    """Paths in an archive that is not encrypted."""
    with open_archive(archive) as reader:
        return {os.fsdecode(entry.path) for entry in reader.entries()}


def passphrase(path: Path, text: str = "correct horse") -> Path:
    """A file that holds it, for its owner alone."""
    path.write_text(f"{text}\n")
    path.chmod(0o600)
    return path


def damage(archive: Path, offset: int) -> None:
    """One bit is another."""
    with archive.open("r+b") as file:
        file.seek(offset)
        byte = file.read(1)[0]
        file.seek(offset)
        file.write(bytes([byte ^ 1]))


def _source(tree: Path) -> Source:
    return Source(((os.fsencode(tree.name), os.fsencode(tree)),))
