"""Inputs to begin with, made from valid objects: `python -m tests.fuzz seeds` adds them to the kept ones."""

from pathlib import Path

from tests.fuzz import forging, protocol_seeds, record_seeds, sections, transport_seeds
from tests.fuzz.whole import COMPACT
from tests.vectors import ARCHIVE_KEY, HERE, IDENTITY_SEED, SIGNING_SEED
from warp_portal._native import OBJECT_PAGE, ScopeKeys, blake3
from warp_portal.archive import filetable, packed, pages
from warp_portal.archive.content import read_raw
from warp_portal.archive.filetable import FLAG_SPARSE, Entry, Kind, Recipe
from warp_portal.archive.limits import KIND_CHUNK, KIND_FRAGMENT, KIND_LOCATOR, KIND_TABLE
from warp_portal.archive.opening import slot_copy_offset
from warp_portal.archive.reader import open_archive
from warp_portal.archive.toc import SealedTOC
from warp_portal.archive.unlock import NO_KEY, Unlock
from warp_portal.keys import Identity, Machine, SigningKey
from warp_portal.primitives.compression import LZ4, STORE, ZSTD

LZ4_BLOCKS = 3
TEXT = b"a line that comes again and again\n" * 40
_NUMBERS = range(0, 1 << 12, 7)


def entries(second: int = 4096, third: int = 65_536) -> list[Entry]:
    """One entry of each type; fragments 0 to 2 are of 3 bytes and as given (by default those of `rust-unpack`)."""
    xattrs = ((b"user.comment", b"a value"), (b"user.empty", b""))
    sparse = Entry(
        b"d/sparse",
        Kind.FILE,
        0o600,
        size=1 << 20,
        flags=FLAG_SPARSE,
        extents=((4096, 3), (1 << 19, second)),
        runs=Recipe.of([(0, 2)]),
    )
    return [
        Entry(b"", Kind.DIRECTORY, 0o755, mtime_ns=1_600_000_000_123_456_789),
        Entry(b"d", Kind.DIRECTORY, 0o2751, 1, 2, mtime_ns=5, ctime_ns=-7, inode=9, xattrs=xattrs),
        Entry(b"d/a", Kind.FILE, 0o644, size=3, mtime_ns=1_700_000_000_000_000_000, inode=10, runs=Recipe.of([(0, 1)])),
        Entry(b"d/b", Kind.FILE, 0o4755, 1000, 1000, size=second + third, inode=11, xattrs=xattrs, runs=Recipe.of([(1, 2)])),
        sparse,
        Entry(b"d.c", Kind.SYMLINK, 0o777, link=b"../outside"),
        Entry(b"empty", Kind.FILE, 0o444, flags=1),
        Entry(b"hard", Kind.HARDLINK, 0o644, size=3, link=b"d/a"),
        Entry(b"null", Kind.CHAR_DEVICE, 0o666, rdev=1 << 32 | 3),
        Entry(b"pipe", Kind.FIFO, 0o640),
        Entry(b"socket", Kind.SOCKET, 0o755),
        Entry(b"twice", Kind.FILE, 0o600, size=6, runs=Recipe.of([(0, 1), (0, 1)]), xattrs=xattrs[:1]),
    ]  # fmt: skip


def table_parts(listed: list[Entry]) -> list[bytes]:
    """The columns of a table as parts for the Rust targets."""
    columns = filetable.columns_of(listed)
    return [b"" if key == "n" else _sets(value) if key == "xd" else bytes(value) for key, value in columns.items()]  # type: ignore[call-overload]  # the others are bytes


def _sets(value: object) -> bytes:
    out = b""
    for pairs in value:  # type: ignore[attr-defined]  # a list of sets
        for number, (name, content) in enumerate(pairs):
            out += bytes([number == 0, len(name)]) + len(content).to_bytes(2, "little") + name + content
    return out


def encoded(codec: int, raw: bytes) -> bytes:
    """`u32 raw length │ stored bytes` of a payload."""
    if codec == LZ4_BLOCKS:
        return (
            len(raw).to_bytes(4, "little")
            + (1).to_bytes(4, "little")
            + (len(raw) | 1 << 31).to_bytes(4, "little")
            + raw
        )
    return len(raw).to_bytes(4, "little") + payload(codec, raw)[20:]


def payload(codec: int, raw: bytes) -> bytes:
    """A payload in the clear."""
    return ScopeKeys(None, 0).seal(OBJECT_PAGE, raw, codec, 1)[0]


def index_parts(encrypted: bool) -> list[bytes]:
    """Three chunks of one, two and one fragments as parts for `rust-index`."""

    def words(*numbers: int) -> bytes:
        return b"".join(number.to_bytes(4, "little") for number in numbers)

    locators = [b"".join(n.to_bytes(8, "little") for n in (256, 1000, 2000)), words(90, 100, 80), bytes(range(96))]
    chunks = [words(100, 4000, 30), words(1, 2, 1), b"\0\1\2", bytes(96) if encrypted else b""]
    fragments = [words(100, 3000, 1000, 30), bytes(range(96))]
    choice = bytes([encrypted, 1, 16]) + (4096).to_bytes(8, "little")
    return [choice, *locators, *chunks, *fragments]


def cuts_records() -> list[bytes]:
    """How two files were cut, one of them in two parts, and one of which that is taken back, without their checks."""

    def record(file: int, start: int, flags: int, *lengths: int) -> bytes:
        head = len(lengths).to_bytes(4, "little") + flags.to_bytes(4, "little")
        fragments = b"".join(length.to_bytes(4, "little") + bytes([length & 255]) * 24 for length in lengths)
        return head + bytes([file]) * 16 + start.to_bytes(8, "little") + fragments

    return [
        record(1, 0, 0, 5000, 7000),
        record(2, 0, 1, 40),
        record(1, 12_000, 0, 65_536),
        record(3, 0, 0, 9),
        record(3, 0, 0),
    ]


def rust() -> dict[str, list[bytes]]:
    """Seeds of the Rust targets."""
    columns = table_parts(entries())
    tables = [
        columns,
        table_parts([]),
        table_parts(entries()[:3]),
        table_parts([Entry(b"n%d" % n, Kind.FILE, 0o644) for n in range(40)]),
    ]
    ramp = bytes(n & 255 for n in _NUMBERS)
    payloads = {codec: [encoded(codec, raw) for raw in (TEXT, b"", ramp)] for codec in (ZSTD, LZ4, LZ4_BLOCKS)}
    page = pages.IndexPage(0, (bytes(16), bytes(8), bytes(64))).serialize(pages.LOCATOR_WIDTHS)
    return record_seeds.seeds(entries()) | {
        "rust-columns": [sections.join(parts) for parts in tables],
        "rust-unpack": [sections.join([*parts, bytes([choice])]) for parts in tables for choice in (0, 9, 14)],
        "rust-baseline": [sections.join([*parts, bytes(range(12))]) for parts in tables],
        "rust-zstd": payloads[ZSTD],
        "rust-lz4": payloads[LZ4],
        "rust-lz4-blocks": payloads[LZ4_BLOCKS],
        "rust-payload": [payload(codec, TEXT) for codec in (STORE, ZSTD, LZ4)],
        "rust-chunk": [
            sections.join([bytes([suite, codec, cut]), one[:4], one[4:]])
            for suite in range(3)
            for codec, ones in payloads.items()
            for one in ones[:1]
            for cut in (0, 1)
        ],
        "rust-cutter": [sections.join([(777).to_bytes(2, "little"), TEXT * 8]), sections.join([b"\1", ramp * 12])],
        "rust-cuts": [sections.join([tail, *cuts_records()]) for tail in (b"", b"torn")],
        "rust-index": [sections.join(index_parts(encrypted)) for encrypted in (False, True)],
        "rust-index-missing": [
            sections.join([*index_parts(encrypted), bytes(marks), bytes([more])])
            for encrypted in (False, True)
            for marks, more in (((0, 0, 0), 0), ((1, 0, 0), 0), ((0, 1, 0), 2), ((0, 0, 1), 0), ((1, 3, 1), 1))
        ],
        "rust-index-pages": [sections.join([bytes([0, 1, 20]) + b"\xff" * 8, b"\0" + page])],
        "rust-matcher": [sections.join([b"*.o\n!main.o\n/target\ndocs/**/x\nbuild/", b"docs/a/build/main.o"])],
        "rust-merkle": [(5).to_bytes(8, "little") + bytes(range(96)), bytes(8) + bytes(64)],
        "rust-paths": [
            sections.join([b"a/b.c", b"a/b/c"]),
            sections.join([b"../x", b"a//b"]),
            sections.join([b"", b"."]),
        ],
        "rust-seal": [sections.join([bytes([suite, 1, 9, 0, 4]), TEXT[:50], bytes(60)]) for suite in range(3)],
    }


def python() -> dict[str, list[bytes]]:
    """Seeds of the Python targets."""
    found = _from_vectors(HERE / "plain.warp", NO_KEY)
    for name, inputs in _from_vectors(HERE / "encrypted.warp", Unlock(archive_key=ARCHIVE_KEY)).items():
        found[name] = found.get(name, []) + inputs
    identities = [Identity("x25519", IDENTITY_SEED), Identity("xwing", IDENTITY_SEED)]
    key = SigningKey(SIGNING_SEED)
    keys = [*(str(one.recipient) for one in identities), str(key.public), str(Machine(key.public.raw))]
    files = [f"# a comment\n{line}\n" for line in keys]
    return found | {
        "archive": [whole_archive(choice) for choice in (0, 1, 4, 5, 8, 9, 3, 16, 17, 32, 33)],
        "compression": [b"auto", b"none", b"lz4", b"zstd", b"zstd:-7", b"zstd:22"],
        "config": [b'threads = 4\nmemory = "1G"\nexclude = ["*.o"]\n', b'recipient = ["a"]\nsign = "k"\nlog_level = "info"\n'],
        "key-file": [text.encode() for text in files],
        "key-text": [text.encode() for text in keys],
        "messagepack": [packed.pack({"a": [1, 200, 1 << 40, -1], "b": b"x", "c": {"d": None}, "e": True})],
        "patterns": [sections.join([b"*.o\n!main.o\n/target", b"a/main.o"])],
        "printable": [b"report\x1b[2J\xff.txt", "ü–\u202e\\".encode(), b"a\nb"],
        "proof": [_proof(300, 77, 5), _proof(8, 8, 3), _proof(1, 1, 0)],
        "setting": [b"threads=4", b"memory=1.5GiB", b"exclude=*.o:b", b"checkpoint_seconds=5", b"sign=k", b"recipients=a"],
        "state": [
            packed.pack({"sequence": 7, "commit": bytes(32), "signer": b""}),
            packed.pack({"uuid": bytes(16), "key": bytes(32), "arguments": {"a": [1]}, "recipients": ["r"], "header": b"h"}),
        ],
        "units": [b"4096", b"1.5GiB", b"2GB", b" 64 k ", b"36h", b"2 y", b".5E", b"80Mbit/s", b"10MiB/s"],
    }  # fmt: skip


def _proof(size: int, old: int, index: int) -> bytes:
    from tests.fuzz.proofs import _leaves
    from warp_portal.primitives import merkle

    ranges = merkle.range_roots(_leaves(size))
    numbers = b"".join(number.to_bytes(2, "little") for number in (size - 1, old - 1, index))
    return sections.join(
        [numbers, merkle.inclusion_proof(index, size, ranges), merkle.consistency_proof(old, size, ranges)]
    )


def _from_vectors(path: Path, unlock: Unlock) -> dict[str, list[bytes]]:
    """The structures of a kept archive."""
    raw = path.read_bytes()
    with open_archive(path, unlock) as reader:
        opened, content = reader.opened, reader.content
        copy, length = slot_copy_offset(opened.header, opened.toc.clear.active_copy), opened.header.slot_copy_bytes
        by_kind = {
            kind: [read_raw(reader.file, reader.keys, page) for page in listed]
            for kind, listed in content.pages.items()
        }
    index = [(KIND_LOCATOR, 0), (KIND_CHUNK, 1), (KIND_FRAGMENT, 2)]
    base = 129 if unlock else 0  # 129 is a multiple of three above 127
    return {
        "header": [raw[:256]],
        "slots": [raw[copy : copy + length]] if length else [],
        "commit": [opened.commit.serialize()[:240]],
        "toc": [opened.toc.serialize()],
        "sealed-toc": [content.sealed.serialize()],
        "index-page": [bytes([base + number]) + page for kind, number in index for page in by_kind[kind]],
        "store-payload": [pages.store_payload(page) for page in by_kind[KIND_LOCATOR]],
        "table": [*by_kind[KIND_TABLE], filetable.encode(filetable.table_of(entries()))],
    }


def whole_archive(choice: int) -> bytes:
    """A small archive of three chunks as an input of `archive`."""

    def words(*numbers: int) -> bytes:
        return b"".join(number.to_bytes(4, "little") for number in numbers)

    chunks = [b"abc", b"x" * 50, bytes(range(100))]
    # Without the one user of the third chunk there is something to compact.
    listed = [entry for entry in entries(50, 100) if not choice & COMPACT or entry.path != b"d/b"]
    heads = [bytes(24), bytes(12), bytes(96)]
    lengths = words(*map(len, chunks))
    dps = [bytes(96)] if choice & forging.ENCRYPTED else []
    table = filetable.encode(filetable.table_of(listed))
    given = [
        (KIND_LOCATOR, pages.IndexPage(0, tuple(heads)).serialize(pages.LOCATOR_WIDTHS)),
        (KIND_CHUNK, pages.IndexPage(0, (lengths, words(1, 1, 1), bytes(3), *dps)).serialize(pages.CHUNK_WIDTHS)),
        (KIND_FRAGMENT, pages.IndexPage(0, (lengths, _ids(chunks, choice))).serialize(pages.FRAGMENT_WIDTHS)),
        (KIND_TABLE, table),
    ]
    size = sum(entry.size for entry in listed if entry.kind == Kind.FILE)
    sealed = SealedTOC(3, len(listed), size, (), (0,), (b"",), b"", 1, {"roots": [["", "."]], "policy": 1}).serialize()
    return forging.Parts(choice, b"", b"", b"", b"", sealed, chunks, given).join()


def _ids(chunks: list[bytes], choice: int) -> bytes:
    """Ids of fragments, by docs/format.md §4 and §6."""
    context = "warp-portal 2026-11 {} v1"
    scope = blake3(forging.KEY, context=context.format("archive scope")) if choice & forging.ENCRYPTED else bytes(32)
    key = blake3(scope, context=context.format("fragment id"))
    return b"".join(blake3(chunk, key=key)[:24] for chunk in chunks)


def everything() -> dict[str, list[bytes]]:
    """The seeds of all targets."""
    return rust() | python() | protocol_seeds.seeds() | transport_seeds.seeds()
