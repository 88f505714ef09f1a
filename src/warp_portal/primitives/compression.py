"""Which codec a chunk gets: a table by the entropy of its bytes, applied natively.

A policy's rows are tried from the top; the first whose bound lies above the measured order-0 entropy (bits a byte) of
a chunk's sample decides. Where that would store, 8 × the ratio of an LZ4 trial counts if it is smaller. The choice
depends on the chunk's bytes and the policy's version alone, so that equal data packs equally on any machine and at any
load. A codec that does not make the chunk smaller falls back to `store`.
"""

from dataclasses import dataclass
from typing import Final

from warp_portal.errors import UsageError

STORE: Final = 0
ZSTD: Final = 1
LZ4: Final = 2
LZ4_BLOCKS: Final = 3
CODEC_NAMES: Final = ("store", "zstd", "lz4", "lz4-blocks")

ANY_ENTROPY: Final = 9.0  # above the 8 bits that a byte can have
MIN_LEVEL: Final = -7
MAX_LEVEL: Final = 22
DEFAULT_LEVEL: Final = 3

# Text lies below 5.8 bits a byte, machine code above. Level 3 stores 4 to 5 % less of either; it is taken where level 2 would
# store more than other backup tools do (docs/decisions/0009). Above 7.95, compressed and encrypted files are found; zstd
# gains < 1 % there and costs 1 ns a byte.
_AUTO: Final = ((5.8, ZSTD, 2), (7.95, ZSTD, 3), (ANY_ENTROPY, STORE, 0))
_AUTO_VERSION: Final = 2


@dataclass(frozen=True, slots=True)
class Policy:
    """Rows (entropy below, codec, level), first that fits; `name` and `version` are recorded in the archive."""

    name: str
    version: int
    rows: tuple[tuple[float, int, int], ...]


def policy(text: str = "auto") -> Policy:
    """The policy named `auto`, `none`, `lz4`, `zstd` or `zstd:LEVEL`.

    Raises:
        UsageError: another name, or a level outside −7…22 (and not 0).
    """
    name, _, level = text.partition(":")
    if name == "zstd":
        return Policy(text, 1, ((ANY_ENTROPY, ZSTD, _level(level)),))
    fixed = {"auto": _AUTO, "none": ((ANY_ENTROPY, STORE, 0),), "lz4": ((ANY_ENTROPY, LZ4, 0),)}
    if text not in fixed:
        raise UsageError(f"unknown compression {text!r}: auto, none, lz4 or zstd[:level]")
    return Policy(text, _AUTO_VERSION if text == "auto" else 1, fixed[text])


def _level(text: str) -> int:
    try:
        level = int(text) if text else DEFAULT_LEVEL
    except ValueError:
        raise UsageError(f"zstd level {text!r} is not a number") from None
    if not MIN_LEVEL <= level <= MAX_LEVEL or level == 0:
        raise UsageError(f"zstd level {level} is outside {MIN_LEVEL} to {MAX_LEVEL} (without 0)")
    return level


AUTO: Final = policy("auto")
