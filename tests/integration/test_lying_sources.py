"""What a source that lies, dies or leaves at the wrong moment can do to a receiver that waits."""

import re
import secrets
from pathlib import Path

import pytest
import zstandard
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from tests.integration.lying import Entry, Liar, page
from tests.transfers import Pair
from warp_portal.protocol.ending import Done
from warp_portal.protocol.exchange import Lost, Want
from warp_portal.protocol.ranges import Ranges

HELLO = page([Entry(b"a", 5, [(0, 1)])], [b"hello"])


@pytest.fixture
def pair(tmp_path: Path) -> Pair:
    return Pair.at(tmp_path)


def tell_all(liar: Liar, session: bytes) -> None:
    """Send one file, and hear that it is there."""
    liar.begin(session)
    liar.page(HELLO)
    liar.fragments(0, 0, 1, b"hello")
    liar.finish()
    liar.hear(Done)


def test_who_heard_that_all_is_there_may_leave_without_a_word(pair: Pair, tmp_path: Path) -> None:
    key = Ed25519PrivateKey.generate()
    with pair.sink.listen(tmp_path / "out") as receiver, Liar(receiver.offer()["ticket"], key) as liar:
        tell_all(liar, secrets.token_bytes(16))
        liar.stranger.quic.close()
        liar.stranger.greet()
        assert receiver.ended() == 0, receiver.stderr
    assert (tmp_path / "out" / "a").read_bytes() == b"hello"
    assert pair.sink.sessions() == []


def test_what_is_offered_again_counts_as_there_only_when_it_is(pair: Pair, tmp_path: Path) -> None:
    target, session, key = tmp_path / "out", secrets.token_bytes(16), Ed25519PrivateKey.generate()
    more = page([Entry(b"a", 5, [(0, 1)]), Entry(b"b", 9, [(1, 1)])], [b"hello", b"important"])
    with pair.sink.listen(target) as receiver:
        ticket = receiver.offer()["ticket"]
        # Its connection is still there when it comes again, with one file more.
        with Liar(ticket, key) as liar, Liar(ticket, key) as again:
            tell_all(liar, session)
            again.begin(session)
            again.page(more)
            again.hear(Want)
            receiver.kill()
    with pair.sink.listen(target) as receiver, Liar(receiver.offer()["ticket"], key) as liar:
        liar.begin(session)
        liar.page(more)
        assert 1 in {at for first, end in liar.hear(Want).ranges.spans for at in range(first, end)}


def test_what_is_lost_before_its_page_is_here_fails_alone(pair: Pair, tmp_path: Path) -> None:
    key = Ed25519PrivateKey.generate()
    with pair.sink.listen(tmp_path / "out") as receiver, Liar(receiver.offer()["ticket"], key) as liar:
        liar.begin(secrets.token_bytes(16))
        liar.say(Lost(0, Ranges.of_spans([(1, 2)])))
        liar.page(page([Entry(b"a", 5, [(0, 1)]), Entry(b"b", 9, [(1, 1)])], [b"hello", b"important"]))
        liar.fragments(0, 0, 1, b"hello")
        liar.finish()
        done = liar.hear(Done)
        assert (done.restored, done.failed) == (1, 1)
    assert (tmp_path / "out" / "a").read_bytes() == b"hello"


def test_pages_behind_a_file_that_never_comes_take_little_memory(pair: Pair, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "something").touch()
    key = Ed25519PrivateKey.generate()
    with pair.sink.listen(tmp_path / "out") as receiver, Liar(receiver.offer()["ticket"], key) as liar:
        liar.begin(secrets.token_bytes(16))
        liar.page(page([Entry(b"!first", 1000, [(0, 1)])], [b"x" * 1000]))
        liar.hear(Want)
        # Hard links with long names: megabytes of memory a page, and next to nothing on the wire.
        names = [b"d000000" + b"a" * 3900 + b"%04d" % each for each in range(500)]
        links = [Entry(name, link=b"!first" + b"/b" * 2000) for name in names]
        raw = page([*links, Entry(b"d000000z", link=b"!first")])
        pack = zstandard.ZstdCompressor().compress
        for number in range(100):
            this = raw.replace(b"d000000", b"d%06d" % number)
            liar.page(this, 1, pack(this))
            liar.hear(Want)
        status = Path(f"/proc/{receiver.process.pid}/status").read_text()
        peak = int(re.findall(r"VmHWM:\s+(\d+)", status)[0])
        assert peak < 300_000, f"{peak:,} kB"
        # What was put aside is made when its turn comes.
        liar.fragments(0, 0, 1, b"x" * 1000)
        liar.finish()
        assert liar.hear(Done).restored == 101
    assert (tmp_path / "out" / "!first").stat().st_nlink == 101
