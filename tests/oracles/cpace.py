"""CPACE-RISTR255-SHA512 of draft-irtf-cfrg-cpace-21, initiator and responder, with a scalar that is given."""

import hashlib

from tests.oracles import ristretto255

DSI = b"CPaceRistretto255"
BLOCK_BYTES = 128  # of SHA-512


def prepend_len(data):
    length, head = len(data), b""
    while length >= 128:
        head += bytes([length % 128 + 128])
        length //= 128
    return head + bytes([length]) + data


def lv_cat(*parts):
    return b"".join(map(prepend_len, parts))


def generator_string(password, channel, session):
    pad = max(0, BLOCK_BYTES - 1 - len(prepend_len(password)) - len(prepend_len(DSI)))
    return lv_cat(DSI, password, bytes(pad), channel, session)


def generator(password, channel, session):
    return ristretto255.from_uniform(hashlib.sha512(generator_string(password, channel, session)).digest())


def share(scalar, password, channel, session):
    return ristretto255.encode(ristretto255.multiply(scalar, generator(password, channel, session)))


def secret(scalar, their_share):
    """K, of 32 bytes; None if the protocol must stop."""
    element = ristretto255.decode(their_share)
    if element is None:
        return None
    encoded = ristretto255.encode(ristretto255.multiply(scalar, element))
    return None if encoded == bytes(32) else encoded


def key(secret, session, initiator, responder):
    """ISK; of each side its share and its associated data."""
    return hashlib.sha512(lv_cat(DSI + b"_ISK", session, secret) + lv_cat(*initiator) + lv_cat(*responder)).digest()
