"""`warp bench cpu`: what the parts of the pipeline can do on this machine, each alone, beside the plan's figures.

These rates are the limits that the efficiency of `create` and `extract` is judged by (docs/performance.md).
"""

import os
import sys
import sysconfig
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import click

from warp_portal.cli import options
from warp_portal.cli.examples import epilog
from warp_portal.cli.output import Output
from warp_portal.cli.starting import begin
from warp_portal.cli.text import columns, count_of, printable
from warp_portal.errors import EXIT_OK, NotFoundError, UsageError
from warp_portal.units import format_bytes, format_rate, parse_bytes

# (primitive of `_native.measure`, what it is, the plan's figure for one core or 0)
PRIMITIVES: Final = (
    ("copy", "memory copy", 0.0),
    ("cut", "cutting (buzhash64)", 0.0),
    ("blake3", "BLAKE3", 5e9),
    ("chacha20-poly1305", "ChaCha20-Poly1305", 0.0),
    ("aes-256-gcm", "AES-256-GCM", 0.0),
    ("lz4", "LZ4 compress", 2e9),
    ("unlz4", "LZ4 decompress", 0.0),
    ("zstd:1", "zstd -1 compress", 0.5e9),
    ("zstd:2", "zstd -2 compress", 0.5e9),
    ("zstd:3", "zstd -3 compress", 0.5e9),
    ("unzstd:2", "zstd decompress", 0.0),
    ("roundtrip:zstd:2", "zstd -2, decode and compare", 0.0),
)
SMALL_FILE_BYTES: Final = 64 << 10
LEAST_SAMPLE_BYTES: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class Sample:
    """Data to measure with, and where it is from."""

    data: bytes
    about: str
    small_files: tuple[str, ...]


@click.group("bench")
def command() -> None:
    """Measure what this machine can do."""


@command.command("cpu", short_help="Measure the parts of the pipeline, each alone.", epilog=epilog("bench cpu"))
@click.option(
    "--data", metavar="PATH", help="Measure with the files at PATH (default: Python's own library and packages)."
)
@click.option("--size", metavar="SIZE", default="64M", show_default=True, help="How much data, at most.")
@click.option("--seconds", type=float, default=0.5, show_default=True, help="How long each figure is measured.")
@click.option("-j", "--threads", metavar="N", help="Threads of the second column (default: one a core).")
@options.common
def measure_cpu(output: Output, data: str | None, size: str, seconds: float, **flags: object) -> int:
    """Measure copying, cutting, hashing, compressing and sealing: per core, and on all cores."""
    settings = begin(output, "bench cpu", **flags)
    from warp_portal._native import measure
    from warp_portal.archive.options import cores

    threads = settings.threads or cores()
    sample = collect(data, parse_bytes(size))
    output.record("data", about=sample.about, bytes=len(sample.data), threads=threads)
    output.status(f"data: {sample.about}, {format_bytes(len(sample.data))}; each figure takes {seconds} s")
    rows = [("", "1 core", f"{threads} cores", "plan, 1 core", "of it")]
    for primitive, about, plan in PRIMITIVES:
        rates = []
        for count in (1, threads):
            processed, took = measure(primitive, sample.data, count, seconds)
            rates.append(processed / took)
        output.record(
            "rate", primitive=primitive, one_core=round(rates[0]), all_cores=round(rates[1]), plan=plan or None
        )
        output.flush()
        planned = (format_rate(plan), f"{rates[0] / plan:.2f}×") if plan else ("", "")
        rows.append((about, format_rate(rates[0]), format_rate(rates[1]), *planned))
    for line in columns(rows, right=(1, 2, 3, 4)):
        output.result(line)
    report_files(output, sample)
    return EXIT_OK


def collect(path: str | None, most_bytes: int) -> Sample:
    """Read files until there is enough: those at `path`, or Python's library, its packages and the native module."""
    roots = [path] if path is not None else [*dict.fromkeys(sysconfig.get_path(name) for name in ("stdlib", "platlib"))]
    about = printable(path) if path is not None else f"standard library and packages of Python {sys.version.split()[0]}"
    if path is not None and not os.path.exists(path):
        raise NotFoundError(f"{path}: no such file or directory: check --data")
    pieces, small, total = [], [], 0
    for name in _files(roots):
        if total >= most_bytes:
            break
        piece = _read(name, most_bytes - total)
        pieces.append(piece)
        total += len(piece)
        if 0 < len(piece) <= SMALL_FILE_BYTES:
            small.append(name)
    if total < LEAST_SAMPLE_BYTES:
        raise UsageError(
            f"{about}: only {format_bytes(total)} found there: measuring needs {format_bytes(LEAST_SAMPLE_BYTES)}"
        )
    return Sample(b"".join(pieces), f"{count_of(len(pieces), 'file')} of {about}", tuple(small))


def report_files(output: Output, sample: Sample) -> None:
    """What opening, asking for, reading and closing one small file costs once it is cached."""
    if not sample.small_files:
        return
    from warp_portal._native import measure_files

    paths = [os.fsencode(name) for name in sample.small_files]
    measure_files(paths)  # the first time fills the cache
    cost_us = 1e6 * min(measure_files(paths) for _ in range(3)) / len(paths)
    output.record("file_cost", files=len(paths), microseconds=round(cost_us, 2))
    output.result(f"open+stat+read+close: {cost_us:.1f} µs a file ({len(paths):,} cached files, one core)")


def _files(roots: list[str]) -> Iterator[str]:
    for root in roots:
        if Path(root).is_file():
            yield root
        for directory, names, files in os.walk(root):
            names[:] = sorted(name for name in names if name != "__pycache__")
            yield from (os.path.join(directory, file) for file in sorted(files))


def _read(name: str, most: int) -> bytes:
    try:
        with open(name, "rb") as file:
            return file.read(most)
    except OSError:  # it may vanish, or not be ours to read: any other file serves as well
        return b""
