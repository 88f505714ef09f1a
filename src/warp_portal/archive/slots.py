"""Key slots (docs/format.md §3): one copy of the slot area as a value, and ways in and out of each kind of slot.

"WSLT" │ u32 generation │ u16 count │ u16 zero │ u32 used │ slots … │ MAC 32 │ zeros up to the copy's length
"""

import hmac
import os
import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final, Self

from warp_portal._native import ScopeKeys, blake3
from warp_portal.archive.limits import MAX_PASSPHRASE_SLOTS, MAX_SLOT_COPY
from warp_portal.errors import FormatError, IntegrityError, UsageError
from warp_portal.keys.password import Argon2Cost, stretch
from warp_portal.keys.recipients import Identity, Recipient, sealed_bytes

MAGIC: Final = b"WSLT"
PASSPHRASE: Final = 1
X25519: Final = 2
XWING: Final = 3
SLOT_ID_BYTES: Final = 8
ARCHIVE_KEY_BYTES: Final = 32
_SALT_BYTES: Final = 32
_TAG_BYTES: Final = 8
_COMMITMENT_BYTES: Final = 32
_WRAPPED_BYTES: Final = ARCHIVE_KEY_BYTES + 16
_MAC_BYTES: Final = 32

_COPY_HEAD: Final = struct.Struct("<4sIHHI")
_SLOT_HEAD: Final = struct.Struct("<BBH8s")
_PASSPHRASE_BODY: Final = struct.Struct("<32sIII32s48s")
_PASSPHRASE_CONTEXT: Final = b"warp.slot.v1\0\0\0\0"
_RECIPIENT_CONTEXT: Final = b"warp-portal slot v1\0"
_COMMITMENT_CONTEXT: Final = "warp-portal 2026-11 slot commitment v1"
_RECIPIENT_KINDS: Final = {X25519: "x25519", XWING: "xwing"}
_RECIPIENT_TYPES: Final = {kind: number for number, kind in _RECIPIENT_KINDS.items()}


@dataclass(frozen=True, slots=True)
class Slot:
    """One wrapped archive key. The body is kept as it stands, so that slots of unknown types survive a rewrite."""

    type: int
    slot_id: bytes
    body: bytes

    @property
    def kind(self) -> str:
        """Its type as a word."""
        return {PASSPHRASE: "passphrase", **_RECIPIENT_KINDS}.get(self.type, f"type {self.type}")

    @property
    def detail(self) -> str:
        """What else a person may want to know of it."""
        if self.type != PASSPHRASE:
            return ""
        _, memory, passes, lanes, _, _ = _PASSPHRASE_BODY.unpack(self.body)
        return f"Argon2id, {memory // 1024} MiB, {passes} passes, {lanes} lanes"

    def serialize(self) -> bytes:
        """Head and body."""
        return _SLOT_HEAD.pack(self.type, 0, len(self.body), self.slot_id) + self.body


@dataclass(frozen=True, slots=True)
class SlotCopy:
    """One of the two copies; `mac` is made and checked with the archive's keys.

    A copy that is not `whole` is what damage left: its MAC says nothing, and any of its slots may be wrong.
    """

    generation: int
    slots: tuple[Slot, ...]
    mac: bytes = bytes(_MAC_BYTES)
    whole: bool = True

    def body(self) -> bytes:
        """What the MAC covers."""
        slots = b"".join(slot.serialize() for slot in self.slots)
        return _COPY_HEAD.pack(MAGIC, self.generation, len(self.slots), 0, _COPY_HEAD.size + len(slots)) + slots

    def serialize(self, copy_bytes: int) -> bytes:
        """The whole copy of `copy_bytes`; raises UsageError if the slots do not fit."""
        content = self.body() + self.mac
        if len(content) > copy_bytes:
            raise UsageError(
                f"{len(self.slots)} key slots need {len(content)} bytes; this archive has room for {copy_bytes}"
            )
        return content.ljust(copy_bytes, b"\0")

    def check_mac(self, keys: ScopeKeys) -> None:
        """Raises IntegrityError unless someone with the archive key wrote these slots."""
        if not hmac.compare_digest(self.mac, keys.slot_mac(self.body())):
            raise IntegrityError("key slots: their MAC does not match: changed by someone without the key")

    @classmethod
    def parse(cls, raw: bytes) -> Self:
        """Read a copy; raises FormatError."""
        if not _COPY_HEAD.size + _MAC_BYTES <= len(raw) <= MAX_SLOT_COPY:
            raise FormatError("key slots: length of the copy")
        magic, generation, count, zero, used = _COPY_HEAD.unpack_from(raw)
        if magic != MAGIC or zero:
            raise FormatError("key slots: no magic")
        if not _COPY_HEAD.size <= used <= len(raw) - _MAC_BYTES or any(raw[used + _MAC_BYTES :]):
            raise FormatError("key slots: length of the slots, or bytes after them")
        slots = tuple(_split(raw[_COPY_HEAD.size : used]))
        if len(slots) != count or len({slot.slot_id for slot in slots}) != count:
            raise FormatError("key slots: their number or ids")
        if sum(slot.type == PASSPHRASE for slot in slots) > MAX_PASSPHRASE_SLOTS:
            raise FormatError(f"key slots: more than {MAX_PASSPHRASE_SLOTS} passphrases")
        return cls(generation, slots, raw[used : used + _MAC_BYTES])

    @classmethod
    def salvage(cls, copies: Iterable[bytes]) -> Self:
        """What can still be told of damaged copies: whatever looks like a slot, also behind one whose head is damaged."""
        slots = list(dict.fromkeys(slot for raw in copies for slot in _scanned(raw)))
        # As many as a whole copy may have: each costs what the passphrase of a whole one does.
        passphrases = [slot for slot in slots if slot.type == PASSPHRASE][:MAX_PASSPHRASE_SLOTS]
        return cls(0, (*(slot for slot in slots if slot.type != PASSPHRASE), *passphrases), whole=False)


def _scanned(raw: bytes) -> Iterator[Slot]:
    at = _COPY_HEAD.size
    while at < len(raw):
        slot = _slot_at(raw, at)
        if slot:
            yield slot
        at += _SLOT_HEAD.size + len(slot.body) if slot else 1


def _slot_at(raw: bytes, at: int) -> Slot | None:
    """A slot of a known type whose head lies there, if its length is right: three bytes of chance in a million places."""
    if at + _SLOT_HEAD.size > len(raw):
        return None
    kind, zero, length, slot_id = _SLOT_HEAD.unpack_from(raw, at)
    if zero or (kind != PASSPHRASE and kind not in _RECIPIENT_KINDS) or length != _body_bytes(kind, length):
        return None
    body = raw[at + _SLOT_HEAD.size : at + _SLOT_HEAD.size + length]
    return Slot(kind, slot_id, body) if len(body) == length else None


def _split(raw: bytes) -> Iterator[Slot]:
    while raw:
        if len(raw) < _SLOT_HEAD.size:
            raise FormatError("key slots: a slot is cut short")
        kind, zero, length, slot_id = _SLOT_HEAD.unpack_from(raw)
        body, raw = raw[_SLOT_HEAD.size : _SLOT_HEAD.size + length], raw[_SLOT_HEAD.size + length :]
        if zero or len(body) != length or length != _body_bytes(kind, length):
            raise FormatError("key slots: length of a slot")
        yield Slot(kind, slot_id, body)


def _body_bytes(kind: int, given: int) -> int:
    """The length that a slot of this type has; unknown types have any."""
    if kind == PASSPHRASE:
        return _PASSPHRASE_BODY.size
    if kind in _RECIPIENT_KINDS:
        return _TAG_BYTES + _COMMITMENT_BYTES + sealed_bytes(_RECIPIENT_KINDS[kind], ARCHIVE_KEY_BYTES)
    return given


def seal_for_passphrase(archive_key: bytes, uuid: bytes, passphrase: str, cost: Argon2Cost) -> Slot:
    """A slot that `passphrase` opens; raises UsageError for a cost outside the limits."""
    from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

    slot_id, salt = os.urandom(SLOT_ID_BYTES), os.urandom(_SALT_BYTES)
    info = _passphrase_info(uuid, slot_id, salt, cost)
    key, nonce, commitment = _passphrase_keys(stretch(passphrase, salt, cost), info)
    wrapped = ChaCha20Poly1305(key).encrypt(nonce, archive_key, info)
    body = _PASSPHRASE_BODY.pack(salt, cost.memory_kib, cost.passes, cost.lanes, commitment, wrapped)
    return Slot(PASSPHRASE, slot_id, body)


def open_with_passphrase(slot: Slot, uuid: bytes, passphrase: str) -> bytes | None:
    """The archive key, or None if the slot is for another passphrase.

    Raises:
        FormatError: the slot's cost is outside the limits; nothing is computed then.
        IntegrityError: the passphrase fits, and the wrapped key is damaged.
    """
    from cryptography.exceptions import InvalidTag
    from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

    salt, memory, passes, lanes, commitment, wrapped = _PASSPHRASE_BODY.unpack(slot.body)
    cost = Argon2Cost(memory, passes, lanes)
    if defect := cost.defect():
        raise FormatError(f"key slot: {defect}")
    info = _passphrase_info(uuid, slot.slot_id, salt, cost)
    key, nonce, expected = _passphrase_keys(stretch(passphrase, salt, cost), info)
    if not hmac.compare_digest(commitment, expected):
        return None
    try:
        return ChaCha20Poly1305(key).decrypt(nonce, wrapped, info)
    except InvalidTag:
        raise IntegrityError("key slot: the passphrase is right, but its wrapped key is damaged") from None


def passphrase_cost(slot: Slot) -> Argon2Cost:
    """What a guess at the passphrase of a slot costs."""
    _, memory, passes, lanes, _, _ = _PASSPHRASE_BODY.unpack(slot.body)
    return Argon2Cost(memory, passes, lanes)


def seal_for_recipient(archive_key: bytes, uuid: bytes, recipient: Recipient) -> Slot:
    """A slot that the identity of `recipient` opens; it does not name the recipient."""
    number, slot_id = _RECIPIENT_TYPES[recipient.kind], os.urandom(SLOT_ID_BYTES)
    info = _recipient_info(uuid, number, slot_id)
    body = bytes(_TAG_BYTES) + _recipient_commitment(archive_key, info) + recipient.seal(archive_key, info)
    return Slot(number, slot_id, body)


def open_with_identity(slot: Slot, uuid: bytes, identity: Identity) -> bytes | None:
    """The archive key, or None if the slot is for another identity (or damaged: HPKE cannot tell)."""
    if _RECIPIENT_KINDS.get(slot.type) != identity.kind:
        return None
    info = _recipient_info(uuid, slot.type, slot.slot_id)
    try:
        archive_key = identity.open(slot.body[_TAG_BYTES + _COMMITMENT_BYTES :], info)
    except IntegrityError:
        return None
    commitment = slot.body[_TAG_BYTES : _TAG_BYTES + _COMMITMENT_BYTES]
    if len(archive_key) != ARCHIVE_KEY_BYTES or not hmac.compare_digest(
        commitment, _recipient_commitment(archive_key, info)
    ):
        raise IntegrityError("key slot: its commitment does not match: made to open differently for different people")
    return archive_key


def _passphrase_info(uuid: bytes, slot_id: bytes, salt: bytes, cost: Argon2Cost) -> bytes:
    costs = struct.pack("<III", cost.memory_kib, cost.passes, cost.lanes)
    return uuid + bytes([PASSPHRASE]) + slot_id + salt + costs


def _passphrase_keys(stretched: bytes, info: bytes) -> tuple[bytes, bytes, bytes]:
    """Key, nonce and commitment."""
    okm = blake3(_PASSPHRASE_CONTEXT + struct.pack("<I", len(info)) + info, key=stretched, length=76)
    return okm[:32], okm[32:44], okm[44:]


def _recipient_info(uuid: bytes, number: int, slot_id: bytes) -> bytes:
    return _RECIPIENT_CONTEXT + uuid + bytes([number]) + slot_id


def _recipient_commitment(archive_key: bytes, info: bytes) -> bytes:
    return blake3(info, key=blake3(archive_key, context=_COMMITMENT_CONTEXT))
