"""Further connections that join a first one: whose may, how many, and what a stranger learns."""

import dataclasses

import blake3
import pytest
from tests.unit.protocol.common import SECRET, TAG
from tests.unit.protocol.dialogue import (
    DIALER,
    FURTHER,
    LINK,
    LISTENER,
    Side,
    dialer,
    door,
    gathering,
    hello,
    listener,
    shake,
)  # fmt: skip

from warp_portal.errors import BusyError, NotFoundError, ProtocolError, WarpPortalError, WrongKeyError
from warp_portal.protocol.claims import ByJoin
from warp_portal.protocol.door import Door
from warp_portal.protocol.ending import Close, CloseCode
from warp_portal.protocol.handshake import Joins, Listener, Proved
from warp_portal.protocol.hello import BRANCHES, FEATURES, Role
from warp_portal.protocol.proofs import Link, Prover, check_join_tag, join_tag, ticket_tag
from warp_portal.protocol.proving import Confirm, Method, Prove

BINDING = FURTHER.binding(LINK.group)


def join(at: Door, link: Link = FURTHER, first: Link = LINK) -> tuple[Side, Side]:
    return shake(dialer(ByJoin(first), link), listener(at, link))


def knock(at: Door, prove: Prove, link: Link = FURTHER) -> WarpPortalError | None:
    """What a listener finds wrong with a proof."""
    side = Side(listener(at, link))
    side.hear(hello(Role.SINK))
    side.hear(prove)
    return side.error


def test_group_and_tag_are_what_the_document_says() -> None:
    group = blake3.blake3(LINK.exporter, derive_key_context="warp-portal 2026-11 join group v1").digest()[:16]
    assert LINK.group == group
    key = blake3.blake3(LINK.exporter, derive_key_context="warp-portal 2026-11 join proof v1").digest()
    for prover in Prover:
        message = bytes([prover]) + FURTHER.exporter + DIALER + LISTENER + group
        assert join_tag(LINK.exporter, prover, BINDING) == blake3.blake3(message, key=key).digest()


def test_who_has_the_first_connection_joins_it() -> None:
    left, right = join(gathering())
    assert (left.names(), right.names()) == (["HELLO", "PROVE"], ["HELLO", "CONFIRM"])
    (proved,) = left.told
    assert isinstance(proved, Proved)
    assert (proved.method, proved.session) == (Method.JOIN, LINK.group)
    assert right.told == [Joins(LINK.group), proved]


def test_a_listener_takes_data_before_it_says_so() -> None:
    session = listener(gathering(), FURTHER)
    session.receive(hello(Role.SINK))
    tag = join_tag(LINK.exporter, Prover.DIALER, BINDING)
    names = [type(output).__name__ for output in session.receive(Prove(Method.JOIN, session=LINK.group, tag=tag))]
    assert names == ["Joins", "Send", "Proved"]


def test_a_join_of_a_connection_is_worth_nothing_on_another() -> None:
    tag = join_tag(LINK.exporter, Prover.DIALER, BINDING)
    replayed = Prove(Method.JOIN, session=LINK.group, tag=tag)
    assert knock(gathering(), replayed) is None
    assert isinstance(knock(gathering(), replayed, Link(b"G" * 32, DIALER, LISTENER)), WrongKeyError)
    # The first one itself is no further one of its own.
    assert isinstance(knock(gathering(), replayed, LINK), WrongKeyError)


@pytest.mark.parametrize("first", [b"F" * 32, bytes(32), b"x" * 32])
def test_who_has_not_the_first_connection_does_not_join(first: bytes) -> None:
    prove = Prove(Method.JOIN, session=LINK.group, tag=join_tag(first, Prover.DIALER, BINDING))
    assert isinstance(knock(gathering(), prove), WrongKeyError)


def test_other_proofs_are_no_join() -> None:
    for tag in (
        TAG,
        join_tag(LINK.exporter, Prover.LISTENER, BINDING),
        ticket_tag(LINK.exporter, Prover.DIALER, BINDING),
        ticket_tag(SECRET, Prover.DIALER, BINDING),
    ):
        assert isinstance(knock(gathering(), Prove(Method.JOIN, session=LINK.group, tag=tag)), WrongKeyError)


def test_another_machine_does_not_join_though_it_knows_the_exporter() -> None:
    stranger = Link(b"F" * 32, b"M" * 32, LISTENER)
    tag = join_tag(LINK.exporter, Prover.DIALER, stranger.binding(LINK.group))
    assert isinstance(knock(gathering(), Prove(Method.JOIN, session=LINK.group, tag=tag), stranger), WrongKeyError)


def test_a_stranger_does_not_learn_which_connections_there_are() -> None:
    over = gathering()
    over.part(LINK.group)
    other = Link(b"o" * 32, DIALER, LISTENER)
    answers = set[bytes]()
    for at, first in ((door(), LINK), (over, LINK), (gathering(), other), (gathering(), dataclasses.replace(LINK))):
        secret = b"x" * 32 if first == LINK else first.exporter
        side = Side(listener(at, FURTHER))
        side.hear(hello(Role.SINK))
        tag = join_tag(secret, Prover.DIALER, FURTHER.binding(first.group))
        side.hear(Prove(Method.JOIN, session=first.group, tag=tag))
        answers.add(side.said[-1].serialize())
    assert answers == {Close(CloseCode.AUTH, "no proof, or a wrong one").serialize()}


def test_one_too_many_is_told_so_and_the_secret_of_nobody_opens_nothing() -> None:
    at = gathering(2)
    for _ in range(2):
        assert join(at)[1].error is None
    left, right = join(at)
    assert isinstance(right.error, BusyError)
    assert isinstance(left.told[0].error(), BusyError)  # type: ignore[attr-defined]  # it is Closed
    nobody = Prove(Method.JOIN, session=bytes(16), tag=join_tag(bytes(32), Prover.DIALER, FURTHER.binding(bytes(16))))
    assert isinstance(knock(at, nobody), WrongKeyError)


def test_nobody_joins_a_connection_that_is_over() -> None:
    at = gathering()
    at.part(LINK.group)
    assert isinstance(join(at)[1].error, WrongKeyError)
    with pytest.raises(NotFoundError):
        at.join(LINK.group)


def test_who_has_not_agreed_to_further_connections_has_none() -> None:
    ours = dataclasses.replace(hello(Role.SOURCE), features=FEATURES & ~BRANCHES)
    side = Side(Listener(FURTHER, ours, gathering()))
    side.hear(hello(Role.SINK))
    side.hear(Prove(Method.JOIN, session=LINK.group, tag=join_tag(LINK.exporter, Prover.DIALER, BINDING)))
    assert isinstance(side.error, ProtocolError)


def test_a_dialer_joins_only_its_listener_and_only_if_that_has_the_first_too() -> None:
    left, _ = join(gathering(), Link(b"F" * 32, DIALER, b"M" * 32))
    assert isinstance(left.error, WrongKeyError)
    assert left.names() == ["HELLO", "CLOSE"]
    side = Side(dialer(ByJoin(LINK), FURTHER))
    side.hear(hello(Role.SOURCE))
    prove = side.said[-1]
    assert isinstance(prove, Prove)
    side.hear(Confirm(tag=prove.tag))
    assert isinstance(side.error, WrongKeyError)


def test_the_tag_is_compared_whole() -> None:
    tag = join_tag(LINK.exporter, Prover.DIALER, BINDING)
    check_join_tag(tag, LINK.exporter, Prover.DIALER, BINDING)
    for bit in range(256):
        changed = bytearray(tag)
        changed[bit // 8] ^= 1 << bit % 8
        with pytest.raises(WrongKeyError):
            check_join_tag(bytes(changed), LINK.exporter, Prover.DIALER, BINDING)
