"""Machines that this one knows by name: their keys, and where they were reached.

    <state directory>/peers.json   mode 0600, replaced atomically, changed under the directory's lock

    {"version": 1, "peers": [{"name": "nas", "key": "warp-machine:…", "addresses": ["192.0.2.7:4433"], "added_s": …, "seen_s": …}]}

Whose key stands here is let in by the method `peer` (docs/transfer-protocol.md §4): the file is read as if a stranger had
written it, and one that is malformed in any place lets nobody in.
"""

import contextlib
import json
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, TypeVar

from warp_portal.clock import SYSTEM_CLOCK, Clock
from warp_portal.config import read_regular
from warp_portal.errors import ExistsError, FormatError, NotFoundError, UsageError, VersionError, WarpPortalError
from warp_portal.keys.machines import Machine
from warp_portal.protocol.addresses import Address
from warp_portal.protocol.ticket import MAX_ADDRESSES, MAX_TIME_S
from warp_portal.transport.files import locked, replace_file

FILE_NAME: Final = "peers.json"
VERSION: Final = 1
MAX_FILE: Final = 1 << 20
MAX_NAME: Final = 63  # a label of DNS, which a name may become one day
_NAME: Final = re.compile(rf"[a-z][a-z0-9._-]{{0,{MAX_NAME - 1}}}")
_FIELDS: Final = {"name", "key", "addresses", "added_s", "seen_s"}
_NS: Final = 10**9
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Peer:
    """A machine that was saved. Times are seconds since 1970; `seen_s` is None until it was met for the first time."""

    name: str
    machine: Machine
    addresses: tuple[Address, ...]
    added_s: int
    seen_s: int | None = None


def checked_name(text: str) -> str:
    """The name as it is kept, in lower case. Raises UsageError for one that could be taken for a code, a key or an address."""
    name = text.lower()
    if _NAME.fullmatch(name) is None:
        raise UsageError(
            f"{text!r} is no name of a peer: a letter, then letters, digits, dots, hyphens and underlines, at most {MAX_NAME} "
            "in all"
        )
    return name


class PeerStore:
    """The peers in a state directory. Everything here raises FormatError, VersionError, UsageError or OSError if they can't be read."""

    def __init__(self, directory: Path, clock: Clock = SYSTEM_CLOCK) -> None:
        self._directory = directory
        self._path = directory / FILE_NAME
        self._clock = clock

    def all(self) -> tuple[Peer, ...]:
        """All peers, by name."""
        try:
            raw = read_regular(str(self._path), "saved peers", MAX_FILE, private=True)
        except FileNotFoundError:
            return ()
        try:
            return _parse(raw)
        except FormatError as error:
            raise FormatError(
                f"{self._path}: malformed: {error}: put it right, or remove it to forget all peers"
            ) from None

    def named(self, name: str) -> Peer:
        """The peer of this name; raises NotFoundError."""
        return _named({peer.name: peer for peer in self.all()}, name)

    def of(self, machine: Machine) -> Peer | None:
        """The peer with this key, None for a stranger."""
        return next((peer for peer in self.all() if peer.machine == machine), None)

    def add(self, name: str, machine: Machine, addresses: Iterable[Address] = ()) -> Peer:
        """Save a machine; of one that is saved under this name already the addresses are set anew, if any are given.

        Raises ExistsError if the name is that of another machine, or the machine has another name; BusyError.
        """
        name = checked_name(name)
        given = tuple(dict.fromkeys(addresses))
        if len(given) > MAX_ADDRESSES:
            raise UsageError(f"a peer has at most {MAX_ADDRESSES} addresses")

        def change(peers: dict[str, Peer]) -> Peer:
            known = next((peer for peer in peers.values() if peer.machine == machine), None)
            if known is not None and known.name != name:
                raise ExistsError(f"this machine is saved as {known.name}: rename that")
            if known is None and name in peers:
                raise ExistsError(f"{name} is another machine: take another name, or remove or rename that one first")
            if known is None:
                return peers.setdefault(name, Peer(name, machine, given, self._now_s()))
            peers[name] = replace(known, addresses=given or known.addresses)
            return peers[name]

        return self._changed(change)

    def remove(self, name: str) -> Peer:
        """Forget a machine: it is not let in any more. Raises NotFoundError, BusyError."""

        def change(peers: dict[str, Peer]) -> Peer:
            return peers.pop(_named(peers, name).name)

        return self._changed(change)

    def rename(self, name: str, new: str) -> Peer:
        """Give a machine another name. Raises NotFoundError, ExistsError, BusyError."""
        new = checked_name(new)

        def change(peers: dict[str, Peer]) -> Peer:
            peer = _named(peers, name)
            if new in peers and new != peer.name:
                raise ExistsError(f"{new} is another machine: take another name, or remove or rename that one first")
            del peers[peer.name]
            peers[new] = replace(peer, name=new)
            return peers[new]

        return self._changed(change)

    def seen(self, machine: Machine) -> None:
        """Note that a machine was met now, if it is saved. Raises BusyError."""

        def change(peers: dict[str, Peer]) -> None:
            for peer in peers.values():
                if peer.machine == machine:
                    peers[peer.name] = replace(peer, seen_s=self._now_s())

        self._changed(change)

    def _now_s(self) -> int:
        return self._clock.now_ns() // _NS

    def _changed(self, change: Callable[[dict[str, Peer]], T]) -> T:
        """Apply a change to the peers by name, and write them if there was one."""
        with locked(self._directory):
            before = {peer.name: peer for peer in self.all()}
            after = dict(before)
            result = change(after)
            if after != before:
                replace_file(self._path, _serialized(after.values()))
        return result


def note_met(state: Path, peer: bytes) -> None:
    """Note that the machine with this key was met, if it is saved; what can't be noted keeps nothing from going on."""
    with contextlib.suppress(WarpPortalError, OSError):
        PeerStore(state).seen(Machine(peer))


def _named(peers: Mapping[str, Peer], name: str) -> Peer:
    found = peers.get(name.lower())
    if found is None:
        import difflib

        near = difflib.get_close_matches(name.lower(), peers, 1)
        hint = f"did you mean {near[0]}?" if near else "see `warp peers list`"
        raise NotFoundError(f"no peer is called {name!r}: {hint}")
    return found


def _serialized(peers: Iterable[Peer]) -> bytes:
    rows = [
        {
            "name": peer.name,
            "key": str(peer.machine),
            "addresses": [str(address) for address in peer.addresses],
            "added_s": peer.added_s,
            "seen_s": peer.seen_s,
        }
        for peer in sorted(peers, key=lambda peer: peer.name)
    ]
    raw = json.dumps({"version": VERSION, "peers": rows}, indent=1).encode() + b"\n"
    if len(raw) > MAX_FILE:
        raise UsageError(f"the saved peers would take more than {MAX_FILE >> 20} MiB: remove some first")
    return raw


def _parse(raw: bytes) -> tuple[Peer, ...]:
    """The peers in a file, by name. Raises FormatError, VersionError."""
    try:
        content = json.loads(raw.decode(), object_pairs_hook=_object)
    except (ValueError, RecursionError):  # no JSON, no UTF-8, a number without end, a list without bottom
        raise FormatError("no JSON") from None
    if not isinstance(content, dict) or type(version := content.get("version")) is not int or version < 1:
        raise FormatError("no list of peers")
    if version > VERSION:
        raise VersionError(f"the saved peers have version {version}; this program reads {VERSION}: update it")
    rows = content.get("peers")
    if set(content) != {"version", "peers"} or not isinstance(rows, list):
        raise FormatError("no list of peers")
    peers = [_peer(row, number) for number, row in enumerate(rows, 1)]
    if len({peer.name for peer in peers}) < len(peers) or len({peer.machine for peer in peers}) < len(peers):
        raise FormatError("a name or a key twice")
    return tuple(sorted(peers, key=lambda peer: peer.name))


def _object(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError
    return found


def _peer(row: object, number: int) -> Peer:
    if not isinstance(row, dict) or set(row) != _FIELDS:
        raise FormatError(f"peer {number} has not the fields of one")
    name, key = row["name"], row["key"]
    if not isinstance(name, str) or not isinstance(key, str):
        raise FormatError(f"peer {number}: a field of another type")
    try:
        times = _time(row["added_s"]), None if row["seen_s"] is None else _time(row["seen_s"])
        peer = Peer(checked_name(name), Machine.parse(key), _addresses(row["addresses"]), *times)
    except UsageError as error:
        raise FormatError(f"peer {number}: {error}") from None
    if peer.name != name:
        raise FormatError(f"peer {number}: a name with capitals")
    return peer


def _addresses(listed: object) -> tuple[Address, ...]:
    if not isinstance(listed, list) or len(listed) > MAX_ADDRESSES:
        raise UsageError(f"no list of at most {MAX_ADDRESSES} addresses")
    found = tuple(Address.parse(one) for one in listed if isinstance(one, str))
    if len(set(found)) < len(listed):
        raise UsageError("an address that is none, or one twice")
    return found


def _time(value: object) -> int:
    if type(value) is not int or not 0 <= value <= MAX_TIME_S:
        raise UsageError("a time that is none")
    return value
