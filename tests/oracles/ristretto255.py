"""The group ristretto255 (RFC 9496 §4) in integers: slow, open to timing, and with no code of what it is compared with."""

P = 2**255 - 19
ORDER = 2**252 + 27742317777372353535851937790883648493

D = -121665 * pow(121666, -1, P) % P
SQRT_M1 = pow(2, (P - 1) // 4, P)
ONE_MINUS_D_SQ = (1 - D * D) % P
D_MINUS_ONE_SQ = (D - 1) ** 2 % P

IDENTITY = (0, 1, 1, 0)  # extended coordinates: x = X/Z, y = Y/Z, x·y = T/Z


def is_negative(x):
    return x % P & 1


def absolute(x):
    return -x % P if is_negative(x) else x % P


def sqrt_ratio_m1(u, v):
    """(whether u/v is a square, the root of it or of SQRT_M1·u/v), RFC 9496 §4.2."""
    r = u * pow(v, 3, P) * pow(u * pow(v, 7, P), (P - 5) // 8, P) % P
    check = v * r * r % P
    u %= P
    if check in (-u % P, -u * SQRT_M1 % P):
        r = r * SQRT_M1 % P
    return check in (u, -u % P), absolute(r)


SQRT_AD_MINUS_ONE = P - sqrt_ratio_m1(-D - 1, 1)[1]  # of its two roots RFC 9496 §4.1 has the odd one
INVSQRT_A_MINUS_D = sqrt_ratio_m1(1, -1 - D)[1]


def add(p, q):
    a = (p[1] - p[0]) * (q[1] - q[0])
    b = (p[1] + p[0]) * (q[1] + q[0])
    c = 2 * D * p[3] * q[3]
    d = 2 * p[2] * q[2]
    e, f, g, h = b - a, d - c, d + c, b + a
    return (e * f % P, g * h % P, f * g % P, e * h % P)


def multiply(scalar, point):
    result = IDENTITY
    for bit in f"{scalar % ORDER:b}":
        result = add(result, result)
        if bit == "1":
            result = add(result, point)
    return result


def decode(encoded):
    """The element of 32 bytes; None if they are those of none (§4.3.1)."""
    s = int.from_bytes(encoded, "little")
    if len(encoded) != 32 or s >= P or is_negative(s):
        return None
    u1, u2 = (1 - s * s) % P, (1 + s * s) % P
    v = (-D * u1 * u1 - u2 * u2) % P
    square, root = sqrt_ratio_m1(1, v * u2 * u2)
    x = absolute(2 * s * root * u2)
    y = u1 * root * root * u2 * v % P
    if not square or is_negative(x * y) or y == 0:
        return None
    return (x, y, 1, x * y % P)


def encode(point):
    """The 32 bytes of an element (§4.3.2)."""
    x0, y0, z0, t0 = point
    u1, u2 = (z0 + y0) * (z0 - y0), x0 * y0
    _, root = sqrt_ratio_m1(1, u1 * u2 * u2)
    z_inverse = root * u1 * root * u2 * t0
    if is_negative(t0 * z_inverse):
        x, y, d = y0 * SQRT_M1, x0 * SQRT_M1, root * u1 * INVSQRT_A_MINUS_D
    else:
        x, y, d = x0, y0, root * u2
    if is_negative(x * z_inverse):
        y = -y
    return absolute(d * (z0 - y)).to_bytes(32, "little")


def from_uniform(data):
    """The element of 64 bytes, each as likely as the others (§4.3.4)."""
    halves = (int.from_bytes(data[at : at + 32], "little") % 2**255 for at in (0, 32))
    return add(*map(_map, halves))


def _map(t):
    r = SQRT_M1 * t * t % P
    u = (r + 1) * ONE_MINUS_D_SQ
    v = (-1 - r * D) * (r + D) % P
    square, s = sqrt_ratio_m1(u, v)
    if not square:
        s, c = -absolute(s * t) % P, r
    else:
        c = -1
    n = c * (r - 1) * D_MINUS_ONE_SQ - v
    w0, w1, w2, w3 = 2 * s * v, n * SQRT_AD_MINUS_ONE, 1 - s * s, 1 + s * s
    return (w0 * w3 % P, w2 * w1 % P, w1 * w3 % P, w0 * w2 % P)
