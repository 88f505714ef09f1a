"""Which profile, compression and memory suit a tree, and why: rules over an estimate.

compression  none       if the present one saves less than 2 %
             zstd:9, 5  if the archive gets 10 % smaller, and the create still takes less than a minute
             auto       else
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

WORTH_COMPRESSING: Final = 0.02
WORTH_TIME: Final = 0.10
WORTH_FINER: Final = 0.07
QUICK_S: Final = 60.0
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
    sizes = {offer.compression: offer.archive_bytes for offer in offers}
    auto, none = sizes["auto"], sizes["none"]
    if not made.new_bytes:
        return "auto", "there is nothing to compress"
    if none - min(auto, none) < WORTH_COMPRESSING * none:
        return "none", f"compressing would save {_percent(1 - auto / none)} only"
    for offer in sorted(offers, key=lambda offer: offer.archive_bytes):
        saved = 1 - offer.archive_bytes / auto
        if offer.compression.startswith("zstd:") and saved >= WORTH_TIME and offer.seconds < QUICK_S:
            return offer.compression, f"{_percent(saved)} smaller than auto, and it still takes less than a minute"
    best = min(offers, key=lambda offer: offer.archive_bytes)
    if best.archive_bytes < auto and best.compression != "auto":
        return "auto", f"{best.compression} would save {_percent(1 - best.archive_bytes / auto)} more, for more time"
    return "auto", "nothing that was tried makes it smaller"


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
