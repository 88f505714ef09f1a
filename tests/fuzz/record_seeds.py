"""Inputs to begin with for the targets of what a transfer keeps of its session, and of its frames (rust/fuzz/src/records.rs)."""

import struct

from tests.fuzz import sections
from warp_portal.archive import filetable, packed
from warp_portal.archive.filetable import Entry

_LENGTHS = (3, 4096, 65_536)


def seeds(listed: list[Entry]) -> dict[str, list[bytes]]:
    """Seeds of these targets, from a table whose recipes use three fragments."""
    full, empty = _listing(listed, _LENGTHS), _listing([], ())
    return {
        "rust-frame": [
            struct.pack("<BBHIQQ", *header)
            for header in (
                (1, 0, 0, 100, 5, 0),
                (2, 1, 0, 1000, 0, 3000),
                (3, 0, 0, 1 << 20, 7, 1),
                (4, 1, 16, 70_000, 0, 90_000),
                (5, 0, 0, 400, 128, 0),
            )
        ],
        "rust-journal": [
            sections.join(
                [tail, _noted(1, {0: [(0, 3)], 7: [(2, 1), (5, 9)]}), _noted(2, {7: [(3, 2)]}), _noted(3, {7: []})]
            )
            for tail in (b"", b"torn")
        ],
        "rust-listing": [full, empty],
        "rust-stored-pages": [
            sections.join([_stored(full, 3, 0), _stored(empty, 0, 3), bytes([count, 1])]) for count in (0, 1, 2)
        ],
    }


def _listing(listed: list[Entry], lengths: tuple[int, ...]) -> bytes:
    """A page of a catalogue."""
    fragments = {"fl": struct.pack(f"<{len(lengths)}I", *lengths), "fi": bytes(24 * len(lengths))}
    return packed.pack({**filetable.columns_of(listed), "co": False, "re": False, **fragments})


def _stored(raw: bytes, fragments: int, base: int) -> bytes:
    """A stored page of one place, without digest and check."""
    head = struct.pack("<IIIIQQII", len(raw), len(raw), 0, fragments, base, 0, 1, 0)
    return head + bytes(40) + raw + struct.pack("<IIIQ", 0, fragments, 2, 0)


def _noted(epoch: int, pages: dict[int, list[tuple[int, int]]]) -> bytes:
    """A record of a journal, without its check."""
    body = b"".join(
        struct.pack("<II", page, len(spans)) + b"".join(struct.pack("<HH", *span) for span in spans)
        for page, spans in pages.items()
    )
    return struct.pack("<IIQ", len(body), 0, epoch) + body
