"""Strangers at an open port: whatever they do, the listener stays alive, lets none of them in, and an honest guest gets through."""

import contextlib
import random
import select
import socket
import ssl
import struct
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from aioquic.quic.connection import QuicConnection
from aioquic.quic.events import ConnectionTerminated, HandshakeCompleted
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from tests.integration.listening import GUEST, LONG_S, Host, come_in
from tests.integration.strangers import RawKey, RawKeyConnection, Stranger
from warp_portal import _native as native
from warp_portal.errors import ClosedError, UnreachableError
from warp_portal.protocol.ending import Close, CloseCode
from warp_portal.protocol.fields import Message
from warp_portal.protocol.hello import Hello, Role
from warp_portal.protocol.messages import parse
from warp_portal.protocol.proofs import Link, Prover, check_ticket_tag, ticket_tag
from warp_portal.protocol.proving import Confirm, Method, Prove

MINE, OTHER = Ed25519PrivateKey.generate(), Ed25519PrivateKey.generate()
HELLO = Hello(Role.SINK, bytes(32))
HEADER = struct.Struct("<BBHIQQ")  # docs/transfer-protocol.md §2
MESSAGE, PAGE, CHUNK = 1, 2, 3
UNPROVEN_MESSAGE, UNPROVEN_WINDOW = 64 << 10, 1 << 20
HALF_OPEN = 200
SHORT_S = 0.5


@pytest.fixture(scope="module")
def host() -> Iterator[Host]:
    """One for all of them: it has to bear what comes after, too."""
    with Host() as host:
        yield host


def still_open(host: Host) -> None:
    """None of those before came in, and who may still does."""
    for carrier in ("quic", "tcp"):
        come_in(host, carrier)
    assert host.welcomed == []


def certificate(key: Ed25519PrivateKey) -> x509.Certificate:
    name, now = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")]), datetime.now(UTC)
    builder = x509.CertificateBuilder(name, name, key.public_key(), 1, now, now + timedelta(days=1))
    return builder.sign(key, None)


def frame(payload: bytes, number: int = 0, kind: int = MESSAGE) -> bytes:
    return HEADER.pack(kind, 0, 0, len(payload), number, 0) + payload


def with_raw_key(host: Host) -> Stranger:
    """A stranger that does all right so far."""
    return Stranger(host.address, kind=RawKeyConnection, certificate=RawKey.of(MINE), private=MINE, alpn="warp/1")


def hear(stranger: Stranger) -> Message:
    size = HEADER.unpack(stranger.hear(HEADER.size))[3]
    return parse(stranger.hear(size))


# TLS alerts, RFC 8446 §6.
HANDSHAKE_FAILURE, BAD_CERTIFICATE, DECRYPT_ERROR, CERTIFICATE_REQUIRED, NO_PROTOCOL = 40, 42, 51, 116, 120
KEYS = {
    "an X.509 certificate": (QuicConnection, certificate(MINE), MINE, "warp/1", HANDSHAKE_FAILURE),
    "no raw public keys": (QuicConnection, None, None, "warp/1", HANDSHAKE_FAILURE),
    "another protocol": (RawKeyConnection, RawKey.of(MINE), MINE, "h3", NO_PROTOCOL),
    "no key at all": (RawKeyConnection, None, None, "warp/1", CERTIFICATE_REQUIRED),
    "a certificate for a raw key": (RawKeyConnection, certificate(MINE), MINE, "warp/1", BAD_CERTIFICATE),
    "somebody else's key": (RawKeyConnection, RawKey.of(OTHER), MINE, "warp/1", DECRYPT_ERROR),
}


@pytest.mark.parametrize("name", KEYS)
def test_a_handshake_without_its_own_raw_key_ends(host: Host, name: str) -> None:
    kind, shown, private, alpn, alert = KEYS[name]
    with Stranger(host.address, kind=kind, certificate=shown, private=private, alpn=alpn) as stranger:
        # CRYPTO_ERROR, RFC 9001 §4.8.
        assert stranger.until(ConnectionTerminated).error_code == 0x100 + alert
    still_open(host)


def test_another_implementation_comes_in_with_the_ticket(host: Host) -> None:
    """So those that are refused are refused for what they do, and both mean the same by the exporter."""
    ticket = host.ticket
    with with_raw_key(host) as stranger:
        stranger.until(HandshakeCompleted)
        ends = Link(stranger.exporter(b"EXPORTER-warp-portal session"), MINE.public_key().public_bytes_raw(), host.key)
        tag = ticket_tag(ticket.secret, Prover.DIALER, ends.binding(ticket.session))
        prove = Prove(Method.TICKET, session=ticket.session, tag=tag)
        stranger.say(frame(HELLO.serialize()) + frame(prove.serialize(), 1))
        assert isinstance(hear(stranger), Hello)
        confirm = hear(stranger)
        assert isinstance(confirm, Confirm)
        check_ticket_tag(confirm.tag or b"", ticket.secret, Prover.LISTENER, ends.binding(ticket.session))
    assert host.welcomed.pop() == ends.dialer
    still_open(host)


GARBAGE = {
    "noise": random.Random(1).randbytes(5000),
    "an unknown kind": frame(b"", kind=77),
    "a page before the proof": frame(bytes(100), kind=PAGE),
    "a chunk before the proof": frame(bytes(100), kind=CHUNK),
    "a message that is too long": HEADER.pack(MESSAGE, 0, 0, UNPROVEN_MESSAGE + 1, 0, 0),
    "a message of 4 GiB": HEADER.pack(MESSAGE, 0, 0, 2**32 - 1, 0, 0),
    "a message that is not next": frame(HELLO.serialize(), 1),
    "a message with an extension": HEADER.pack(MESSAGE, 0, 8, 0, 0, 0) + bytes(8),
}


@pytest.mark.parametrize("name", GARBAGE)
def test_what_is_no_frame_ends_the_connection(host: Host, name: str) -> None:
    with with_raw_key(host) as stranger:
        stranger.until(HandshakeCompleted)
        stranger.say(GARBAGE[name])
        assert stranger.until(ConnectionTerminated).error_code == CloseCode.PROTOCOL
    still_open(host)


SPEECH = {
    "noise": random.Random(2).randbytes(5000),
    "nothing": b"",
    "arrays in arrays": b"\x81" * UNPROVEN_MESSAGE,
    "an array that says it is long": b"\x9b" + b"\xff" * 8,
    "many items": b"\x99\xff\x00" + bytes(0xFF00),
    "a proof before HELLO": Prove(Method.PEER).serialize(),
}


@pytest.mark.parametrize("name", SPEECH)
def test_what_is_no_message_is_told_so(host: Host, name: str) -> None:
    with with_raw_key(host) as stranger:
        stranger.until(HandshakeCompleted)
        stranger.say(frame(SPEECH[name]))
        assert isinstance(hear(stranger), Hello)
        said = hear(stranger)
        assert isinstance(said, Close)
        assert said.code == CloseCode.PROTOCOL
    still_open(host)


def test_a_key_that_is_not_saved_and_a_wrong_tag_are_no_proof(host: Host) -> None:
    proofs = (Prove(Method.PEER), Prove(Method.TICKET, session=host.ticket.session, tag=bytes(32)))
    for prove in proofs:
        with with_raw_key(host) as stranger:
            stranger.until(HandshakeCompleted)
            stranger.say(frame(HELLO.serialize()) + frame(prove.serialize(), 1))
            assert isinstance(hear(stranger), Hello)
            assert hear(stranger) == Close(CloseCode.AUTH, "no proof, or a wrong one")
    still_open(host)


# What aioquic itself would not do, after it is told that it may; the codes are those of RFC 9000 §20.1.
FLOW_CONTROL_ERROR, STREAM_LIMIT_ERROR = 3, 4
BIDIRECTIONAL, UNIDIRECTIONAL = 4, 2  # the second stream of one kind, the first of the other


def test_before_the_proof_there_is_one_stream_and_one_window(host: Host) -> None:
    with with_raw_key(host) as stranger:
        stranger.until(HandshakeCompleted)
        assert stranger.allowed() == (UNPROVEN_WINDOW, 1, 0)
    for stream in (BIDIRECTIONAL, UNIDIRECTIONAL):
        with with_raw_key(host) as stranger:
            stranger.until(HandshakeCompleted)
            stranger.allow_itself_all()
            stranger.say(b"x", stream)
            assert stranger.until(ConnectionTerminated).error_code == STREAM_LIMIT_ERROR
    with with_raw_key(host) as stranger:
        stranger.until(HandshakeCompleted)
        stranger.allow_itself_all()
        stranger.say(b"x", offset=UNPROVEN_WINDOW)
        assert stranger.until(ConnectionTerminated).error_code == FLOW_CONTROL_ERROR
    still_open(host)


# TLS over TCP, by OpenSSL


def openssl(protocol: str, version: ssl.TLSVersion, identity: Path | None) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.minimum_version = context.maximum_version = version
    context.set_alpn_protocols([protocol])
    if identity is not None:
        context.load_cert_chain(identity)
    return context


@pytest.mark.parametrize("protocol", ["warp/1", "h2"])
@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_3, ssl.TLSVersion.TLSv1_2])
@pytest.mark.parametrize("shown", [True, False])
def test_tls_without_raw_keys_ends(
    host: Host, tmp_path: Path, protocol: str, version: ssl.TLSVersion, shown: bool
) -> None:
    identity = tmp_path / "identity.pem"
    private = MINE.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    identity.write_bytes(private + certificate(MINE).public_bytes(Encoding.PEM))
    context = openssl(protocol, version, identity if shown else None)
    with socket.create_connection(host.address, LONG_S) as plain, pytest.raises(ssl.SSLError, match=r"(?i)alert"):
        context.wrap_socket(plain)
    still_open(host)


# Bytes that are nothing


def beginnings() -> list[bytes]:
    """What looks like the beginning of something: of QUIC packets, of TLS records."""
    initial = b"\xc3\x00\x00\x00\x01\x08destined\x08sourced!\x00\x44\x00"
    return [
        b"",
        initial,
        b"\xc3\x00\x00\x00\x00",
        b"\xff\x6b\x33\x43\xcf",
        b"\x40",
        b"\x16\x03\x01\x40\x00\x01",
        b"\x17\x03\x03",
    ]


def test_noise_over_udp_is_passed_over(host: Host) -> None:
    noise = random.Random(3)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
        for number in range(2000):
            begun = beginnings()[number % len(beginnings())]
            stranger.sendto(begun + noise.randbytes(noise.choice((0, 1, 20, 1200 - len(begun), 8000))), host.address)
    still_open(host)


def test_noise_over_tcp_is_passed_over(host: Host) -> None:
    noise = random.Random(4)
    for number in range(100):
        said = beginnings()[number % len(beginnings())] + noise.randbytes(noise.randrange(5000))
        # The host may have ended it already.
        with socket.create_connection(host.address, LONG_S) as stranger, contextlib.suppress(OSError):
            stranger.sendall(said)
            if number % 3 == 0:
                # So it ends by a reset.
                stranger.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            elif number % 3 == 1:
                stranger.shutdown(socket.SHUT_WR)
    still_open(host)


# Those who take places and time


def test_silent_connections_hold_nobody_up(host: Host) -> None:
    """Each takes a place among those in their handshake, until newer ones come."""
    with contextlib.ExitStack() as held:
        strangers = [held.enter_context(socket.create_connection(host.address, LONG_S)) for _ in range(HALF_OPEN)]
        began_s = time.monotonic()
        still_open(host)
        assert time.monotonic() - began_s < 4, "as long as a handshake may take"
        assert is_over(strangers[0])


def test_handshakes_without_an_end_hold_nobody_up(host: Host) -> None:
    """Over QUIC, from addresses that were proved."""
    with contextlib.ExitStack() as held:
        for _ in range(HALF_OPEN):
            held.enter_context(with_raw_key(host)).begin()
        began_s = time.monotonic()
        still_open(host)
        assert time.monotonic() - began_s < 4, "as long as a handshake may take"


def is_over(stranger: socket.socket) -> bool:
    try:
        return stranger.recv(1) == b""
    except ConnectionResetError:
        return True


def test_a_handshake_of_single_bytes_is_given_up(host: Host) -> None:
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    session = openssl("warp/1", ssl.TLSVersion.TLSv1_3, None).wrap_bio(incoming, outgoing)
    with pytest.raises(ssl.SSLWantReadError):
        session.do_handshake()
    with socket.create_connection(host.address, LONG_S) as stranger:
        began_s = time.monotonic()
        for byte in outgoing.read():
            stranger.sendall(bytes([byte]))
            if select.select([stranger], [], [], SHORT_S / 2)[0]:
                break
        assert is_over(stranger)
        assert 4 < time.monotonic() - began_s < 10
    still_open(host)


def by_single_bytes(host: Host) -> None:
    """HELLO, a byte now and then."""
    with with_raw_key(host) as stranger:
        stranger.until(HandshakeCompleted)
        for byte in frame(HELLO.serialize()):
            stranger.say(bytes([byte]))
            if stranger.ends_within(SHORT_S / 10):
                return
    raise AssertionError("a stranger had all the time it wanted")


def after_hello(carrier: str) -> Callable[[Host], None]:
    """A link on which nothing follows."""

    def stay(host: Host) -> None:
        endpoint = native.Endpoint(GUEST, address="127.0.0.1:0")
        try:
            link = endpoint.dial(*host.address, carrier=carrier, expected=host.key, timeout=LONG_S)
            link.send(HELLO.serialize())
            while not link.ended:
                assert select.select([link], [], [], LONG_S)[0], "a stranger had all the time it wanted"
                link.messages()
        except (ClosedError, UnreachableError):
            return  # QUIC says that it was closed, TCP that it ended
        finally:
            endpoint.close()

    return stay


@pytest.mark.parametrize("stay", [by_single_bytes, after_hello("quic"), after_hello("tcp")])
def test_who_proves_nothing_is_shown_out(stay: Callable[[Host], None]) -> None:
    with Host(proof_s=SHORT_S) as host:
        stay(host)
        still_open(host)
