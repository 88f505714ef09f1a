"""`warp info`: what an archive is and what it holds."""

from typing import TYPE_CHECKING

import click

from warp_portal.cli import options
from warp_portal.cli.examples import epilog
from warp_portal.cli.output import Output
from warp_portal.cli.starting import begin
from warp_portal.cli.text import columns, count_of, local_time, printable
from warp_portal.units import format_bytes

if TYPE_CHECKING:
    from warp_portal.archive import ArchiveReader, Snapshot

KEY_CHANGE = "a change of keys"
CUTTERS = {1: "buzhash64", 2: "fixed"}


@click.command("info", epilog=epilog("info"))
@options.archive
@options.recovery
@options.snapshot
@options.trust
@options.opening
@options.common
def command(
    output: Output, archive: str, recover: bool, snapshot: int | None, expect_commit: bytes | None, **flags: object
) -> int:
    """Show the identity, parameters, key slots, sizes and snapshots of ARCHIVE.

    Without a key only what stands in the clear is shown, and not proven to be the owner's.
    """
    settings = begin(output, "info", **flags)
    from warp_portal.cli import reading

    with reading.opened(
        output, settings, archive, snapshot=snapshot, recover=recover, expect_commit=expect_commit, need_key=False
    ) as reader:
        if output.json_lines:
            _show_records(output, reader)
        else:
            output.results(report(archive, reader))
    return 0


def _show_records(output: Output, reader: "ArchiveReader") -> None:
    output.record("archive", **facts(reader))
    changes = reader.key_changes() if reader.keyed else None
    for found in reader.snapshots():
        key_change = None if changes is None else found.number in changes
        output.record("snapshot", **snapshot_fields(found), key_change=key_change)


def facts(reader: "ArchiveReader") -> dict[str, object]:
    """The archive and its open snapshot, for programs."""
    from warp_portal.archive import SUITES

    header = reader.header
    return {
        "uuid": reader.uuid.hex(),
        "created_ns": header.created_ns,
        "encrypted": reader.encrypted,
        "cipher": {number: name for name, number in SUITES.items()}[header.suite],
        "cutter": CUTTERS[header.cutting.algorithm],
        "fragment_sizes": list(header.cutting.fragment),
        "chunk_sizes": list(header.cutting.chunk),
        "commit": reader.commit_hash.hex(),
        "signature": reader.signature.name.lower(),
        "signer": None if reader.snapshot.signer is None else reader.snapshot.signer.hex(),
        "snapshot": reader.snapshot.number,
        "chunks": reader.snapshot.chunks,
        "stored_bytes": reader.snapshot.stored_bytes,
        **_sealed_facts(reader),
        "compacted_from": origin(reader),
        "slots": [{"id": slot.slot_id.hex(), "kind": slot.kind, "detail": slot.detail} for slot in reader.slots()],
    }


def _sealed_facts(reader: "ArchiveReader") -> dict[str, int]:
    if not reader.keyed:
        return {}
    summary = reader.summary
    return {"entries": summary.entries, "bytes": summary.bytes, "fragments": summary.fragments}


def snapshot_fields(snapshot: "Snapshot") -> dict[str, object]:
    """A snapshot for programs."""
    return {
        "snapshot": snapshot.number,
        "sequence": snapshot.sequence,
        "time_ns": snapshot.time_ns,
        "commit": snapshot.commit_hash.hex(),
        "signed": snapshot.signed,
        "chunks": snapshot.chunks,
        "stored_bytes": snapshot.stored_bytes,
    }


def report(archive: str, reader: "ArchiveReader") -> list[str]:
    """The same for people."""
    from warp_portal.cli.reading import signature_text

    found, snapshot, cutting = facts(reader), reader.snapshot, reader.header.cutting
    rows = [
        ("archive", printable(archive)),
        ("uuid", str(found["uuid"]) + _descent(reader)),
        ("created", moment(reader.header.created_ns)),
        ("cipher", str(found["cipher"]) if reader.encrypted else "none: the archive is not encrypted"),
        ("fragments", f"{found['cutter']}, {_sizes(cutting.fragment)}"),
        ("chunks", _sizes(cutting.chunk)),
        ("signature", signature_text(reader.signature).removeprefix("signature ")),
        ("snapshot", f"{snapshot.number} of {moment(snapshot.time_ns)}"),
        ("commit", str(found["commit"])),
        ("content", _content(reader)),
        ("stored", f"{format_bytes(snapshot.stored_bytes)} in {count_of(snapshot.chunks, 'chunk')}"),
    ]
    lines = [f"{name:<10} {text}" for name, text in rows]
    lines += [f"{'key slot':<10} {slot.slot_id.hex()}  {slot.kind}  {slot.detail}".rstrip() for slot in reader.slots()]
    return [*lines, "", *_history(reader)]


def origin(reader: "ArchiveReader") -> str | None:
    """The uuid of the archive that a compaction wrote this one from, as its open snapshot says."""
    named = reader.summary.arguments.get("compacted") if reader.keyed else None
    return named[0].hex() if isinstance(named, list) and named and isinstance(named[0], bytes) else None


def _descent(reader: "ArchiveReader") -> str:
    before = origin(reader)
    return f", compacted from {before}" if before else ""


def _content(reader: "ArchiveReader") -> str:
    if not reader.keyed:
        return "sealed: --passphrase-file or --identity shows it, and proves the rest"
    summary = reader.summary
    ratio = f", {summary.bytes / summary.stored_bytes:.2f}× what is stored" if summary.stored_bytes else ""
    counts = f"{count_of(summary.entries, 'entry', 'entries')}, {count_of(summary.fragments, 'fragment')}"
    return f"{format_bytes(summary.bytes)} in {counts}{ratio}"


def moment(time_ns: int) -> str:
    """A time of an archive for people, with its zone."""
    return local_time(time_ns // 1_000_000_000, "%Y-%m-%d %H:%M:%S %z")


def _history(reader: "ArchiveReader") -> list[str]:
    rows = [("snapshot", "time", "chunks", "stored", "growth", "signed", "")]
    changes = reader.key_changes() if reader.keyed else ()
    before = 0
    for found in reader.snapshots():
        growth = found.stored_bytes - before
        before = found.stored_bytes
        remark = KEY_CHANGE if found.number in changes else ""
        sizes = (f"{found.chunks:,}", format_bytes(found.stored_bytes), format_bytes(growth))
        rows.append((str(found.number), moment(found.time_ns), *sizes, "yes" if found.signed else "no", remark))
    return columns(rows, right=(0, 2, 3, 4))


def _sizes(sizes: tuple[int, int, int]) -> str:
    return " / ".join(f"{size // 1024} KiB" for size in sizes) + " (min / mean / max)"
