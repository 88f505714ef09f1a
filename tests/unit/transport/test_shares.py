"""How much of what a sender has read the other side has, by its answers."""

from warp_portal.transport.tree_sending import Shares


def test_what_is_not_wanted_of_a_page_is_there() -> None:
    shares = Shares()
    for fragments in (10, 20, 30):
        shares.list(fragments)
    shares.answer(0, 4)
    shares.answer(1, 20)
    assert (shares.listed, shares.had) == (60, 6)
    # What came damaged is asked for again.
    shares.answer(0, 2)
    assert shares.had == 6
    shares.answer(2, 0)
    assert (shares.listed, shares.had) == (60, 36)
