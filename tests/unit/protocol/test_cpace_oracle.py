"""The second implementation of CPace against the vectors of draft-irtf-cfrg-cpace, appendix B.3."""

import pytest
from tests.oracles import pake as cpace

SESSION = bytes.fromhex("7e4b4791d6a8ef019b936c79fb7f2c57")
CHANNEL = b"\nAinitiator\nBresponder"
SCALARS = (
    "da3d23700a9e5699258aef94dc060dfda5ebb61f02a5ea77fad53f4ff0976d08",
    "d2316b454718c35362d83d69df6320f38578ed5984651435e2949762d900b80d",
)
SHARES = (
    "383a85dd236978f17f8c8545b50dabc52a39fcdab2cf8bc531ce040ff77ca82d",
    "a6206309c0e8e5f579295e35997ac4300ab3fecec3c17f7b604f3e698fa1383c",
)
ISK = (
    "e91ccb2c0f5e0d0993a33956e3be59754f3f2b07db57631f5394452ea2e7b4354674eb1f5686c078462bf83bec72e8743df440108e638f35"
    "26d9b90e85be096f"
)
POINT = "2c3c6b8c4f3800e7aef6864025b4ed79bd599117e427c41bd47d93d654b4a51c"
SCALAR = "7cd0e075fa7955ba52c02759a6c90dbbfc10e6d40aea8d283e407d88cf538a05"
PRODUCT = "7c13645fe790a468f62c39beb7388e541d8405d1ade69d1778c5fe3e7f6b600e"


def number(hexed: str) -> int:
    return int.from_bytes(bytes.fromhex(hexed), "little")


def test_the_generator_is_that_of_the_draft() -> None:
    made = cpace.encode(cpace.generator(b"Password", CHANNEL, SESSION))
    assert made.hex() == "5e25411ca1ad7c9debfd0b33ad987a95cefef2d3f15dcc8bd26415a5dfe2e15a"


def test_shares_and_key_are_those_of_the_draft() -> None:
    a, b = (cpace.CPace(b"Password", CHANNEL, SESSION, number(SCALARS[i]), i == 0) for i in (0, 1))
    assert (a.share.hex(), b.share.hex()) == SHARES
    assert a.finish(b.share, b"ADa", b"ADb").hex() == ISK
    assert b.finish(a.share, b"ADb", b"ADa").hex() == ISK


def test_a_point_is_multiplied_as_in_the_draft() -> None:
    assert cpace.encode(cpace.multiply(number(SCALAR), cpace.decode(bytes.fromhex(POINT)))).hex() == PRODUCT


@pytest.mark.parametrize("share", ["2b" + POINT[2:], "00" * 32, "ff" * 32, POINT + "00"])
def test_a_share_that_is_none_is_refused(share: str) -> None:
    run = cpace.CPace(b"Password", CHANNEL, SESSION, number(SCALAR), True)
    with pytest.raises(cpace.BadShare):
        run.finish(bytes.fromhex(share))
