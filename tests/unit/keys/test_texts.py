"""Keys as text and as files."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from warp_portal.errors import IntegrityError, NotFoundError, UsageError
from warp_portal.keys import Argon2Cost, Identity, Recipient, Signer, SigningKey, load_recipient, load_signer, text
from warp_portal.keys.password import stretch

KINDS = ["x25519", "xwing"]


@given(st.sampled_from(["warp-signer", "warp-recipient-x25519"]), st.binary(max_size=60))
def test_a_key_survives_its_text(label: str, key: bytes) -> None:
    line = text.encode(label, key)
    assert text.decode(line) == (label, key)
    assert text.decode(f"  {line.upper()}\n") == (label, key)


@given(st.binary(min_size=32, max_size=32), st.data())
def test_a_mistyped_key_is_refused(key: bytes, data: st.DataObject) -> None:
    line = text.encode("warp-signer", key)
    at = data.draw(st.integers(len("warp-signer:"), len(line) - 1))
    letter = data.draw(st.sampled_from([letter for letter in "abcdefghijklmnopqrstuvwxyz234567" if letter != line[at]]))
    with pytest.raises(UsageError):
        text.decode(line[:at] + letter + line[at + 1 :])


@pytest.mark.parametrize(
    "line",
    [
        "",
        "hello",
        "warp-signer",
        "warp-signer:",
        "warp-signer:!!",
        "age1abc:aa",
        "warp-signer:a",
        "warp-\udc80:aaaaaaaaaa",
    ],
)
def test_what_is_no_key_is_refused(line: str) -> None:
    with pytest.raises(UsageError):
        text.decode(line)


@pytest.mark.parametrize("kind", KINDS)
def test_an_identity_file_is_secret_and_gives_its_recipient(kind: str, tmp_path: Path) -> None:
    identity, path = Identity.generate(kind), tmp_path / "identity"
    identity.save(path)
    assert path.stat().st_mode & 0o777 == 0o600
    assert Identity.load(path) == identity
    assert load_recipient(path) == identity.recipient
    assert load_recipient(str(identity.recipient)) == identity.recipient
    public = tmp_path / "recipient"
    public.write_text(f"# a friend\n{identity.recipient}\n")
    assert load_recipient(public) == identity.recipient
    with pytest.raises(UsageError, match="never overwritten"):
        identity.save(path)
    path.chmod(0o644)
    with pytest.raises(UsageError, match="chmod 600"):
        Identity.load(path)


@pytest.mark.parametrize("label", ["warp-identity-xwing", "warp-identity-x25519", "warp-signing-key"])
def test_a_secret_given_instead_of_its_file_is_not_repeated(label: str) -> None:
    line = text.encode(label, bytes(32))
    for load in (load_recipient, load_signer, Identity.load, SigningKey.load):
        for given_as in (line, line.upper(), f"./{line}", f"# public key: x\n{line}", f"{line}/me.key"):
            with pytest.raises(UsageError, match="name the file that holds it") as caught:
                load(given_as)
            assert line[-20:] not in str(caught.value).lower()


def test_a_signing_key_file_is_secret_and_gives_its_signer(tmp_path: Path) -> None:
    key, path = SigningKey.generate(), tmp_path / "signing-key"
    key.save(path)
    assert path.stat().st_mode & 0o777 == 0o600
    assert SigningKey.load(path) == key
    assert load_signer(path) == load_signer(str(key.public)) == key.public
    key.public.verify(key.sign(b"message"), b"message")


@pytest.mark.parametrize("kind", KINDS)
def test_only_the_identity_opens_what_is_sealed_to_it(kind: str) -> None:
    identity = Identity.generate(kind)
    sealed = identity.recipient.seal(b"key", b"info")
    assert identity.open(sealed, b"info") == b"key"
    for wrong in (
        lambda: identity.open(sealed, b"other"),
        lambda: Identity.generate(kind).open(sealed, b"info"),
        lambda: identity.open(b"", b"info"),
    ):
        with pytest.raises(IntegrityError):
            wrong()


def test_secrets_do_not_show() -> None:
    identity, key = Identity.generate("x25519"), SigningKey.generate()
    secrets = (identity.seed.hex(), key.seed.hex(), repr(identity.seed), repr(key.seed))
    shown = repr(identity) + str(identity) + repr(key) + str(key) + repr([identity, key])
    assert not any(secret in shown for secret in secrets)
    secret_line = text.encode("warp-identity-x25519", identity.seed)
    with pytest.raises(UsageError) as refused:
        Recipient.parse(secret_line)
    assert secret_line.split(":")[1][:10] not in str(refused.value)


def test_wrong_kinds_and_lengths_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError):
        Identity.generate("rsa")
    for parse, label in (
        (Recipient.parse, "warp-recipient-xwing"),
        (Identity.parse, "warp-identity-xwing"),
        (Signer.parse, "warp-signer"),
        (SigningKey.parse, "warp-signing-key"),
    ):
        with pytest.raises(UsageError):
            parse(text.encode(label, b"short"))
        with pytest.raises(UsageError):
            parse(text.encode("warp-else", bytes(32)))
    with pytest.raises(UsageError):
        Recipient("xwing", bytes([255]) * 1216).seal(b"key", b"")
    with pytest.raises(NotFoundError):
        load_signer(tmp_path / "none")
    (tmp_path / "two").write_text("warp-signer:a\nwarp-signer:b\n")
    with pytest.raises(UsageError, match="2 keys"):
        load_signer(tmp_path / "two")


def test_argon2_has_floors_and_ceilings() -> None:
    for cost in (
        Argon2Cost(1024),
        Argon2Cost(2**21),
        Argon2Cost(passes=1),
        Argon2Cost(passes=17),
        Argon2Cost(lanes=0),
        Argon2Cost(lanes=17),
    ):
        assert cost.defect()
        with pytest.raises(UsageError):
            stretch("geheim", bytes(32), cost)
    with pytest.raises(UsageError, match="empty"):
        stretch("", bytes(32), Argon2Cost())
    with pytest.raises(UsageError, match="not UTF-8"):
        stretch("caf\udce9", bytes(32), Argon2Cost())
