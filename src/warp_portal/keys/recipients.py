"""Keys that archives are encrypted to: X25519, or X-Wing (ML-KEM-768 with X25519), which also resists a quantum computer.

Sealing is HPKE in base mode (RFC 9180) with HKDF-SHA256 and ChaCha20-Poly1305; whatever must be bound goes into `info`.
Private keys are 32 bytes: an X25519 scalar, or an X-Wing seed that SHAKE256 expands (draft-connolly-cfrg-xwing-kem §5.2).
"""

import hashlib
import os
from collections.abc import Callable
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, NamedTuple, Self

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hpke
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey, MLKEM768PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey

from warp_portal.errors import IntegrityError, UsageError
from warp_portal.keys import text

X25519: Final = "x25519"
XWING: Final = "xwing"
SEED_BYTES: Final = 32
_MLKEM_SEED_BYTES: Final = 64
_MLKEM_PUBLIC_BYTES: Final = 1184

_PublicKey = X25519PublicKey | hpke.MLKEM768X25519PublicKey
_PrivateKey = X25519PrivateKey | hpke.MLKEM768X25519PrivateKey


class _Algorithm(NamedTuple):
    suite: hpke.Suite
    public_bytes: int
    sealed_overhead: int  # encapsulated key and tag
    public: Callable[[bytes], _PublicKey]
    private: Callable[[bytes], _PrivateKey]
    public_of: Callable[[bytes], bytes]


def _xwing_halves(seed: bytes) -> tuple[MLKEM768PrivateKey, X25519PrivateKey]:
    expanded = hashlib.shake_256(seed).digest(_MLKEM_SEED_BYTES + SEED_BYTES)
    return (
        MLKEM768PrivateKey.from_seed_bytes(expanded[:_MLKEM_SEED_BYTES]),
        X25519PrivateKey.from_private_bytes(expanded[_MLKEM_SEED_BYTES:]),
    )


def _xwing_public(raw: bytes) -> hpke.MLKEM768X25519PublicKey:
    return hpke.MLKEM768X25519PublicKey(
        MLKEM768PublicKey.from_public_bytes(raw[:_MLKEM_PUBLIC_BYTES]),
        X25519PublicKey.from_public_bytes(raw[_MLKEM_PUBLIC_BYTES:]),
    )


def _xwing_public_of(seed: bytes) -> bytes:
    mlkem, x25519 = _xwing_halves(seed)
    return mlkem.public_key().public_bytes_raw() + x25519.public_key().public_bytes_raw()


def _x25519_public_of(seed: bytes) -> bytes:
    return X25519PrivateKey.from_private_bytes(seed).public_key().public_bytes_raw()


_ALGORITHMS: Final = MappingProxyType(
    {
        X25519: _Algorithm(
            hpke.Suite(hpke.KEM.X25519, hpke.KDF.HKDF_SHA256, hpke.AEAD.CHACHA20_POLY1305),
            32,
            32 + 16,
            X25519PublicKey.from_public_bytes,
            X25519PrivateKey.from_private_bytes,
            _x25519_public_of,
        ),
        XWING: _Algorithm(
            hpke.Suite(hpke.KEM.MLKEM768_X25519, hpke.KDF.HKDF_SHA256, hpke.AEAD.CHACHA20_POLY1305),
            _MLKEM_PUBLIC_BYTES + 32,
            1120 + 16,
            _xwing_public,
            lambda seed: hpke.MLKEM768X25519PrivateKey(*_xwing_halves(seed)),
            _xwing_public_of,
        ),
    },
)
_RECIPIENT_LABELS: Final = {f"warp-recipient-{kind}": kind for kind in _ALGORITHMS}
_IDENTITY_LABELS: Final = {f"warp-identity-{kind}": kind for kind in _ALGORITHMS}


@dataclass(frozen=True, slots=True)
class Recipient:
    """A public key to encrypt to; `str()` is its text."""

    kind: str
    raw: bytes

    @classmethod
    def parse(cls, line: str) -> Self:
        """From its text; raises UsageError."""
        kind, raw = text.decode_as(line, _RECIPIENT_LABELS)
        if len(raw) != _ALGORITHMS[kind].public_bytes:
            raise UsageError(f"a {kind} recipient has {_ALGORITHMS[kind].public_bytes} bytes, not {len(raw)}")
        return cls(kind, raw)

    def __str__(self) -> str:
        return text.encode(f"warp-recipient-{self.kind}", self.raw)

    def seal(self, plaintext: bytes, info: bytes) -> bytes:
        """HPKE output (encapsulated key ‖ ciphertext); raises UsageError for a key that is no point or lattice key."""
        algorithm = _ALGORITHMS[self.kind]
        try:
            return algorithm.suite.encrypt(plaintext, algorithm.public(self.raw), info)
        except ValueError:
            raise UsageError(f"this {self.kind} recipient is no valid public key") from None


@dataclass(frozen=True, slots=True, repr=False)
class Identity:
    """A private key that opens what was sealed to its `recipient`."""

    kind: str
    seed: bytes

    @classmethod
    def generate(cls, kind: str = XWING) -> Self:
        """A new random key; raises UsageError for an unknown kind."""
        if kind not in _ALGORITHMS:
            raise UsageError(f"unknown kind of key {kind!r}: one of {', '.join(_ALGORITHMS)}")
        return cls(kind, os.urandom(SEED_BYTES))

    @classmethod
    def parse(cls, line: str) -> Self:
        """From its secret text; raises UsageError."""
        kind, seed = text.decode_as(line, _IDENTITY_LABELS)
        if len(seed) != SEED_BYTES:
            raise UsageError(f"a {kind} identity has {SEED_BYTES} bytes, not {len(seed)}")
        return cls(kind, seed)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Self:
        """From a key file; raises NotFoundError, UsageError, OSError."""
        return cls.parse(text.read_secret_line(path))

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write a new key file, mode 0600, with the recipient as a comment; raises UsageError, OSError."""
        line = text.encode(f"warp-identity-{self.kind}", self.seed)
        text.write_secret(path, [f"public key: {self.recipient}"], line)

    @property
    def recipient(self) -> Recipient:
        """The public half."""
        return Recipient(self.kind, _ALGORITHMS[self.kind].public_of(self.seed))

    def open(self, sealed: bytes, info: bytes) -> bytes:
        """The plaintext of `Recipient.seal`; raises IntegrityError if it was sealed to another key or changed."""
        algorithm = _ALGORITHMS[self.kind]
        try:
            return algorithm.suite.decrypt(sealed, algorithm.private(self.seed), info)
        except (InvalidTag, ValueError):
            raise IntegrityError("the key slot is for another identity, or damaged") from None

    def __repr__(self) -> str:
        return f"Identity(kind={self.kind!r})"


def sealed_bytes(kind: str, plaintext_bytes: int) -> int:
    """Length of what `seal` returns."""
    return _ALGORITHMS[kind].sealed_overhead + plaintext_bytes


def load_recipient(text_or_path: str | os.PathLike[str]) -> Recipient:
    """From a recipient's text, or a file with it or with its identity. Raises NotFoundError, UsageError, OSError."""
    line = text.line_of(text_or_path, "warp-recipient-")
    if line.strip().lower().startswith("warp-identity-"):
        return Identity.parse(line).recipient
    return Recipient.parse(line)
