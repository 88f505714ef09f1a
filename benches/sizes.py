"""What sizes of fragments and chunks, and which codec, cost and save: the figures behind the profiles and the default level.

    ./dev bench sizes [--sets tree,wheel,image] [--only 64K/1M,32K/1M] [--rounds 3] [--scratch DIR] [--json FILE] [--markdown FILE]

Every cell packs version 1 of a data set and appends version 2, through the library, encrypted, on all cores, into memory. The
grid is not full: levels are compared at the three profiles, other sizes at the level that `--compression auto` takes; `--only`
takes the sizes named, at that level. The rows of a policy are as in `auto` (what looks compressed is stored), so that only the
codec differs. Rounds interleave cells; all cells of a round have one archive key, for cuts depend on it, and each round has another. Figures are medians.
index      locator, chunk and fragment pages of the newest snapshot (version 1): what grows with the number of pieces
table      file-table pages: what grows with the number of files
"""

import argparse
import statistics
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

from benches import datasets
from benches.harness import write_json
from benches.places import Place, place, warm
from warp_portal.archive import PackOptions, Source, append, create
from warp_portal.archive.limits import KIND_TABLE
from warp_portal.archive.opening import newest, read_header
from warp_portal.archive.storage import ArchiveFile
from warp_portal.archive.unlock import ARCHIVE_KEY_BYTES, Lock, Unlock
from warp_portal.primitives.compression import ANY_ENTROPY, AUTO, LZ4, STORE, ZSTD, Policy
from warp_portal.primitives.cutting import KIB, MIB, Cutting, cutting

PROFILES: Final = {"fine": (16 * KIB, 256 * KIB), "general": (64 * KIB, MIB), "bulk": (MIB, 4 * MIB)}
OTHERS: Final = (
    (32 * KIB, MIB),
    (128 * KIB, MIB),
    (256 * KIB, MIB),
    (64 * KIB, 512 * KIB),
    (64 * KIB, 2 * MIB),
)
CODECS: Final = {"lz4": (LZ4, 0), "zstd 1": (ZSTD, 1), "zstd 2": (ZSTD, 2), "zstd 3": (ZSTD, 3)}
DEFAULT_CODEC: Final = "zstd 2"
SETS: Final = ("tree", "wheel", "image")
PASSPHRASE: Final = "correct horse battery staple"


@dataclass(frozen=True, slots=True)
class Cell:
    """Means in bytes, the codec, and whether pieces are of fixed length."""

    fragment: int
    chunk: int
    codec: str = DEFAULT_CODEC
    fixed: bool = False

    def cutting(self) -> Cutting:
        """As the archive's header takes it."""
        return cutting(fragment_mean=self.fragment, chunk_mean=self.chunk, fixed=self.fixed)

    def policy(self) -> Policy:
        """`auto` with another codec."""
        codec, level = CODECS[self.codec]
        return Policy(
            self.codec.replace(" ", ":"), AUTO.version, ((AUTO.rows[-2][0], codec, level), (ANY_ENTROPY, STORE, 0))
        )

    def sizes(self) -> str:
        """Means as people write them."""
        return f"{_short(self.fragment)} / {_short(self.chunk)}{' fixed' * self.fixed}"


def _short(size: int) -> str:
    return f"{size // MIB}M" if size >= MIB else f"{size // KIB}K"


@dataclass(slots=True)
class Found:
    """What a cell took and made, by round; sizes in bytes, `stored` and `growth` of the whole file. Counts: of the last round."""

    create_s: list[float] = field(default_factory=list)
    append_s: list[float] = field(default_factory=list)
    stored: list[int] = field(default_factory=list)
    growth: list[int] = field(default_factory=list)
    logical: int = 0
    chunks: int = 0
    fragments: int = 0
    index: int = 0
    table: int = 0


def grid(name: str, only: Sequence[str] = ()) -> list[Cell]:
    """The cells of a data set; images also get pieces of fixed length. Or those of the sizes `only`, at the default level."""
    cells = [Cell(*means, codec) for means in PROFILES.values() for codec in CODECS]
    cells += [Cell(*means) for means in OTHERS]
    if name == "image":
        cells.append(Cell(64 * KIB, MIB, fixed=True))
    named = [cell for cell in cells if cell.codec == DEFAULT_CODEC and cell.sizes().replace(" ", "") in only]
    return named if only else cells


def measure(made: Place, cell: Cell, found: Found) -> None:
    """Pack both versions once; the key follows from the round."""
    archive = made.scratch / "sizes.warp"
    options = PackOptions(cutting=cell.cutting(), policy=cell.policy())
    key = len(found.stored).to_bytes(ARCHIVE_KEY_BYTES, "big")
    with made.version(0):
        source = Source.of([made.current / "tree"])
        start = time.perf_counter()
        report = create(archive, source, options, lock=Lock(passphrases=(PASSPHRASE,)), archive_key=key)
        found.create_s.append(time.perf_counter() - start)
    found.stored.append(archive.stat().st_size)
    found.logical = report.bytes
    found.chunks, found.fragments = report.progress.chunks, report.progress.fragments
    found.index, found.table = pages(archive)
    with made.version(1):
        start = time.perf_counter()
        append(archive, source, options, unlock=Unlock(passphrases=(PASSPHRASE,)))
        found.append_s.append(time.perf_counter() - start)
    found.growth.append(archive.stat().st_size - found.stored[-1])
    archive.unlink()


def pages(archive: Path) -> tuple[int, int]:
    """Stored bytes of the index pages and of the file-table pages that the newest snapshot lists."""
    with ArchiveFile(archive) as file:
        listed = newest(file, read_header(file)).toc.clear.pages
    table = sum(page.stored_bytes for page in listed if page.kind == KIND_TABLE)
    return sum(page.stored_bytes for page in listed) - table, table


def bench(name: str, scratch: Path, rounds: int, only: Sequence[str]) -> list[dict[str, Any]]:
    """All cells of a data set, or those of the sizes `only`, `rounds` times."""
    versions = datasets.prepared(name)
    results = {cell: Found() for cell in grid(name, only)}
    with place(versions, scratch) as made:
        warm(versions)
        for number in range(rounds):
            for cell, found in results.items():
                measure(made, cell, found)
                print(
                    f"{name}: round {number + 1} of {rounds}: {cell.sizes():14} {cell.codec:7} {found.create_s[-1]:6.2f} s"
                    f" {found.append_s[-1]:6.2f} s {found.stored[-1] / 1e6:8.1f} MB + {found.growth[-1] / 1e6:.1f}",
                    file=sys.stderr,
                )
    return [{**asdict(cell), "sizes": cell.sizes(), **asdict(found)} for cell, found in results.items()]


def markdown(sets: Mapping[str, Sequence[dict[str, Any]]]) -> Iterator[str]:
    """A table a data set, from its results."""
    for name, rows in sets.items():
        yield f"### {name}: {rows[0]['logical'] / 1e9:.2f} GB, {len(rows[0]['create_s'])} rounds"
        yield "| fragment / chunk | codec | stored MB | growth MB | create GB/s | append s | pieces | index kB (% of stored) | table kB |"
        yield "|-|-|-|-|-|-|-|-|-|"
        yield from map(_row, rows)
        yield ""


def _row(row: dict[str, Any]) -> str:
    create_s, append_s, stored, growth = (
        statistics.median(row[name]) for name in ("create_s", "append_s", "stored", "growth")
    )
    return (
        f"| {row['sizes']} | {row['codec']} | {stored / 1e6:.1f} | {growth / 1e6:.1f} | {row['logical'] / create_s / 1e9:.2f} "
        f"| {append_s:.2f} | {row['fragments']:,} in {row['chunks']:,} "
        f"| {row['index'] / 1e3:.0f} ({100 * row['index'] / stored:.2f} %) | {row['table'] / 1e3:.0f} |"
    )


def main() -> None:
    """Parse arguments, run the grid."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sets", default=",".join(SETS), help="sets with two versions")
    parser.add_argument("--only", default="", help="sizes of fragments and chunks, as 64K/1M,32K/1M")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--scratch", type=Path, default=Path("/dev/shm"))
    parser.add_argument("--json", type=Path, default=Path("benches/results/sizes.json"))
    parser.add_argument("--markdown", type=Path, default=Path("benches/results/sizes.md"))
    args = parser.parse_args()
    sets: dict[str, list[dict[str, Any]]] = {}
    for name in args.sets.split(","):
        sets[name] = bench(name, args.scratch, args.rounds, list(filter(None, args.only.split(","))))
        write_json(args.json, {"sets": sets})
        args.markdown.write_text("\n".join(markdown(sets)))
    print(args.markdown.read_text())


if __name__ == "__main__":
    main()
