"""Writes the archives; see the package's docstring."""

import os
import tempfile
from pathlib import Path

from tests.vectors import (
    ADDED,
    ARCHIVE_KEY,
    CONTENTS,
    HARDLINK,
    HERE,
    IDENTITY_SEED,
    LINK,
    MODE,
    MTIME_NS,
    PASSPHRASE,
    SIGNING_SEED,
)
from warp_portal.archive import Lock, PackOptions, Source, Unlock, append, create
from warp_portal.keys import Identity, SigningKey

UUID = b"golden archive 1"


def main() -> None:
    with tempfile.TemporaryDirectory() as home:
        os.chdir(home)
        _write(CONTENTS)
        os.symlink(LINK[1], LINK[0])
        os.link(HARDLINK[1], HARDLINK[0])
        sources = Source.of(sorted(os.listdir(b".")))
        for name in ("plain.warp", "encrypted.warp"):
            (HERE / name).unlink(missing_ok=True)
        create(HERE / "plain.warp", sources, uuid=UUID)
        lock = Lock((PASSPHRASE,), (Identity("x25519", IDENTITY_SEED).recipient,), slot_copy_bytes=512)
        options = PackOptions(signing_key=SigningKey(SIGNING_SEED))
        create(HERE / "encrypted.warp", sources, options, lock=lock, archive_key=ARCHIVE_KEY, uuid=UUID)
        _write(ADDED)
        append(HERE / "encrypted.warp", sources, options, unlock=Unlock(archive_key=ARCHIVE_KEY))


def _write(contents: dict[bytes, bytes]) -> None:
    for name, content in contents.items():
        path = Path(os.fsdecode(name))
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(content)
        path.chmod(MODE)
        os.utime(path, ns=(MTIME_NS, MTIME_NS))


if __name__ == "__main__":
    main()
