"""The archives in tests/vectors, read by this version and by the oracle."""

import pytest
from tests.oracles.warp_reader import WarpReader
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

from warp_portal.archive import Level, Unlock, open_archive, verify
from warp_portal.keys import Identity, SigningKey

UNLOCKS = [Unlock((PASSPHRASE,)), Unlock((), (Identity("x25519", IDENTITY_SEED),)), Unlock(archive_key=ARCHIVE_KEY)]


def check(name: str, unlock: Unlock, snapshot: int | None, expected: dict[bytes, bytes]) -> None:
    with open_archive(HERE / name, unlock, snapshot=snapshot) as reader:
        files = {entry.path: entry for entry in reader if entry.kind == 0}
        assert {path: reader.open_file(path).read() for path in files} == expected
        assert all((entry.mode, entry.mtime_ns) == (MODE, MTIME_NS) for entry in files.values())
        for path, target in (LINK, HARDLINK):
            entry = reader.find(path)
            assert entry is not None
            assert entry.link == target
        assert reader.open_file(HARDLINK[0]).read() == expected[HARDLINK[1]]


def test_the_plain_archive_reads_as_ever() -> None:
    check("plain.warp", Unlock(), None, CONTENTS)
    assert verify(HERE / "plain.warp", Level.DEEP).ok


@pytest.mark.parametrize("unlock", UNLOCKS, ids=["passphrase", "identity", "key"])
def test_the_encrypted_archive_reads_as_ever(unlock: Unlock) -> None:
    check("encrypted.warp", unlock, None, CONTENTS | ADDED)
    check("encrypted.warp", unlock, 1, CONTENTS)
    signer = SigningKey(SIGNING_SEED).public
    assert verify(HERE / "encrypted.warp", Level.DEEP, unlock=unlock, signer=signer).ok


def test_the_oracle_reads_them_too() -> None:
    plain = WarpReader((HERE / "plain.warp").read_bytes())
    encrypted = WarpReader((HERE / "encrypted.warp").read_bytes(), passphrase=PASSPHRASE)
    for reader, expected in ((plain, CONTENTS), (encrypted, CONTENTS | ADDED)):
        assert {entry["path"]: reader.content(entry) for entry in reader.entries if entry["kind"] == 0} == expected
