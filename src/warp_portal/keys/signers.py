"""Keys that sign archives (Ed25519), as texts and files."""

import os
from dataclasses import dataclass
from typing import Final, Self

from warp_portal._native import blake3
from warp_portal.errors import UsageError
from warp_portal.keys import text
from warp_portal.primitives import signing

_PUBLIC_LABELS: Final = {"warp-signer": "signer"}
_SECRET_LABELS: Final = {"warp-signing-key": "signing key"}
TAG_BYTES: Final = 16


@dataclass(frozen=True, slots=True)
class Signer:
    """A public key that signatures are checked with; `str()` is its text, `raw` its 32 bytes."""

    raw: bytes

    @classmethod
    def parse(cls, line: str) -> Self:
        """From its text; raises UsageError."""
        _, raw = text.decode_as(line, _PUBLIC_LABELS)
        if len(raw) != signing.PUBLIC_BYTES:
            raise UsageError(f"a signer has {signing.PUBLIC_BYTES} bytes, not {len(raw)}")
        return cls(raw)

    def __str__(self) -> str:
        return text.encode("warp-signer", self.raw)

    @property
    def tag(self) -> bytes:
        """The 16 bytes by which a commit names its signer: `BLAKE3(public key)[0..16]`."""
        return blake3(self.raw)[:TAG_BYTES]

    def verify(self, signature: bytes, message: bytes) -> None:
        """Check a signature; raises SignatureError."""
        signing.verify(self.raw, signature, message)


@dataclass(frozen=True, slots=True, repr=False)
class SigningKey:
    """A private key that signs."""

    seed: bytes

    @classmethod
    def generate(cls) -> Self:
        """A new random key."""
        return cls(signing.new_seed())

    @classmethod
    def parse(cls, line: str) -> Self:
        """From its secret text; raises UsageError."""
        _, seed = text.decode_as(line, _SECRET_LABELS)
        if len(seed) != signing.SEED_BYTES:
            raise UsageError(f"a signing key has {signing.SEED_BYTES} bytes, not {len(seed)}")
        return cls(seed)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Self:
        """From a key file; raises NotFoundError, UsageError, OSError."""
        return cls.parse(text.read_secret_line(path))

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write a new key file, mode 0600, with the signer as a comment; raises UsageError, OSError."""
        text.write_secret(path, [f"public key: {self.public}"], text.encode("warp-signing-key", self.seed))

    @property
    def public(self) -> Signer:
        """The public half."""
        return Signer(signing.public_key(self.seed))

    def sign(self, message: bytes) -> bytes:
        """The 64-byte signature of `message`."""
        return signing.sign(self.seed, message)

    def __repr__(self) -> str:
        return "SigningKey()"


def load_signer(text_or_path: str | os.PathLike[str]) -> Signer:
    """From a signer's text, or a file with it or with its signing key. Raises NotFoundError, UsageError, OSError."""
    line = text.line_of(text_or_path, "warp-signer")
    if line.strip().lower().startswith("warp-signing-key"):
        return SigningKey.parse(line).public
    return Signer.parse(line)
