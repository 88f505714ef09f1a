"""`warp key`: make keys, and change what opens an archive."""

import contextlib
import errno
from collections.abc import Iterator
from typing import TYPE_CHECKING

import click

from warp_portal.cli import options
from warp_portal.cli.examples import epilog
from warp_portal.cli.output import Output
from warp_portal.cli.starting import begin
from warp_portal.cli.text import columns
from warp_portal.errors import NotFoundError, StorageFullError, UsageError, WarpPortalError
from warp_portal.units import parse_bytes

if TYPE_CHECKING:
    from warp_portal.archive import SlotInfo

KINDS = ("xwing", "x25519", "signing")
# Fewer hex digits name a slot too easily by accident.
SLOT_DIGITS = 4


@click.group("key")
def command() -> None:
    """Make keys; add, remove and list what opens an archive.

    Removing a key does not bind whoever kept it and an old copy of the archive.
    """


@command.command("list", epilog=epilog("key list"))
@options.archive
@options.common
def list_slots(output: Output, archive: str) -> int:
    """List the key slots of ARCHIVE; needs no key."""
    begin(output, "key list")
    from warp_portal import archive as archives

    slots = archives.list_slots(archive)
    for slot in slots:
        output.record("slot", **slot_fields(slot))
    rows = [(slot.slot_id.hex(), slot.kind, slot.detail) for slot in slots]
    for line in (
        columns([("SLOT", "KIND", "DETAIL"), *rows]) if rows else ["no key slots: the archive is not encrypted"]
    ):
        output.result(line)
    return 0


@command.command("add", epilog=epilog("key add"))
@options.archive
@click.option("--new-passphrase-file", metavar="FILE", help="The passphrase to add (default: ask on the terminal).")
@click.option("-r", "--recipient", metavar="KEY", help="Add a public key instead, or that in a file.")
@click.option("--argon2-memory", metavar="SIZE", default="64M", show_default=True, help="Memory that one guess costs.")
@click.option("--argon2-passes", metavar="N", type=int, default=3, show_default=True, help="Passes over it.")
@click.option("--large-argon2", is_flag=True, help="Allow more than 128M of --argon2-memory.")
@click.option("--sign", metavar="KEYFILE", help="Sign the changed state.")
@options.opening
@options.common
def add_slot(
    output: Output,
    archive: str,
    new_passphrase_file: str | None,
    recipient: str | None,
    argon2_memory: str,
    argon2_passes: int,
    large_argon2: bool,
    **flags: object,
) -> int:
    """Let a further passphrase or public key open ARCHIVE."""
    settings = begin(output, "key add", **flags)
    from warp_portal import archive as archives
    from warp_portal.cli import unlocking
    from warp_portal.keys import Argon2Cost, load_recipient

    if recipient is not None and new_passphrase_file is not None:
        raise UsageError("give --recipient or --new-passphrase-file, not both: one key is added at a time")
    cost = Argon2Cost(memory_kib=parse_bytes(argon2_memory) // 1024, passes=argon2_passes)
    if cost.large and not large_argon2:
        raise UsageError(
            "more than 128M of --argon2-memory needs --large-argon2: every opening will take as much, and needs the setting "
            "large_argon2"
        )
    key = None if recipient is None else load_recipient(recipient)
    passphrase = None if new_passphrase_file is None else unlocking.read_passphrase(output, new_passphrase_file)
    state, signing_key = archives.StateStore(settings.state_path(), output.warning), unlocking.signing_key(settings)
    unlock = unlocking.unlocked(output, settings, lambda given: archives.proven(archive, given, state))
    if key is None and passphrase is None:
        passphrase = unlocking.ask_twice("--new-passphrase-file or --recipient")
    slot = archives.add_slot(
        archive, unlock, passphrase=passphrase, recipient=key, cost=cost, signing_key=signing_key, state=state
    )
    output.summary(f"{archive}: added {slot.kind} slot {slot.slot_id.hex()}", archive=archive, **slot_fields(slot))
    return 0


@command.command(
    "remove", short_help="Take away what opens an archive; the last key stays.", epilog=epilog("key remove")
)
@options.archive
@click.argument("slot")
@click.option("--sign", metavar="KEYFILE", help="Sign the changed state.")
@options.opening
@options.common
def remove_slot(output: Output, archive: str, slot: str, **flags: object) -> int:
    """Remove SLOT (its id as `key list` shows it, or the first 4 or more digits) from ARCHIVE; the last one stays."""
    settings = begin(output, "key remove", **flags)
    from warp_portal import archive as archives
    from warp_portal.cli import unlocking

    if len(slot) < SLOT_DIGITS:
        raise UsageError(f"{slot!r}: give at least {SLOT_DIGITS} digits of the slot's id, as `warp key list` shows it")
    chosen = [found for found in archives.list_slots(archive) if found.slot_id.hex().startswith(slot.lower())]
    if len(chosen) != 1:
        raise NotFoundError(f"{archive}: {len(chosen)} slots begin with {slot!r}: see `warp key list`")
    state, signing_key = archives.StateStore(settings.state_path(), output.warning), unlocking.signing_key(settings)

    def attempt(unlock: archives.Unlock) -> None:
        archives.remove_slot(archive, unlock, chosen[0].slot_id, signing_key=signing_key, state=state)

    unlocking.unlocked(output, settings, attempt)
    text = (
        f"{archive}: removed {chosen[0].kind} slot {chosen[0].slot_id.hex()}; old copies of the archive still open with it, and "
        "so does this one where the same key was added more than once: see `warp key list`"
    )
    output.summary(text, archive=archive, **slot_fields(chosen[0]))
    return 0


@command.command("keygen", short_help="Write a new private key, and print its public key.", epilog=epilog("key keygen"))
@click.argument("file")
@click.option(
    "--kind",
    type=click.Choice(KINDS),
    default="xwing",
    show_default=True,
    help="xwing resists quantum computers as well.",
)
@options.common
def make_key(output: Output, file: str, kind: str) -> int:
    """Write a new private key to FILE (mode 0600) and print its public key.

    \b
      xwing, x25519   for --recipient (public) and --identity (private)
      signing         for --signer (public) and --sign (private)
    """  # noqa: D301  # click wants the character, not two
    begin(output, "key keygen")
    if file == "-":
        raise UsageError("a private key is not written to standard output: name a file for it")
    from warp_portal.keys import Identity, SigningKey

    if kind == "signing":
        signing = SigningKey.generate()
        signing.save(file)
        public = str(signing.public)
    else:
        identity = Identity.generate(kind)
        identity.save(file)
        public = str(identity.recipient)
    with _made(file):
        output.record("key", kind=kind, file=file, public=public)
        output.status(f"{file}: new {kind} key; keep it safe, there is no other copy; its public key:")
        output.result(public)
        output.flush()
    return 0


@contextlib.contextmanager
def _made(file: str) -> Iterator[None]:
    """Say, where the public key cannot be written, that the key is there: the same command again would find it in its way."""
    there = f"{file} is made all the same, and holds its public key too, in the line that begins with `# public key:`"
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        kind = StorageFullError if error.errno in (errno.ENOSPC, errno.EDQUOT) else WarpPortalError
        raise kind(f"{error.filename}: {error.strerror}: {there}") from error
    except UsageError as error:
        raise UsageError(f"{error}; {there}") from error


def slot_fields(slot: "SlotInfo") -> dict[str, object]:
    """A slot for programs."""
    return {"slot": slot.slot_id.hex(), "kind": slot.kind, "detail": slot.detail}
