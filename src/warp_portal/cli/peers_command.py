"""`warp peers`: the machines that are known here by name, and the key by which this one is known."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from warp_portal.cli import options
from warp_portal.cli.examples import epilog
from warp_portal.cli.output import Output
from warp_portal.cli.starting import begin
from warp_portal.cli.text import columns, local_time, shortened
from warp_portal.errors import UsageError

if TYPE_CHECKING:
    from warp_portal.transport.peers import Peer

KEY_WIDTH = 32  # of a key in the list; whole it has 71 characters


@click.group("peers")
def command() -> None:
    """Save, list and forget machines to send to and to receive from.

    A saved machine needs no ticket and no code: it is known by its key, and lets this one in if it has saved this one's
    key too. `warp peers me` prints that.
    """


@command.command("list", epilog=epilog("peers list"))
@options.common
def list_peers(output: Output) -> int:
    """List the saved machines: name, when they were last met, addresses, key.

    Of the key the middle is left out; --json gives it whole.
    """
    settings = begin(output, "peers list")
    from warp_portal.transport.peers import PeerStore

    peers = PeerStore(Path(settings.state_path())).all()
    output.records("peer", [peer_fields(peer) for peer in peers])
    rows = [
        (
            peer.name,
            "never" if peer.seen_s is None else local_time(peer.seen_s, "%Y-%m-%d %H:%M"),
            " ".join(map(str, peer.addresses)) or "-",
            shortened(str(peer.machine), KEY_WIDTH),
        )
        for peer in peers
    ]
    output.results(columns([("NAME", "LAST MET", "ADDRESSES", "KEY"), *rows]) if rows else ["no machine is saved"])
    return 0


@command.command("add", epilog=epilog("peers add"))
@click.argument("name")
@click.argument("key")
@click.option(
    "-a",
    "--address",
    metavar="HOST:PORT",
    multiple=True,
    help="Where it listens; repeatable. An IPv6 address stands in brackets.",
)
@options.common
def add_peer(output: Output, name: str, key: str, address: tuple[str, ...]) -> int:
    """Save the machine with KEY, which `warp peers me` prints there, as NAME.

    Under the same name and key, the addresses are set anew. Carry the key over a way that you trust: whoever has its
    private half is that machine.
    """
    settings = begin(output, "peers add")
    from warp_portal.keys import Machine
    from warp_portal.protocol.addresses import Address
    from warp_portal.transport.identity import machine_key
    from warp_portal.transport.peers import PeerStore

    state = Path(settings.state_path())
    machine, addresses = Machine.parse(key), [Address.parse(one) for one in address]
    if machine == machine_key(state).public:
        raise UsageError("this is the key of this machine itself: run `warp peers me` on the other one")
    peer = PeerStore(state).add(name, machine, addresses)
    output.record("peer", **peer_fields(peer))
    output.status(
        f"{peer.name}: saved; it lets this machine in once it has saved the key that `warp peers me` prints here"
    )
    return 0


@command.command("remove", epilog=epilog("peers remove"))
@click.argument("name")
@options.common
def remove_peer(output: Output, name: str) -> int:
    """Forget the machine NAME: by its key alone it is not let in any more.

    Tickets and codes that it was given hold until they expire.
    """
    settings = begin(output, "peers remove")
    from warp_portal.transport.peers import PeerStore

    peer = PeerStore(Path(settings.state_path())).remove(name)
    output.record("peer", **peer_fields(peer))
    output.status(f"{peer.name}: forgotten; its key was {peer.machine}")
    return 0


@command.command("rename", epilog=epilog("peers rename"))
@click.argument("name")
@click.argument("new")
@options.common
def rename_peer(output: Output, name: str, new: str) -> int:
    """Call the machine NAME by another name."""
    settings = begin(output, "peers rename")
    from warp_portal.transport.peers import PeerStore

    peer = PeerStore(Path(settings.state_path())).rename(name, new)
    output.record("peer", **peer_fields(peer))
    output.status(f"{name}: is {peer.name} now")
    return 0


@command.command("me", epilog=epilog("peers me"))
@options.common
def show_own_key(output: Output) -> int:
    """Print the public key of this machine, for `warp peers add` on another.

    It is made when it is first needed. Its private half stays in the state directory.
    """
    settings = begin(output, "peers me")
    from warp_portal.transport.identity import machine_key

    public = str(machine_key(Path(settings.state_path())).public)
    output.record("machine", key=public)
    output.result(public)
    return 0


def peer_fields(peer: "Peer") -> dict[str, object]:
    """A peer for programs; times in seconds since 1970."""
    return {
        "name": peer.name,
        "key": str(peer.machine),
        "addresses": [str(address) for address in peer.addresses],
        "added_s": peer.added_s,
        "seen_s": peer.seen_s,
    }
