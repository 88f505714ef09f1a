"""A look at a tree as a create would pack it: what is counted and measured, before anything is concluded from it.

    walk ─▶ census ─▶ how much is read, how many chunks are encoded ─▶ survey ─▶ findings

The walk is held in memory while it is small, and done a second time if it is not. What is read and encoded is decided here,
from sizes alone; the work itself is native (rust/warp-core, `survey`).
"""

import os
import resource
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final, NamedTuple

from warp_portal._native import Census, ScopeKeys, Survey, WalkBatch
from warp_portal.archive.limits import SUITE_PLAIN
from warp_portal.archive.options import MIB, PACK_DEFAULTS, SUITES, PackOptions, Source, thread_count
from warp_portal.archive.packing import BATCH_ENTRIES, walker_over
from warp_portal.archive.problems import ProblemList
from warp_portal.primitives.compression import policy
from warp_portal.primitives.cutting import PROFILES

# Trees up to this size are read whole; of larger ones so much is read to see how they compress, and half as much for duplicates.
READ_BYTES: Final = 128 * MIB
# If so many are less than a tenth, up to twice as many are: many kinds of files need many stretches.
TENTH: Final = 10
# Chunks are encoded up to about so many bytes: two tenths of a second on one core.
ENCODED_BYTES: Final = 48 * MIB
# Both of larger trees rise by one in so many: a thousandth of a terabyte is read.
LEAST_SHARE: Final = 1024
# Sizes of files that hold more than one in so many of all bytes are read in whole when duplicates are looked for.
CERTAIN_SHARE: Final = 256
# About 300 bytes each.
HELD_ENTRIES: Final = 131_072
# Other compressions that are tried, from fast to small.
TRIED: Final = ("none", "lz4", "auto", "zstd:5", "zstd:9")
KEY_MEMORY_KIB: Final = 32 * 1024
WRITTEN_BYTES: Final = 8 * MIB
# Where it cannot be: chosen, 2 GB/s.
WRITE_S_PER_BYTE: Final = 0.5e-9
# Archives of an empty directory, the second with one passphrase.
LEAST_PLAIN: Final = 4352
LEAST_SEALED: Final = 37_120


@dataclass(frozen=True, slots=True)
class AnalyzeProgress:
    """How far a look is; `read_bytes` of `total_bytes`, which is None until the walk is done."""

    entries: int
    read_bytes: int
    total_bytes: int | None


ProgressCallback = Callable[[AnalyzeProgress], None]


@dataclass(frozen=True, slots=True)
class AnalyzeOptions:
    """How to look. `pack`: how would be packed; `full`: read everything; `suite` as in `SUITES`; `passphrase`: a key would be derived.

    `start_s`: CPU seconds that starting the command takes before it packs.
    """

    pack: PackOptions = PACK_DEFAULTS
    full: bool = False
    suite: str = "chacha20-poly1305"
    passphrase: bool = True
    start_s: float = 0.0
    progress: ProgressCallback | None = None


ANALYZE_DEFAULTS: Final = AnalyzeOptions()


class Stratum(NamedTuple):
    """Chunks that look alike: how many, their raw bytes, those encoded, what these were stored as, CPU ns to encode, and to check and seal."""

    chunks: int
    raw: int
    sampled: int
    stored: int
    encode_ns: int
    check_ns: int


class Trial(NamedTuple):
    """Some chunks of a stratum encoded in another way: stored bytes and CPU ns, and the same by the policy."""

    stored: int
    ns: int
    policy_stored: int
    policy_ns: int


class TypeCount(NamedTuple):
    """Files of one extension: how many, their bytes; of what was looked at: bytes, sum of entropy × bytes, bytes compressed already."""

    name: str
    files: int
    bytes: int
    probed: int
    entropy: float
    dense: int


@dataclass(frozen=True, slots=True)
class Fixed:
    """What a create costs whatever it packs, in CPU seconds: start, key derivation, the walk; and to write a byte.

    `least_bytes`: header, key slots, TOC and padding.
    """

    start_s: float
    key_s: float
    walk_s: float
    write_s_per_byte: float
    least_bytes: int


@dataclass(frozen=True, slots=True)
class Findings:
    """All that was counted and measured. Bytes are logical but for `totals` and `strata`, which count data; `fetched_bytes` came from a disk."""

    entries: int
    files: int
    bytes: int
    large_bytes: int
    certain_bytes: int
    fetched_bytes: int
    read_one_in: int
    threads: int
    types: tuple[TypeCount, ...]
    totals: dict[str, int]
    strata: tuple[Stratum, ...]
    trials: dict[str, tuple[Trial, ...]]
    finer_chunks: tuple[Trial, ...] | None
    fixed: Fixed
    problems: ProblemList


class _Walk:
    """The batches of a source: held if they are few, found again if not."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._held: list[WalkBatch] | None = []
        self.census = Census()
        self.cpu_s = 0.0
        self.problems = ProblemList()

    def count(self, report: Callable[[int], None]) -> None:
        """Walk once, and count."""
        for batch in self._walk():
            self.census.add(batch)
            entries = self.census.totals[0]
            if self._held is not None:
                self._held.append(batch)
                self._held = self._held if entries <= HELD_ENTRIES else None
            report(entries)

    def batches(self) -> Iterator[WalkBatch]:
        """All batches, once more."""
        if self._held is None:
            yield from self._walk()
            return
        self._held.reverse()
        while self._held:
            yield self._held.pop()

    def _walk(self) -> Iterator[WalkBatch]:
        walker = walker_over(self._source)
        self.problems = ProblemList()
        self.cpu_s = 0.0
        while True:
            start = time.thread_time()
            batch = walker.next(BATCH_ENTRIES)
            self.cpu_s += time.thread_time() - start
            self.problems.extend(walker.problems())
            if batch is None:
                return
            yield batch


def look(source: Source, options: AnalyzeOptions) -> Findings:
    """Count and measure."""
    report = options.progress or (lambda _: None)
    walk, fetched = _Walk(source), _fetched_bytes()
    walk.count(lambda entries: report(AnalyzeProgress(entries, 0, None)))
    entries, files, size, large = walk.census.totals
    one_in = 1 if options.full or size <= READ_BYTES else read_one_in(size)
    certain = walk.census.shared_sizes(max(1, size // CERTAIN_SHARE)) if one_in > 1 else []
    survey = _new_survey(walk.census, options, (one_in, [shared for shared, _ in certain]))
    expected = size // one_in if one_in == 1 else size * 3 // (2 * one_in)
    _run(survey, walk, lambda read: report(AnalyzeProgress(entries, min(read, expected), expected)))
    return Findings(
        entries,
        files,
        size,
        large,
        sum(shared * number for shared, number in certain),
        _fetched_bytes() - fetched,
        one_in,
        thread_count(options.pack.threads),
        _types(walk.census, survey),
        survey.totals(),
        tuple(Stratum(*row) for row in survey.strata()),
        {name: _trial(survey, name) for name in TRIED if name != options.pack.policy.name},
        tuple(Trial(*row) for row in survey.attempt(None, 4)) if survey.totals()["finer"] else None,
        _fixed(options, walk.cpu_s),
        walk.problems,
    )


def _fixed(options: AnalyzeOptions, walk_s: float) -> Fixed:
    least = LEAST_PLAIN if SUITES[options.suite] == SUITE_PLAIN else LEAST_SEALED
    key_s = _key_s() if options.passphrase else 0.0
    return Fixed(options.start_s, key_s, walk_s, _write_s_per_byte(), least)


def read_one_in(size: int) -> int:
    """Of so many bytes one is read, for trees that are not read whole."""
    read = min(max(READ_BYTES, size // TENTH), 2 * READ_BYTES)
    return max(2, min(LEAST_SHARE, -(-size // read)))


def _new_survey(census: Census, options: AnalyzeOptions, sample: tuple[int, list[int]]) -> Survey:
    pack, (one_in, certain) = options.pack, sample
    suite = SUITES[options.suite]
    keys = ScopeKeys(None if suite == SUITE_PLAIN else os.urandom(32), suite)
    cutting, fine = pack.cutting, PROFILES["fine"]
    # Reading all of a large tree for a second cutter would double the work; it is done where little is read, or all was asked for.
    finer = cutting == PROFILES["general"] and (options.full or one_in > 1 or census.totals[2] <= READ_BYTES)
    return Survey(
        census,
        keys,
        cutter=(cutting.algorithm, *cutting.fragment),
        chunk=cutting.chunk,
        policy=pack.policy.rows,
        threads=thread_count(pack.threads),
        verify=pack.verify,
        read_one_in=one_in,
        encode_one_in=max(1, census.totals[2] // one_in // ENCODED_BYTES),
        finer=(fine.algorithm, *fine.fragment) if finer else None,
        certain=certain,
    )


def _run(survey: Survey, walk: _Walk, report: Callable[[int], None]) -> None:
    for batch in walk.batches():
        survey.add(batch)
        _steps(survey, walk, report)
    survey.finish()
    _steps(survey, walk, report)


def _steps(survey: Survey, walk: _Walk, report: Callable[[int], None]) -> None:
    while survey.step():
        report(survey.totals()["read"])
    walk.problems.extend(survey.problems())


def _types(census: Census, survey: Survey) -> tuple[TypeCount, ...]:
    counted = zip(census.types(), survey.types(), strict=True)
    found = [TypeCount(name.decode("ascii"), files, size, *probe) for (name, files, size), probe in counted]
    return tuple(sorted(found, key=lambda kind: (-kind.bytes, kind.name)))


def _trial(survey: Survey, name: str) -> tuple[Trial, ...]:
    _, codec, level = policy(name).rows[0]
    return tuple(Trial(*row) for row in survey.attempt((codec, level)))


def _fetched_bytes() -> int:
    """Bytes that this process has had read from disks (getrusage(2) counts blocks of 512)."""
    return 512 * resource.getrusage(resource.RUSAGE_SELF).ru_inblock


def _key_s() -> float:
    """CPU seconds to derive the key of a passphrase, on all threads: measured with half of its memory."""
    start = time.process_time()
    from cryptography.hazmat.primitives.kdf.argon2 import Argon2id

    from warp_portal.keys.password import DEFAULT_COST, KEY_BYTES

    loaded = time.process_time()
    cost = DEFAULT_COST
    Argon2id(
        salt=bytes(32), length=KEY_BYTES, iterations=cost.passes, lanes=cost.lanes, memory_cost=KEY_MEMORY_KIB
    ).derive(b"a passphrase")
    return loaded - start + (time.process_time() - loaded) * cost.memory_kib / KEY_MEMORY_KIB


def _write_s_per_byte() -> float:
    """CPU seconds to write a byte to a new file; it lies in memory, as a file does before the system writes it to its disk."""
    content = bytes(MIB)
    if not hasattr(os, "memfd_create"):  # outside Linux
        return WRITE_S_PER_BYTE
    with open(os.memfd_create("warp-analyze"), "wb", buffering=0) as file:
        start = time.thread_time()
        file.writelines(content for _ in range(WRITTEN_BYTES // MIB))
        return (time.thread_time() - start) / WRITTEN_BYTES
