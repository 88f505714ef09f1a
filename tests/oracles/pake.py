"""CPace over ristretto255 with SHA-512, written from draft-irtf-cfrg-cpace (initiator and responder) and RFC 9496.

Numbers of Python, so neither fast nor constant in time; nothing of warp_portal is imported. Scalars are arguments.

    a, b = (CPace(b"words", b"channel", b"session", 1, first) for first in (True, False)); a.finish(b.share) == b.finish(a.share)
"""

import hashlib

P = 2**255 - 19
ORDER = 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, -1, P) % P
SQRT_M1 = pow(2, (P - 1) // 4, P)
DSI = b"CPaceRistretto255"
HASH_BLOCK = 128


class BadShare(Exception):
    """No group element, or the neutral one."""


class CPace:
    """One side of a run."""

    def __init__(self, password, channel, session, scalar, initiator):
        self.session, self.scalar, self.initiator = session, scalar, initiator
        self.share = encode(multiply(scalar, generator(password, channel, session)))

    def finish(self, share, data=b"", their_data=b""):
        """The ISK."""
        point = decode(share)
        secret = bytes(32) if point is None else encode(multiply(self.scalar, point))
        if secret == bytes(32):
            raise BadShare
        ours, theirs = lengths(self.share, data), lengths(share, their_data)
        both = ours + theirs if self.initiator else theirs + ours
        return hashlib.sha512(lengths(DSI + b"_ISK", self.session, secret) + both).digest()


def generator(password, channel, session):
    padding = bytes(max(0, HASH_BLOCK - 1 - len(lengths(password)) - len(lengths(DSI))))
    digest = hashlib.sha512(lengths(DSI, password, padding, channel, session)).digest()
    return add(map_to_curve(digest[:32]), map_to_curve(digest[32:]))


def lengths(*parts):
    """Each part behind its length in LEB128."""
    return b"".join(leb128(len(part)) + part for part in parts)


def leb128(number):
    return bytes([number]) if number < 128 else bytes([number & 127 | 128]) + leb128(number >> 7)


def negative(number):
    return number % P & 1


def absolute(number):
    return -number % P if negative(number) else number % P


def sqrt_ratio(u, v):
    """(whether u/v is a square, the non-negative root of u/v or of i·u/v), RFC 9496 §4.2."""
    root = u * pow(v, 3, P) * pow(u * pow(v, 7, P), (P - 5) // 8, P) % P
    check = v * root * root % P
    if check in (-u % P, -u * SQRT_M1 % P):
        root = root * SQRT_M1 % P
    return check in (u % P, -u % P), absolute(root)


ONE_MINUS_D_SQ = (1 - D * D) % P
D_MINUS_ONE_SQ = (D - 1) ** 2 % P
INVSQRT_A_MINUS_D = sqrt_ratio(1, -1 - D)[1]
# The one of the two roots that RFC 9496 §4.1 lists is odd, so no "non-negative" one.
SQRT_AD_MINUS_ONE = -sqrt_ratio(-D - 1, 1)[1] % P


def map_to_curve(raw):
    """RFC 9496 §4.3.4."""
    t = int.from_bytes(raw, "little") & (1 << 255) - 1
    r = SQRT_M1 * t * t % P
    u, v = (r + 1) * ONE_MINUS_D_SQ % P, (-1 - r * D) * (r + D) % P
    square, s = sqrt_ratio(u, v)
    s, c = (s, -1) if square else (-absolute(s * t) % P, r)
    n = (c * (r - 1) * D_MINUS_ONE_SQ - v) % P
    w0, w1, w2, w3 = 2 * s * v, n * SQRT_AD_MINUS_ONE, 1 - s * s, 1 + s * s
    return w0 * w3 % P, w2 * w1 % P, w1 * w3 % P, w0 * w2 % P


def decode(raw):
    """The point, None for bytes that are none (RFC 9496 §4.3.1)."""
    s = int.from_bytes(raw, "little")
    if len(raw) != 32 or s >= P or negative(s):
        return None
    u1, u2 = (1 - s * s) % P, (1 + s * s) % P
    v = (-(D * u1 * u1) - u2 * u2) % P
    square, inverse = sqrt_ratio(1, v * u2 * u2 % P)
    dx = inverse * u2 % P
    x, y = absolute(2 * s * dx), u1 * inverse * dx * v % P
    t = x * y % P
    return None if not square or negative(t) or y == 0 else (x, y, 1, t)


def encode(point):
    """RFC 9496 §4.3.2."""
    x, y, z, t = point
    u1, u2 = (z + y) * (z - y) % P, x * y % P
    _, inverse = sqrt_ratio(1, u1 * u2 * u2 % P)
    d1, d2 = inverse * u1 % P, inverse * u2 % P
    z_inverse = d1 * d2 * t % P
    if negative(t * z_inverse):
        x, y, d2 = y * SQRT_M1 % P, x * SQRT_M1 % P, d1 * INVSQRT_A_MINUS_D % P
    if negative(x * z_inverse):
        y = -y % P
    return absolute(d2 * (z - y)).to_bytes(32, "little")


def add(left, right):
    """Unified addition in extended coordinates (RFC 8032 §5.1.4)."""
    x1, y1, z1, t1 = left
    x2, y2, z2, t2 = right
    a, b = (y1 - x1) * (y2 - x2) % P, (y1 + x1) * (y2 + x2) % P
    c, d = 2 * t1 * t2 * D % P, 2 * z1 * z2 % P
    e, f, g, h = b - a, d - c, d + c, b + a
    return e * f % P, g * h % P, f * g % P, e * h % P


def multiply(scalar, point):
    result = (0, 1, 1, 0)
    for bit in f"{scalar:b}":
        result = add(result, result)
        if bit == "1":
            result = add(result, point)
    return result
