"""`receive --restore`: an encrypted archive is not fetched where nothing could open it."""

import os

import pytest
from tests.unit.transport.common import MACHINE, SESSION

from warp_portal.archive.offering import Offering
from warp_portal.cli import arriving, unlocking
from warp_portal.config import Config
from warp_portal.errors import UsageError
from warp_portal.protocol.offers import ArchiveOffer, Offer


def offer(archive: str) -> Offer:
    offering = Offering(os.fsencode(archive))
    commit = offering.commit
    offering.close()
    return Offer(SESSION, "home.warp", ArchiveOffer(commit.serialize(), commit.offset), None, commit.end)


def asked(settings: Config, archive: str) -> bool:
    return arriving._openable(settings, lambda *_: True)(offer(archive), MACHINE)


@pytest.fixture(autouse=True)
def no_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unlocking, "on_terminal", lambda: False)


def test_an_encrypted_archive_is_refused_without_a_key(sealed: str) -> None:
    with pytest.raises(UsageError, match=r"give a key \(-p, -i\)"):
        asked(Config(), sealed)


def test_a_key_or_a_terminal_or_no_encryption_lets_it_come(
    sealed: str, plain: str, passphrase_file: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert asked(Config(), plain)
    assert asked(Config(passphrase_file=passphrase_file), sealed)
    monkeypatch.setattr(unlocking, "on_terminal", lambda: True)
    assert asked(Config(), sealed)
