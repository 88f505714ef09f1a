"""`warp send ARCHIVE.warp`: an archive goes over as it is stored, and of one that is there already only what is new."""

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.integration.archives import appended, damage, grown, packed, passphrase
from tests.transfers import Pair, Warp, arrived, noise
from tests.trees import differences
from warp_portal.archive import Lock
from warp_portal.keys import SigningKey
from warp_portal.transport.archive_sending import ArchiveCargo
from warp_portal.transport.giving import SendPlan
from warp_portal.transport.sender import Sender

MIB = 1 << 20
SIZE = 5 * MIB
# Slow enough to be killed.
SLOW = ("--limit", "3MiB/s")
PART = ".warp-part"


@pytest.fixture
def pair(tmp_path: Path) -> Pair:
    return Pair.at(tmp_path, WARP_CHECKPOINT_BYTES=f"{MIB}")


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    return grown(tmp_path / "tree")


@pytest.fixture
def archive(tree: Path, tmp_path: Path) -> Path:
    return packed(tmp_path / "from" / "home.warp", tree)


@pytest.fixture
def large(tmp_path: Path) -> Path:
    """More than what is on the way in a moment."""
    noise(tmp_path / "large" / "noise", SIZE)
    return packed(tmp_path / "from" / "large.warp", tmp_path / "large")


@pytest.mark.parametrize("lock", [None, Lock(slot_copy_bytes=4096)], ids=["plain", "encrypted"])
def test_an_archive_arrives_byte_for_byte_and_without_a_key(
    pair: Pair, tree: Path, tmp_path: Path, lock: Lock | None
) -> None:
    archive, target = packed(tmp_path / "from" / "home.warp", tree, lock), tmp_path / "out"
    with pair.both(target, archive) as (sender, receiver):
        taken = receiver.offer()
        received, sent = receiver.succeeded(), sender.succeeded()
    assert (target / "home.warp").read_bytes() == archive.read_bytes()
    assert (taken["kind"], taken["title"], taken["bytes"]) == ("archive", "home.warp", archive.stat().st_size)
    assert (sent["kind"], received["kind"]) == ("archive", "archive")
    assert sent["entries"] == sent["restored"] == received["restored"] > 0
    assert received["signature"] == "unsigned"
    assert sent["bytes_packed"] == received["bytes_received"] <= archive.stat().st_size
    assert os.listdir(target) == ["home.warp"]
    pair.assert_clean(target)


def test_of_an_archive_that_has_grown_only_what_is_new_travels(
    pair: Pair, tree: Path, archive: Path, tmp_path: Path
) -> None:
    target = tmp_path / "out"
    pair.transfer(target, archive)
    noise(tree / "more", 20_000)
    appended(archive, tree)
    sent, received = pair.transfer(target, archive)
    assert (target / "home.warp").read_bytes() == archive.read_bytes()
    assert 20_000 <= sent["bytes_packed"] == received["bytes_received"] < 25_000
    assert sent["bytes_wire"] < 60_000 < archive.stat().st_size // 4
    again, _ = pair.transfer(target, archive)
    assert again["bytes_packed"] == 0
    pair.assert_clean(target)


def test_an_archive_is_restored_where_it_goes(pair: Pair, tree: Path, archive: Path, tmp_path: Path) -> None:
    target = tmp_path / "out"
    pair.transfer(target, archive, taking=["--restore"])
    assert differences(tree, target / "tree") == ""
    assert os.listdir(target) == ["tree"]
    pair.assert_clean(target)


def test_a_wrong_passphrase_costs_nothing_but_another_try(pair: Pair, tree: Path, tmp_path: Path) -> None:
    archive = packed(tmp_path / "from" / "home.warp", tree, Lock(passphrases=("correct horse",)))
    target, given = tmp_path / "out", passphrase(tmp_path / "passphrase", "battery staple")
    with pair.source.send(archive) as sender:
        ticket = sender.offer()["ticket"]
        with pair.sink.receive(ticket, target, "--restore", "-p", given) as receiver:
            code, said = receiver.failed()
        assert (code, "none of the given keys" in said) == (12, True), said
        sender.succeeded()
    assert pair.sink.sessions() != []
    passphrase(given)
    with pair.sink.receive(ticket, target, "--restore", "-p", given) as receiver:
        receiver.said("had come before")
        assert receiver.ended() == 0
    assert differences(tree, target / "tree") == ""
    assert os.listdir(target) == ["tree"]
    pair.assert_clean(target)


def test_an_archive_may_have_another_name_there(pair: Pair, archive: Path, tmp_path: Path) -> None:
    renamed = tmp_path / "renamed"
    _, received = pair.transfer(None, archive, taking=["-o", renamed])
    assert renamed.read_bytes() == archive.read_bytes()
    assert received["path"] == str(renamed)
    pair.assert_clean(tmp_path / "from")


def test_an_archive_may_go_as_any_other_file(pair: Pair, archive: Path, tmp_path: Path) -> None:
    target = tmp_path / "out"
    with pair.source.send(archive) as sender:
        sender.offer()
        sender.kill()
    # What was begun chunk by chunk is another transfer.
    with pair.both(target, archive, "--as-file") as (sender, receiver):
        assert not sender.offer()["resumed"]
        receiver.succeeded()
        assert sender.succeeded()["kind"] == "tree"
    pair.source.discard(pair.source.sessions()[0])
    assert (target / "home.warp").read_bytes() == archive.read_bytes()
    pair.assert_clean(target)


def test_what_is_damaged_here_is_named_on_both_sides(pair: Pair, archive: Path, tmp_path: Path) -> None:
    damage(archive, archive.stat().st_size // 2)
    target = tmp_path / "out"
    with pair.both(target, archive) as (sender, receiver):
        assert receiver.failed()[0] == 3
        assert sender.failed()[0] == 3
    for process, place, said in ((sender, archive, "was not sent: chunks"), (receiver, target / "home.warp", "chunks")):
        (problem,) = [record for record in process.records if record["type"] == "error" and not record["fatal"]]
        assert problem["path"] == str(place)
        assert said in problem["message"]
    assert (target / "home.warp").stat().st_size == archive.stat().st_size
    assert (pair.source.sessions(), pair.sink.sessions()) == ([], [])


def test_another_archive_of_the_same_name_is_not_touched(pair: Pair, archive: Path, tmp_path: Path) -> None:
    target = tmp_path / "out"
    other = packed(target / "home.warp", grown(tmp_path / "other", seed=100))
    before = other.read_bytes()
    with pair.both(target, archive) as (sender, receiver):
        code, said = receiver.failed()
        assert (code, "another archive" in said) == (2, True), said
        sender.said("waiting for it to come back")
    assert other.read_bytes() == before
    assert os.listdir(target) == ["home.warp"]
    assert pair.sink.sessions() == []


def test_a_link_that_came_before_leads_no_archive_elsewhere(pair: Pair, archive: Path, tmp_path: Path) -> None:
    target, outside = tmp_path / "out", tmp_path / "outside.warp"
    target.mkdir()
    (target / "home.warp").symlink_to(outside)
    with pair.both(target, archive) as (_, receiver):
        code, said = receiver.failed()
    assert (code, "is a link" in said) == (2, True), said
    assert not outside.exists()
    assert pair.sink.sessions() == []


def test_a_title_never_leads_out_of_the_directory(pair: Pair, archive: Path, tmp_path: Path) -> None:
    cargo, target = ArchiveCargo(archive), tmp_path / "deep" / "out"
    cargo.title = "../../\x1b[31mevil.warp"
    plan = SendPlan(cargo)
    with Sender(tmp_path / "hostile", plan, lambda _: None) as sender, ThreadPoolExecutor(1) as thread:
        done = thread.submit(sender.run)
        with pair.sink.receive(sender.waiting.ticket.text(), target) as receiver:
            assert receiver.offer()["title"] == cargo.title
            receiver.succeeded()
        assert done.result().failed == 0
    assert os.listdir(target) == ["received.warp"]
    assert os.listdir(target.parent) == ["out"]


def part_of(target: Path, name: str) -> Path:
    """The part of an archive, once it is there."""
    part = target / (name + PART)
    arrived(target, 1)
    return part


def test_a_killed_receiver_goes_on_with_the_same_command(pair: Pair, large: Path, tmp_path: Path) -> None:
    target = tmp_path / "out"
    with pair.source.send(large, *SLOW) as sender:
        ticket = sender.offer()["ticket"]
        with pair.sink.receive(ticket, target) as receiver:
            arrived(part_of(target, "large.warp"), 3 * MIB)
            receiver.kill()
        assert os.listdir(target) == ["large.warp" + PART]
        with pair.sink.receive(ticket, target) as receiver:
            received = receiver.succeeded()
        sender.succeeded()
    assert (target / "large.warp").read_bytes() == large.read_bytes()
    assert 0 < received["bytes_received"] < SIZE - MIB // 2
    pair.assert_clean(target)


def test_a_killed_sender_goes_on_with_the_same_command(pair: Pair, large: Path, tmp_path: Path) -> None:
    target = tmp_path / "out"
    with pair.source.send(large, *SLOW) as sender, pair.sink.receive(sender.offer()["ticket"], target) as receiver:
        arrived(part_of(target, "large.warp"), 3 * MIB)
        sender.kill()
        with pair.source.send(large) as again:
            assert again.offer()["resumed"]
            receiver.succeeded()
            sent = again.succeeded()
    assert (target / "large.warp").read_bytes() == large.read_bytes()
    assert 0 < sent["bytes_packed"] < SIZE - MIB // 2
    pair.assert_clean(target)


def test_a_part_is_given_up(pair: Pair, large: Path, tmp_path: Path) -> None:
    target = tmp_path / "out"
    with pair.both(target, large, *SLOW) as (_, receiver):
        arrived(part_of(target, "large.warp"), MIB)
        receiver.kill()
        (unfinished,) = pair.sink.unfinished()
        assert (unfinished["kind"], unfinished["title"]) == ("receive", "large.warp")
        assert pair.sink.discard(unfinished["session"][:6])["parts_removed"] == 1
    assert os.listdir(target) == []
    assert pair.sink.sessions() == []


def test_a_signer_may_be_required(pair: Pair, tree: Path, tmp_path: Path) -> None:
    signed, other = SigningKey(b"s" * 32), SigningKey(b"o" * 32)
    archive, target = packed(tmp_path / "from" / "home.warp", tree, signing_key=signed), tmp_path / "out"
    with pair.source.send(archive) as sender:
        _refused(pair, sender, target, str(other.public))
    with pair.source.send(archive) as sender:
        with pair.sink.receive(sender.offer()["ticket"], target, "--signer", str(signed.public)) as receiver:
            assert receiver.succeeded()["signature"].startswith("valid")
        sender.succeeded()
    assert (target / "home.warp").read_bytes() == archive.read_bytes()
    pair.assert_clean(target)


def _refused(pair: Pair, sender: Warp, target: Path, signer: str) -> None:
    with pair.sink.receive(sender.offer()["ticket"], target, "--signer", signer) as receiver:
        code, said = receiver.failed()
    assert (code, "sign" in said) == (13, True), said
    assert os.listdir(target) == []
    assert sender.ended() != 0
