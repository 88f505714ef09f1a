"""The 256 bytes at the start of an archive (docs/format.md §2): what it is, how it was cut, and what proves a key right."""

import struct
from dataclasses import dataclass
from typing import Final, Self

from warp_portal.archive.limits import (
    MAX_SLOT_COPY,
    SUITE_AES_256_GCM,
    SUITE_CHACHA20_POLY1305,
    SUITE_PLAIN,
    ZERO_DIGEST,
)
from warp_portal.errors import FormatError, VersionError
from warp_portal.primitives.cutting import BUZHASH64, FIXED, Cutting, Sizes

HEADER_BYTES: Final = 256
BODY_BYTES: Final = 224  # all but the MAC
MAGIC: Final = b"\x89WARP\r\n\x1a"
MAJOR: Final = 1
MINOR: Final = 0
ENCRYPTED: Final = 1  # the one incompatible feature so far
SLOT_GRAIN: Final = 256

_HASH_BLAKE3: Final = 1
_DERIVATION: Final = 1
_CUTTER_PARAMETERS: Final = {BUZHASH64: (2, 48), FIXED: (0, 0)}  # normalization, window
_SUITES: Final = (SUITE_PLAIN, SUITE_CHACHA20_POLY1305, SUITE_AES_256_GCM)
_BODY: Final = struct.Struct("<8sHHI QQQ 16s BBBBBB2x QI4x 3I3I 8x 32s qQ 64x".replace(" ", ""))
assert _BODY.size == BODY_BYTES
_ZERO_RANGES: Final = ((62, 64), (76, 80), (104, 112), (160, 224))


@dataclass(frozen=True, slots=True)
class Header:
    """The header's fields; `mac` is checked with `ScopeKeys.header_mac(header.body())` once the key is known."""

    uuid: bytes
    suite: int
    cutting: Cutting
    slot_copy_bytes: int
    key_commitment: bytes
    created_ns: int
    writer_features: int = 0
    optional_features: int = 0
    minor: int = MINOR
    mac: bytes = ZERO_DIGEST

    @property
    def encrypted(self) -> bool:
        """Whether anything but the format's frame is readable without a key."""
        return self.suite != SUITE_PLAIN

    @property
    def first_segment(self) -> int:
        """Offset of the first chunk or page."""
        return HEADER_BYTES + 2 * self.slot_copy_bytes

    def body(self) -> bytes:
        """The bytes that the MAC covers."""
        normalization, window = _CUTTER_PARAMETERS[self.cutting.algorithm]
        return _BODY.pack(
            MAGIC,
            MAJOR,
            self.minor,
            HEADER_BYTES,
            ENCRYPTED if self.encrypted else 0,
            self.writer_features,
            self.optional_features,
            self.uuid,
            _HASH_BLAKE3,
            self.suite,
            _DERIVATION,
            self.cutting.algorithm,
            normalization,
            window,
            HEADER_BYTES,
            self.slot_copy_bytes,
            *self.cutting.fragment,
            *self.cutting.chunk,
            self.key_commitment,
            self.created_ns,
            self.first_segment,
        )

    def serialize(self) -> bytes:
        """All 256 bytes."""
        return self.body() + self.mac

    @classmethod
    def parse(cls, raw: bytes) -> Self:
        """Read and check a header.

        Raises:
            FormatError: no archive, or a field outside its limits.
            VersionError: another major version, or a feature or algorithm that this version lacks.
        """
        if len(raw) != HEADER_BYTES or raw[:8] != MAGIC:
            raise FormatError("no Warp archive: the file does not start with its magic")
        fields = _BODY.unpack_from(raw)
        if fields[1] != MAJOR:
            raise VersionError(f"the archive has format version {fields[1]}; this program reads {MAJOR}: update it")
        _check_frame(raw, fields)
        header = cls(
            uuid=fields[7],
            suite=fields[9],
            cutting=Cutting(fields[11], Sizes(*fields[16:19]), Sizes(*fields[19:22])),
            slot_copy_bytes=fields[15],
            key_commitment=fields[22],
            created_ns=fields[23],
            writer_features=fields[5],
            optional_features=fields[6],
            minor=fields[2],
            mac=raw[BODY_BYTES:],
        )
        header._check(fields[4], fields[24])
        return header

    def _check(self, incompatible: int, first_segment: int) -> None:
        if (incompatible == ENCRYPTED) != self.encrypted:
            raise FormatError("header: suite and encryption flag contradict each other")
        if defect := self.cutting.defect():
            raise FormatError(f"header: {defect}")
        if self.slot_copy_bytes % SLOT_GRAIN or self.slot_copy_bytes > MAX_SLOT_COPY:
            raise FormatError(f"header: a slot copy of {self.slot_copy_bytes} bytes")
        if (self.slot_copy_bytes > 0) != self.encrypted:
            raise FormatError("header: key slots and encryption flag contradict each other")
        if not self.encrypted and self.key_commitment != ZERO_DIGEST:
            raise FormatError("header: a plain archive has no key commitment")
        if first_segment != self.first_segment:
            raise FormatError("header: the first segment does not follow the key slots")


def _check_frame(raw: bytes, fields: tuple[int, ...]) -> None:
    """The fields with one allowed value each, and the zero bytes."""
    if fields[4] & ~ENCRYPTED:
        raise VersionError("the archive needs a feature that this program lacks: update it")
    normalization_window = _CUTTER_PARAMETERS.get(fields[11])
    if (
        fields[8] != _HASH_BLAKE3
        or fields[9] not in _SUITES
        or fields[10] != _DERIVATION
        or normalization_window is None
    ):
        raise VersionError("the archive uses an algorithm that this program lacks: update it")
    if (fields[12], fields[13]) != normalization_window:
        raise FormatError("header: parameters of the cutter")
    if fields[3] != HEADER_BYTES or fields[14] != HEADER_BYTES:
        raise FormatError("header: its length or the place of the key slots")
    if any(any(raw[start:end]) for start, end in _ZERO_RANGES):
        raise FormatError("header: bytes that must be zero are not")
