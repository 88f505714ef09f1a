"""How data is cut into fragments and fragments are packed into chunks: algorithms, profiles and their limits.

The cutter itself is native (`_native.cut`); this page decides its parameters. A profile names the two means; the
other sizes follow from them: fragments min = mean / 4, max = 4 × mean; chunks min = mean / 2, max = 2 × mean.

    cutting("general").fragment   →  Sizes(minimum=16384, mean=65536, maximum=262144)
"""

from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, NamedTuple

from warp_portal.errors import UsageError

BUZHASH64: Final = 1
FIXED: Final = 2

KIB: Final = 1024
MIB: Final = 1024 * KIB
MIN_MEAN: Final = 4 * KIB
MAX_MEAN: Final = 16 * MIB
MIN_FRAGMENT: Final = 64  # the rolling window (48 bytes) must lie inside a fragment
MAX_CHUNK: Final = 64 * MIB


class Sizes(NamedTuple):
    """Smallest, mean and largest size in bytes."""

    minimum: int
    mean: int
    maximum: int


@dataclass(frozen=True, slots=True)
class Cutting:
    """A cutter and the sizes of fragments and chunks; the header of an archive records it."""

    algorithm: int
    fragment: Sizes
    chunk: Sizes

    def defect(self) -> str | None:
        """Why these parameters are not allowed (docs/format.md §2), or None."""
        if self.algorithm not in (BUZHASH64, FIXED):
            return f"unknown cutter {self.algorithm}"
        return sizes_defect("fragment", self.fragment) or sizes_defect("chunk", self.chunk) or self._relation_defect()

    def _relation_defect(self) -> str | None:
        if self.chunk.maximum > MAX_CHUNK:
            return f"chunk maximum {self.chunk.maximum} is above {MAX_CHUNK}"
        if self.fragment.maximum > self.chunk.maximum // 2:
            return "fragment maximum is above half the chunk maximum"
        if self.algorithm == FIXED and len(set(self.fragment)) != 1:
            return "a fixed cutter has three equal fragment sizes"
        return None


def sizes_defect(what: str, sizes: Sizes) -> str | None:
    """Why these sizes of fragments or chunks are not allowed, or None."""
    if sizes.mean & (sizes.mean - 1) or not MIN_MEAN <= sizes.mean <= MAX_MEAN:
        return f"{what} mean {sizes.mean} is no power of two from {MIN_MEAN} to {MAX_MEAN}"
    if not MIN_FRAGMENT <= sizes.minimum <= sizes.mean <= sizes.maximum:
        return f"{what} sizes {tuple(sizes)} are not in the order {MIN_FRAGMENT} ≤ min ≤ mean ≤ max"
    return None


def _derived(fragment_mean: int, chunk_mean: int, fixed: bool) -> Cutting:
    around = (fragment_mean, fragment_mean) if fixed else (fragment_mean // 4, 4 * fragment_mean)
    return Cutting(
        FIXED if fixed else BUZHASH64,
        Sizes(around[0], fragment_mean, around[1]),
        Sizes(chunk_mean // 2, chunk_mean, 2 * chunk_mean),
    )


_MEANS: Final = MappingProxyType(
    {"fine": (16 * KIB, 256 * KIB), "general": (64 * KIB, MIB), "bulk": (MIB, 4 * MIB)},
)
PROFILES: Final = MappingProxyType({name: _derived(*means, fixed=False) for name, means in _MEANS.items()})


def cutting(
    profile: str = "general",
    *,
    fixed: bool = False,
    fragment_mean: int | None = None,
    chunk_mean: int | None = None,
) -> Cutting:
    """The cutting of a profile (`fine`, `general`, `bulk`), with its means (bytes) replaced where given.

    Raises:
        UsageError: unknown profile, or sizes outside the format's limits.
    """
    if profile not in _MEANS:
        raise UsageError(f"unknown profile {profile!r}: one of {', '.join(_MEANS)}")
    default_fragment, default_chunk = _MEANS[profile]
    chosen = _derived(fragment_mean or default_fragment, chunk_mean or default_chunk, fixed)
    if defect := chosen.defect():
        raise UsageError(f"cannot cut with these sizes: {defect}")
    return chosen
