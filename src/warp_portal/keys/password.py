"""Passphrases: Argon2id (RFC 9106) with floors and ceilings that no file can lower or raise."""

import unicodedata
from dataclasses import dataclass
from typing import Final

from warp_portal.errors import UsageError

MIN_MEMORY_KIB: Final = 64 * 1024
MAX_MEMORY_KIB: Final = 1024 * 1024
LARGE_MEMORY_KIB: Final = 128 * 1024  # above this somebody must have said so
MIN_PASSES: Final = 2
MAX_PASSES: Final = 16
MAX_LANES: Final = 16
KEY_BYTES: Final = 32


@dataclass(frozen=True, slots=True)
class Argon2Cost:
    """What one guess costs: memory in KiB, passes over it, lanes. The default is RFC 9106's second choice."""

    memory_kib: int = MIN_MEMORY_KIB
    passes: int = 3
    lanes: int = 4

    @property
    def large(self) -> bool:
        """Whether it takes more memory than a reader gives unasked."""
        return self.memory_kib > LARGE_MEMORY_KIB

    def defect(self) -> str | None:
        """Why these are refused, or None."""
        if not MIN_MEMORY_KIB <= self.memory_kib <= MAX_MEMORY_KIB:
            return f"memory of {self.memory_kib} KiB is outside {MIN_MEMORY_KIB} to {MAX_MEMORY_KIB}"
        if not MIN_PASSES <= self.passes <= MAX_PASSES:
            return f"{self.passes} passes are outside {MIN_PASSES} to {MAX_PASSES}"
        if not 1 <= self.lanes <= MAX_LANES:
            return f"{self.lanes} lanes are outside 1 to {MAX_LANES}"
        return None


DEFAULT_COST: Final = Argon2Cost()


def stretch(passphrase: str, salt: bytes, cost: Argon2Cost) -> bytes:
    """The 32-byte key of a passphrase (Unicode NFC, UTF-8): 0.2 s and 64 MiB at the default cost.

    Raises:
        UsageError: a cost outside the limits, or a passphrase that is empty or not UTF-8.
    """
    from cryptography.hazmat.primitives.kdf.argon2 import Argon2id

    if defect := cost.defect():
        raise UsageError(f"key derivation: {defect}")
    if not passphrase:
        raise UsageError("an empty passphrase protects nothing")
    try:
        secret = unicodedata.normalize("NFC", passphrase).encode()
    except UnicodeEncodeError:  # bytes of the environment that no terminal and no file would give again
        raise UsageError("the passphrase is not UTF-8: write it as text") from None
    kdf = Argon2id(salt=salt, length=KEY_BYTES, iterations=cost.passes, lanes=cost.lanes, memory_cost=cost.memory_kib)
    return kdf.derive(secret)
