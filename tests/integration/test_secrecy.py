"""An encrypted archive tells nothing but its own sizes: no name, content, file size, owner or plaintext digest lies in the clear."""

import hashlib
import os
import struct
from pathlib import Path

import pytest
from blake3 import blake3

from warp_portal.archive import Lock, PackOptions, Source, Unlock, append, create
from warp_portal.keys import SigningKey

KEY = bytes(range(32))


@pytest.mark.parametrize("suite", [1, 2])
def test_nothing_of_the_tree_is_in_the_clear(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, suite: int) -> None:
    tree = tmp_path / "very-secret-directory"
    tree.mkdir()
    contents = {"secret-name-one": b"the content of the first file", "secret-name-two": os.urandom(123_457)}
    for name, content in contents.items():
        (tree / name).write_bytes(content)
    (tree / "secret-link").symlink_to("secret-target")
    monkeypatch.chdir(tmp_path)
    signing_key = SigningKey.generate()
    options = PackOptions(signing_key=signing_key)
    lock = Lock(("secret-passphrase",), suite=suite)
    create(tmp_path / "a.warp", Source.of([tree.name]), options, lock=lock, archive_key=KEY)
    (tree / "secret-name-three").write_bytes(b"third")
    append(tmp_path / "a.warp", Source.of([tree.name]), options, unlock=Unlock(archive_key=KEY))
    raw = (tmp_path / "a.warp").read_bytes()

    names = [b"secret", b"very-", os.fsencode(tmp_path), KEY, signing_key.seed, signing_key.public.raw]
    fragments = [piece for content in contents.values() for piece in (content[:16], content[-16:])]
    digests = [
        digest
        for content in contents.values()
        for digest in (hashlib.sha256(content).digest()[:16], blake3(content).digest()[:16])
    ]
    sizes = [struct.pack(order + code, 123_457) for order in "<>" for code in "IQ"]
    for secret in names + fragments + digests + sizes:
        assert secret not in raw
