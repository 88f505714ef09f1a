"""Connections through the native module: what both ends see, over each carrier."""

import contextlib
import os
import selectors
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from typing import NamedTuple

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from warp_portal import _native as native
from warp_portal.errors import (
    CancelledError,
    ClosedError,
    IdentityError,
    ProtocolError,
    UnreachableError,
    UsageError,
    WarpPortalError,
)

CARRIERS = ("quic", "tcp", "pipe")
LONG_S = 20.0
DIALER, LISTENER = bytes([1]) * 32, bytes([2]) * 32
# Limits of docs/transfer-protocol.md §1 and §2.
UNPROVEN_MESSAGE, MESSAGE = 64 << 10, 1 << 20


class Pair(NamedTuple):
    dialer: native.Link
    listener: native.Link


def key(seed: bytes) -> bytes:
    return Ed25519PrivateKey.from_private_bytes(seed).public_key().public_bytes_raw()


@contextlib.contextmanager
def endpoint(seed: bytes, *, listen: bool = False) -> Iterator[native.Endpoint]:
    made = native.Endpoint(seed, address="127.0.0.1:0", listen=listen, window=4 << 20)
    try:
        yield made
    finally:
        made.close()


@contextlib.contextmanager
def endpoints() -> Iterator[tuple[native.Endpoint, native.Endpoint]]:
    with endpoint(DIALER) as client, endpoint(LISTENER, listen=True) as server:
        yield client, server


@contextlib.contextmanager
def pair(carrier: str) -> Iterator[Pair]:
    if carrier == "pipe":
        yield Pair(*native.pipe((key(DIALER), key(LISTENER)), os.urandom(32)))
        return
    with endpoints() as (client, server):
        yield connect(client, server, carrier)


def connect(client: native.Endpoint, server: native.Endpoint, carrier: str) -> Pair:
    dialer = dial(client, server, carrier)
    wait(server)
    listener = server.accept()
    assert listener is not None
    return Pair(dialer, listener)


def dial(
    client: native.Endpoint, server: native.Endpoint, carrier: str, expected: bytes | None = key(LISTENER)
) -> native.Link:
    host, port = server.address
    return client.dial(host, port, carrier=carrier, expected=expected, timeout=LONG_S)


def wait(thing: native.Endpoint | native.Link) -> None:
    assert is_readable(thing, LONG_S), "nothing came"


def is_readable(thing: native.Endpoint | native.Link, timeout_s: float = 0) -> bool:
    with selectors.DefaultSelector() as selector:
        selector.register(thing, selectors.EVENT_READ)
        return bool(selector.select(timeout_s))


def take(link: native.Link, count: int) -> list[bytes]:
    taken: list[bytes] = []
    while len(taken) < count:
        wait(link)
        taken += link.messages()
    return taken


def failure(link: native.Link) -> WarpPortalError:
    """Why the link failed, and what came before is nothing."""
    wait(link)
    with pytest.raises(WarpPortalError) as raised:
        link.messages()
    return raised.value


@pytest.mark.parametrize("carrier", CARRIERS)
def test_both_ends_know_each_other(carrier: str) -> None:
    with pair(carrier) as (dialer, listener):
        assert (dialer.peer, listener.peer) == (key(LISTENER), key(DIALER))
        assert dialer.exporter == listener.exporter
        assert len(dialer.exporter) == 32
        assert (dialer.dialed, listener.dialed) == (True, False)
        assert dialer.carrier == listener.carrier == carrier
        assert carrier == "pipe" or dialer.address.startswith("127.0.0.1:")


@pytest.mark.parametrize("carrier", CARRIERS)
def test_messages_arrive_in_order_in_both_directions(carrier: str) -> None:
    with pair(carrier) as (dialer, listener):
        dialer.authorize()
        listener.authorize()
        messages = [b"", b"one", os.urandom(MESSAGE), *(str(number).encode() for number in range(300))]
        for message in messages:
            assert dialer.send(message, LONG_S)
        assert take(listener, len(messages)) == messages
        for message in reversed(messages):
            assert listener.send(bytearray(message), LONG_S)
        assert take(dialer, len(messages)) == messages[::-1]
        size = sum(map(len, messages)) + 24 * len(messages)
        assert dialer.traffic() == listener.traffic() == (size, size)
        with pytest.raises(UsageError):
            dialer.send(bytes(MESSAGE + 1))


@pytest.mark.parametrize("carrier", CARRIERS)
def test_a_link_is_readable_exactly_while_messages_wait(carrier: str) -> None:
    with pair(carrier) as (dialer, listener):
        for _ in range(3):
            assert not is_readable(dialer)
            assert dialer.messages() == []
            dialer.send(b"to the listener")
            assert take(listener, 1) == [b"to the listener"]
            assert not is_readable(listener)
            listener.send(b"to the dialer")
            assert take(dialer, 1) == [b"to the dialer"]


@pytest.mark.parametrize("carrier", CARRIERS)
def test_an_end_is_seen_behind_the_last_message(carrier: str) -> None:
    with pair(carrier) as (dialer, listener):
        dialer.send(b"the last")
        dialer.finish()
        assert take(listener, 1) == [b"the last"]
        wait_for_end(listener)
        listener.send(b"so is this", LONG_S)
        listener.finish()
        assert take(dialer, 1) == [b"so is this"]
        wait_for_end(dialer)
        with pytest.raises(CancelledError):
            dialer.send(b"more")


def wait_for_end(link: native.Link) -> None:
    while not link.ended:
        wait(link)
        assert link.messages() == []
    assert is_readable(link)


@pytest.mark.parametrize("carrier", CARRIERS)
def test_a_peer_without_proof_sends_no_long_message(carrier: str) -> None:
    with pair(carrier) as (dialer, listener):
        dialer.send(bytes(UNPROVEN_MESSAGE))
        assert take(listener, 1) == [bytes(UNPROVEN_MESSAGE)]
        dialer.send(bytes(UNPROVEN_MESSAGE + 1))
        assert isinstance(failure(listener), ProtocolError)
        assert isinstance(failure(listener), ProtocolError)
        assert not listener.ended


@pytest.mark.parametrize("carrier", ["quic", "pipe"])
def test_the_code_and_the_text_of_a_close_arrive(carrier: str) -> None:
    with pair(carrier) as (dialer, listener):
        dialer.send(b"begins")
        take(listener, 1)
        dialer.abort(17, "no room\x1b[2J")
        closed = failure(listener)
        assert isinstance(closed, ClosedError)
        assert (closed.code, closed.text) == (17, "no room\x1b[2J")
        assert "\x1b" not in str(closed)
        assert isinstance(failure(dialer), CancelledError)


def test_over_tcp_an_abort_is_a_broken_connection_behind_what_was_said() -> None:
    with pair("tcp") as (dialer, listener):
        dialer.send(b"why")
        wait(listener)
        dialer.abort(17, "not told")
        assert take(listener, 1) == [b"why"]
        broken = failure(listener)
        assert isinstance(broken, UnreachableError)
        assert listener.address in str(broken)


@pytest.mark.parametrize("carrier", ["quic", "tcp"])
def test_another_machine_than_the_expected_one_is_refused(carrier: str) -> None:
    with endpoints() as (client, server):
        with pytest.raises(IdentityError):
            dial(client, server, carrier, expected=key(DIALER))
        assert dial(client, server, carrier).peer == key(LISTENER)
        assert dial(client, server, carrier, expected=None).peer == key(LISTENER)


def test_connections_are_accepted_until_none_waits() -> None:
    with endpoints() as (client, server):
        assert not is_readable(server)
        assert server.accept() is None
        links = [dial(client, server, carrier) for carrier in ("tcp", "tcp", "quic")]
        accepted: list[native.Link] = []
        while len(accepted) < len(links):
            wait(server)
            accepted += filter(None, [server.accept()])
        assert not is_readable(server)
        assert server.accept() is None
        assert {link.exporter for link in links} == {link.exporter for link in accepted}


def test_an_endpoint_outlives_garbage() -> None:
    with endpoints() as (client, server):
        host, port = server.address
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
            for length in (0, 1, 20, 21, 1200, 1452, 9000):
                udp.sendto(os.urandom(length), (host, port))
                # Long headers of QUIC v1 with garbage behind them.
                udp.sendto((b"\xc3\0\0\0\1\x14" + os.urandom(length + 1200))[:9000], (host, port))
        for garbage in (b"", b"\x16\x03\x01", b"GET / HTTP/1.1\r\n\r\n", os.urandom(5000)):
            with socket.create_connection((host, port)) as tcp, contextlib.suppress(OSError):
                tcp.sendall(garbage)
                tcp.shutdown(socket.SHUT_WR)
                while tcp.recv(4096):
                    pass
        for carrier in ("quic", "tcp"):
            dialer, listener = connect(client, server, carrier)
            dialer.send(b"alive")
            assert take(listener, 1) == [b"alive"]


@pytest.mark.parametrize("answer", [b"SSH-2.0-OpenSSH_9.2\r\n", b""], ids=["ssh", "nothing"])
def test_who_does_not_speak_the_protocol_is_no_wrong_identity(answer: bytes) -> None:
    with endpoint(DIALER) as client, socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            connection, _ = server.accept()
            with connection:
                connection.sendall(answer)
                connection.shutdown(socket.SHUT_WR)
                connection.recv(1 << 16)

        host, port = server.getsockname()
        with threaded(serve), pytest.raises((ProtocolError, UnreachableError)) as raised:
            client.dial(host, port, carrier="tcp", expected=key(LISTENER), timeout=LONG_S)
        assert isinstance(raised.value, ProtocolError if answer else UnreachableError)


@contextlib.contextmanager
def threaded(target: Callable[[], None]) -> Iterator[None]:
    thread = threading.Thread(target=target)
    thread.start()
    yield
    thread.join(LONG_S)
    assert not thread.is_alive()


def test_a_machine_that_does_not_answer_is_named() -> None:
    with endpoint(DIALER) as client:
        with socket.create_server(("127.0.0.1", 0)) as closed:
            host, port = closed.getsockname()
        with pytest.raises(UnreachableError, match=rf"127\.0\.0\.1:{port}.*refused"):
            client.dial(host, port, carrier="tcp", expected=None, timeout=LONG_S)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as deaf:
            deaf.bind(("127.0.0.1", 0))
            host, port = deaf.getsockname()
            with pytest.raises(UnreachableError, match=rf"127\.0\.0\.1:{port}: no answer"):
                client.dial(host, port, carrier="quic", expected=None, timeout=0.2)


def test_an_interrupt_ends_a_dial() -> None:
    with endpoint(DIALER) as client, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as deaf:
        deaf.bind(("127.0.0.1", 0))
        host, port = deaf.getsockname()

        def interrupt() -> None:
            deaf.recv(2048)  # the dial has begun
            os.kill(os.getpid(), signal.SIGINT)

        began = time.monotonic()
        with threaded(interrupt), pytest.raises(KeyboardInterrupt):
            client.dial(host, port, carrier="quic", expected=None, timeout=60)
        assert time.monotonic() - began < LONG_S


@pytest.mark.parametrize("carrier", ["quic", "tcp"])
def test_closing_an_endpoint_ends_its_links_and_frees_the_port(carrier: str) -> None:
    with endpoints() as (client, server):
        dialer, listener = connect(client, server, carrier)
        dialer.send(b"open")
        take(listener, 1)
        host, port = server.address
        server.close()
        server.close()
        assert isinstance(failure(listener), CancelledError)
        assert is_readable(server)
        with pytest.raises(CancelledError):
            server.accept()
        wait(dialer)
        again = native.Endpoint(LISTENER, address=f"{host}:{port}", listen=True)
        again.close()


def test_an_address_that_is_taken_is_an_error_of_the_system() -> None:
    with endpoint(LISTENER, listen=True) as server, pytest.raises(OSError, match="in use"):
        native.Endpoint(DIALER, address="{}:{}".format(*server.address), listen=True)


def test_a_full_queue_takes_no_more_and_says_so() -> None:
    with pair("pipe") as (dialer, listener):
        listener.authorize()
        sent = 0
        while dialer.send(bytes(MESSAGE), 0.2):
            sent += 1
        assert 4 <= sent <= 20
        assert take(listener, sent) == [bytes(MESSAGE)] * sent


@pytest.mark.parametrize(
    "wrong",
    [
        {"address": "localhost:0"}, {"address": "127.0.0.1"}, {"congestion": "reno"}, {"mtu_first": 1199},
        {"mtu_most": 1000}, {"window": 0}, {"idle": 0.0}, {"idle": -1.0}, {"idle": float("nan")},
    ],
    ids=str,
)  # fmt: skip
def test_parameters_out_of_range_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(UsageError):
        native.Endpoint(DIALER, **wrong)  # type: ignore[arg-type]


def test_arguments_are_checked_and_no_secret_is_shown() -> None:
    with pytest.raises(UsageError):
        native.Endpoint(DIALER[1:])
    with endpoint(DIALER) as client:
        assert DIALER.hex() not in repr(client)
        for host, carrier, expected in (
            ("localhost", "tcp", None), ("127.0.0.1", "sctp", None), ("127.0.0.1", "pipe", None), ("127.0.0.1", "tcp", b"short"),
        ):  # fmt: skip
            with pytest.raises(UsageError):
                client.dial(host, 1, carrier=carrier, expected=expected, timeout=1)
        receive, send = client.buffers
        assert min(receive, send) > 0
    with pytest.raises(UsageError):
        native.pipe((DIALER, b""), bytes(32))


def test_quic_tells_of_its_path() -> None:
    with pair("quic") as (dialer, listener):
        dialer.send(b"there")
        take(listener, 1)
        listener.send(b"and back")
        take(dialer, 1)
        rtt_s, mtu, window, lost = dialer.path()
        assert 0 <= rtt_s < LONG_S
        assert lost >= 0
        assert mtu == 0 or mtu >= 1200
        assert window == 0 or window >= 1200
