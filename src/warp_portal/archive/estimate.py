"""From findings to figures: what a create would store, how long it would take and what memory it needs. Arithmetic only.

Bytes.  data = logical × (data read ÷ logical planned): holes are no data. Duplicates are a ratio estimate over the files that
were drawn, those of certain sizes apart. New bytes are spread over the strata as the chunks were, and each stratum is stored at
the ratio of its encoded chunks. The index and the file table come on top, at what a fragment, a chunk and an entry take there.
Time.   CPU seconds of each step, from CPU time taken in the survey, scaled to the whole; the walk and the steps overlap, so that
wall = (start + key derivation + CPU ÷ cores) × contention, the last how much longer than their CPU time steps took that wait for nothing
but a core: on a busy machine a create finds no more cores than the survey did.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from warp_portal.archive.options import MIB, PackOptions, cores
from warp_portal.archive.survey import Findings, Stratum, Trial

# A fragment's id (24) and length, a chunk's record and locator, an entry; measured on the archives of docs/performance.md.
FRAGMENT_BYTES: Final = 28
CHUNK_BYTES: Final = 84
ENTRY_BYTES: Final = 24
# Header, key slots, TOC and the commit's padding.
LEAST_BYTES: Final = 8192
# Mean size of chunks by the mean of their profile, over the same archives.
USUAL_CHUNK: Final = 0.94
# Less than this share of what was read comes from a disk by the way.
FROM_DISK: Final = 0.05
# Around the estimate lies what repeated runs on a quiet machine vary; reading that had to wait comes on top.
FASTER: Final = 0.85
SLOWER: Final = 1.2
NS: Final = 1e-9

# What a create holds (rust/warp-core, `pack::Limits`): interpreter and libraries; the window of segments; chunks in flight.
BASE_BYTES: Final = 70 * MIB
SEGMENT_BYTES: Final = 4 * MIB
WALKED_BYTES: Final = 300
WALKED_ENTRIES: Final = 131_072
KNOWN_BYTES: Final = 24
SLOT_BYTES: Final = 16


@dataclass(frozen=True, slots=True)
class Estimate:
    """What a create would give. Bytes and seconds; `cpu_s` by step; `ratio` = archive ÷ logical bytes (0 for no bytes)."""

    data_bytes: int
    duplicate_bytes: int
    new_bytes: int
    stored_bytes: int
    archive_bytes: int
    ratio: float
    fragments: int
    chunks: int
    cpu_s: dict[str, float]
    seconds: float
    seconds_low: float
    seconds_high: float
    memory_bytes: int
    index_bytes: int
    contention: float


@dataclass(frozen=True, slots=True)
class Alternative:
    """Another compression: what the archive and the time would be with it."""

    compression: str
    archive_bytes: int
    seconds: float


def estimate(found: Findings, pack: PackOptions) -> Estimate:
    """All figures."""
    totals = found.totals
    scale = _quotient(found.bytes, totals["packed_planned"])
    data = totals["packed"] * scale
    duplicate = _duplicate_bytes(found, data)
    new = data - duplicate
    spread = _quotient(new, sum(row.raw for row in found.strata))
    stored = spread * sum(_stored(row) for row in found.strata)
    chunks = spread * sum(row.chunks for row in found.strata)
    if found.read_one_in > 1:  # chunks of a sample end where its stretches end
        chunks = new / (USUAL_CHUNK * pack.cutting.chunk.mean)
    fragments = totals["fragments"] * scale * _quotient(new, data)
    archive = stored + metadata_bytes(fragments, chunks, found.entries)
    cpu_s = {
        "walk": found.fixed.walk_s,
        "read": totals["read_ns"] * NS * scale,
        "cut and name": totals["name_ns"] * NS * scale,
        "find duplicates": totals["pack_ns"] * NS * scale,
        "compress": spread * sum(_per_raw(row, row.encode_ns) for row in found.strata) * NS,
        "check and seal": spread * sum(_per_raw(row, row.check_ns) for row in found.strata) * NS,
        "write": archive * found.fixed.write_s_per_byte,
    }
    seconds = wall_s(found, cpu_s)
    # A thread that waits may also wait for a core: only what came from a disk tells of one.
    from_disk = found.fetched_bytes > FROM_DISK * totals["read"]
    waited_s = totals["wait_ns"] * NS * scale / found.threads if from_disk else 0.0
    index = round(fragments * (KNOWN_BYTES + SLOT_BYTES))
    return Estimate(
        data_bytes=round(data),
        duplicate_bytes=round(duplicate),
        new_bytes=round(new),
        stored_bytes=round(stored),
        archive_bytes=round(archive),
        ratio=_quotient(archive, found.bytes),
        fragments=round(fragments),
        chunks=round(chunks),
        cpu_s=cpu_s,
        seconds=seconds,
        seconds_low=FASTER * seconds,
        seconds_high=SLOWER * seconds + waited_s,
        memory_bytes=memory_bytes(pack, found.entries, index, found.threads),
        index_bytes=index,
        contention=contention(found),
    )


def alternatives(found: Findings, made: Estimate, name: str) -> list[Alternative]:
    """`name` itself, as estimated, and what was tried beside it; the largest archive first."""
    listed = [Alternative(name, made.archive_bytes, made.seconds)]
    for other, trials in found.trials.items():
        stored, coded_s = _retried(found, made, trials)
        cpu_s = made.cpu_s | {"compress": coded_s, "check and seal": 0.0}
        archive = made.archive_bytes - made.stored_bytes + stored
        listed.append(Alternative(other, round(archive), wall_s(found, cpu_s)))
    return sorted(listed, key=lambda each: -each.archive_bytes)


def finer_bytes(found: Findings, made: Estimate) -> float | None:
    """What the archive would take with the profile `fine`; None if that was not looked at."""
    totals = found.totals
    if found.finer_chunks is None or not totals["finer"] or not totals["finer_new"]:
        return None
    fresh = _quotient(totals["drawn_new"] + totals["certain_new"], totals["drawn"] + totals["certain"])
    stored, _ = _retried(found, made, found.finer_chunks)
    # Four times as many fragments and chunks.
    index = metadata_bytes(4 * made.fragments, 4 * made.chunks, found.entries)
    return stored * _quotient(totals["finer_new"] / totals["finer"], fresh) + index


def metadata_bytes(fragments: float, chunks: float, entries: float) -> float:
    """Index, file table and the fixed parts of an archive."""
    return FRAGMENT_BYTES * fragments + CHUNK_BYTES * chunks + ENTRY_BYTES * entries + LEAST_BYTES


def memory_bytes(pack: PackOptions, entries: int, index_bytes: int, threads: int) -> int:
    """About the peak of a create's memory, at its `--memory`."""
    pipeline = pack.memory * 3 // 4 // 2
    window = max(2 * SEGMENT_BYTES, min(pipeline, 16 * max(SEGMENT_BYTES, threads * MIB)))
    chunks = max(threads + 1, min(pipeline // (2 * pack.cutting.chunk.maximum), 6 * threads + 4))
    ahead = WALKED_BYTES * min(entries, WALKED_ENTRIES)
    ids = min(index_bytes * KNOWN_BYTES // (KNOWN_BYTES + SLOT_BYTES), pack.memory // 4)
    slots = index_bytes * SLOT_BYTES // (KNOWN_BYTES + SLOT_BYTES)
    window += SEGMENT_BYTES * max(2, min(pipeline // SEGMENT_BYTES, 2 * threads + 2))
    return BASE_BYTES + window + chunks * pack.cutting.chunk.mean * 3 // 2 + threads * 8 * MIB + ahead + ids + slots


def wall_s(found: Findings, cpu_s: dict[str, float]) -> float:
    """Seconds from start to end on the threads that would work, if they find as many cores."""
    alone_s = found.fixed.start_s + found.fixed.key_s + sum(cpu_s.values()) / max(1, min(found.threads, cores()))
    return alone_s * contention(found)


def contention(found: Findings) -> float:
    """1 on a machine without other work; 2 where every core is shared with as much of that."""
    threads = max(1.0, found.threads / cores())  # of the survey's own that shared a core
    return max(1.0, _quotient(found.totals["busy_wall_ns"], found.totals["busy_ns"]) / threads)


def _duplicate_bytes(found: Findings, data: float) -> float:
    totals = found.totals
    certain = min(data, found.certain_bytes)
    old = certain * (1 - _quotient(totals["certain_new"], totals["certain"])) if totals["certain"] else 0.0
    drawn = (data - certain) * (1 - _quotient(totals["drawn_new"], totals["drawn"])) if totals["drawn"] else 0.0
    return old + drawn


def _retried(found: Findings, made: Estimate, trials: Sequence[Trial]) -> tuple[float, float]:
    """Stored bytes and CPU seconds of the codec, if each stratum changes as its chunks did that were tried."""
    spread = _quotient(made.new_bytes, sum(row.raw for row in found.strata))
    stored = coded = 0.0
    for row, trial in zip(found.strata, trials, strict=True):
        stored += _stored(row) * (_quotient(trial.stored, trial.policy_stored) or 1.0)
        spent = _per_raw(row, row.encode_ns + row.check_ns)
        coded += spent * (_quotient(trial.ns, trial.policy_ns) or 1.0)
    return spread * stored, spread * coded * NS


def _stored(row: Stratum) -> float:
    return _per_raw(row, row.stored)


def _per_raw(row: Stratum, value: float) -> float:
    """A sum over a stratum's encoded chunks, scaled to all of its chunks."""
    return _quotient(value * row.raw, row.sampled)


def _quotient(part: float, whole: float) -> float:
    return part / whole if whole else 0.0
