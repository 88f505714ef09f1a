"""Key slots of an archive that is written anew: each is made again by its key, and none is lost unasked."""

from dataclasses import replace
from pathlib import Path

import pytest
from tests.unit.archive.common import OFTEN, grow
from tests.unit.archive.test_rekey import CHEAP, ONE, TWO, opens

from warp_portal.archive.compaction import CompactRequest, compact
from warp_portal.archive.options import Source
from warp_portal.archive.rekey import add_slot, list_slots
from warp_portal.archive.retention import Selection
from warp_portal.archive.unlock import Lock, Unlock
from warp_portal.archive.verification import Level, verify
from warp_portal.archive.writer import append, create
from warp_portal.errors import UsageError, WrongKeyError
from warp_portal.keys.password import Argon2Cost
from warp_portal.keys.recipients import Identity
from warp_portal.keys.signers import SigningKey

ME, FRIEND = Identity.generate(), Identity.generate("x25519")
# Each change of keys is a snapshot of its own: two passphrases and two recipients are four.
NEWEST = CompactRequest(Selection(forgotten=frozenset({1, 2, 3})))


@pytest.fixture
def archive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    grow(tmp_path / "tree", 20, 9000)
    monkeypatch.chdir(tmp_path / "tree")
    path = tmp_path / "a.warp"
    create(path, Source.of(["."]), OFTEN, lock=Lock(("one",), cost=CHEAP))
    add_slot(path, ONE, passphrase="two")
    add_slot(path, ONE, recipient=ME.recipient)
    add_slot(path, ONE, recipient=FRIEND.recipient)
    return path


def kinds(archive: Path) -> list[tuple[str, str]]:
    return [(slot.kind, slot.detail) for slot in list_slots(archive)]


def test_every_slot_is_made_again(archive: Path) -> None:
    before, ids = kinds(archive), {slot.slot_id for slot in list_slots(archive)}
    unlock = Unlock(("one", "two"), (ME, FRIEND))
    assert compact(archive, NEWEST, unlock=unlock).dropped_slots == 0
    assert kinds(archive) == before
    assert not ids & {slot.slot_id for slot in list_slots(archive)}
    assert all(opens(archive, key) for key in (ONE, TWO, Unlock((), (ME,)), Unlock((), (FRIEND,))))
    assert verify(archive, Level.DEEP, unlock=ONE).ok


def test_a_public_key_makes_the_slot_of_its_kind_again(archive: Path) -> None:
    request = replace(NEWEST, recipients=(ME.recipient, FRIEND.recipient, FRIEND.recipient))
    compact(archive, request, unlock=Unlock(("one", "two")))
    assert all(opens(archive, key) for key in (ONE, TWO, Unlock((), (ME,)), Unlock((), (FRIEND,))))
    assert len(list_slots(archive)) == 4


def test_a_public_key_takes_as_many_slots_as_it_is_given_times_and_that_is_told(archive: Path) -> None:
    add_slot(archive, ONE, recipient=FRIEND.recipient)
    add_slot(archive, ONE, recipient=ME.recipient)
    newest = CompactRequest(Selection(forgotten=frozenset({1, 2, 3, 4, 5})), recipients=(FRIEND.recipient,))
    unlock = Unlock(("one", "two"), (ME,))
    with pytest.raises(UsageError, match="once for each slot"):
        compact(archive, newest, unlock=unlock)
    stranger = Identity.generate("x25519")
    given = (FRIEND.recipient, stranger.recipient)
    for dry_run in (True, False):
        assert compact(archive, replace(newest, recipients=given, dry_run=dry_run), unlock=unlock).unproven == given
    assert all(opens(archive, key) for key in (Unlock((), (FRIEND,)), Unlock((), (stranger,))))
    assert len(list_slots(archive)) == 6


def test_a_slot_is_not_lost_unless_that_is_asked_for(archive: Path) -> None:
    before = archive.read_bytes()
    second = list_slots(archive)[1].slot_id.hex()
    with pytest.raises(UsageError, match=rf"{second} \(passphrase\).*--drop-slots"):
        compact(archive, NEWEST, unlock=Unlock(("one",), (ME, FRIEND)))
    assert archive.read_bytes() == before
    dropping, keys = replace(NEWEST, drop_slots=True), Unlock(("one",), (FRIEND,))
    assert compact(archive, replace(dropping, dry_run=True), unlock=keys).dropped_slots == 2
    assert archive.read_bytes() == before
    assert compact(archive, dropping, unlock=keys).dropped_slots == 2
    assert [kind for kind, _ in kinds(archive)] == ["passphrase", "x25519"]
    assert [opens(archive, key) for key in (ONE, TWO, Unlock((), (ME,)))] == [True, False, False]


def test_slots_are_lost_on_request_where_there_is_nothing_else_to_leave_out(archive: Path) -> None:
    request, keys = CompactRequest(drop_slots=True), Unlock(("one",), (ME, FRIEND))
    before = archive.read_bytes()
    dry = compact(archive, replace(request, dry_run=True), unlock=keys)
    assert (dry.changed, dry.dropped_slots, dry.obstacle) == (False, 1, "")
    assert archive.read_bytes() == before
    done = compact(archive, request, unlock=keys)
    assert (done.changed, done.dropped_slots, done.forgotten) == (True, 1, 0)
    assert [opens(archive, key) for key in (ONE, TWO)] == [True, False]
    after = archive.read_bytes()
    again = compact(archive, request, unlock=keys)
    assert (again.changed, again.dropped_slots) == (False, 0)
    assert archive.read_bytes() == after


def test_a_signed_archive_loses_slots_alone_only_with_its_key(tmp_path: Path, archive: Path) -> None:
    key, path = SigningKey.generate(), tmp_path / "signed.warp"
    create(path, Source.of(["."]), replace(OFTEN, signing_key=key), lock=Lock(("one", "two"), cost=CHEAP))
    request = CompactRequest(drop_slots=True)
    assert not compact(path, request, unlock=Unlock(("one", "two"))).changed
    with pytest.raises(UsageError, match="--sign"):
        compact(path, request, unlock=ONE)
    assert compact(path, replace(request, signing_key=key), unlock=ONE).dropped_slots == 1


def test_a_recipient_without_a_slot_is_refused(archive: Path) -> None:
    unlock = Unlock(("one", "two"), (ME, FRIEND))
    with pytest.raises(UsageError, match="warp key add"):
        compact(archive, replace(NEWEST, recipients=(Identity.generate().recipient,)), unlock=unlock)
    compact(archive, replace(NEWEST, recipients=(ME.recipient,)), unlock=unlock)  # its slot is made by the identity
    assert len(list_slots(archive)) == 4


@pytest.mark.parametrize("drop", [False, True])
def test_a_passphrase_given_for_a_slot_that_makes_none_is_refused(archive: Path, drop: bool) -> None:
    before = archive.read_bytes()
    request = replace(NEWEST, slot_passphrases=("two", "twoo"), drop_slots=drop)
    keys = Unlock(("one",), (ME, FRIEND))
    with pytest.raises(UsageError, match="number 2 of the passphrases given for key slots") as refused:
        compact(archive, request, unlock=keys)
    assert "twoo" not in str(refused.value) + repr(request)
    assert "check it" in compact(archive, replace(request, dry_run=True), unlock=keys).obstacle
    assert archive.read_bytes() == before


def test_a_passphrase_may_both_open_the_archive_and_be_given_for_its_slot(archive: Path) -> None:
    request = replace(NEWEST, slot_passphrases=("two", "one", "two"))
    compact(archive, request, unlock=Unlock(("one",), (ME, FRIEND)))
    assert opens(archive, ONE)
    assert opens(archive, TWO)


def test_a_slot_that_costs_too_much_to_try_is_named_as_the_reason(archive: Path) -> None:
    add_slot(archive, ONE, passphrase="dear", cost=Argon2Cost(passes=3, memory_kib=129 * 1024))
    request = replace(NEWEST, slot_passphrases=("two", "dear"))
    with pytest.raises(UsageError, match=r"number 2 .* large_argon2"):
        compact(archive, request, unlock=Unlock(("one",), (ME, FRIEND)))
    compact(archive, request, unlock=Unlock(("one",), (ME, FRIEND), large_argon2=True))
    assert opens(archive, Unlock(("dear",), large_argon2=True))


def test_a_plain_archive_has_no_slot_to_keep(tmp_path: Path, archive: Path) -> None:
    path = tmp_path / "plain.warp"
    create(path, Source.of(["."]), OFTEN)
    append(path, Source.of(["."]), OFTEN)
    request = CompactRequest(Selection(forgotten=frozenset({1})))
    for given in (replace(request, slot_passphrases=("one",)), replace(request, recipients=(ME.recipient,))):
        with pytest.raises(UsageError, match="not encrypted: it has no key slot"):
            compact(path, given)


def test_one_slot_stays_whatever_is_asked_for(archive: Path, tmp_path: Path) -> None:
    key = bytes(range(32))
    path = tmp_path / "b.warp"
    create(path, Source.of(["."]), OFTEN, lock=Lock(("one",), cost=CHEAP), archive_key=key)
    add_slot(path, ONE, recipient=ME.recipient)
    request = CompactRequest(Selection(forgotten=frozenset({1})), drop_slots=True)
    with pytest.raises(UsageError, match="no key slot would be left"):
        compact(path, request, unlock=Unlock(archive_key=key))


def test_a_wrong_passphrase_opens_nothing(archive: Path) -> None:
    with pytest.raises(WrongKeyError):
        compact(archive, NEWEST, unlock=Unlock(("three",)))
