"""benches/transfer.py: that two sides are run, measured, cut and ended, and that its data and networks are what they say."""

import re
import shutil
import subprocess
import sys
from pathlib import Path
from random import Random

import pytest
from benches import generated, lineup, links, loads, shipping, transfer_lineup
from benches.harness import CommandFailedError
from benches.links import Network
from benches.loads import Load
from benches.mover import Errand, Kind, Mover, Room, Trip, TwoSided
from benches.peer_movers import Croc, Rsync
from benches.shipping import CUT, RESUME, SECOND, SEND, Shipping
from benches.sides import Command, Side, Transfer
from benches.transfer_lineup import Ground
from tests.trees import differences

NEEDED = ("bash", "diff", "dd", "mkfifo", "rsync")
pytestmark = pytest.mark.skipif(
    not all(map(shutil.which, NEEDED)), reason="the transfer bench needs Linux with rsync: apt-get install rsync"
)


def sh(line: str, place: Path) -> Command:
    return Command(["sh", "-c", line], place, {"PATH": "/usr/bin:/bin:/usr/sbin:/sbin"})


class Piped(TwoSided):
    """A tool whose sides meet at a named pipe; its receiver can stop half way, and either can fail."""

    name, settings = "piped", "cat"
    ready = re.compile("ready (now)")
    updates = resumes = True
    stays = False

    def __init__(self, room: Room, sender: str = 'cat "$0" > pipe', receiver: str = 'cat pipe > "$0"') -> None:
        super().__init__(room, "sh")
        self.sender, self.receiver = sender, receiver

    def sending(self, errand: Errand) -> Command:
        line = f"rm -f pipe; mkfifo pipe; echo ready now; {self.sender}"
        return self.here(["sh", "-c", line, str(errand.source)])

    def taking(self, errand: Errand, found: re.Match[str]) -> Command:
        assert found[1] == "now"
        # What would be killed waits at a pipe of its own, to which nobody writes.
        halves = 'mkfifo half; head -c 60000 pipe > "$0"; cat half'
        line = halves if errand.kind is Kind.RESUME and not (self.room.scratch / "half").exists() else self.receiver
        return self.here(["sh", "-c", line, str(errand.target / errand.source.name)])

    def here(self, words: list[str]) -> Command:
        return Command(words, self.room.scratch, self.room.environment("both"))

    def told_s(self, sender: str, receiver: str) -> float | None:
        return 1.5


@pytest.fixture
def room(tmp_path: Path) -> Room:
    made = Room(tmp_path / "scratch", Network("here", "127.0.0.1"))
    made.scratch.mkdir()
    return made


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "old" / "noise.bin"
    path.parent.mkdir()
    generated.noise_file(path, 100_000)
    return path


@pytest.fixture
def target(tmp_path: Path) -> Path:
    path = tmp_path / "arrived"
    path.mkdir()
    return path


def load(file: Path, *, newer: Path | None = None, cut: bool = False) -> Load:
    return Load(file, newer, cut, 1, file.stat().st_size)


def test_a_side_is_measured_to_its_end(tmp_path: Path) -> None:
    with Side(sh("echo the port is 4433 >&2; exec sort /etc/passwd", tmp_path), tmp_path / "said") as side:
        assert side.wait_for(re.compile(r"port is (\d+)"))[1] == "4433"
        usage = side.ended()
        assert not side.alive
        assert not side.failed
    assert usage.peak_bytes > 100_000


def test_a_side_that_fails_says_why_without_its_ticket(tmp_path: Path) -> None:
    command = sh("echo go on with warp-ticket:agtacwban; echo no room >&2; exit 17", tmp_path)
    with Side(command, tmp_path / "said") as side, pytest.raises(CommandFailedError, match="exit 17") as caught:
        side.ended()
    assert "no room" in str(caught.value).split("\n", 1)[1]
    assert "agtacwban" not in str(caught.value).split("\n", 1)[1]


def test_a_side_that_ends_before_it_is_ready_has_failed(tmp_path: Path) -> None:
    with (
        Side(sh("echo no port", tmp_path), tmp_path / "said") as side,
        pytest.raises(CommandFailedError, match=r"ended too early(?s:.)*no port"),
    ):
        side.wait_for(re.compile("ready"))


def test_what_a_side_gets_on_stdin_arrives(tmp_path: Path) -> None:
    command = sh("cat", tmp_path)
    with Side(Command(command.words, tmp_path, command.environment, "a ticket\n"), tmp_path / "said") as side:
        side.ended()
        assert side.said == "a ticket\n"


def test_both_sides_are_run_and_measured(room: Room, file: Path, target: Path) -> None:
    moved = Piped(room).carry(Errand(file, target))
    assert (target / "noise.bin").read_bytes() == file.read_bytes()
    assert moved.wall_s > moved.ready_s > 0
    assert moved.cpu_s == moved.sender_cpu_s + moved.receiver_cpu_s
    assert min(moved.sender_peak_bytes, moved.receiver_peak_bytes) > 100_000
    assert (moved.told_s, moved.wire_bytes) == (1.5, None)


def test_a_receiver_does_not_wait_for_a_sender_that_failed(room: Room, file: Path, target: Path) -> None:
    failing = Piped(room, sender="echo nobody came; exit 5", receiver="cat pipe")
    with pytest.raises(CommandFailedError, match=r"exit 5(?s:.)*nobody came"):
        failing.carry(Errand(file, target))


def test_a_cut_transfer_is_resumed(room: Room, file: Path, target: Path) -> None:
    with Trip(Piped(room), Errand(file, target)) as trip:
        cut = trip.cut(file.stat().st_size)
        assert 50_000 <= (target / "noise.bin").stat().st_size <= 60_000
        assert cut.sender_cpu_s == 0
        resumed = trip.resume()
    assert (target / "noise.bin").read_bytes() == file.read_bytes()
    assert resumed.sender_peak_bytes > 100_000


def test_what_ends_before_it_can_be_cut_has_failed(room: Room, file: Path, target: Path) -> None:
    (room.scratch / "half").touch()
    with (
        Trip(Piped(room, receiver="head -c 10 pipe"), Errand(file, target)) as trip,
        pytest.raises(CommandFailedError, match="before it could be killed"),
    ):
        trip.cut(file.stat().st_size)


def test_a_round_sends_both_versions_and_compares_them(room: Room, file: Path, tmp_path: Path) -> None:
    newer = tmp_path / "new" / file.name
    newer.parent.mkdir()
    newer.write_bytes(b"another")
    rounds = Shipping(room, [Piped(room)], load(file, newer=newer))
    rounds.run(0)
    rounds.run(1)
    assert [(series.step, len(series.runs)) for series in rounds.table.series.values()] == [(SEND, 2), (SECOND, 2)]
    assert rounds.arrived == {"piped, send": (0, []), "piped, second version": (0, [])}
    assert list(room.scratch.glob("arrived")) == []
    assert not (room.scratch / "homes").exists()


def test_wrong_bytes_are_found_and_failures_kept(room: Room, file: Path) -> None:
    wrong, failing = Piped(room, receiver='cat pipe > /dev/null; echo wrong > "$0"'), Piped(room, sender="exit 3")
    failing.name = "failing"
    rounds = Shipping(room, [wrong, failing], load(file))
    rounds.run(0)
    assert rounds.arrived["piped, send"][0] == 1
    assert [(each.tool, each.step) for each in rounds.table.failures] == [("failing", SEND)]


def test_a_round_cuts_and_resumes(room: Room, file: Path) -> None:
    rounds = Shipping(room, [Piped(room)], load(file, cut=True))
    rounds.run(0)
    assert not rounds.table.failures
    assert [step for _, step in rounds.table.series] == [CUT, RESUME]
    assert rounds.arrived == {"piped, resume": (0, [])}


class Counting(Piped):
    """A network that counts a hundred thousand bytes at each look."""

    def __init__(self, room: Room) -> None:
        looks = iter(range(0, 10**9, 100_000))
        super().__init__(Room(room.scratch, Network("counting", "127.0.0.1", counter=lambda: next(looks))))


def test_bytes_sent_again_are_those_beyond_the_file(room: Room, file: Path) -> None:
    rounds = Shipping(room, [Counting(room)], load(file, cut=True))
    rounds.run(0)
    resumed = rounds.table.series["piped", RESUME].runs[0]
    assert isinstance(resumed, Transfer)
    assert (resumed.wire_bytes, resumed.again_bytes) == (100_000, 100_000)


def test_what_passes_a_relay_on_loopback_is_sent_once(room: Room) -> None:
    assert Croc(room, "croc").passes == 2
    assert Croc(Room(room.scratch, Network("line", "10.0.0.1", ["a"], ["b"])), "croc").passes == 1
    assert Piped(room).passes == 1


def test_tools_that_move_no_files_sit_out_trees(room: Room, tmp_path: Path) -> None:
    class Bytes(Piped):
        files = False

    tree = generated.small_files(tmp_path / "small", 5)[0] / "tree"
    rounds = Shipping(room, [Bytes(room)], Load(tree, None, False, 5, 1))
    rounds.run(0)
    assert not rounds.table.series
    assert not rounds.table.failures


def test_rsync_pulls_from_a_daemon(room: Room, tmp_path: Path, target: Path) -> None:
    old, new = (version / "tree" for version in generated.small_files(tmp_path / "small", 300))
    mover: Mover = Rsync(room, shutil.which("rsync") or "", "rsync", "-a")
    mover.carry(Errand(old, target))
    assert shipping.differences(old, target / "tree") == []
    mover.carry(Errand(new, target, Kind.UPDATE))
    assert shipping.differences(new, target / "tree", more=True) == []
    assert shipping.differences(new, target / "tree") != []  # nothing is deleted


def test_parts_of_a_tree_are_its_first_ones(tmp_path: Path) -> None:
    tree = generated.small_files(tmp_path / "small", 3000)[0] / "tree"
    assert loads.first_parts(tree, 1) == ["000", "001", "002"]
    assert loads.first_parts(tree, 0.4) == ["000"]
    assert loads.first_parts(tree, 0.0001) == ["000"]
    loads.copied(tree, tmp_path / "copy", ["000", "gone"])
    assert differences(tree / "000", tmp_path / "copy" / "000") == ""


def test_a_load_is_gone_afterwards(tmp_path: Path) -> None:
    with loads.prepared("file", 1e-5, tmp_path) as made:
        assert (made.source.stat().st_size, made.bytes, made.newer, made.cut) == (40_000, 40_000, None, False)
        assert made.source.read_bytes()[:100] == Random(3).randbytes(1 << 20)[:100]
    assert list(tmp_path.iterdir()) == []


def test_words_are_the_same_every_time_and_compress_like_text(tmp_path: Path) -> None:
    zstandard = pytest.importorskip("zstandard")
    for name in "ab":
        generated.text_file(tmp_path / name, 2_000_000)
    text = (tmp_path / "a").read_bytes()
    assert text == (tmp_path / "b").read_bytes()
    assert len(text) == 2_000_000
    assert 2 < len(text) / len(zstandard.compress(text, 3)) < 4


def test_tools_that_need_a_network_of_their_own_are_left_out_without_one(
    room: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lineup, "WARP", sys.executable)
    ground = Ground(room.scratch, room.network, None, "only root can make a network namespace")
    chosen = transfer_lineup.choose(["warp-tcp", "quinn", "rsync"], {"quinn": sys.executable}, ground)
    assert [entrant.key for entrant, _ in chosen.present] == ["warp-tcp", "rsync"]
    assert chosen.absent == {"quinn": "only root can make a network namespace"}
    with pytest.raises(SystemExit, match="unknown tools: nc"):
        transfer_lineup.choose(["nc"], {}, ground)


def test_networks_count_what_goes_over_them() -> None:
    if reason := links.reason_without("tc"):
        pytest.skip(reason)
    with links.line("100mbit") as network:
        before = network.bytes()
        assert before is not None
        sent = ["bash", "-c", f"head -c 40000 /dev/zero > /dev/udp/{network.host}/9"]
        assert shown([*network.receiver, *sent]) == ""
        assert (network.bytes() or 0) - before >= 40_000
        assert "100Mbit" in shown([*network.sender, "tc", "class", "show", "dev", "line0"])
    with links.loopback(1500) as network:
        assert "mtu 1500" in shown([*network.sender, "ip", "-o", "link", "show", "lo"])
        assert network.bracketed == "[::1]"


def shown(words: list[str]) -> str:
    return subprocess.run(words, check=True, capture_output=True, text=True).stdout
