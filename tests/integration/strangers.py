"""A QUIC client of other people, aioquic, with raw public keys and the exporter added: for handshakes that ours would not make."""

import hashlib
import select
import socket
import time
from typing import Any, Final, Self, TypeVar

from aioquic import tls
from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic.connection import QuicConnection
from aioquic.quic.events import ConnectionTerminated, QuicEvent, StreamDataReceived
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_der_public_key

LONG_S: Final = 20.0
# RFC 7250: client_certificate_type and server_certificate_type, RawPublicKey alone in their lists.
RAW_KEYS: Final = ((19, b"\x01\x02"), (20, b"\x01\x02"))
Event = TypeVar("Event", bound=QuicEvent)


class RawKey:
    """An Ed25519 key where aioquic takes a certificate."""

    def __init__(self, spki: bytes) -> None:
        self.spki = spki

    @classmethod
    def of(cls, private: Ed25519PrivateKey) -> Self:
        return cls(private.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo))

    def public_bytes(self, _encoding: Encoding) -> bytes:
        return self.spki

    def public_key(self) -> Any:
        return load_der_public_key(self.spki)


class RawKeyContext(tls.Context):  # type: ignore[misc]  # its types are partial
    """TLS with a raw key of the other side, and the exporter of RFC 8446 §7.5."""

    def _set_peer_certificate(self, certificate: tls.Certificate) -> None:
        self._peer_certificate = RawKey(certificate.certificates[0][0])

    def _setup_traffic_protection(self, direction: tls.Direction, epoch: tls.Epoch, label: bytes) -> None:
        super()._setup_traffic_protection(direction, epoch, label)
        if label == b"s ap traffic":
            self._exporter_master = self.key_schedule.derive_secret(b"exp master")

    def exporter(self, label: bytes) -> bytes:
        algorithm = self.key_schedule.algorithm
        nothing = hashlib.new(algorithm.name).digest()
        secret = tls.hkdf_expand_label(algorithm, self._exporter_master, label, nothing, algorithm.digest_size)
        exported: bytes = tls.hkdf_expand_label(algorithm, secret, b"exporter", nothing, 32)
        return exported


class RawKeyConnection(QuicConnection):  # type: ignore[misc]  # as above
    """QUIC with that TLS."""

    tls: RawKeyContext

    def _initialize(self, peer_cid: bytes) -> None:
        super()._initialize(peer_cid)
        self.tls.__class__ = RawKeyContext
        self.tls.handshake_extensions += RAW_KEYS


class Stranger:
    """One connection over a socket of its own. It has no thread: it goes on while one waits in it."""

    def __init__(
        self, address: tuple[str, int], *, kind: type[QuicConnection], certificate: object, private: object, alpn: str
    ) -> None:
        configuration = QuicConfiguration(alpn_protocols=[alpn], verify_mode=0, initial_rtt=0.02)
        configuration.certificate, configuration.private_key = certificate, private
        self.quic = kind(configuration=configuration)
        self._address, self._heard = address, b""
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.connect(address)
        self.quic.connect(address, now=time.monotonic())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_raised: object) -> None:
        self.quic.close()
        self.greet()
        self._socket.close()

    def vanish(self) -> None:
        """Be gone without a word."""
        self._socket.close()

    def go_on(self, seconds: float) -> None:
        """Take what comes, and send what is due, for so long at most."""
        self._step(time.monotonic() + seconds)

    def greet(self) -> None:
        """Send what is to be sent, and wait for no answer."""
        for datagram, _ in self.quic.datagrams_to_send(time.monotonic()):
            self._socket.send(datagram)

    def exporter(self, label: bytes) -> bytes:
        """32 bytes that only the two ends of the connection know."""
        assert isinstance(self.quic.tls, RawKeyContext)
        return self.quic.tls.exporter(label)

    def allowed(self) -> tuple[int, int, int]:
        """What the other side lets it do: bytes, streams in both directions, streams in one."""
        return self.quic._remote_max_data, self.quic._remote_max_streams_bidi, self.quic._remote_max_streams_uni

    def allow_itself_all(self) -> None:
        """Forget these limits."""
        self.quic._remote_max_data = self.quic._remote_max_streams_bidi = self.quic._remote_max_streams_uni = 1 << 40
        self.quic._remote_max_stream_data_bidi_remote = self.quic._remote_max_stream_data_uni = 1 << 40

    def say(self, data: bytes, stream: int = 0, offset: int = 0) -> None:
        """Hand over bytes, which go with the next step; `offset` leaves some out."""
        if offset:
            sender = self.quic._get_or_create_stream_for_send(stream).sender
            sender._buffer_start = sender._buffer_stop = offset
        self.quic.send_stream_data(stream, data)

    def begin(self) -> None:
        """Begin a handshake, proving the address if that is asked for, and say nothing more."""
        self.greet()
        self._step(time.monotonic() + LONG_S)
        if self.quic._retry_count:
            self.greet()

    def ends_within(self, timeout_s: float) -> bool:
        """Go on for so long; whether the connection came to its end meanwhile."""
        until_s = time.monotonic() + timeout_s
        while time.monotonic() < until_s:
            self._step(until_s)
            if any(isinstance(event, ConnectionTerminated) for event in iter(self.quic.next_event, None)):
                return True
        return False

    def until(self, kind: type[Event], timeout_s: float = LONG_S) -> Event:
        """Go on until such an event; the end of the connection is an error, unless it is what is waited for."""
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline:
            while event := self.quic.next_event():
                if isinstance(event, kind):
                    return event
                assert not isinstance(event, ConnectionTerminated), event
            self._step(deadline)
        raise AssertionError(f"no {kind.__name__}")

    def _step(self, deadline: float) -> None:
        self.greet()
        timer = min(self.quic.get_timer() or deadline, deadline)
        ready, _, _ = select.select([self._socket], [], [], max(0.0, timer - time.monotonic()))
        if ready:
            self.quic.receive_datagram(self._socket.recv(1 << 16), self._address, time.monotonic())
        else:
            self.quic.handle_timer(time.monotonic())

    def hear(self, size: int) -> bytes:
        """So many bytes of what the other side says."""
        while len(self._heard) < size:
            self._heard += self.until(StreamDataReceived).data
        heard, self._heard = self._heard[:size], self._heard[size:]
        return heard
