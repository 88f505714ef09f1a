"""The record of a session that is sent: how far it is, over all its connections."""

from collections.abc import Callable
from contextlib import AbstractContextManager, closing
from pathlib import Path
from threading import Thread

import pytest

from warp_portal._native import Endpoint
from warp_portal.errors import PolicyError
from warp_portal.transport.destinations import IntoDirectory
from warp_portal.transport.dialing import Note
from warp_portal.transport.giving import Giver, SendPlan, begun
from warp_portal.transport.receiver import Receiver
from warp_portal.transport.routes import by_ticket
from warp_portal.transport.sender import Sender
from warp_portal.transport.serving import Server
from warp_portal.transport.state import SessionStore
from warp_portal.transport.taking import TakeRules
from warp_portal.transport.tree_sending import TreeCargo, shared
from warp_portal.transport.waiting import WaitPlan


def test_how_far_it_is_does_not_fall_back_with_a_new_connection(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"content")
    plan = SendPlan(TreeCargo(shared([str(tmp_path / "file")])))
    session, _ = begun(tmp_path / "state", plan)
    with session:
        giver = Giver(tmp_path / "state", session, plan)
        for done, told in ((24, 24), (12, 24), (29, 29), (0, 29)):
            giver.note(done)
            assert session.record.bytes_done == told


@pytest.mark.parametrize("make", [Sender, lambda state, plan, note: Server(state, plan, note, lambda _: None)])
def test_a_port_that_is_taken_leaves_no_session(
    make: Callable[[Path, SendPlan, Note], AbstractContextManager[object]], tmp_path: Path
) -> None:
    (tmp_path / "file").write_bytes(b"content")
    with closing(Endpoint(bytes(32), address="[::]:0", listen=True)) as taken:
        port = taken.address[1]
        plan = SendPlan(TreeCargo(shared([str(tmp_path / "file")])), wait=WaitPlan(port=port))
        with pytest.raises(OSError, match="Address already in use"), make(tmp_path / "state", plan, lambda _: None):
            pass
    assert SessionStore(tmp_path / "state").list() == ()


def test_who_is_not_wanted_hears_that_and_not_of_tickets(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"content")
    plan = SendPlan(TreeCargo(shared([str(tmp_path / "file")])))
    refusing = TakeRules(lambda *_: False)
    receiver = Receiver(tmp_path / "sink", IntoDirectory(tmp_path / "out"), lambda _: None, refusing)

    def come(ticket: str) -> None:
        with pytest.raises(PolicyError, match="the offer was not taken"):
            receiver.run(by_ticket(ticket))

    with Sender(tmp_path / "source", plan, lambda _: None) as sender:
        coming = Thread(target=come, args=(sender.waiting.ticket.text(),))
        coming.start()
        with pytest.raises(PolicyError, match=r"^the other side did not take it$"):
            sender.run()
        coming.join()
