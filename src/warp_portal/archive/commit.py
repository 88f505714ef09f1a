"""The 256 bytes that make everything before them valid (docs/format.md §9)."""

import struct
from dataclasses import dataclass, replace
from typing import Final, Self

from warp_portal._native import ScopeKeys, blake3
from warp_portal.archive.limits import ALIGNMENT, DIGEST_BYTES, MAX_TOC, ZERO_DIGEST
from warp_portal.errors import FormatError, IntegrityError
from warp_portal.keys.signers import Signer, SigningKey

COMMIT_BYTES: Final = 256
MAGIC: Final = b"WCOMMIT1"
CHECKPOINT: Final = 1
SNAPSHOT: Final = 2
SIGNED: Final = 4

_SIGNED_BYTES: Final = 144
_MACED_BYTES: Final = 224
_SUMMED_BYTES: Final = 240
_TAG_BYTES: Final = 16
_SIGNING_CONTEXT: Final = b"warp-commit-v1\0\0"
_NO_SIGNATURE: Final = bytes(64)
_NO_TAG: Final = bytes(_TAG_BYTES)
_FIELDS: Final = struct.Struct("<8s5Q32sQ32sQQq64s16s16s16s")
assert _FIELDS.size == COMMIT_BYTES


@dataclass(frozen=True, slots=True)
class Commit:
    """One commit. `sealed` gives it its signature, MAC and checksum; `parse` checks only the checksum."""

    sequence: int
    previous: int
    offset: int
    toc_offset: int
    toc_bytes: int
    toc_digest: bytes
    chunks: int
    root: bytes
    stored_bytes: int
    flags: int
    time_ns: int
    signature: bytes = _NO_SIGNATURE
    signer_tag: bytes = _NO_TAG
    mac: bytes = _NO_TAG

    @property
    def snapshot(self) -> bool:
        """A state of the archive that readers may use; otherwise a checkpoint."""
        return bool(self.flags & SNAPSHOT)

    @property
    def signed(self) -> bool:
        """Whether it carries a signature."""
        return bool(self.flags & SIGNED)

    @property
    def end(self) -> int:
        """Offset of the first byte after it."""
        return self.offset + COMMIT_BYTES

    def serialize(self) -> bytes:
        """All 256 bytes, with the checksum."""
        body = self._pack(self.signature, self.signer_tag, self.mac)
        return body + blake3(body)[:_TAG_BYTES]

    def digest(self) -> bytes:
        """What names this commit: BLAKE3 of its 256 bytes."""
        return blake3(self.serialize())

    def sealed(self, keys: ScopeKeys, uuid: bytes, signing_key: SigningKey | None) -> "Commit":
        """The same commit with signature (if there is a key) and MAC (if the archive is encrypted)."""
        commit = replace(self, signature=_NO_SIGNATURE, signer_tag=_NO_TAG, mac=_NO_TAG)
        if signing_key is not None:
            commit = replace(commit, flags=commit.flags | SIGNED)
            signature = signing_key.sign(commit.signed_message(uuid))
            commit = replace(commit, signature=signature, signer_tag=signing_key.public.tag)
        return replace(commit, mac=commit.expected_mac(keys))

    def signed_message(self, uuid: bytes) -> bytes:
        """What the signature covers."""
        return _SIGNING_CONTEXT + uuid + self._pack(_NO_SIGNATURE, _NO_TAG, _NO_TAG)[:_SIGNED_BYTES]

    def check_mac(self, keys: ScopeKeys) -> None:
        """Raises IntegrityError unless someone with the archive key made this commit (plain archives: always passes)."""
        if self.mac != self.expected_mac(keys):
            raise IntegrityError(f"commit {self.sequence}: its MAC does not match: forged, or of another archive")

    def check_signature(self, uuid: bytes, signer: Signer) -> None:
        """Raises SignatureError unless `signer` signed this commit."""
        signer.verify(self.signature, self.signed_message(uuid))

    def expected_mac(self, keys: ScopeKeys) -> bytes:
        """The MAC that it must have; zero in a plain archive."""
        if not keys.suite:
            return _NO_TAG
        return keys.commit_mac(self._pack(self.signature, self.signer_tag, _NO_TAG)[:_MACED_BYTES])

    def _pack(self, signature: bytes, signer_tag: bytes, mac: bytes) -> bytes:
        return _FIELDS.pack(
            MAGIC,
            self.sequence,
            self.previous,
            self.offset,
            self.toc_offset,
            self.toc_bytes,
            self.toc_digest,
            self.chunks,
            self.root,
            self.stored_bytes,
            self.flags,
            self.time_ns,
            signature,
            signer_tag,
            mac,
            _NO_TAG,
        )[:_SUMMED_BYTES]

    @classmethod
    def parse(cls, raw: bytes) -> Self:
        """Read and check a commit by itself; its place in the file is the caller's to check. Raises FormatError."""
        if len(raw) != COMMIT_BYTES or raw[:8] != MAGIC:
            raise FormatError("commit: no magic")
        if blake3(memoryview(raw)[:_SUMMED_BYTES])[:_TAG_BYTES] != raw[_SUMMED_BYTES:]:
            raise FormatError("commit: its checksum does not match")
        commit = cls(*_FIELDS.unpack(raw)[1:-1])
        commit._check()
        return commit

    def _check(self) -> None:
        if self.flags & ~(CHECKPOINT | SNAPSHOT | SIGNED) or self.flags & 3 not in (CHECKPOINT, SNAPSHOT):
            raise FormatError("commit: flags")
        if self.sequence < 1 or self.offset % ALIGNMENT or self.previous % ALIGNMENT:
            raise FormatError("commit: sequence number or offsets")
        if (self.sequence == 1) != (self.previous == 0) or self.previous >= self.offset:
            raise FormatError("commit: the previous commit does not lie before it")
        if self.toc_offset < self.previous + COMMIT_BYTES:
            raise FormatError("commit: its TOC lies before the previous commit's end")
        padded = -(self.toc_offset + self.toc_bytes) % ALIGNMENT
        if self.toc_bytes > MAX_TOC or self.toc_offset + self.toc_bytes + padded != self.offset:
            raise FormatError("commit: the TOC does not end at it")
        if (self.chunks == 0) != (self.root == ZERO_DIGEST) or len(self.root) != DIGEST_BYTES:
            raise FormatError("commit: number of chunks and root contradict each other")
        if not self.signed and (self.signature != _NO_SIGNATURE or self.signer_tag != _NO_TAG):
            raise FormatError("commit: a signature that its flags do not announce")
