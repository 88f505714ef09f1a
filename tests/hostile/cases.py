"""Hostile archives by name: each function makes one at a path."""

import itertools
import os
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

from tests.hostile.forging import RawTable, base, forge, table, tables
from warp_portal._native import blake3
from warp_portal.archive import filetable, packed
from warp_portal.archive.filetable import FLAG_SPARSE, Entry, Kind, Recipe
from warp_portal.archive.options import PackOptions
from warp_portal.primitives.compression import ZSTD
from warp_portal.primitives.cutting import FIXED, KIB, MIB, Cutting, Sizes

CASES: Final[dict[str, Callable[[Path], None]]] = {}
ONE: Final = Recipe.of([(0, 1)])
SIZE: Final = len(b"content of the one fragment")
LZ4, LZ4_BLOCKS = 2, 3


def case(make: Callable[[Path], None]) -> Callable[[Path], None]:
    CASES[make.__name__] = make
    return make


def file(path: bytes, **fields: object) -> Entry:
    return Entry(path, Kind.FILE, 0o644, **({"size": SIZE, "runs": ONE} | fields))  # type: ignore[arg-type]  # by name


def of_entries(name: str, *entries: Entry) -> None:
    def make(path: Path) -> None:
        base(path)
        forge(path, [table(entries)])

    CASES[name] = make


def link(path: bytes, target: bytes, kind: Kind = Kind.SYMLINK) -> Entry:
    return Entry(path, kind, 0o777, size=SIZE if kind == Kind.HARDLINK else 0, link=target)


def directory(path: bytes, **fields: object) -> Entry:
    return Entry(path, Kind.DIRECTORY, 0o755, **fields)  # type: ignore[arg-type]  # by name


UP: Final = b"../canary/evil"
of_entries("dot_dot", file(UP))
of_entries("dot_dot_inside", file(b"a/../../canary/evil"))
of_entries("absolute", file(b"/tmp/warp-hostile-evil"))
of_entries("empty_component", file(b"a//b"))
of_entries("nul_in_a_path", file(b"a\0b"))
of_entries("same_path_twice", file(b"a"), file(b"a"))
of_entries("file_and_directory", file(b"a"), file(b"a/b"))
of_entries("below_a_symlink", link(b"a", b"../canary"), file(b"a/evil"))
of_entries("directory_below_a_symlink", link(b"a", b"../canary"), directory(b"a/evil"), file(b"a/evil/x"))
of_entries("hard_link_outside", file(b"a"), link(b"b", b"../canary/kept", Kind.HARDLINK))
of_entries("hard_link_absolute", file(b"a"), link(b"b", b"/etc/passwd", Kind.HARDLINK))
of_entries("hard_link_later", link(b"a", b"b", Kind.HARDLINK), file(b"b"))
of_entries("hard_link_to_itself", link(b"a", b"a", Kind.HARDLINK))
of_entries("hard_link_to_a_symlink", link(b"a", b"../canary/kept"), link(b"b", b"a", Kind.HARDLINK))
of_entries("hard_link_through_a_symlink", link(b"a", b"../canary"), link(b"b", b"a/kept", Kind.HARDLINK))
of_entries("hard_link_to_a_directory", directory(b"a"), link(b"b", b"a", Kind.HARDLINK))
of_entries("nul_in_a_target", link(b"a", b"x\0y"))
of_entries("empty_target", link(b"a", b""))
of_entries("recipe_outside", file(b"a", runs=Recipe.of([(1, 1)])))
of_entries("recipe_far_outside", file(b"a", runs=Recipe.of([(0, (1 << 64) - 1)])))
of_entries("recipe_longer", file(b"a", size=1))
of_entries("recipe_shorter", file(b"a", size=1 << 62))
of_entries("recipe_empty", file(b"a", runs=Recipe()))
of_entries("sparse_8_eib", file(b"a", size=(1 << 63) - 1, flags=FLAG_SPARSE, extents=((0, SIZE),)))
of_entries("sparse_16_eib", file(b"a", size=(1 << 64) - 1, flags=FLAG_SPARSE, extents=(((1 << 64) - 100, SIZE),)))
of_entries("sparse_beyond", file(b"a", size=10, flags=FLAG_SPARSE, extents=((0, SIZE),)))
of_entries("times", *(file(n, mtime_ns=s * 10**9) for n, s in ((b"a", (1 << 63) - 1), (b"b", -(1 << 63)))))
of_entries("capability", file(b"a", xattrs=((b"security.capability", b"\1" * 20), (b"trusted.x", b"y"))))
of_entries("attribute_of_a_megabyte", file(b"a", xattrs=((b"user.x", bytes(1 << 20)),)))
of_entries("attribute_without_a_name", file(b"a", xattrs=((b"", b"x"),)))
of_entries("setuid", Entry(b"a", Kind.FILE, 0o6777, size=SIZE, runs=ONE))
of_entries(
    "device",
    Entry(b"a", Kind.BLOCK_DEVICE, 0o666, rdev=(0xFFFF_FFFF << 32) | 0xFFFF_FFFF),
    Entry(b"b", Kind.FIFO, 0o666),
)


def bomb(name: str, raw_bytes: int, codec: int) -> None:
    def make(path: Path) -> None:
        base(path)
        columns = filetable.columns_of([file(b"a", xattrs=((b"user.x", bytes(raw_bytes)),))])
        forge(path, [RawTable(packed.pack(columns), codec=codec)])

    CASES[name] = make


bomb("page_of_200_mib", 200 * MIB, ZSTD)
bomb("page_of_200_mib_lz4", 200 * MIB, LZ4)
bomb("page_of_200_mib_lz4_blocks", 200 * MIB, LZ4_BLOCKS)
bomb("page_of_15_mib_stored", 15 * MIB, 0)


@case
def page_of_another_size(path: Path) -> None:
    base(path)
    stored = bytearray(table([file(b"a")]).stored())
    stored[4:12] = struct.pack("<Q", 1 << 62)
    forge(path, [RawTable(b"", payload=bytes(stored))])


@case
def frame_of_a_huge_window(path: Path) -> None:
    """A zstd frame with a window of 2 GiB that claims 3 MiB of content."""
    base(path)
    frame = b"\x28\xb5\x2f\xfd" + bytes([0x80, 21 << 3]) + struct.pack("<I", 3 * MIB) + b"\x03\x00\x18\x00"
    forge(path, [RawTable(b"", payload=struct.pack("<BBHQQ", 1, 0, 0, 3 * MIB, len(frame)) + frame)])


@case
def toc_of_200_mib(path: Path) -> None:
    base(path)
    forge(path, [table([file(b"a")])], sealed_raw=packed.pack({"x": bytes(200 * MIB)}))


@case
def toc_of_many_values(path: Path) -> None:
    base(path)
    forge(path, [table([file(b"a")])], sealed_raw=packed.pack({"x": [[]] * (15 * MIB)}))


@case
def a_million_pages(path: Path) -> None:
    base(path)
    forge(path, [table([file(b"a")])], refs=lambda listed: listed[:-1] + listed[-1:] * 1_000_000)


@case
def sixteen_thousand_times_one_page(path: Path) -> None:
    base(path)
    page = table([file(b"a")])
    forge(path, [page], refs=lambda listed: listed[:-1] + listed[-1:] * 16_000)


@case
def paths_of_64_kib(path: Path) -> None:
    """4,096 paths that share all but their ends: 40 KiB of columns, 268 MB of paths."""
    base(path)
    shared = b"/".join([b"x" * 200] * 325)
    few: dict[str, Any] = filetable.columns_of([file(shared + b"%04d" % number) for number in range(2)])
    rows = {"pb": shared + b"".join(b"%04d" % number for number in range(4096)), "k": bytes(4096), "n": 4096}
    rows["ps"] = b"\0\x87\xfe\x03" + b"".join(b"\x83\xfe\x03\x04" for _ in range(4095))
    same = {key: few[key] + few[key][-1:] * 4094 for key in ("mn", "cn", "f", "x", "rn") if isinstance(few[key], bytes)}
    forge(path, [RawTable(packed.pack(few | rows | same), 4096, shared + b"0000")])


@case
def two_million_runs(path: Path) -> None:
    """In less than 4 MiB of columns, all of them the one fragment."""
    base(path)
    count = 2_000_000
    columns = {
        "rn": b"\x80\x89\x7a",
        "rr": b"\0\1" + b"\1\1" * (count - 1),
        "s": filetable.columns_of([file(b"a", size=count * SIZE)])["s"],
    }
    forge(path, [table([file(b"a")], **columns)])


@case
def twenty_five_million_runs(path: Path) -> None:
    """Stored as they are: 50 MB."""
    base(path)
    count = 25_000_000
    size = filetable.columns_of([file(b"a", size=count * SIZE)])["s"]
    page = table([file(b"a")], rn=b"\xc0\xf0\xf5\x0b", rr=b"\0\1" + b"\1\1" * (count - 1), s=size)
    forge(path, [RawTable(page.raw, codec=0)])


@case
def two_million_extents(path: Path) -> None:
    base(path)
    count = 2_000_000
    entry = file(b"a", size=2 * count, flags=FLAG_SPARSE, extents=((0, SIZE),))
    forge(path, [table([entry], e=b"\x80\x89\x7a" + b"\0\1" + b"\1\1" * (count - 1))])


@case
def sets_of_attributes(path: Path) -> None:
    base(path)
    pairs = tuple((b"%06d" % number, b"") for number in range(100_000))
    forge(path, [table([file(b"a", xattrs=pairs)])])


@case
def many_large_tables(path: Path) -> None:
    """60 pages that each unpack to almost 4 MiB."""
    base(path)
    value = ((b"user.x", bytes(4 * MIB - 4096)),)
    forge(path, [table([file(b"%03d" % number, xattrs=value)]) for number in range(60)])


@case
def deep_attributes(path: Path) -> None:
    """Directories in one another that each have almost 4 MiB of attributes."""
    base(path)
    value = ((b"user.x", bytes(4 * MIB - 4096)),)
    forge(path, [table([directory(b"/".join([b"d"] * depth), xattrs=value)]) for depth in range(1, 60)])


@case
def deep_tree(path: Path) -> None:
    """Directories in one another, each an entry."""
    base(path)
    levels = 4000
    entries = [directory(b"/".join([b"d"] * depth)) for depth in range(1, levels)]
    forge(path, [table(entries[at : at + 500]) for at in range(0, levels - 1, 500)])


@case
def deepest_path(path: Path) -> None:
    """As many components as the longest path has."""
    base(path)
    forge(path, [table([file(b"/".join([b"d"] * 32768))])])


@case
def hard_links(path: Path) -> None:
    base(path)
    forge(path, tables([file(b"a"), *(link(b"b%05d" % number, b"a", Kind.HARDLINK) for number in range(8000))]))


WIDE: Final = Cutting(FIXED, Sizes(*[4 * KIB] * 3), Sizes(64, 16 * MIB, 64 * MIB))


def one_chunk(fragments: Iterator[bytes], count: int) -> bytes:
    """Content of so many fragments after none of which a chunk closes before it is full (docs/format.md §2)."""
    key = blake3(bytes(32), context="warp-portal 2026-11 fragment id v1")
    sizes = WIDE.chunk

    def goes_on(fragment: bytes) -> bool:
        number = int.from_bytes(blake3(fragment, key=key)[:8], "little")
        return number * (sizes.mean - sizes.minimum) >= len(fragment) << 64

    return b"".join(itertools.islice((each for each in fragments if goes_on(each)), count))


@case
def chunks_of_64_mib(path: Path) -> None:
    """Two chunks of 64 MiB in some hundred KiB."""
    fragments = (struct.pack("<Q", number) + bytes(4 * KIB - 8) for number in itertools.count())
    base(path, PackOptions(threads=1, cutting=WIDE), one_chunk(fragments, 2 * 16384))


@case
def random_chunk_of_60_mib(path: Path) -> None:
    fragments = (os.urandom(4 * KIB) for _ in itertools.count())
    base(path, PackOptions(threads=1, cutting=WIDE), one_chunk(fragments, 60 * 256))


def commit_with(name: str, **fields: Any) -> None:
    def make(path: Path) -> None:
        base(path)
        forge(path, [table([file(b"a")])], **fields)

    CASES[name] = make


commit_with("previous_is_itself", sequence=2, previous=8192)
commit_with("previous_is_no_commit", sequence=2, previous=4096)
commit_with("previous_lies_ahead", sequence=2, previous=1 << 40)
commit_with("sequence_at_its_end", sequence=(1 << 64) - 1, previous=4096)
commit_with("toc_before_the_file", toc_offset=0)
commit_with("toc_too_long", toc_bytes=1 << 62)
commit_with("chunks_without_end", chunks=1 << 62)


@case
def a_million_hard_links(path: Path) -> None:
    """More than a file system lets one file have: each of the others fails."""
    base(path)
    forge(path, tables([file(b"a"), *(link(b"b%07d" % number, b"a", Kind.HARDLINK) for number in range(1_000_000))]))
