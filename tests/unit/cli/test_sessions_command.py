"""`warp sessions`: what is unfinished, and how it is given up."""

from dataclasses import replace
from pathlib import Path

from tests.unit.cli.runs import Captured, only, records
from tests.unit.transport.common import RECORD, SEND, SESSION

from warp_portal.cli.main import main
from warp_portal.transport.parts import beginning, temporary_tag
from warp_portal.transport.state import SessionStore

PART = "{}0123456789abcdef.part"


def begun(settings: Path, target: Path) -> SessionStore:
    """A send and a receive that were not finished, and files of the latter in part."""
    store = SessionStore(settings / "state")
    store.begin(SEND).close()
    (target / "below").mkdir(parents=True)
    with store.begin(replace(RECORD, paths=(bytes(target),))) as session:
        temporary_tag(session.directory)
        part = PART.format(beginning(session.directory))
    for name in (part, "below/" + part, "whole", ".warp-0000000000000000-0123456789abcdef.part"):
        (target / name).write_text("data")
    return store


def test_unfinished_transfers_are_listed(capsys: Captured, own_settings: Path, tmp_path: Path) -> None:
    assert main(["sessions", "list"]) == 0
    assert capsys.readouterr().out == "nothing is unfinished\n"
    store = begun(own_settings, tmp_path / "target")
    assert main(["sessions", "list"]) == 0
    heading, *lines = capsys.readouterr().out.splitlines()
    assert heading.split() == ["SESSION", "KIND", "LAST", "ACTIVE", "DONE", "ON", "DISK", "STATE", "PATHS"]
    receiving = next(line for line in lines if "receive" in line)
    assert receiving.startswith(SESSION.hex()[:8])
    assert "5 B of 7 B" in receiving
    assert " 9 B " in receiving
    with store.open(SESSION):
        found = records(capsys, "sessions", "list")
    told = {record["session"]: record for record in found if record["type"] == "session"}
    assert told[SESSION.hex()]["busy"]
    assert told[SESSION.hex()]["title"] == "photos of a summer"
    assert told[SESSION.hex()]["disk_bytes"] == 9
    assert not told[SEND.session.hex()]["busy"]
    assert "secret" not in str(told)


def test_a_receive_that_is_given_up_leaves_what_came_whole(
    capsys: Captured, own_settings: Path, tmp_path: Path
) -> None:
    target = tmp_path / "target"
    store = begun(own_settings, target)
    discarded = only(records(capsys, "sessions", "discard", SESSION.hex()[:6]), "discarded")
    assert (discarded["session"], discarded["parts_removed"]) == (SESSION.hex(), 2)
    left = sorted(path.name for path in target.rglob("*") if path.is_file())
    assert left == [".warp-0000000000000000-0123456789abcdef.part", "whole"]
    assert [listed.session for listed in store.list()] == [SEND.session]


def test_a_receive_whose_names_are_damaged_is_given_up_and_its_parts_stay(
    capsys: Captured, own_settings: Path, tmp_path: Path
) -> None:
    target = tmp_path / "target"
    store = begun(own_settings, target)
    (own_settings / "state" / "sessions" / SESSION.hex() / "names").write_bytes(b"short")
    discarded = only(records(capsys, "sessions", "discard", SESSION.hex()), "discarded")
    assert discarded["parts_removed"] == 0
    assert len(list(target.rglob("*.part"))) == 3
    assert [listed.session for listed in store.list()] == [SEND.session]


def test_a_receive_that_staged_nothing_takes_nothing_along(
    capsys: Captured, own_settings: Path, tmp_path: Path
) -> None:
    # Of another session whose number begins alike, for the sender chooses it.
    begun(own_settings, tmp_path / "target")
    others = [tmp_path / f".warp-{SESSION[:8].hex()}.d", tmp_path / f".warp-{SESSION[:8].hex()}.warp"]
    others[0].mkdir()
    others[1].touch()
    records(capsys, "sessions", "discard", SESSION.hex())
    assert all(other.exists() for other in others)


def test_what_is_not_one_transfer_is_not_given_up(capsys: Captured, own_settings: Path, tmp_path: Path) -> None:
    store = begun(own_settings, tmp_path / "target")
    assert (
        "nothing unfinished has the number"
        in only(records(capsys, "sessions", "discard", "ff", code=10), "error")["message"]
    )
    assert "2 of them begin with" in only(records(capsys, "sessions", "discard", "00", code=2), "error")["message"]
    with store.open(SESSION):
        records(capsys, "sessions", "discard", SESSION.hex(), code=11)
    assert len(store.list()) == 2
    records(capsys, "sessions", "discard", "all")
    assert store.list() == ()


def test_what_goes_to_standard_output_is_called_so(capsys: Captured, own_settings: Path) -> None:
    SessionStore(own_settings / "state").begin(replace(RECORD, paths=(b"/dev/stdout",))).close()
    assert main(["sessions", "list"]) == 0
    assert "(standard output)" in capsys.readouterr().out
