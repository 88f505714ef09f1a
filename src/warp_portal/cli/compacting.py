"""What `forget` and `compact` have in common: keys for the new file, progress, and the account at the end."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from warp_portal import archive as archives
from warp_portal.cli import unlocking
from warp_portal.cli.info_command import KEY_CHANGE, moment
from warp_portal.cli.output import Output
from warp_portal.cli.progress import Reporter, Step
from warp_portal.cli.text import columns, count_of, shortened
from warp_portal.config import Config
from warp_portal.errors import EXIT_OK
from warp_portal.keys import load_recipient
from warp_portal.units import format_bytes

if TYPE_CHECKING:
    from warp_portal.archive import CompactProgress, CompactReport, CompactRequest, Fate

KEPT_WITHOUT_RULE: Final = "not named"
KEY_WIDTH: Final = 60  # of a public key in a message: that of an X-Wing recipient has 2,000 characters


@dataclass(frozen=True, slots=True)
class SlotChoice:
    """Options about key slots: files of further passphrases, public keys, and whether others may be lost."""

    passphrase_files: tuple[str, ...]
    recipients: tuple[str, ...]
    drop: bool
    tolerant: bool
    """The passphrase that opens the archive, if one does, is that of settings."""


def request_for(
    output: Output, settings: Config, selection: archives.Selection, choice: SlotChoice, *, dry_run: bool
) -> "CompactRequest":
    """Options as the archive layer takes them. The recipients of settings are for new archives, so they do not count here."""
    return archives.CompactRequest(
        selection=selection,
        recipients=tuple(load_recipient(text) for text in choice.recipients),
        slot_passphrases=tuple(unlocking.read_passphrase(output, path) for path in choice.passphrase_files),
        drop_slots=choice.drop,
        tolerant=choice.tolerant,
        signing_key=unlocking.signing_key(settings),
        dry_run=dry_run,
    )


def run(output: Output, settings: Config, archive: str, request: "CompactRequest") -> "CompactReport":
    """Write the archive anew, or see what that would do; asks for the passphrase if there is no other key."""
    state = archives.StateStore(settings.state_path(), output.warning)
    output.resume_hint = f": {archive} is whole; run the command again if it is not done"

    def attempt(unlock: archives.Unlock) -> "CompactReport":
        with Reporter(output, "compact") as reporter:
            return archives.compact(archive, request, unlock=unlock, state=state, progress=reporter.following(step_of))

    return unlocking.unlocked(output, settings, attempt)


def step_of(progress: "CompactProgress") -> Step:
    """Progress for display."""
    note = f"{progress.chunks:,} of {progress.total_chunks:,} chunks"
    fields = {"chunks": progress.chunks, "chunks_total": progress.total_chunks}
    return Step(progress.bytes, progress.total_bytes, note, fields=fields)


def show_fates(output: Output, report: "CompactReport") -> None:
    """What becomes of each snapshot."""
    for fate in report.snapshots:
        output.record("snapshot", **fate_fields(fate))
    rows = [("snapshot", "time", "becomes", "kept by")]
    rows += [
        (str(fate.number), moment(fate.time_ns), str(fate.becomes or "-"), _why(fate)) for fate in report.snapshots
    ]
    output.results(columns(rows, right=(0, 2)))


def fate_fields(fate: "Fate") -> dict[str, object]:
    """A snapshot for programs; `becomes` is null if it is forgotten."""
    return {
        "snapshot": fate.number,
        "time_ns": fate.time_ns,
        "kept": fate.becomes is not None,
        "becomes": fate.becomes,
        "rules": list(fate.rules),
        "key_change": fate.key_change,
    }


def _why(fate: "Fate") -> str:
    reason = "nothing: forgotten" if fate.becomes is None else ", ".join(fate.rules) or KEPT_WITHOUT_RULE
    return f"{reason} ({KEY_CHANGE})" if fate.key_change else reason


def conclude(output: Output, settings: Config, archive: str, request: "CompactRequest", report: "CompactReport") -> int:
    """Give the account; the exit code."""
    if report.obstacle:
        output.note(f"the run itself would stop: {report.obstacle}")
    if report.changed and settings.sign is not None and not report.signed:
        output.note(f"{archive} is not signed, and stays so: append with --sign to sign it")
    if request.drop_slots and not (report.dropped_slots or report.obstacle):
        output.note("--drop-slots leaves out no key slot: there is none that the keys given cannot make again")
    for recipient in report.unproven:
        output.warning(
            f"a key slot {'would be' if request.dry_run else 'was'} made anew for {shortened(str(recipient), KEY_WIDTH)}: whose it was can't be known "
            "without its identity (-i), and anybody else is locked out"
        )
    if report.dropped_slots:
        what = count_of(report.dropped_slots, "key slot")
        left = "would be left out" if request.dry_run else "left out"
        output.warning(f"{what} {left}: who opened the archive by that and kept its key still can")
    output.summary(
        f"{archive}: {_account(request, report)}",
        archive=archive,
        changed=report.changed,
        dry_run=request.dry_run,
        uuid=report.uuid.hex(),
        uuid_before=report.uuid_before.hex(),
        snapshots=len(report.snapshots) - report.forgotten,
        forgotten=report.forgotten,
        chunks=report.chunks,
        chunks_before=report.chunks_before,
        bytes=report.bytes,
        bytes_before=report.bytes_before,
        unused_bytes=report.unused_bytes,
        file_bytes=report.file_bytes,
        file_bytes_before=report.file_bytes_before,
        dropped_slots=report.dropped_slots,
        unproven=[str(recipient) for recipient in report.unproven],
        obstacle=report.obstacle or None,
    )
    return EXIT_OK


def _account(request: "CompactRequest", report: "CompactReport") -> str:
    gone = report.chunks_before - report.chunks
    if not (report.forgotten or gone or report.dropped_slots):
        return "nothing was changed" if report.obstacle else "nothing to leave out: it is as it was"
    what = f"{count_of(report.forgotten, 'snapshot')} and {count_of(gone, 'chunk')} ({format_bytes(report.bytes_before - report.bytes)})"
    if not (report.forgotten or gone):
        what = count_of(report.dropped_slots, "key slot")
    sizes = f"{format_bytes(report.file_bytes_before)} ─▶ {format_bytes(report.file_bytes)}"
    unused = f"; {format_bytes(report.unused_bytes)} (uncompressed) that nothing uses stay in chunks with what is used"
    rest = unused if report.unused_bytes else ""
    if request.dry_run:
        return f"would lose {what}, about {sizes}{rest}; nothing was changed"
    return f"left out {what}: {sizes}{rest}"
