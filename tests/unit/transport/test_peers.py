"""Saved peers: private, found by name and key, and no stranger's file is believed."""

import json
import stat
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.transport.common import ADDRESSES, MACHINE, OTHER, at_once

from warp_portal.clock import VirtualClock
from warp_portal.errors import ExistsError, FormatError, NotFoundError, UsageError, VersionError, WarpPortalError
from warp_portal.keys import Machine, MachineKey
from warp_portal.protocol.addresses import Address
from warp_portal.transport import peers as peers_module
from warp_portal.transport.peers import FILE_NAME, Peer, PeerStore, checked_name

ROW = {"name": "nas", "key": str(MACHINE), "addresses": ["192.0.2.1:4433"], "added_s": 1, "seen_s": None}
WRITERS, EACH = 4, 15
WRITE = """
import pathlib, sys
from warp_portal.keys import Machine
from warp_portal.transport.peers import PeerStore
store, number = PeerStore(pathlib.Path(sys.argv[1])), int(sys.argv[2])
print("ready", flush=True)
sys.stdin.readline()
for n in range(int(sys.argv[3])):
    store.add(f"m{number}-{n}", Machine(bytes([number, n] * 16)))
"""


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock(1_900_000_000 * 10**9)


@pytest.fixture
def store(tmp_path: Path, clock: VirtualClock) -> PeerStore:
    return PeerStore(tmp_path / "state", clock)


def written(store: PeerStore, tmp_path: Path, content: object) -> PeerStore:
    """The store with a file of this content."""
    path = tmp_path / "state" / FILE_NAME
    path.parent.mkdir(mode=0o700)
    path.write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode())
    path.chmod(0o600)
    return store


def listed(*rows: dict[str, Any]) -> dict[str, Any]:
    return {"version": 1, "peers": list(rows)}


def test_a_peer_is_found_by_name_and_key(store: PeerStore, clock: VirtualClock) -> None:
    assert store.all() == ()
    peer = store.add("NAS", MACHINE, ADDRESSES)
    assert peer == Peer("nas", MACHINE, ADDRESSES, 1_900_000_000)
    assert store.add("box", OTHER).name == "box"
    assert [each.name for each in store.all()] == ["box", "nas"]
    assert store.named("nas") == store.named("Nas") == store.of(MACHINE) == peer
    assert store.of(Machine(bytes(32))) is None
    clock.advance(5)
    store.seen(MACHINE)
    store.seen(Machine(bytes(32)))
    assert [each.seen_s for each in store.all()] == [None, 1_900_000_005]


def test_the_file_is_private_and_no_draft_stays(store: PeerStore, tmp_path: Path) -> None:
    store.add("nas", MACHINE)
    path = tmp_path / "state" / FILE_NAME
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert list(path.parent.iterdir()) == [path]
    path.chmod(0o660)  # who may write it lets in whom he likes
    with pytest.raises(UsageError, match="open to others"):
        store.of(MACHINE)


def test_adding_again_sets_addresses_and_nothing_else(store: PeerStore, clock: VirtualClock) -> None:
    before = store.add("nas", MACHINE, ADDRESSES[:1])
    clock.advance(5)
    assert store.add("nas", MACHINE) == before
    assert store.add("nas", MACHINE, ADDRESSES[1:]) == Peer("nas", MACHINE, ADDRESSES[1:], before.added_s)


def test_a_name_and_a_key_belong_together_once(store: PeerStore) -> None:
    store.add("nas", MACHINE)
    with pytest.raises(ExistsError, match="nas is another machine"):
        store.add("nas", OTHER)
    with pytest.raises(ExistsError, match="saved as nas"):
        store.add("box", MACHINE)
    store.add("box", OTHER)
    with pytest.raises(ExistsError, match="box is another machine"):
        store.rename("nas", "box")
    assert [(each.name, each.machine) for each in store.all()] == [("box", OTHER), ("nas", MACHINE)]


def test_a_renamed_peer_is_the_same_and_a_removed_one_gone(store: PeerStore) -> None:
    peer = store.add("nas", MACHINE, ADDRESSES)
    renamed = store.rename("nas", "attic")
    assert store.all() == (renamed,)
    assert (renamed.machine, renamed.addresses, renamed.added_s) == (peer.machine, peer.addresses, peer.added_s)
    assert store.rename("attic", "ATTIC") == renamed
    assert store.remove("Attic") == renamed
    assert store.all() == ()
    assert store.of(MACHINE) is None


def test_a_name_that_nobody_has_is_not_found(store: PeerStore) -> None:
    store.add("laptop", MACHINE)
    for use in (store.named, store.remove, lambda name: store.rename(name, "x")):
        with pytest.raises(NotFoundError, match="did you mean laptop"):
            use("labtop")
        with pytest.raises(NotFoundError, match="warp peers list"):
            use("zz")


@given(st.text(max_size=70))
def test_any_name_is_a_good_one_or_refused(text: str) -> None:
    try:
        name = checked_name(text)
    except UsageError:
        return
    assert name.isascii()
    assert name[0].isalpha()
    assert len(name) <= 63
    assert checked_name(name) == name
    assert not set(name) & set(" :/\\\n\t,[]")


@pytest.mark.parametrize("name", ["", "7-abandon-zoo-legal", "-x", ".x", "a b", "a:1", "a/b", "a\n", "ü", "a" * 64])
def test_what_could_be_taken_for_something_else_is_no_name(store: PeerStore, name: str) -> None:
    with pytest.raises(UsageError, match="no name of a peer"):
        store.add(name, MACHINE)


def test_too_many_addresses_are_refused(store: PeerStore) -> None:
    many = [Address("192.0.2.1", port) for port in range(1, 18)]
    assert len(store.add("nas", MACHINE, [*many[:16], *many[:16]]).addresses) == 16
    with pytest.raises(UsageError, match="at most 16"):
        store.add("nas", MACHINE, many)


def test_processes_that_add_at_once_lose_nothing(tmp_path: Path) -> None:
    at_once(WRITE, *((str(tmp_path), str(number), str(EACH)) for number in range(WRITERS)))
    assert len(PeerStore(tmp_path).all()) == WRITERS * EACH


@pytest.mark.parametrize(
    "content",
    [
        b"", b"\xff", b"[]", b"{}", b"[" * 100_000, b'{"version":' + b"9" * 5000 + b"}", b'{"version": NaN, "peers": []}',
        b'{"version": 1, "version": 1, "peers": []}', {"version": 0, "peers": []}, {"version": True, "peers": []},
        {"version": 1}, {"version": 1, "peers": {}}, {"version": 1, "peers": [], "more": 1}, listed([]),  # type: ignore[arg-type]  # hostile
        listed(ROW, ROW), listed(ROW, ROW | {"name": "b"}), listed(ROW, ROW | {"key": str(OTHER)}),
        listed({"name": "nas"}), listed(ROW | {"extra": 1}),
    ],
)  # fmt: skip
def test_a_malformed_file_lets_nobody_in_and_stays(store: PeerStore, tmp_path: Path, content: object) -> None:
    written(store, tmp_path, content)
    before = (tmp_path / "state" / FILE_NAME).read_bytes()
    for use in (store.all, lambda: store.of(MACHINE), lambda: store.add("x", OTHER), lambda: store.seen(MACHINE)):
        with pytest.raises(FormatError, match=r"peers\.json: malformed: .*put it right, or remove it"):
            use()
    assert (tmp_path / "state" / FILE_NAME).read_bytes() == before


@pytest.mark.parametrize(
    "change",
    [
        {"name": 1}, {"name": ""}, {"name": "Nas"}, {"name": "../x"}, {"name": "\udcff"}, {"key": 1}, {"key": ""}, {"key": "warp-signer:aa"},
        {"key": MachineKey(bytes(32)).secret_text()}, {"addresses": None}, {"addresses": "192.0.2.1:1"}, {"addresses": [1]},
        {"addresses": ["nowhere"]}, {"addresses": ["0.0.0.0:1"]}, {"addresses": ["a.b:1"] * 2}, {"addresses": [f"a.b:{n}" for n in range(1, 18)]},
        {"added_s": None}, {"added_s": -1}, {"added_s": True}, {"added_s": 1.0}, {"added_s": 10**12}, {"seen_s": "now"},
    ],
)  # fmt: skip
def test_a_hostile_field_is_refused(store: PeerStore, tmp_path: Path, change: dict[str, object]) -> None:
    written(store, tmp_path, listed(ROW | change))
    with pytest.raises(FormatError, match="malformed: peer 1") as refused:
        store.all()
    assert MachineKey(bytes(32)).secret_text() not in str(refused.value)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    )
)
def test_any_json_is_peers_or_a_typed_error(value: object) -> None:
    for content in (value, listed(value), listed(ROW | {"key": value}), listed(ROW | {"addresses": value})):  # type: ignore[arg-type]  # hostile
        try:
            found = peers_module._parse(json.dumps(content).encode())
        except WarpPortalError:
            continue
        assert peers_module._parse(peers_module._serialized(found)) == found


def test_a_later_version_is_told_from_damage(store: PeerStore, tmp_path: Path) -> None:
    with pytest.raises(VersionError, match="version 2"):
        written(store, tmp_path, {"version": 2, "machines": []}).all()


def test_what_would_be_too_large_to_read_is_not_written(store: PeerStore, tmp_path: Path) -> None:
    long = [Address(".".join(["x" * 63] * 3), port) for port in range(1, 17)]
    rows = [
        ROW | {"name": f"m{n}", "key": str(Machine(n.to_bytes(32, "big"))), "addresses": list(map(str, long))}
        for n in range(290)
    ]
    written(store, tmp_path, listed(*rows))
    before = store.all()
    with pytest.raises(UsageError, match="remove some first"):
        fill(store, long)
    assert len(store.all()) > len(before)


def fill(store: PeerStore, addresses: list[Address]) -> None:
    for n in range(100):
        store.add(f"n{n}", Machine(bytes([255, n] * 16)), addresses)
