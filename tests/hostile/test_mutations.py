"""Archives with bytes changed at random, and archives spliced from two: never wrong data, a crash or a hang.

Each try runs in a child with a limit on its memory and time, in batches. Wrong data is what is read without an error or a
damaged entry and differs from what was packed: under a key always, in a plain archive where `verify` finds nothing either.
"""

import os
import random
import resource
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

import pytest

from warp_portal.archive import Level, Lock, Source, Unlock, append, create, open_archive, verify
from warp_portal.archive.content import read_index_page
from warp_portal.archive.limits import KIND_LOCATOR
from warp_portal.archive.options import PackOptions
from warp_portal.errors import WarpPortalError
from warp_portal.keys import Identity
from warp_portal.primitives.cutting import FIXED, KIB, Cutting, Sizes

BATCH: Final = 50
BATCH_S: Final = 120
MEMORY_BYTES: Final = 4 << 30  # of addresses; what is in use at most is measured in `test_hostile_archives`
SMALL: Final = Cutting(FIXED, Sizes(4 * KIB, 4 * KIB, 4 * KIB), Sizes(2 * KIB, 4 * KIB, 8 * KIB))
KEYS: Final = (bytes(range(32)), bytes(range(1, 33)))

Contents = dict[bytes, bytes]


@dataclass(frozen=True)
class Sample:
    """An archive, its key (None: plain), and every content that each path ever had."""

    data: bytes
    key: bytes | None
    contents: dict[bytes, tuple[bytes, ...]]
    boundaries: tuple[int, ...]


def build(home: Path, key: bytes | None, seed: int) -> Sample:
    """Two snapshots of a few files, compressible and not."""
    rng = random.Random(seed)
    tree, archive = home / "tree", home / "a.warp"
    (tree / "d").mkdir(parents=True)
    first = {b"a": rng.randbytes(9000), b"d/b": b"text " * 5000, b"d/c": b"x"}
    second = {b"a": rng.randbytes(5000), b"e": bytes(20000)}
    lock = Lock(recipients=(Identity.generate("x25519").recipient,), slot_copy_bytes=256) if key else None
    unlock = Unlock(archive_key=key) if key else Unlock()
    options = PackOptions(threads=1, cutting=SMALL)
    with inside(tree):
        write(tree, first)
        create(archive, Source.of(["."]), options, lock=lock, archive_key=key)
        write(tree, second)
        append(archive, Source.of(["."]), PackOptions(threads=1), unlock=unlock)
    with open_archive(archive, unlock) as reader:
        located = [read_index_page(reader.file, reader.keys, page) for page in reader.content.pages[KIND_LOCATOR]]
        cuts = {offset for page in located for offset in memoryview(page.columns[0]).cast("Q")}
        cuts |= {ref.offset for ref in reader.opened.toc.clear.pages}
        cuts |= {snapshot.offset for snapshot in reader.snapshots()}
        cuts |= {reader.commit.toc_offset, reader.header.first_segment, 256}
    every = {path: tuple(c[path] for c in (first, second) if path in c) for path in first | second}
    return Sample(archive.read_bytes(), key, every, tuple(sorted(cuts)))


def write(tree: Path, contents: Contents) -> None:
    for name, content in contents.items():
        (tree / os.fsdecode(name)).write_bytes(content)


@contextmanager
def inside(directory: Path) -> Iterator[None]:
    here = os.getcwd()
    os.chdir(directory)
    try:
        yield
    finally:
        os.chdir(here)


def mutated(rng: random.Random, data: bytes) -> bytes:
    """1 to 16 changes: bytes set, ranges zeroed, copied, removed or put in."""
    out = bytearray(data)
    for _ in range(rng.choice((1, 1, 2, 4, 16))):
        at, length = rng.randrange(len(out)), rng.choice((1, 2, 8, 64, 4096))
        kind = rng.randrange(6)
        if kind <= 2:
            out[at : at + length] = rng.randbytes(len(out[at : at + length]))
        elif kind == 3:
            out[at : at + length] = bytes(len(out[at : at + length]))
        elif kind == 4:
            other = rng.randrange(len(out))
            out[at : at + length] = out[other : other + length]
        else:
            del out[at : at + length]
    return bytes(out)


def spliced(rng: random.Random, one: Sample, other: Sample) -> bytes:
    """The beginning of one archive and the end of another, or a part of it put in; cut at boundaries or anywhere."""

    def cut(sample: Sample) -> int:
        return rng.choice(sample.boundaries) if rng.random() < 0.7 else rng.randrange(len(sample.data))

    at, low, high = cut(one), *sorted((cut(other), cut(other)))
    kind = rng.randrange(3)
    if kind == 0:
        return one.data[:at] + other.data[low:]
    if kind == 1:
        return one.data[:at] + other.data[low:high] + one.data[at:]
    return one.data[:at] + other.data[at : at + high - low] + one.data[at + high - low :]


def survey(path: Path, samples: tuple[Sample, ...]) -> str:
    """What is wrong with how an archive is read; empty if nothing is."""
    for sample in samples:
        unlock = Unlock(archive_key=sample.key) if sample.key else Unlock()
        wrong = wrong_data(path, unlock, samples)
        if wrong and (sample.key or passes(path, unlock)):
            return wrong
    return ""


def passes(path: Path, unlock: Unlock) -> bool:
    try:
        return verify(path, Level.DEEP, unlock=unlock, threads=1).ok
    except WarpPortalError:
        return False


def wrong_data(path: Path, unlock: Unlock, samples: tuple[Sample, ...]) -> str:
    """Names a path whose content was read without error and is none that it ever had."""
    passes(path, unlock)
    for recover in (False, True):
        try:
            with open_archive(path, unlock, recover=recover) as reader:
                for entry in reader:
                    if entry.kind:
                        continue
                    try:
                        with reader.open_file(entry.path) as stream:
                            content = stream.read()
                    except WarpPortalError:
                        continue
                    if all(content not in sample.contents.get(entry.path, ()) for sample in samples):
                        return f"{entry.path!r} has {len(content)} bytes that it never had"
        except WarpPortalError:
            continue
    return ""


def in_child(work: Callable[[], str]) -> str:
    """What `work` says in a child with limits; a crash, an exception that is not ours or a hang is told as such."""
    out, into = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
            signal.signal(signal.SIGALRM, signal.SIG_DFL)
            signal.alarm(BATCH_S)
            os.write(into, work().encode()[:4000])
        except BaseException as error:  # noqa: BLE001 - whatever it is, the parent is to know
            os.write(into, f"{type(error).__name__}: {error}".encode()[:4000])
        finally:
            os._exit(0)
    os.close(into)
    with os.fdopen(out, "rb") as pipe:
        said = pipe.read().decode()
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    return said if status == 0 else f"ended by {status}: {said}"


def try_all(
    home: Path, samples: tuple[Sample, ...], tries: range, make: Callable[[random.Random, int], bytes]
) -> list[str]:
    """What went wrong, with the seed to repeat it."""
    wrong = []

    def batch(numbers: range) -> str:
        for number in numbers:
            path = home / "changed.warp"
            path.write_bytes(make(random.Random(number), number))
            try:
                found = survey(path, samples)
            except Exception as error:  # noqa: BLE001 - nothing but our own errors may come out
                found = f"{type(error).__name__}: {error}"
            if found:
                return f"try {number}: {found}"
        return ""

    for first in range(tries.start, tries.stop, BATCH):
        found = in_child(partial(batch, range(first, min(first + BATCH, tries.stop))))
        if found:
            wrong.append(found)
    return wrong


def archives(home: Path) -> dict[str, Sample]:
    """Plain, of one key, again of that key, of another."""
    keys = {"plain": None, "keyed": KEYS[0], "same key": KEYS[0], "other key": KEYS[1], "other plain": None}
    return {name: build(home / name, key, seed) for seed, (name, key) in enumerate(keys.items())}


def _mutated(sample: Sample, rng: random.Random, _: int) -> bytes:
    return mutated(rng, sample.data)


def _spliced(one: Sample, other: Sample, rng: random.Random, _: int) -> bytes:
    return spliced(rng, one, other)


def check_mutations(home: Path, tries: int) -> None:
    samples = archives(home)
    for name in ("plain", "keyed"):
        sample = samples[name]
        assert try_all(home, (sample,), range(tries // 2), partial(_mutated, sample)) == []


def check_splices(home: Path, tries: int) -> None:
    samples = archives(home)
    pairs = [("keyed", "same key"), ("keyed", "other key"), ("plain", "other plain"), ("plain", "keyed")]
    for one, other in ((samples[a], samples[b]) for a, b in pairs):
        made = try_all(home, (one, other), range(tries // 4), partial(_spliced, one, other))
        assert made == []


def test_changed_bytes_never_give_wrong_data(tmp_path: Path) -> None:
    check_mutations(tmp_path, 300)


def test_spliced_archives_never_give_wrong_data(tmp_path: Path) -> None:
    check_splices(tmp_path, 120)


@pytest.mark.soak
def test_soak_mutations_of_ten_thousand(tmp_path: Path) -> None:
    """10,000 changed archives."""
    check_mutations(tmp_path, 10_000)


@pytest.mark.soak
def test_soak_mutations_by_a_thousand_splices(tmp_path: Path) -> None:
    """1,000 spliced archives."""
    check_splices(tmp_path, 1_000)


def test_the_survey_sees_wrong_data(tmp_path: Path) -> None:
    sample = build(tmp_path, KEYS[0], 1)
    lie = Sample(sample.data, sample.key, dict.fromkeys(sample.contents, (b"other",)), sample.boundaries)
    (tmp_path / "it.warp").write_bytes(sample.data)
    assert "never had" in survey(tmp_path / "it.warp", (lie,))
    assert survey(tmp_path / "it.warp", (sample,)) == ""
