"""Which profile, compression and memory suit a tree, and why: rules over an estimate.

compression  auto       if there are not even 64 KiB to compress
             none       if auto saves less than 2 %
             zstd:9, 5  if the archive gets 15 % smaller than with auto, for at most a quarter more time, or for three seconds more
             auto       else; what would be smaller is told with the time that it takes
profile      fine       if the archive gets 7 % smaller by it
             bulk       if the index of fragments is beyond a quarter of the memory, nine tenths of the bytes are in files of
                        64 MiB and more, and less than 2 % are duplicates
             general    else
memory       four times the ids of the fragments, where these would not fit into a quarter of it
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from warp_portal.archive.estimate import KNOWN_BYTES, SLOT_BYTES, Alternative, Estimate, finer_bytes
from warp_portal.archive.options import MIB, PackOptions
from warp_portal.archive.survey import Findings
from warp_portal.primitives.cutting import PROFILES
from warp_portal.units import format_duration

WORTH_A_LOOK: Final = 64 * 1024
WORTH_COMPRESSING: Final = 0.02
WORTH_TIME: Final = 0.15
MORE_TIME: Final = 1.25
MOMENT_S: Final = 3.0
WORTH_FINER: Final = 0.07
LARGE_SHARE: Final = 0.9
FEW_DUPLICATES: Final = 0.02


@dataclass(frozen=True, slots=True)
class Advice:
    """Options for `warp create` and the reason for each; `memory_bytes` is what `--memory` should be at least,
    `more_memory` whether that is more than it was to be.
    """

    profile: str
    profile_reason: str
    compression: str
    compression_reason: str
    memory_bytes: int
    more_memory: bool


def advise(found: Findings, made: Estimate, offers: Sequence[Alternative], pack: PackOptions) -> Advice:
    """The advice for what was found."""
    profile, profile_reason = _profile(found, made, pack)
    compression, compression_reason = _compression(made, offers)
    ids = made.index_bytes * KNOWN_BYTES // (KNOWN_BYTES + SLOT_BYTES)
    memory = max(pack.memory, -(-4 * ids // MIB) * MIB)
    return Advice(profile, profile_reason, compression, compression_reason, memory, memory > pack.memory)


def _compression(made: Estimate, offers: Sequence[Alternative]) -> tuple[str, str]:
    named = {offer.compression: offer for offer in offers}
    auto, none = named["auto"], named["none"]
    if made.new_bytes < WORTH_A_LOOK:
        return "auto", f"there is {'little' if made.new_bytes else 'nothing'} to compress"
    saved = _saved(auto, none)
    if saved < WORTH_COMPRESSING:
        return "none", f"compressing would save {_percent(saved)} only"
    smaller = [offer for offer in sorted(offers, key=_size) if _saved(offer, auto) > 0]
    for offer in smaller:
        if offer.compression.startswith("zstd:") and _is_worth_its_time(offer, auto):
            return offer.compression, f"{_percent(_saved(offer, auto))} smaller than auto, in {_times(offer, auto)}"
    if smaller:
        best = smaller[0]
        return "auto", f"{best.compression} would be {_percent(_saved(best, auto))} smaller, in {_times(best, auto)}"
    return "auto", "nothing that was tried makes it smaller"


def _is_worth_its_time(offer: Alternative, auto: Alternative) -> bool:
    longest_s = max(MORE_TIME * auto.seconds, auto.seconds + MOMENT_S)
    return _saved(offer, auto) >= WORTH_TIME and offer.seconds <= longest_s


def _saved(offer: Alternative, other: Alternative) -> float:
    """What share of the other archive is saved; negative if none is."""
    return 1 - offer.archive_bytes / other.archive_bytes


def _times(offer: Alternative, other: Alternative) -> str:
    return f"{format_duration(offer.seconds)} instead of {format_duration(other.seconds)}"


def _size(offer: Alternative) -> int:
    return offer.archive_bytes


def _profile(found: Findings, made: Estimate, pack: PackOptions) -> tuple[str, str]:
    finer = finer_bytes(found, made)
    if finer is not None and made.archive_bytes and finer < (1 - WORTH_FINER) * made.archive_bytes:
        return "fine", f"smaller fragments make the archive {_percent(1 - finer / made.archive_bytes)} smaller"
    large = found.large_bytes >= LARGE_SHARE * found.bytes and found.bytes > 0
    long = made.index_bytes > pack.memory // 4
    if long and large and made.duplicate_bytes < FEW_DUPLICATES * made.data_bytes:
        return "bulk", "nearly all bytes are in large files without duplicates: a sixteenth of the index is enough"
    if finer is None:
        return "general", _not_compared(pack)
    return "general", "smaller fragments would not make the archive much smaller"


def _not_compared(pack: PackOptions) -> str:
    if pack.cutting != PROFILES["general"]:
        return "it suits most trees; others are compared only with it"
    return "it suits most trees; fine was not compared (--full does)"


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %" if share >= 0.095 else f"{100 * max(0.0, share):.1f} %"
