"""Handshakes, whole ones and those with somebody who lies: who is let in, what is said, and what a stranger learns."""

import dataclasses

import pytest
from tests.unit.protocol.common import MESSAGES, SESSION, TAG
from tests.unit.protocol.dialogue import (
    CODE,
    DIALER,
    LINK,
    LISTENER,
    TICKET,
    Side,
    claims,
    clock,
    dialer,
    door,
    hello,
    listener,
    shake,
)  # fmt: skip

from warp_portal._native import Cpace
from warp_portal.errors import (
    BusyError,
    CancelledError,
    NotFoundError,
    PolicyError,
    ProtocolError,
    VersionError,
    WrongKeyError,
)  # fmt: skip
from warp_portal.protocol.claims import ByCode, ByPeer, ByTicket, Claim
from warp_portal.protocol.code import ShortCode
from warp_portal.protocol.door import CODE_LIFE_S, Door
from warp_portal.protocol.ending import Close, CloseCode
from warp_portal.protocol.fields import Message
from warp_portal.protocol.handshake import Handshake, Proved
from warp_portal.protocol.hello import Hello, Role
from warp_portal.protocol.proofs import Link, Prover, ticket_tag
from warp_portal.protocol.proving import Confirm, Confirmed, Method, Prove
from warp_portal.protocol.session import Closed

METHODS = ("ticket", "code", "peer")
WRONG = ShortCode(7, "abandon-zoo-lemon")
SAID = {
    "ticket": (["HELLO", "PROVE"], ["HELLO", "CONFIRM"]),
    "code": (["HELLO", "PROVE", "CONFIRMED"], ["HELLO", "CONFIRM"]),
    "peer": (["HELLO", "PROVE"], ["HELLO", "CONFIRM"]),
}


def last(side: Side) -> Close:
    message = side.said[-1]
    assert isinstance(message, Close)
    return message


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("role", Role)
def test_who_has_the_right_is_let_in(method: str, role: Role) -> None:
    other = Role.SINK if role == Role.SOURCE else Role.SOURCE
    left, right = shake(dialer(claims()[method], role=role), listener(door(), role=other))
    assert (left.names(), right.names()) == SAID[method]
    assert left.told == right.told
    (proved,) = left.told
    assert isinstance(proved, Proved)
    assert proved.method == Method[method.upper()]
    assert (proved.session, proved.nameplate) == (
        SESSION if method == "ticket" else None,
        7 if method == "code" else None,
    )


@pytest.mark.parametrize("method", METHODS)
def test_nothing_follows_the_proof(method: str) -> None:
    left, right = shake(dialer(claims()[method]), listener(door()))
    for side in (left, right):
        side.hear(MESSAGES["offer a tree"])
        assert isinstance(side.error, ProtocolError)


# At each turn: what may come. All other messages break the rules.
TURNS = {
    "a dialer at first": ({"hello"}, lambda: dialer(claims()["ticket"]), []),
    "a dialer with a ticket": ({"confirm a ticket"}, lambda: dialer(claims()["ticket"]), ["hello"]),
    "a dialer with a code": ({"confirm a code"}, lambda: dialer(claims()["code"]), ["hello"]),
    "a dialer as a peer": ({"confirm a peer"}, lambda: dialer(claims()["peer"]), ["hello"]),
    "a listener at first": ({"hello"}, lambda: listener(door(), role=Role.SINK), []),
    "a listener after HELLO": (
        {"prove by ticket", "prove by code", "prove as a peer", "prove to join"}, lambda: listener(door(), role=Role.SINK), ["hello"],
    ),
    "a listener after a guess": ({"confirmed"}, lambda: listener(door(), role=Role.SINK), ["hello", "guess"]),
}  # fmt: skip


def a_guess() -> Prove:
    return Prove(Method.CODE, nameplate=CODE.nameplate, share=Cpace(b"x", b"", b"").share)


def at_turn(turn: str) -> Handshake:
    _, make, before = TURNS[turn]
    session: Handshake = make()
    for name in before:
        session.receive(a_guess() if name == "guess" else MESSAGES[name])
    return session


@pytest.mark.parametrize("turn", TURNS)
@pytest.mark.parametrize("name", MESSAGES)
def test_a_message_out_of_turn_breaks_the_rules(turn: str, name: str) -> None:
    side = Side(at_turn(turn))
    side.hear(MESSAGES[name])
    if name in TURNS[turn][0]:
        assert not isinstance(side.error, ProtocolError)
    elif name == "close with a later code":
        assert side.told == [Closed(4_000_000_000, "gone fishing")]
        assert side.error is None
    else:
        assert isinstance(side.error, ProtocolError)
        assert side.told == []
        assert side.names() == ([] if name == "close" else ["CLOSE"])
    assert side.session.over == (side.error is not None or "close" in name)


def test_no_common_version_is_told_to_the_other_side() -> None:
    side = Side(listener(door()))
    side.hear(Hello(Role.SINK, bytes(32), lowest=2, highest=3))
    assert isinstance(side.error, VersionError)
    assert last(side).code == CloseCode.VERSION
    assert "1 to 1" in last(side).text
    assert "2 to 3" in last(side).text


def test_two_sources_have_nothing_to_say() -> None:
    left, right = shake(dialer(claims()["peer"], role=Role.SOURCE), listener(door()))
    assert isinstance(left.error, ProtocolError)
    assert isinstance(right.error, ProtocolError)


# Tickets


def refused_ticket(at: Door, secret: bytes = TICKET.secret, session: bytes = SESSION) -> tuple[Side, Side]:
    ticket = dataclasses.replace(TICKET, secret=secret, session=session)
    return shake(dialer(ByTicket(ticket)), listener(at))


def test_a_stranger_learns_nothing_of_sessions() -> None:
    """One that is there, one that is not, one that has expired and one that is over, for who has no right to any of them."""
    expired, over = clock(), door()
    expired.advance(10**9)
    over.end(SESSION)
    heard = {
        tuple(message.serialize() for message in refused_ticket(at, b"x" * 32, session)[1].said)
        for at, session in ((door(), SESSION), (door(), bytes(16)), (door(expired), SESSION), (over, SESSION))
    }
    assert len(heard) == 1
    _, right = refused_ticket(door(), b"x" * 32)
    assert isinstance(right.error, WrongKeyError)
    assert last(right) == Close(CloseCode.AUTH, "no proof, or a wrong one")


def test_the_secret_of_nobody_opens_no_session() -> None:
    _, right = refused_ticket(door(), bytes(32), bytes(16))
    assert isinstance(right.error, WrongKeyError)
    assert right.told == []


def test_who_holds_a_ticket_hears_that_it_has_expired() -> None:
    time = clock()
    time.advance(TICKET.expires_s - time.now_ns() // 10**9 - 1)
    assert refused_ticket(door(time))[1].error is None
    time.advance(1)
    left, right = refused_ticket(door(time))
    assert isinstance(right.error, PolicyError)
    assert last(right).code == CloseCode.REFUSED
    (closed,) = left.told
    assert isinstance(closed, Closed)
    assert isinstance(closed.error(), PolicyError)


def test_who_holds_a_ticket_hears_that_the_session_is_over() -> None:
    at = door()
    at.end(SESSION)
    assert isinstance(refused_ticket(at)[1].error, NotFoundError)
    at.admit(TICKET)
    assert refused_ticket(at)[1].error is None
    at.forget(SESSION)
    assert isinstance(refused_ticket(at)[1].error, WrongKeyError)


def test_a_ticket_serves_more_than_once() -> None:
    at, claim = door(), ByTicket(TICKET)
    for _ in range(3):
        left, right = shake(dialer(claim), listener(at))
        assert left.error is right.error is None


@pytest.mark.parametrize("claim", [ByTicket(TICKET), ByPeer(LISTENER)])
def test_a_dialer_says_nothing_to_another_machine(claim: Claim) -> None:
    left, right = shake(dialer(claim, Link(b"E" * 32, DIALER, b"M" * 32)), listener(door()))
    assert isinstance(left.error, WrongKeyError)
    assert left.names() == ["HELLO", "CLOSE"]
    assert right.told[0] == Closed(CloseCode.AUTH, "no proof, or a wrong one")


def test_a_tag_sent_back_proves_nothing() -> None:
    side = Side(dialer(claims()["ticket"]))
    side.hear(hello(Role.SOURCE))
    prove = side.said[0]
    assert isinstance(prove, Prove)
    side.hear(Confirm(tag=prove.tag))
    assert isinstance(side.error, WrongKeyError)


@pytest.mark.parametrize("other", [Link(b"F" * 32, DIALER, LISTENER), Link(b"E" * 32, b"M" * 32, LISTENER)])
def test_a_tag_of_another_connection_proves_nothing(other: Link) -> None:
    tag = ticket_tag(TICKET.secret, Prover.DIALER, other.binding(SESSION))
    side = Side(listener(door()))
    side.hear(hello(Role.SINK))
    side.hear(Prove(Method.TICKET, session=SESSION, tag=tag))
    assert isinstance(side.error, WrongKeyError)


# Codes


def wrong_code(at: Door) -> tuple[Side, Side]:
    return shake(dialer(ByCode(WRONG)), listener(at))


def test_a_wrong_code_stops_after_one_try() -> None:
    claim = ByCode(WRONG)
    left, right = shake(dialer(claim), listener(door()))
    assert isinstance(left.error, WrongKeyError)
    assert left.names() == ["HELLO", "PROVE", "CLOSE"]
    assert right.told == [Closed(CloseCode.AUTH, "no proof, or a wrong one")]
    left, _ = shake(dialer(claim), listener(door()))
    assert left.names() == ["HELLO", "CLOSE"]


def test_three_failures_kill_a_code() -> None:
    at = door()
    for _ in range(3):
        left, right = wrong_code(at)
        assert right.names() == ["HELLO", "CONFIRM"]
    left, right = shake(dialer(claims()["code"]), listener(at))
    assert isinstance(right.error, NotFoundError)
    assert last(right).code == CloseCode.NOT_FOUND
    assert left.told[0] == Closed(CloseCode.NOT_FOUND, last(right).text)


def test_the_third_try_may_be_right() -> None:
    at = door()
    wrong_code(at)
    wrong_code(at)
    left, right = shake(dialer(claims()["code"]), listener(at))
    assert left.error is right.error is None


def test_a_guess_counts_though_the_dialer_leaves_in_silence() -> None:
    at = door()
    for _ in range(3):
        session = listener(at)
        session.receive(hello(Role.SINK))
        session.receive(a_guess())
    assert isinstance(shake(dialer(claims()["code"]), listener(at))[1].error, NotFoundError)


@pytest.mark.parametrize("share", [bytes(32), b"\xff" * 32, b"\x01" + bytes(31)])
def test_a_share_that_is_none_counts_as_a_failure(share: bytes) -> None:
    at = door()
    for _ in range(3):
        side = Side(listener(at))
        side.hear(hello(Role.SINK))
        side.hear(Prove(Method.CODE, nameplate=7, share=share))
        assert isinstance(side.error, WrongKeyError)
        assert last(side).code == CloseCode.AUTH
    assert isinstance(shake(dialer(claims()["code"]), listener(at))[1].error, NotFoundError)


def test_a_listener_s_share_that_is_none_stops_the_dialer() -> None:
    side = Side(dialer(claims()["code"]))
    side.hear(hello(Role.SOURCE))
    side.hear(Confirm(tag=TAG, share=bytes(32)))
    assert isinstance(side.error, WrongKeyError)
    assert side.names() == ["PROVE", "CLOSE"]


def test_a_wrong_tag_after_the_shares_is_refused() -> None:
    side = Side(listener(door()))
    side.hear(hello(Role.SINK))
    side.hear(a_guess())
    side.hear(Confirmed(TAG))
    assert isinstance(side.error, WrongKeyError)
    assert side.told == []


def test_share_and_tag_sent_back_prove_nothing() -> None:
    side = Side(listener(door()))
    side.hear(hello(Role.SINK))
    side.hear(a_guess())
    confirm = side.said[0]
    assert isinstance(confirm, Confirm)
    side.hear(Confirmed(confirm.tag or b""))
    assert isinstance(side.error, WrongKeyError)


def test_a_man_in_the_middle_gets_nothing_from_a_code() -> None:
    """He ends one connection and begins another, and carries over all that is said: two exporters, two keys, no proof."""
    towards_him = Link(b"1" * 32, DIALER, b"M" * 32)
    from_him = Link(b"2" * 32, b"M" * 32, LISTENER)
    left, right = shake(dialer(claims()["code"], towards_him), listener(door(), from_him))
    assert isinstance(left.error, WrongKeyError)
    assert left.names() == ["HELLO", "PROVE", "CLOSE"]
    assert not any(isinstance(output, Proved) for output in (*left.told, *right.told))


@pytest.mark.parametrize("exporter", [b"1" * 32, b"2" * 32])
def test_another_exporter_alone_is_enough_to_fail(exporter: bytes) -> None:
    left, _ = shake(dialer(claims()["code"]), listener(door(), Link(exporter, DIALER, LISTENER)))
    assert isinstance(left.error, WrongKeyError)


def test_a_code_is_used_once() -> None:
    at = door()
    assert shake(dialer(claims()["code"]), listener(at))[1].error is None
    assert isinstance(shake(dialer(claims()["code"]), listener(at))[1].error, NotFoundError)
    at.show(CODE)
    assert shake(dialer(claims()["code"]), listener(at))[1].error is None


def test_of_two_at_once_the_quicker_one_is_let_in() -> None:
    at = door()
    sides = [(Side(dialer(ByCode(CODE))), Side(listener(at))) for _ in range(2)]
    for left, right in sides:
        left.hear(hello(Role.SOURCE, b"l"))
        right.hear(hello(Role.SINK, b"d"))
        right.hear(left.said[0])
        left.hear(right.said[0])
    for left, right in sides:
        right.hear(left.said[1])
    assert [type(right.error) for _, right in sides] == [type(None), NotFoundError]


def test_a_code_dies_ten_minutes_after_it_was_shown() -> None:
    for waited_s, answer in ((CODE_LIFE_S - 1, type(None)), (CODE_LIFE_S, NotFoundError)):
        time = clock()
        at = door(time)
        time.advance(waited_s)
        assert type(shake(dialer(claims()["code"]), listener(at))[1].error) is answer


# Peers, and ends


def test_a_peer_that_is_not_saved_is_a_stranger() -> None:
    at = door()
    at.drop(DIALER)
    _, right = shake(dialer(claims()["peer"]), listener(at))
    assert isinstance(right.error, WrongKeyError)
    assert last(right).code == CloseCode.AUTH


def test_a_side_may_end_it_before_anything_is_said() -> None:
    left, right = Side(dialer(claims()["peer"])), Side(listener(door()))
    right.carry_out(right.session.close(BusyError("8 sessions are open: wait")))
    assert last(right) == Close(CloseCode.BUSY, "too many sessions")
    left.hear(last(right))
    (closed,) = left.told
    assert isinstance(closed, Closed)
    assert isinstance(closed.error(), BusyError)
    assert left.session.close(CancelledError("stopped")) == ()


def test_what_comes_after_the_end_is_passed_over() -> None:
    session = listener(door())
    assert len(session.close(CancelledError("stopped"))) == 1
    for message in MESSAGES.values():
        assert session.receive(message) == ()
    assert session.close(CancelledError("stopped again")) == ()
    assert session.start() == ()


def test_no_secret_is_shown() -> None:
    left, right = shake(dialer(claims()["code"]), listener(door()))
    message: Message
    for message in (*left.said, *right.said):
        assert "abandon" not in repr(message)
    assert repr(TICKET.secret)[2:-1] not in f"{door()!r} {LINK!r} {left.session!r} {left.told!r}"
