"""The host's own limit for `create`, from its primitives measured on the same data, and how near a run comes to it (eta).

L = CPU seconds that the unavoidable work takes on one core: open, stat, read and close each file; copy, cut and hash each byte;
compress (and decode again) each new byte; seal, hash twice and write each stored byte. For a primitive that a public tool also has,
the faster of ours and the tool counts; the cutter counts with at least 2 GB/s. eta = L / (cores × wall).
"""

import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

from benches.harness import Series
from warp_portal import _native

SAMPLE_BYTES = 512 << 20
SECONDS = 2.0
CUTTER_FLOOR = 2e9
MEAN_FRAGMENT = 64 << 10
LEVEL = 2  # what `--compression auto` mostly chooses


def create(tree: Path, series: Series) -> dict[str, float]:
    """L for packing `tree`, encrypted, with decode-and-compare, and eta of the measured runs."""
    files = [path for path in tree.rglob("*") if path.is_file() and not path.is_symlink()]
    sizes = [path.stat().st_size for path in files]
    sample = _sample(files)
    rates = _rates(sample)
    per_file_s = _per_file(files)
    total = sum(sizes)
    cut = sum(size for size in sizes if size > MEAN_FRAGMENT)
    stored = series.sizes["stored_bytes"]
    seconds = {
        "files": len(files) * per_file_s,
        "copy": total / rates["copy"],
        "cut": cut / rates["cut"],
        "hash": total / rates["blake3"],
        "compress": total / rates[f"zstd:{LEVEL}"],
        "decode": total / rates[f"unzstd:{LEVEL}"],
        "seal": stored / rates["chacha20-poly1305"],
        "hash stored": 2 * stored / rates["blake3"],
        "write": stored / rates["copy"],
    }
    limit = sum(seconds.values())
    cores = len(os.sched_getaffinity(0))
    wall = series.median("wall_s")
    return {
        **{f"rate {name} B/s": rate for name, rate in rates.items()},
        **{f"seconds {name}": value for name, value in seconds.items()},
        "limit_cpu_s": limit,
        "cores": cores,
        "wall_s": wall,
        "rate_B_s": total / wall,
        "eta": limit / (cores * wall),
    }


def lines(found: dict[str, float]) -> list[str]:
    """The limit for people."""
    parts = [f"{name[8:]} {value:.2f}" for name, value in found.items() if name.startswith("seconds ")]
    return [
        f"limit: {found['limit_cpu_s']:.2f} CPU s = " + " + ".join(parts),
        f"create: {found['rate_B_s'] / 1e9:.3f} GB/s, eta {found['eta']:.2f} on {found['cores']:.0f} cores",
    ]


def _sample(files: list[Path]) -> bytes:
    """Contents of evenly spread files, joined, in order."""
    total = sum(path.stat().st_size for path in files)
    step = max(1, round(total / SAMPLE_BYTES))
    chosen = files[::step] if step > 1 else files
    return b"".join(path.read_bytes() for path in sorted(chosen))[: 2 * SAMPLE_BYTES]


def _rates(sample: bytes) -> dict[str, float]:
    """Bytes per second on one core."""
    names = ("copy", "cut", "blake3", f"zstd:{LEVEL}", f"unzstd:{LEVEL}", "chacha20-poly1305")
    rates = {}
    for name in names:
        count, seconds = _native.measure(name, sample, 1, SECONDS)
        rates[name] = count / seconds
    rates["cut"] = max(rates["cut"], CUTTER_FLOOR)
    for name, rate in (*_zstd_tool(sample).items(), *_openssl().items()):
        rates[name] = max(rates[name], rate)
    return rates


def _zstd_tool(sample: bytes) -> dict[str, float]:
    """`zstd -b` on the same bytes, in blocks of 1 MiB."""
    if not shutil.which("zstd"):
        return {}
    with tempfile.NamedTemporaryFile(dir="/dev/shm") as file:
        file.write(sample[: 256 << 20])
        file.flush()
        out = subprocess.run(
            ["zstd", f"-b{LEVEL}", "-i3", "-B1048576", file.name], capture_output=True, text=True, check=True
        )
    # Progress lines come first, some with one of the two figures only.
    found = re.findall(r"([\d.]+) MB/s[ ,]+([\d.]+) MB/s", out.stdout + out.stderr)
    if not found:
        return {}
    return {f"zstd:{LEVEL}": float(found[-1][0]) * 1e6, f"unzstd:{LEVEL}": float(found[-1][1]) * 1e6}


def _openssl() -> dict[str, float]:
    """`openssl speed` of the AEAD, if the tool is there."""
    if not shutil.which("openssl"):
        return {}
    command = ["openssl", "speed", "-mr", "-seconds", "1", "-bytes", "1048576", "-evp", "chacha20-poly1305"]
    out = subprocess.run(command, capture_output=True, text=True, check=False).stdout
    found = re.search(r"^\+F:\d+:[^:]+:([\d.]+)", out, re.MULTILINE)
    return {"chacha20-poly1305": float(found[1])} if found else {}


def _per_file(files: list[Path]) -> float:
    """Seconds to open, stat, read and close a file from the cache; the best of five rounds."""
    chosen = [os.fsencode(path) for path in files[:20000]]
    return min(_native.measure_files(chosen) for _ in range(5)) / len(chosen)
