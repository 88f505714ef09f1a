"""What `receive` does with what comes: where it goes, whether it is taken, and the account at the end."""

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from warp_portal.cli.offering import over
from warp_portal.cli.output import Output
from warp_portal.cli.progress import Reporter, Step
from warp_portal.cli.text import count_of, left_out, printable
from warp_portal.config import Config
from warp_portal.errors import EXIT_OK, KeyRequiredError, PartialError, UsageError
from warp_portal.transport.destinations import SUFFIX, Convert, Destination, IntoDirectory, IntoFile, IntoStdout
from warp_portal.transport.taking import Accept, ReceiveReport, TakeRules
from warp_portal.units import format_bytes, format_duration, format_rate

if TYPE_CHECKING:
    from warp_portal.keys.machines import Machine
    from warp_portal.protocol.offers import Offer
    from warp_portal.transport.receiving import Outcome, ReceiveProgress

_EXPECTED: Final = ("expect_commit", "signer")


def destination(output: Output, settings: Config, reporter: Reporter, here: dict[str, Any]) -> Destination:
    """Where it goes, by the options. Raises UsageError for some that contradict each other."""
    file, directory, restore = here["file"], here["directory"], here["restore"]
    if file is None:
        restorer = _restorer(output, settings, reporter, here) if restore else None
        return IntoDirectory(Path(directory or "."), restorer)
    if restore or directory is not None:
        raise click.UsageError("-o names a file: it goes neither with -C nor with --restore")
    if file == "-":
        if output.json_lines:
            raise click.UsageError("--json and the file cannot both go to standard output")
        if sys.stdout is None or os.isatty(1):
            raise click.UsageError("nothing is written to a terminal: redirect or pipe standard output")
        return IntoStdout(output.write_bytes)
    packer = _packer(output, settings, reporter, here) if file.endswith(SUFFIX) else None
    return IntoFile(Path(file), packer, settings.overwrite == "always")


def _restorer(output: Output, settings: Config, reporter: Reporter, here: dict[str, Any]) -> Convert:
    from warp_portal import archive as archives
    from warp_portal.cli import reading
    from warp_portal.cli.extract_command import step_of as step_of_extract

    request = archives.ExtractRequest(
        overwrite=archives.Overwrite[settings.overwrite.upper()],
        owners=here["owners"],
        devices=here["devices"],
        setuid=here["setuid"],
        threads=settings.threads,
        memory=settings.memory,
    )

    def opened(archive: Path) -> "archives.ArchiveReader":
        try:
            return reading.opened(output, settings, str(archive), **{key: here[key] for key in _EXPECTED})
        except KeyRequiredError as error:
            raise type(error)(
                f"{error}; all has come and is kept: run the same command again with a key, or put WARP_PASSPHRASE_FILE=FILE "
                "before `warp sessions resume`"
            ) from None

    def restore(archive: Path, directory: Path) -> None:
        with opened(archive) as reader:
            report = archives.extract(reader, directory, request, reporter.following(step_of_extract, "restore"))
        output.damage(report.problems, report.failed)
        output.status(f"restored {count_of(report.progress.entries, 'entry', 'entries')} into {directory}")
        if report.failed:
            raise PartialError(
                f"{count_of(report.failed, 'path')} of the archive could not be restored; it is kept: {archive}"
            )

    return restore


def _packer(output: Output, settings: Config, reporter: Reporter, here: dict[str, Any]) -> Convert:
    from warp_portal import archive as archives
    from warp_portal.cli import packing, unlocking

    encrypt = False if here["plain"] else None
    lock = unlocking.lock_for(output, settings, encrypt, for_recipients=bool(settings.recipient))
    if lock is None and not here["plain"]:
        output.warning("the archive will not be encrypted: -p or -r encrypts it, --plain says that it is meant")
    chosen = packing.pack_options(settings, unlocking.signing_key(settings))

    def pack(directory: Path, archive: Path) -> None:
        roots = tuple((os.fsencode(each.name), os.fsencode(each)) for each in sorted(directory.iterdir()))
        state = archives.StateStore(settings.state_path(), output.warning)
        follow = reporter.following(packing.step_of, "pack")
        report = archives.create(archive, archives.Source(roots), chosen, lock=lock, state=state, progress=follow)
        if packing.conclude(output, report):
            raise PartialError(f"not all that came could be packed; it is kept: {directory}")

    return pack


def rules(
    output: Output, settings: Config, reporter: Reporter, here: dict[str, Any], again: bytes, yes: bool
) -> TakeRules:
    """What is taken, and how."""
    from warp_portal.archive import Overwrite
    from warp_portal.archive.trust import Expectation
    from warp_portal.keys import load_signer
    from warp_portal.transport.receiving import ReceiveOptions

    options = ReceiveOptions(
        overwrite=Overwrite[settings.overwrite.upper()],
        owners=here["owners"],
        devices=here["devices"],
        setuid=here["setuid"],
        threads=settings.threads,
        memory=settings.memory,
        checkpoint_bytes=settings.checkpoint_bytes,
        checkpoint_s=settings.checkpoint_seconds,
        progress=reporter.following(step_of, "receive"),
    )
    signer = None if here["signer"] is None else load_signer(here["signer"])
    asks = not (yes or output.json_lines or not sys.stdin.isatty())
    place = here["file"] or here["directory"]
    accept = _question(output, place) if asks else _taken(output)
    if here["restore"]:
        accept = _openable(settings, accept)
    return TakeRules(accept, options, Expectation(signer, here["expect_commit"]), again)


def _taken(output: Output) -> Accept:
    def accept(offer: "Offer", machine: "Machine") -> bool:
        kind = "tree" if _is_tree(offer) else "archive"
        output.record(
            "offer",
            kind=kind,
            title=offer.title,
            machine=str(machine),
            entries=offer.entries,
            bytes=offer.size_bytes,
        )
        if not output.json_lines:
            output.status(f"receiving {_described(offer)}")
        return True

    return accept


def _question(output: Output, place: str | None) -> Accept:
    def accept(offer: "Offer", machine: "Machine") -> bool:
        output.flush()
        where = "here" if place in (None, ".") else f"into {place}"
        return click.confirm(f"Receive {_described(offer)} {where} from {machine}?", default=True, err=True)

    return accept


def _openable(settings: Config, accept: Accept) -> Accept:
    """An archive that is to be restored, and that nothing could open then, is not worth its transfer."""
    from warp_portal.cli import unlocking

    def checked(offer: "Offer", machine: "Machine") -> bool:
        if _is_encrypted(offer) and not unlocking.is_possible(settings):
            raise UsageError(
                "the archive is encrypted, and --restore opens it: give a key (-p, -i), or leave --restore out to keep it as it is"
            )
        return accept(offer, machine)

    return checked


def _is_encrypted(offer: "Offer") -> bool:
    """By the sender's word, until the archive is here."""
    from warp_portal.archive.commit import Commit
    from warp_portal.protocol.offers import ArchiveOffer

    return isinstance(offer.what, ArchiveOffer) and any(Commit.parse(offer.what.commit).mac)


def _is_tree(offer: "Offer") -> bool:
    from warp_portal.protocol.offers import TreeOffer

    return isinstance(offer.what, TreeOffer)


def _described(offer: "Offer") -> str:
    told = [] if _is_tree(offer) else ["archive"]
    if offer.size_bytes is not None:
        told.append(format_bytes(offer.size_bytes))
        if offer.entries is not None:
            told.append(count_of(offer.entries, "entry", "entries"))
    title = printable(offer.title.encode(errors="replace"))
    return f"{title} ({', '.join(told)})" if told else title


def step_of(progress: "ReceiveProgress") -> Step:
    """Progress for display."""
    fields = {
        name: value
        for name in (
            "entries",
            "files",
            "bytes_received",
            "fragments_kept",
            "bytes_wire",
            "connections",
            "total_entries",
        )
        if (value := getattr(progress, name)) is not None
    }
    note = f"{progress.files:,} files, {format_bytes(progress.bytes_wire)} received{over(progress.connections)}"
    return Step(progress.bytes_written, progress.total_bytes, note, b"", fields)


def conclude(output: Output, place: Destination, report: ReceiveReport, seconds: float) -> int:
    """Give the account; its exit code, or PartialError."""
    outcome, where = report.outcome, place.shown
    if outcome is None:
        output.status(f"all of {printable(report.title.encode(errors='replace'))} had come before")
        output.summary(f"received into {where}", restored=report.restored, failed=report.failed, path=str(place.target))
        return _judge(report)
    output.problems(outcome.problems.kept, outcome.problems.count)
    what = (
        count_of(report.restored, "entry", "entries")
        if report.is_tree
        else f"an archive of {count_of(report.restored, 'chunk')}"
    )
    signature = "" if outcome.signature is None else f" (signature: {outcome.signature})"
    output.summary(
        f"received {what}{signature} into {where}: {count_of(outcome.files, 'file')}, {_written(outcome)}, in {format_duration(seconds)}: "
        f"{format_rate(outcome.bytes_written / max(seconds, 1e-3))}, over the network {format_bytes(outcome.bytes_wire)}, "
        f"{format_rate(outcome.bytes_wire / max(seconds, 1e-3))}",
        path=str(place.target),
        **_fields(report, outcome, seconds),
    )
    for line in left_out(outcome.skipped):
        output.note(line)
    return _judge(report)


def _written(outcome: "Outcome") -> str:
    """What was written, and why that is less than what was offered."""
    written = format_bytes(outcome.bytes_written)
    if outcome.size_bytes is None or outcome.bytes_written >= outcome.size_bytes:
        return written
    return f"{written} of {format_bytes(outcome.size_bytes)} (holes, further names and what was there are not written)"


def _fields(report: ReceiveReport, outcome: "Outcome", seconds: float) -> dict[str, object]:
    return {
        "kind": "tree" if report.is_tree else "archive",
        "restored": report.restored,
        "failed": report.failed,
        "files": outcome.files,
        "bytes": outcome.bytes_written,
        "bytes_received": outcome.bytes_received,
        "bytes_wire": outcome.bytes_wire,
        "seconds": round(seconds, 3),
        "skipped": outcome.skipped,
        "signature": outcome.signature,
    }


def _judge(report: ReceiveReport) -> int:
    if report.failed:
        one = ("entry", "entries") if report.is_tree else ("piece", "pieces")
        lost = (
            "could not be restored"
            if report.is_tree
            else "are damaged on the other side, so the archive is damaged here too"
        )
        raise PartialError(f"{count_of(report.failed, *one)} {lost}")
    if report.outcome is not None and report.outcome.partial:
        raise PartialError("the other side could not read everything: it says there what")
    return EXIT_OK
