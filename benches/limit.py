"""The host's own limit for `create` and `extract`, from its primitives measured on the same data, and how near a run comes to it.

L = CPU seconds that the unavoidable work takes on one core.
create    open, stat, read and close each file; hash each byte; cut those of files above the mean fragment; compress (and decode
          again) each new byte; seal, hash twice and write each stored byte
extract   hash, open and decode each chunk; create each file under a temporary name, write, date, rename and close it
A primitive runs over all of the data, in pieces of the size that it meets in the pipeline: a chunk, or for the hash that names
fragments a small file. Reading copies from the page cache, writing into a file system in memory. For a primitive that a public
tool also has, the faster of ours and the tool counts; the cutter counts with at least 2 GB/s. zstd runs at the level that
`--compression auto` gives each piece, and not over what that would store.
eta = L / (cores × wall).
"""

import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

from warp_portal import _native
from warp_portal.primitives.compression import AUTO, ZSTD

MOST_SAMPLE_BYTES: Final = 2 << 30
CHUNK: Final = 1 << 20
SECONDS: Final = 1.0
CUTTER_FLOOR: Final = 2e9
MEAN_FRAGMENT: Final = 64 << 10
SEAL: Final = "chacha20-poly1305"


@dataclass(frozen=True, slots=True)
class Work:
    """What a create had to do, as its summary says."""

    bytes: int
    raw_bytes: int
    stored_bytes: int


@dataclass(frozen=True, slots=True)
class Limit:
    """CPU seconds by part of the work."""

    create: dict[str, float]
    extract: dict[str, float]


def measure(tree: Path, work: Work) -> Limit:
    """Measure the primitives now, on one core, and add them up for this work."""
    files = _files(tree)
    sample = _sample(tree)
    rates = {name: _rate(name, sample) for name in ("cut", "blake3", SEAL)}
    sizes = [path.stat().st_size for path in files]
    names = _rate("blake3", sample, _fragments([path.stat().st_size for path in _sampled(tree)]))
    for name, rate in (*_openssl().items(), ("cut", CUTTER_FLOOR)):
        rates[name] = max(rates[name], rate)
    compress_s, decode_s = _compression(tree, work.raw_bytes)
    seal_s, hash_s = work.stored_bytes / rates[SEAL], work.stored_bytes / rates["blake3"]
    create = {
        "read": _native.measure_files([os.fsencode(path) for path in files], MOST_SAMPLE_BYTES),
        "cut": sum(size for size in sizes if size > MEAN_FRAGMENT) / rates["cut"],
        "hash": work.bytes / names,
        "compress": compress_s,
        "decode": decode_s,
        "seal": seal_s,
        "hash stored": 2 * hash_s,
        "write": _creation([work.stored_bytes]),
    }
    extract = {
        "hash stored": hash_s,
        "open": seal_s,
        "decode": decode_s,
        "files": _creation(sizes),
    }
    return Limit(create, extract)


def line(step: str, parts: dict[str, float]) -> str:
    """A limit for people."""
    sums = " + ".join(f"{name} {seconds:.2f}" for name, seconds in parts.items())
    return f"limit of {step}: {sum(parts.values()):.2f} CPU s = {sums}"


@cache
def _files(tree: Path) -> list[Path]:
    return sorted(path for path in tree.rglob("*") if path.is_file() and not path.is_symlink())


@cache
def _sample(tree: Path) -> bytes:
    return b"".join(path.read_bytes() for path in _sampled(tree))


def _sampled(tree: Path) -> list[Path]:
    """All files, or evenly spread ones if that is too much, in order."""
    files = _files(tree)
    step = -(-sum(path.stat().st_size for path in files) // MOST_SAMPLE_BYTES)
    return files[:: max(1, step)]


def _fragments(sizes: list[int]) -> list[int]:
    """Lengths of the fragments of files, those of large ones all of the mean."""
    pieces = ((MEAN_FRAGMENT, size // MEAN_FRAGMENT, size % MEAN_FRAGMENT) for size in sizes)
    return [length for mean, whole, rest in pieces for length in (*[mean] * whole, rest)]


def _rate(name: str, sample: bytes, lengths: Sequence[int] | None = None) -> float:
    """Bytes per second on one core."""
    count, seconds = _native.measure(name, sample, 1, SECONDS, lengths)
    return count / seconds


def _compression(tree: Path, raw_bytes: int) -> tuple[float, float]:
    """CPU seconds to compress so many bytes of a tree, and to decode them."""
    levels = _levels(tree)
    compress_s = decode_s = 0.0
    for level in sorted({level for level in levels if level is not None}):
        part = b"".join(piece for piece, own in zip(_pieces(tree), levels, strict=True) if own == level)
        tool = _zstd_tool(part, level)
        share = raw_bytes * len(part) / len(_sample(tree))
        compress_s += share / max(_rate(f"zstd:{level}", part), tool[0])
        decode_s += share / max(_rate(f"unzstd:{level}", part), tool[1])
    return compress_s, decode_s


def _pieces(tree: Path) -> Iterator[memoryview]:
    view = memoryview(_sample(tree))
    return (view[at : at + CHUNK] for at in range(0, len(view), CHUNK))


@cache
def _levels(tree: Path) -> tuple[int | None, ...]:
    """The zstd level that `auto` gives each piece, None if it stores it."""
    stored_from = max(bound for bound, codec, _ in AUTO.rows if codec == ZSTD)
    bits = (_native.bits_per_byte(piece, stored_from) for piece in _pieces(tree))
    rows = [next(row for row in AUTO.rows if each < row[0]) for each in bits]
    return tuple(level if codec == ZSTD else None for _, codec, level in rows)


def _zstd_tool(sample: bytes, level: int) -> tuple[float, float]:
    """`zstd -b` on the same bytes, in blocks of 1 MiB: bytes a second in and out, 0 where it is not there."""
    if not shutil.which("zstd"):
        return 0.0, 0.0
    with tempfile.NamedTemporaryFile(dir="/dev/shm") as file:
        file.write(sample)
        file.flush()
        command = ["zstd", f"-b{level}", "-i1", f"-B{CHUNK}", file.name]
        out = subprocess.run(command, capture_output=True, text=True, check=True)
    # Progress lines come first, some with one of the two figures only.
    found = re.findall(r"([\d.]+) MB/s[ ,]+([\d.]+) MB/s", out.stdout + out.stderr)
    return (float(found[-1][0]) * 1e6, float(found[-1][1]) * 1e6) if found else (0.0, 0.0)


def _openssl() -> dict[str, float]:
    """`openssl speed` of the AEAD, if the tool is there."""
    if not shutil.which("openssl"):
        return {}
    command = ["openssl", "speed", "-mr", "-seconds", "1", "-bytes", str(CHUNK), "-evp", SEAL]
    out = subprocess.run(command, capture_output=True, text=True, check=False).stdout
    found = re.search(r"^\+F:\d+:[^:]+:([\d.]+)", out, re.MULTILINE)
    return {SEAL: float(found[1])} if found else {}


def _creation(sizes: list[int]) -> float:
    """Seconds to write files of these sizes to memory."""
    with tempfile.TemporaryDirectory(dir="/dev/shm") as directory:
        return _native.measure_creation(os.fsencode(directory), sizes)
