"""What commands that read an archive have in common: opening it, and saying of its signature what is known."""

from typing import TYPE_CHECKING

from warp_portal import archive as archives
from warp_portal.cli import unlocking
from warp_portal.cli.output import Output
from warp_portal.config import Config

if TYPE_CHECKING:
    from warp_portal.archive import ArchiveReader

SIGNATURES = {
    archives.SignatureState.UNSIGNED: "not signed",
    archives.SignatureState.UNKNOWN_SIGNER: "signature valid, signer unknown",
    archives.SignatureState.REMEMBERED: "signature valid, same signer as before",
    archives.SignatureState.TRUSTED: "signature valid, by the signer asked for",
}


def opened(
    output: Output,
    settings: Config,
    archive: str,
    *,
    snapshot: int | None = None,
    recover: bool = False,
    expect_commit: bytes | None = None,
) -> "ArchiveReader":
    """Open an archive for reading; asks for its passphrase if it needs one."""
    state = archives.StateStore(settings.state_path())

    def attempt(unlock: archives.Unlock) -> "ArchiveReader":
        return archives.open_archive(
            archive, unlock, snapshot=snapshot, recover=recover, expect_commit=expect_commit, state=state
        )

    reader = unlocking.unlocked(output, settings, attempt)
    if reader.damaged_tail:
        output.status(
            f"warning: {reader.damaged_tail:,} bytes after the last whole snapshot are damaged or unfinished, and left out"
        )
    return reader
