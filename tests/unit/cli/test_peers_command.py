"""`warp peers`: names for machines, and this machine's own key."""

from pathlib import Path

import pytest
from tests.unit.cli.runs import Captured, only, records

from warp_portal.cli.main import main
from warp_portal.keys import Machine, MachineKey

KEY = str(Machine(bytes(range(32))))
OTHER = str(Machine(bytes(range(1, 33))))


def said(capsys: Captured) -> tuple[str, str]:
    found = capsys.readouterr()
    return found.out, found.err


def test_a_machine_is_added_listed_renamed_and_removed(capsys: Captured) -> None:
    assert main(["peers", "list"]) == 0
    assert said(capsys) == ("no machine is saved\n", "")
    assert main(["peers", "add", "NAS", KEY, "-a", "NAS.example:4433", "--address", "[2001:db8::1]:1"]) == 0
    assert said(capsys) == (
        "",
        "nas: saved; it lets this machine in once it has saved the key that `warp peers me` prints here\n",
    )
    assert main(["peers", "list"]) == 0
    heading, line = said(capsys)[0].splitlines()
    assert heading.split() == ["NAME", "LAST", "MET", "ADDRESSES", "KEY"]
    assert line.split()[:4] == ["nas", "never", "nas.example:4433", "[2001:db8::1]:1"]
    assert line.split()[4].startswith("warp-machine:")
    assert main(["peers", "rename", "nas", "attic"]) == 0
    assert main(["peers", "remove", "attic"]) == 0
    assert said(capsys)[1].endswith(f"attic: forgotten; its key was {KEY}\n")
    assert records(capsys, "peers", "list")[1:-1] == []


def test_programs_are_told_the_whole_key(capsys: Captured) -> None:
    added = only(records(capsys, "peers", "add", "nas", KEY, "-a", "192.0.2.1:4433"), "peer")
    assert added["added_s"] > 1_700_000_000
    assert added == {
        "type": "peer", "schema": 1, "name": "nas", "key": KEY, "addresses": ["192.0.2.1:4433"], "added_s": added["added_s"], "seen_s": None,
    }  # fmt: skip
    assert only(records(capsys, "peers", "list"), "peer") == added
    assert only(records(capsys, "peers", "rename", "nas", "attic"), "peer") == added | {"name": "attic"}
    assert only(records(capsys, "peers", "remove", "attic"), "peer") == added | {"name": "attic"}


def test_a_machine_has_one_key_which_another_takes(capsys: Captured, own_settings: Path) -> None:
    own = only(records(capsys, "peers", "me"), "machine")["key"]
    assert main(["peers", "me"]) == 0
    assert said(capsys) == (f"{own}\n", "")
    assert MachineKey.parse(
        (own_settings / "state" / "machine-key").read_text().splitlines()[-1]
    ).public == Machine.parse(own)
    assert only(records(capsys, "peers", "add", "self", own, code=2), "error")["message"].startswith(
        "this is the key of this machine"
    )


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (("add", "7-abandon-zoo-legal", KEY), 2, "no name of a peer"),
        (("add", "box", "warp-machine:aa"), 2, "its check does not match"),
        (("add", "box", KEY.replace("warp-machine", "warp-signer")), 2, "its check does not match"),
        (("add", "box", OTHER, "-a", "nowhere"), 2, "write HOST:PORT"),
        (("add", "box", KEY), 2, "saved as nas"),
        (("add", "nas", OTHER), 2, "nas is another machine"),
        (("remove", "nass"), 10, "did you mean nas?"),
        (("rename", "box", "x"), 10, "no peer is called 'box'"),
        (("rename", "nas", "a b"), 2, "no name of a peer"),
    ],
)
def test_what_makes_no_sense_is_refused_and_changes_nothing(
    capsys: Captured, words: tuple[str, ...], code: int, message: str
) -> None:
    records(capsys, "peers", "add", "nas", KEY)
    before = records(capsys, "peers", "list")
    error = only(records(capsys, "peers", *words, code=code), "error")
    assert message in error["message"]
    assert records(capsys, "peers", "list") == before


def test_a_private_key_in_place_of_a_public_one_is_not_repeated(capsys: Captured) -> None:
    line = MachineKey(bytes(range(32))).secret_text()
    for words in (("nas", line), (line, KEY)):
        assert main(["peers", "add", *words]) == 2
        out, err = said(capsys)
        assert line.partition(":")[2] not in out + err
        assert "warp-machine-key" in err


def test_a_damaged_list_stops_every_command_and_says_which_file(capsys: Captured, own_settings: Path) -> None:
    records(capsys, "peers", "add", "nas", KEY)
    path = own_settings / "state" / "peers.json"
    path.write_text('{"version": 1}')
    for words in (("list",), ("add", "box", OTHER), ("remove", "nas")):
        assert only(records(capsys, "peers", *words, code=13), "error")["message"].startswith(f"{path}: malformed")
    path.chmod(0o644)
    assert only(records(capsys, "peers", "list", code=2), "error")["message"].endswith("chmod 600 it")
