"""Keys by which machines know each other (Ed25519), as texts: the public one is what TLS shows (docs/transfer-protocol.md §1).

A machine's key signs for that machine alone; archives are signed by keys of people (`signers`), which have other labels,
so that neither is taken for the other.
"""

from dataclasses import dataclass
from typing import Final, Self

from warp_portal.errors import UsageError
from warp_portal.keys import text
from warp_portal.primitives import signing

MACHINE_LABEL: Final = "warp-machine"
KEY_LABEL: Final = "warp-machine-key"


@dataclass(frozen=True, slots=True)
class Machine:
    """The public key of a machine; `str()` is its text, `raw` its 32 bytes."""

    raw: bytes

    @classmethod
    def parse(cls, line: str) -> Self:
        """From its text; raises UsageError."""
        return cls(_key(line, MACHINE_LABEL, signing.PUBLIC_BYTES))

    def __str__(self) -> str:
        return text.encode(MACHINE_LABEL, self.raw)

    def verify(self, signature: bytes, message: bytes) -> None:
        """Check a signature; raises SignatureError."""
        signing.verify(self.raw, signature, message)


@dataclass(frozen=True, slots=True, repr=False)
class MachineKey:
    """The private key of a machine; `seed` is what the transport's TLS takes."""

    seed: bytes

    @classmethod
    def generate(cls) -> Self:
        """A new random key."""
        return cls(signing.new_seed())

    @classmethod
    def parse(cls, line: str) -> Self:
        """From its secret text; raises UsageError, which repeats nothing of it."""
        return cls(_key(line, KEY_LABEL, signing.SEED_BYTES))

    def secret_text(self) -> str:
        """The line that its file holds."""
        return text.encode(KEY_LABEL, self.seed)

    @property
    def public(self) -> Machine:
        """The public half."""
        return Machine(signing.public_key(self.seed))

    def sign(self, message: bytes) -> bytes:
        """The 64-byte signature of `message`."""
        return signing.sign(self.seed, message)

    def __repr__(self) -> str:
        return "MachineKey()"


def _key(line: str, label: str, length: int) -> bytes:
    _, raw = text.decode_as(line, {label: label})
    if len(raw) != length:
        raise UsageError(f"a {label} has {length} bytes, not {len(raw)}")
    return raw
