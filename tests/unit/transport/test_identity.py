"""The machine's key: made once, private, and never shown."""

import os
import stat
import traceback
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.transport.common import at_once

from warp_portal.errors import SignatureError, UsageError
from warp_portal.keys import Machine, MachineKey, Signer, SigningKey, text
from warp_portal.secrecy import holds_private_key, redacted
from warp_portal.transport.identity import FILE_NAME, machine_key

# RFC 8032 §7.1, test 1.
SEED = bytes.fromhex("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60")
PUBLIC = bytes.fromhex("d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a")
SIGNED = bytes.fromhex(
    "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b"
)
MAKERS, PLACES = 4, 30
MAKE = """
import pathlib, sys
from warp_portal.transport.identity import machine_key
print("ready", flush=True)
sys.stdin.readline()
for place in range(int(sys.argv[2])):
    print(machine_key(pathlib.Path(sys.argv[1], str(place))).public)
"""


def test_the_key_is_that_of_rfc_8032() -> None:
    key = MachineKey(SEED)
    assert key.public == Machine(PUBLIC)
    assert key.sign(b"") == SIGNED
    key.public.verify(SIGNED, b"")
    with pytest.raises(SignatureError):
        key.public.verify(SIGNED, b"other")


@given(st.binary(min_size=32, max_size=32))
def test_keys_survive_their_texts(raw: bytes) -> None:
    assert Machine.parse(str(Machine(raw))) == Machine(raw)
    assert MachineKey.parse(MachineKey(raw).secret_text().upper()) == MachineKey(raw)


def test_keys_of_other_kinds_and_lengths_are_refused() -> None:
    with pytest.raises(UsageError, match="expected warp-machine, not a warp-signer: that is for --signer"):
        Machine.parse(str(SigningKey(SEED).public))
    with pytest.raises(UsageError, match="not a warp-machine-key: that is for the machine that made it"):
        Machine.parse(MachineKey(SEED).secret_text())
    with pytest.raises(UsageError, match="not a warp-machine: that is for `warp peers add`"):
        Signer.parse(str(Machine(PUBLIC)))
    with pytest.raises(UsageError, match="32 bytes, not 31"):
        Machine.parse(text.encode("warp-machine", PUBLIC[:31]))


def test_the_first_call_makes_a_private_file_and_others_read_it(tmp_path: Path) -> None:
    home = tmp_path / "state" / "warp-portal"
    key = machine_key(home)
    assert stat.S_IMODE(home.stat().st_mode) == 0o700
    assert stat.S_IMODE((home / FILE_NAME).stat().st_mode) == 0o600
    assert machine_key(home) == key
    assert f"# public key: {key.public}\n" in (home / FILE_NAME).read_text()
    assert [path.name for path in home.iterdir()] == [FILE_NAME]


def test_an_umask_of_nothing_opens_no_key(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        machine_key(tmp_path / "state")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "state" / FILE_NAME).stat().st_mode) == 0o600


def test_processes_that_come_at_once_get_one_key(tmp_path: Path) -> None:
    said = at_once(MAKE, *[(str(tmp_path), str(PLACES))] * MAKERS)
    assert len(set(said)) == 1
    assert said[0].split() == [str(machine_key(tmp_path / str(place)).public) for place in range(PLACES)]
    assert {path.name for path in tmp_path.glob("*/*")} == {FILE_NAME}


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o601])
def test_a_key_that_is_open_to_others_is_refused_and_stays(tmp_path: Path, mode: int) -> None:
    machine_key(tmp_path)
    path = tmp_path / FILE_NAME
    before = path.read_bytes()
    path.chmod(mode)
    with pytest.raises(UsageError, match=f"^{path}: .*open to others.*chmod 600"):
        machine_key(tmp_path)
    assert path.read_bytes() == before


@pytest.mark.parametrize("content", [b"", b"\xff" * 40, b"warp-machine-key:aa\n", b"a\nb\n"])
def test_a_file_that_holds_no_key_is_refused_and_stays(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / FILE_NAME
    path.write_bytes(content)
    path.chmod(0o600)
    with pytest.raises(UsageError, match=f"^{path}: .*put it back from a copy"):
        machine_key(tmp_path)
    assert path.read_bytes() == content


@pytest.mark.timeout(60)
def test_a_fifo_is_refused_and_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / FILE_NAME, 0o600)
    with pytest.raises(UsageError, match="regular file"):
        machine_key(tmp_path)


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(NotADirectoryError, match="file/state"):
        machine_key(tmp_path / "file" / "state")


def test_nothing_shows_the_secret(tmp_path: Path) -> None:
    key = machine_key(tmp_path)
    line = key.secret_text()
    shown = (repr(key), str(key), repr([key]), f"{key}")
    assert all(line not in each and key.seed.hex() not in each and repr(key.seed) not in each for each in shown)
    mistyped = line[:-1] + ("a" if line[-1] != "a" else "b")
    (tmp_path / FILE_NAME).write_text(mistyped)
    with pytest.raises(UsageError) as refused:
        machine_key(tmp_path)
    assert mistyped.partition(":")[2] not in "".join(traceback.format_exception(refused.value))


def test_a_secret_text_is_known_as_one_and_a_public_one_is_not() -> None:
    key = MachineKey(SEED)
    assert holds_private_key(f"foo {key.secret_text()}")
    assert not holds_private_key(str(key.public))
    assert key.secret_text() not in redacted(f"no file {key.secret_text()}")
