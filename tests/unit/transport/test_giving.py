"""The record of a session that is sent: how far it is, over all its connections."""

from pathlib import Path

from warp_portal.transport.giving import Giver, SendPlan, begun
from warp_portal.transport.tree_sending import TreeCargo, shared


def test_how_far_it_is_does_not_fall_back_with_a_new_connection(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"content")
    plan = SendPlan(TreeCargo(shared([str(tmp_path / "file")])))
    session, _ = begun(tmp_path / "state", plan)
    with session:
        giver = Giver(tmp_path / "state", session, plan)
        for done, told in ((24, 24), (12, 24), (29, 29), (0, 29)):
            giver.note(done)
            assert session.record.bytes_done == told
