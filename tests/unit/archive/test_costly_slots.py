"""Passphrase slots that ask for more memory than a reader gives unasked."""

import dataclasses
from pathlib import Path

import pytest

from warp_portal.archive import Lock, Source, Unlock, create, open_archive
from warp_portal.archive.options import PackOptions
from warp_portal.cli.main import main
from warp_portal.errors import WrongKeyError
from warp_portal.keys import Argon2Cost

COSTLY = Argon2Cost(memory_kib=129 * 1024, passes=2, lanes=1)


@pytest.fixture
def costly(tmp_path: Path) -> Path:
    """An archive whose only slot takes 129 MiB."""
    (tmp_path / "f").write_bytes(b"content")
    archive = tmp_path / "a.warp"
    create(archive, Source.of([tmp_path / "f"]), PackOptions(threads=1), lock=Lock(passphrases=("word",), cost=COSTLY))
    return archive


def test_a_costly_slot_is_not_tried_and_named(costly: Path) -> None:
    """The right passphrase, so that only the cost can be what stops it."""
    with pytest.raises(WrongKeyError, match=r"key slot [0-9a-f]{16} \(129 MiB\).*large_argon2"):
        open_archive(costly, Unlock(passphrases=("word",)))


def test_a_costly_slot_opens_for_who_allows_it(costly: Path) -> None:
    with open_archive(costly, Unlock(passphrases=("word",), large_argon2=True)) as reader:
        assert reader.keyed


def test_a_slot_of_128_mib_needs_no_leave(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"content")
    lock = Lock(passphrases=("word",), cost=dataclasses.replace(COSTLY, memory_kib=128 * 1024))
    create(tmp_path / "a.warp", Source.of([tmp_path / "f"]), PackOptions(threads=1), lock=lock)
    with open_archive(tmp_path / "a.warp", Unlock(passphrases=("word",))) as reader:
        assert reader.keyed


def test_the_setting_allows_a_costly_slot(costly: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "pass").write_text("word\n")
    words = ["list", str(costly), "--passphrase-file", str(tmp_path / "pass")]
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    assert main(words) == 12
    monkeypatch.setenv("WARP_LARGE_ARGON2", "true")
    assert main(words) == 0
