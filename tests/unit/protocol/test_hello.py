"""What two HELLOs agree on."""

import pytest

from warp_portal.errors import ProtocolError, VersionError
from warp_portal.protocol.hello import FEATURES, LZ4, NOTHING, ZSTD, Agreement, Hello, Role, agree, greased


def hello(role: Role, lowest: int = 1, highest: int = 1, features: int = FEATURES) -> Hello:
    return Hello(role, bytes(32), "", features, lowest, highest)


@pytest.mark.parametrize(("ours", "theirs", "version"), [((1, 1), (1, 1), 1), ((1, 3), (2, 5), 3), ((2, 9), (1, 4), 4)])
def test_the_highest_common_version_is_chosen(ours: tuple[int, int], theirs: tuple[int, int], version: int) -> None:
    here, there = hello(Role.SOURCE, *ours), hello(Role.SINK, *theirs)
    assert agree(here, there).version == agree(there, here).version == version


def test_no_common_version_names_both_ranges() -> None:
    with pytest.raises(VersionError, match=r"1 to 2 .* 3 to 4"):
        agree(hello(Role.SOURCE, 1, 2), hello(Role.SINK, 3, 4))


def test_features_of_both_are_used_and_the_random_bit_never() -> None:
    ours = hello(Role.SOURCE, features=greased(ZSTD | LZ4, coin=True))
    theirs = hello(Role.SINK, features=greased(LZ4 | 1 << 40, coin=True))
    assert agree(ours, theirs) == Agreement(1, LZ4)


def test_the_coin_decides_the_random_bit_alone() -> None:
    assert greased(FEATURES, coin=True) == FEATURES | NOTHING
    assert greased(FEATURES | NOTHING, coin=False) == FEATURES


def test_two_of_one_role_have_nothing_to_say() -> None:
    with pytest.raises(ProtocolError, match="sink"):
        agree(hello(Role.SINK), hello(Role.SINK))
