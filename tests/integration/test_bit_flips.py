"""Every single bit of a small archive flipped, every truncation: found, never wrong data, never a crash.

All bits of the file are tried, on two processes. Each damaged file is verified at `data` (no key) and `deep`, and extracted.
"""

import multiprocessing
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from warp_portal.archive import Level, Lock, Source, Unlock, create, extract, open_archive, verify
from warp_portal.errors import WarpPortalError
from warp_portal.keys import Identity

KEY = bytes(range(32))
FILES = {"a": b"first file " * 30, "b/c": bytes(range(256)) * 5, "b/d": b"x"}


def build(home: Path) -> bytes:
    """An encrypted archive of one snapshot, below 16 KiB."""
    tree = home / "tree"
    for name, content in FILES.items():
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        (tree / name).write_bytes(content)
    here = os.getcwd()
    os.chdir(tree)
    try:
        lock = Lock(recipients=(Identity.generate("x25519").recipient,), slot_copy_bytes=256)
        create(home / "a.warp", Source.of(["."]), lock=lock, archive_key=KEY)
    finally:
        os.chdir(here)
    return (home / "a.warp").read_bytes()


def survey(damaged: bytes, home: Path) -> str:
    """What verify and extract make of a damaged archive: "" if it was found and nothing wrong came out."""
    archive, target = home / "damaged.warp", home / "out"
    archive.write_bytes(damaged)
    deep = _verdict(lambda: verify(archive, Level.DEEP, unlock=Unlock(archive_key=KEY)).ok)
    if deep is True:
        return "deep verification passed"
    shutil.rmtree(target, ignore_errors=True)
    try:
        with open_archive(archive, Unlock(archive_key=KEY)) as reader:
            extract(reader, target)
    except WarpPortalError:
        pass
    for path in target.rglob("*") if target.exists() else ():
        name = str(path.relative_to(target))
        if path.is_file() and path.read_bytes() != FILES.get(name):
            return f"extract wrote wrong data into {name}"
    return ""


def _verdict(check: Callable[[], bool]) -> bool | None:
    try:
        return check()
    except WarpPortalError:
        return None


def flip_all(first: int, step: int, original: bytes, home: str) -> list[str]:
    """Flip the bits `first`, `first + step`, …; what went wrong."""
    place = Path(tempfile.mkdtemp(dir=home))
    wrong = []
    for bit in range(first, 8 * len(original), step):
        damaged = bytearray(original)
        damaged[bit // 8] ^= 1 << bit % 8
        found = survey(bytes(damaged), place)
        if found:
            wrong.append(f"bit {bit} (byte {bit // 8}): {found}")
    return wrong


def cut_all(original: bytes, home: str) -> list[str]:
    """Every length below the whole."""
    place = Path(tempfile.mkdtemp(dir=home))
    return [f"cut to {n}: {found}" for n in range(len(original)) if (found := survey(original[:n], place))]


@pytest.fixture
def memory(tmp_path: Path) -> Iterator[Path]:
    """A directory in memory, as tens of thousands of small files are written."""
    home = Path(tempfile.mkdtemp(dir="/dev/shm")) if os.access("/dev/shm", os.W_OK) else tmp_path
    yield home
    shutil.rmtree(home)


@pytest.mark.timeout(1200)
def test_every_flipped_bit_is_found(memory: Path) -> None:
    original = build(memory)
    assert len(original) <= 16 << 10
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        jobs = [(part, 8, original, str(memory)) for part in range(8)]
        wrong = [line for lines in pool.starmap(flip_all, jobs) for line in lines]
    assert wrong == []


@pytest.mark.timeout(600)
def test_every_truncation_is_found(memory: Path) -> None:
    assert cut_all(build(memory), str(memory)) == []


@pytest.mark.timeout(600)
def test_payload_bits_are_found_without_a_key(memory: Path) -> None:
    original = build(memory)
    with open_archive(memory / "a.warp", Unlock(archive_key=KEY)) as reader:
        start = reader.header.first_segment
    stored = verify(memory / "a.warp", Level.DATA).bytes
    for byte in range(start, start + stored):
        damaged = bytearray(original)
        damaged[byte] ^= 0x20
        (memory / "damaged.warp").write_bytes(damaged)
        report = verify(memory / "damaged.warp", Level.DATA)
        assert [chunk.ordinal for chunk in report.damaged_chunks] == [0]
    (memory / "damaged.warp").write_bytes(damaged)
    named = verify(memory / "damaged.warp", Level.DEEP, unlock=Unlock(archive_key=KEY))
    assert set(named.damaged_files) == {b"a", b"b/c", b"b/d"}
