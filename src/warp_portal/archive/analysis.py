"""What a create would give, told before it is done: types, duplicates, size, time, and options that suit.

    source ─▶ survey (walk, read a part, measure) ─▶ estimate ─▶ advice

Nothing is written. The figures are estimates: of a tree that is not read whole, duplicates of pieces that lie at different places
in different files are not seen.
"""

from dataclasses import dataclass

from warp_portal.archive.advice import Advice, advise
from warp_portal.archive.estimate import Alternative, Estimate, alternatives, estimate
from warp_portal.archive.options import Source
from warp_portal.archive.problems import Problem
from warp_portal.archive.survey import ANALYZE_DEFAULTS, AnalyzeOptions, TypeCount, look
from warp_portal.clock import SYSTEM_CLOCK, Clock


@dataclass(frozen=True, slots=True)
class TypeShare:
    """Files of one extension (empty: none). `entropy` in bits a byte and `compressed_share` are None if none of it was looked at."""

    extension: str
    files: int
    bytes: int
    entropy: float | None
    compressed_share: float | None


@dataclass(frozen=True, slots=True)
class Analysis:
    """The result. `bytes` are logical, `read_bytes` how many were read to tell; `alternatives` has the present compression, too.

    `failed` counts all paths that could not be looked at; `problems` are the first of them, up to 16 MiB.
    """

    entries: int
    files: int
    bytes: int
    read_bytes: int
    complete: bool
    elapsed_s: float
    types: tuple[TypeShare, ...]
    estimate: Estimate
    alternatives: tuple[Alternative, ...]
    advice: Advice
    problems: tuple[Problem, ...]
    failed: int


def analyze(source: Source, options: AnalyzeOptions = ANALYZE_DEFAULTS, *, clock: Clock = SYSTEM_CLOCK) -> Analysis:
    """Look at a source and tell what packing it with `options.pack` would give.

    Raises:
        UsageError, OSError: as `create` does for the same source and options.
    """
    start_s = clock.monotonic_s()
    found = look(source, options)
    made = estimate(found, options.pack)
    offers = alternatives(found, made, options.pack.policy.name)
    return Analysis(
        entries=found.entries,
        files=found.files,
        bytes=found.bytes,
        read_bytes=found.totals["read"],
        complete=found.read_one_in == 1,
        elapsed_s=clock.monotonic_s() - start_s,
        types=tuple(map(_share, found.types)),
        estimate=made,
        alternatives=tuple(offers),
        advice=advise(found, made, offers, options.pack),
        problems=found.problems.kept,
        failed=found.problems.count,
    )


def _share(kind: TypeCount) -> TypeShare:
    entropy = kind.entropy / kind.probed if kind.probed else None
    compressed = kind.dense / kind.probed if kind.probed else None
    return TypeShare(kind.name, kind.files, kind.bytes, entropy, compressed)
