import pytest

from warp_portal.errors import UsageError
from warp_portal.secrecy import holds_private_key, redacted, refuse_private_key

LINE = "warp-identity-xwing:abcdefgh234567"


@pytest.mark.parametrize(
    "value",
    [
        LINE,
        LINE.upper(),
        f"# public key: warp-recipient-xwing:aa\n{LINE}\n",
        f"foo/{LINE}/",
        f"key:{LINE}",
        "WARP-signing-key :aa",
        "warp-identity-x25519:",
        ["a", LINE],
        ("a", ["b", {"c": LINE}]),
        {LINE: 1},
    ],
)
def test_a_private_key_is_found_wherever_it_stands(value: object) -> None:
    assert holds_private_key(value)
    with pytest.raises(UsageError, match=r"^here: this is a private key itself: name the file") as refused:
        refuse_private_key(value, "here")
    assert "abcdefgh" not in str(refused.value).lower()


@pytest.mark.parametrize(
    "value",
    ["", "warp-identity.key", "warp-signing-key", "warp-recipient-xwing:aa", "warp-signer:aa", 7, None, [1, {}]],
)
def test_what_is_no_private_key_passes(value: object) -> None:
    refuse_private_key(value)


def test_a_table_without_bottom_is_searched_to_its_end() -> None:
    value: object = LINE
    for _ in range(100_000):
        value = {"a": value}
    assert holds_private_key(value)


def test_a_message_says_whose_key_it_does_not_repeat() -> None:
    assert redacted(f"no key file {LINE}!") == "no key file warp-identity-xwing:[redacted]!"
    assert redacted("not a warp-signing-key: that is for --sign") == "not a warp-signing-key: that is for --sign"
