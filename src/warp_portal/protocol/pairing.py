"""The proof of a short code: CPace over the words, and tags that confirm it (docs/transfer-protocol.md §4).

    tag(r) = BLAKE3_keyed(derive_key(context, ISK), r ‖ share of the dialer ‖ share of the listener)

CPace (draft-irtf-cfrg-cpace, ristretto255 and SHA-512, the dialer as initiator) makes of a few bits a key of many, and whoever
doesn't know the words has one guess an exchange. Its channel identifier holds the exporter and both keys: two exchanges with
somebody in the middle give two keys. The exchange is `_native.Cpace` (dialer) and `_native.cpace_respond` (listener), which
take their scalars from the operating system's random numbers.
"""

import hmac
from typing import Final, NamedTuple

from warp_portal._native import blake3
from warp_portal.errors import WrongKeyError
from warp_portal.protocol.proofs import Link, Prover

CODE_CONTEXT: Final = "warp-portal 2026-11 code proof v1"
CHANNEL_LABEL: Final = b"warp-portal code v1"
_NAMEPLATE_BYTES: Final = 4


class Shares(NamedTuple):
    """What both sides sent."""

    dialer: bytes
    listener: bytes


def channel_identifier(link: Link, nameplate: int) -> bytes:
    """Where the code is used: between these machines, on this connection."""
    number = nameplate.to_bytes(_NAMEPLATE_BYTES, "little")
    return CHANNEL_LABEL + link.exporter + link.dialer + link.listener + number


def code_tag(isk: bytes, prover: Prover, shares: Shares) -> bytes:
    """The tag (32 bytes) of one side."""
    return blake3(bytes([prover]) + shares.dialer + shares.listener, key=blake3(isk, context=CODE_CONTEXT))


def check_code_tag(tag: bytes, isk: bytes, prover: Prover, shares: Shares) -> None:
    """Raises WrongKeyError unless this is the tag of that side; the comparison takes the same time for any tag."""
    if not hmac.compare_digest(tag, code_tag(isk, prover, shares)):
        raise WrongKeyError(
            f"the {prover.name.lower()} has another code, or somebody is in between: look for a mistyped word and try again"
        )
