"""What commands that read an archive have in common: opening it, and saying of its signature what is known."""

from typing import TYPE_CHECKING

from warp_portal import archive as archives
from warp_portal.cli import unlocking
from warp_portal.cli.output import Output
from warp_portal.cli.text import count_of
from warp_portal.config import Config
from warp_portal.errors import KeyRequiredError
from warp_portal.keys import load_signer

if TYPE_CHECKING:
    from warp_portal.archive import ArchiveReader


def signature_text(state: archives.SignatureState) -> str:
    """What is known of a signature, as a half sentence."""
    return "unsigned" if state is archives.SignatureState.UNSIGNED else f"signature {state.value}"


def opened(
    output: Output,
    settings: Config,
    archive: str,
    *,
    snapshot: int | None = None,
    recover: bool = False,
    expect_commit: bytes | None = None,
    signer: str | None = None,
    need_key: bool = True,
) -> "ArchiveReader":
    """Open an archive for reading; asks for its passphrase if it needs one (without `need_key` it does not)."""
    state = archives.StateStore(settings.state_path(), output.warning)
    wanted = load_signer(signer) if signer is not None else None

    def attempt(unlock: archives.Unlock) -> "ArchiveReader":
        reader = archives.open_archive(
            archive, unlock, snapshot=snapshot, recover=recover, expect_commit=expect_commit, signer=wanted, state=state
        )
        if need_key and not reader.keyed:
            reader.close()
            raise KeyRequiredError(f"{archive} is encrypted: give a key")
        return reader

    reader = unlocking.unlocked(output, settings, attempt)
    if recover:
        output.warning("with --recover the snapshot may be older than the newest one seen here: that is not checked")
    if reader.damaged_tail:
        output.warning(
            f"{reader.damaged_tail:,} bytes after the last whole snapshot are damaged or unfinished, and left out"
        )
    if reader.damaged_snapshots:
        number = reader.snapshot.number
        output.warning(
            f"pages of {count_of(reader.damaged_snapshots, 'snapshot')} are damaged: this is snapshot {number}, the last whole "
            f"one ({signature_text(reader.signature)}); `warp extract -s {number + reader.damaged_snapshots}` restores what the "
            "newest has without them"
        )
    if reader.none_whole:
        output.warning("pages of every snapshot are damaged: this is the newest, as far as it can be read")
    return reader
