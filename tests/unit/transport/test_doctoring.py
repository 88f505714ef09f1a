"""What an examination concludes from given figures: each bottleneck by its name, what to do in its order."""

from dataclasses import dataclass, replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from warp_portal.archive.options import MIB
from warp_portal.clock import VirtualClock
from warp_portal.errors import IdentityError, ProtocolError, UnreachableError, WarpPortalError
from warp_portal.protocol.addresses import Address
from warp_portal.transport.doctoring import disk as disks
from warp_portal.transport.doctoring import machine as machines
from warp_portal.transport.doctoring import network as networks
from warp_portal.transport.doctoring import reach
from warp_portal.transport.doctoring.buffers import WANTED, Buffers, judge_buffers
from warp_portal.transport.doctoring.carriers import Carried, datagram_for, judge_carriers
from warp_portal.transport.doctoring.checks import Check, Grade, Part, Stage
from warp_portal.transport.doctoring.examination import _made
from warp_portal.transport.doctoring.path import Outcome, Target, Trial
from warp_portal.transport.doctoring.state import StateDirectory, judge_state
from warp_portal.transport.doctoring.verdict import Verdict, conclude

NOW_S = 1_800_000_000
TARGET = Target((Address("192.0.2.1", 4433),))
TRIALS = (
    Trial("192.0.2.1", 4433, "quic", Outcome.OPEN, 0.04, 0.02, 1452),
    Trial("192.0.2.1", 4433, "tcp", Outcome.OPEN, 0.04),
)
ETHERNET = networks.Interface("eth0", ("192.0.2.7",), 1500, 1.25e9)


@dataclass(frozen=True)
class Figures:
    """A machine on which nothing is wrong."""

    machine: machines.Machine = machines.Machine(8, "a processor", ("AES", "AVX2"), 16 << 30, 8 << 30, 0.5)
    core_rate: float = 2e9
    disk: disks.Disk = disks.Disk("/srv", "ext4", 10**12, 2e9, 3e9, 20_000)
    buffers: Buffers = Buffers(WANTED, WANTED, WANTED, WANTED, True, True)
    carried: Carried = Carried("quic", 1.1e9, 0.002, 1452)
    network: networks.Network = networks.Network((ETHERNET,), ("192.0.2.7",), ETHERNET)
    trials: tuple[Trial, ...] = TRIALS
    tcp_window: int | None = 4 * MIB

    def verdict(self) -> Verdict:
        rates = {
            "cut": self.core_rate,
            "blake3": self.core_rate,
            machines.ZSTD: 4e8,
            f"un{machines.ZSTD}": 1e9,
            machines.AEADS[self.machine.has_aes]: 4e9,
        }
        judged: list[tuple[list[Check], list[Stage]]] = [
            (machines.judge_machine(self.machine), []),
            machines.judge_rates(self.machine, rates),
            disks.judge_disk(self.disk),
            (judge_buffers(self.buffers), []),
            networks.judge_network(self.network),
            judge_carriers([self.carried], self.buffers),
            (reach.judge_path(TARGET, self.trials), []),
        ]
        stage = reach.stage_of(self.trials, self.tcp_window)
        stages = [stage for _, stages in judged for stage in stages] + ([stage] if stage else [])
        return conclude([check for checks, _ in judged for check in checks], stages)


WELL = Figures()
SLOW = replace(ETHERNET, rate=12.5e6)
CASES: dict[str, tuple[Figures, Part, str]] = {
    "a disk that writes slowly": (
        replace(WELL, disk=replace(WELL.disk, writes=180e6)), Part.DISK, "the slowest is the disk: the disk writes 180 MB/s; QUIC carries 1.10 GB/s",
    ),
    "a disk that reads slowly": (replace(WELL, disk=replace(WELL.disk, reads=90e6)), Part.DISK, "the disk reads 90.0 MB/s"),
    "slow cores": (replace(WELL, core_rate=5e7), Part.CPU, "8 cores cut and hash 200 MB/s"),
    "one slow core for a connection": (
        replace(WELL, carried=Carried("quic", 3e8, 0.1, 1452)), Part.CPU, "QUIC carries 300 MB/s",
    ),
    "buffers that lose packets": (
        replace(WELL, buffers=replace(WELL.buffers, receive=212_992), carried=Carried("quic", 3e8, 0.1, 1452, 0.011)),
        Part.BUFFERS, "QUIC carries 300 MB/s",
    ),
    "a slow link": (
        replace(WELL, network=replace(WELL.network, interfaces=(SLOW,), outgoing=SLOW)), Part.NETWORK, "eth0 gives 12.5 MB/s",
    ),
    "a long path": (
        replace(WELL, trials=(replace(TRIALS[0], rtt_s=0.5), TRIALS[1])), Part.PATH, "the path lets through 134 MB/s",
    ),
    "a path without UDP": (
        replace(WELL, trials=(replace(TRIALS[0], outcome=Outcome.SILENT), replace(TRIALS[1], handshake_s=0.4))),
        Part.PATH, "the path lets through 21.0 MB/s",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_each_bottleneck_is_named(case: str) -> None:
    figures, part, says = CASES[case]
    verdict = figures.verdict()
    assert verdict.bottleneck is part
    assert says in verdict.says
    assert verdict.advice


def test_where_nothing_is_wrong_only_the_slowest_stage_has_an_advice() -> None:
    verdict = WELL.verdict()
    assert verdict.says.startswith("the slowest is the processor: QUIC carries 1.10 GB/s; eth0 gives 1.25 GB/s")
    assert verdict.advice == (
        "QUIC carries 1.10 GB/s: a connection is one core's work: end what else runs, or let the network carry larger packets "
        "(MTU 9000) where all of it can",
    )


def test_what_mends_the_bottleneck_comes_first() -> None:
    verdict = replace(
        CASES["buffers that lose packets"][0], disk=replace(WELL.disk, free=10**8, files=50), trials=()
    ).verdict()
    first, second, third, fourth = verdict.advice
    assert "sysctl -w net.core.rmem_max=4194304;" in first
    assert second.startswith("QUIC carries 300 MB/s: ")
    assert "little room" in third
    assert "50 a second" in fourth


def test_lost_packets_are_not_blamed_on_buffers_that_are_large() -> None:
    _, (stage,) = judge_carriers([Carried("quic", 3e8, 0.1, 1452, 0.5)], WELL.buffers)
    assert stage.part is Part.CPU


def test_sending_and_receiving_have_rates_of_their_own() -> None:
    verdict = replace(WELL, disk=replace(WELL.disk, writes=1e6, reads=2e6)).verdict()
    assert (verdict.sends, verdict.receives) == (2e6, 1e6)


def test_without_any_figure_there_is_no_bottleneck() -> None:
    verdict = conclude([Check(Part.DISK, "disk", Grade.FAILED, "no")], [])
    assert (verdict.bottleneck, verdict.sends, verdict.receives, verdict.failed) == (None, None, None, 1)
    assert verdict.says == "nothing could be measured"


@given(st.lists(st.tuples(st.sampled_from(Part), st.floats(1, 1e12), st.booleans(), st.booleans()), min_size=1))
def test_the_slowest_is_named_whatever_there_is(rows: list[tuple[Part, float, bool, bool]]) -> None:
    stages = [Stage(part, "it gives", rate, sends, receives) for part, rate, sends, receives in rows]
    verdict = conclude([], stages)
    slowest = min(rate for _, rate, _, _ in rows)
    assert verdict.stages[0].rate == slowest
    assert verdict.bottleneck in {part for part, rate, _, _ in rows if rate == slowest}
    assert verdict.sends == min((stage.rate for stage in stages if stage.sends), default=None)


@pytest.mark.parametrize(
    ("low", "line"),
    [
        ({"receive": 212_992}, "net.core.rmem_max=4194304;"),
        ({"send": 212_992}, "net.core.wmem_max=4194304;"),
        ({"receive": 1, "send": 1}, "net.core.rmem_max=4194304 net.core.wmem_max=4194304;"),
    ],
)
def test_the_line_that_mends_the_buffers_names_those_that_are_small(low: dict[str, Any], line: str) -> None:
    check, _ = judge_buffers(replace(WELL.buffers, **low))
    assert check.grade is Grade.MEND
    assert f"sysctl -w {line}" in check.advice


@pytest.mark.parametrize(
    ("missing", "says"), [({"gso": False}, "no GSO)"), ({"gso": False, "gro": False}, "no GSO and no GRO)")]
)
def test_a_kernel_without_offload_is_noted(missing: dict[str, Any], says: str) -> None:
    _, check = judge_buffers(replace(WELL.buffers, **missing))
    assert check.grade is Grade.NOTE
    assert says in check.says


def remarks(checks: list[Check]) -> list[tuple[str, Grade]]:
    return [(check.name, check.grade) for check in checks if check.grade is not Grade.FINE]


@pytest.mark.parametrize(
    ("change", "found"),
    [
        ({}, []),
        ({"free": 10**9}, [("room", Grade.MEND)]),
        ({"files": 999.0}, [("files", Grade.NOTE)]),
        ({"file_system": "tmpfs"}, [("memory", Grade.NOTE)]),
        ({"file_system": "nfs4"}, [("remote", Grade.NOTE)]),
    ],
)
def test_disks_are_judged(change: dict[str, Any], found: list[tuple[str, Grade]]) -> None:
    assert remarks(disks.judge_disk(replace(WELL.disk, **change))[0]) == found


@pytest.mark.parametrize(
    ("change", "found"),
    [
        ({}, []),
        ({"features": ("AVX2",)}, [("aes", Grade.NOTE)]),
        ({"features": ()}, []),
        ({"load": 8.0}, [("load", Grade.NOTE)]),
        ({"available": 10**8}, [("memory", Grade.MEND)]),
        ({"available": None}, []),
    ],
)
def test_machines_are_judged(change: dict[str, Any], found: list[tuple[str, Grade]]) -> None:
    assert remarks(machines.judge_machine(replace(WELL.machine, **change))) == found


@pytest.mark.parametrize(
    ("state", "grade"),
    [
        (StateDirectory("/s", True), Grade.FINE),
        (StateDirectory("/s", True, 0o700, 7), Grade.FINE),
        (StateDirectory("/s", True, 0o755, 7), Grade.NOTE),
        (StateDirectory("/s", True, 0o770, 7), Grade.MEND),
        (StateDirectory("/s", True, 0o700, 8), Grade.MEND),
        (StateDirectory("/s", False, 0o500, 7), Grade.MEND),
        (StateDirectory("/s", False), Grade.MEND),
        (StateDirectory("/s", True, 0o600, 7, is_directory=False), Grade.MEND),
    ],
)
def test_state_directories_are_judged(state: StateDirectory, grade: Grade) -> None:
    check = judge_state(state, 7)
    assert check.grade is grade
    assert bool(check.advice) == (grade is not Grade.FINE)


@pytest.mark.parametrize(
    ("change", "found"),
    [
        ({}, []),
        ({"offered": ("127.0.0.1",)}, [("addresses", Grade.MEND)]),
        ({"offered": ()}, [("addresses", Grade.MEND)]),
        ({"outgoing": replace(ETHERNET, mtu=1420)}, [("packets", Grade.NOTE)]),
        ({"outgoing": replace(ETHERNET, mtu=1200)}, [("packets", Grade.MEND)]),
        ({"outgoing": replace(ETHERNET, mtu=None, rate=None)}, []),
        ({"outgoing": None}, []),
    ],
)
def test_networks_are_judged(change: dict[str, Any], found: list[tuple[str, Grade]]) -> None:
    assert remarks(networks.judge_network(replace(WELL.network, **change))[0]) == found


@pytest.mark.parametrize(("now_ns", "grade"), [(0, Grade.MEND), (NOW_S * 10**9, Grade.FINE), (2**62, Grade.MEND)])
def test_clocks_are_judged(now_ns: int, grade: Grade) -> None:
    assert networks.judge_clock(VirtualClock(now_ns)).grade is grade


def test_codes_are_noted_where_the_local_network_is_mute() -> None:
    assert networks.judge_multicast(networks.Multicast(True)).grade is Grade.FINE
    check = networks.judge_multicast(networks.Multicast(False, "no such device"))
    assert check.grade is Grade.NOTE
    assert "no such device" in check.says


def test_blocked_carriers_are_told_by_address() -> None:
    other = Trial("fd00::1", 4433, "quic", Outcome.SILENT)
    checks = reach.judge_path(TARGET, [replace(TRIALS[0], outcome=Outcome.SILENT), TRIALS[1], other])
    (udp,) = [check for check in checks if check.name == "udp"]
    assert udp.grade is Grade.MEND
    assert "UDP does not get through to 192.0.2.1:4433" in udp.says
    assert "ufw allow 4433/udp" in udp.advice
    checks = reach.judge_path(TARGET, [TRIALS[0], replace(TRIALS[1], outcome=Outcome.REFUSED)])
    assert [(check.name, check.grade) for check in checks][1:] == [("tcp", Grade.NOTE), ("tcp", Grade.NOTE)]


@pytest.mark.parametrize(
    ("host", "outcomes", "carrier"),
    [
        ("192.0.2.1", (Outcome.OPEN, Outcome.OPEN), "quic"),
        ("192.0.2.1", (Outcome.SILENT, Outcome.OPEN), "tcp"),
        ("127.0.0.1", (Outcome.OPEN, Outcome.OPEN), "tcp"),
        ("127.0.0.1", (Outcome.OPEN, Outcome.SILENT), "quic"),
        ("192.0.2.1", (Outcome.OTHER, Outcome.SILENT), None),
    ],
)
def test_the_carrier_that_counts_is_the_one_a_transfer_takes(
    host: str, outcomes: tuple[Outcome, Outcome], carrier: str | None
) -> None:
    trials = [replace(trial, host=host, outcome=each) for trial, each in zip(TRIALS, outcomes, strict=True)]
    assert reach.carrier_of(trials) == carrier
    assert reach.packets_of(trials) == 1500
    assert reach.packets_of(trials[1:]) is None


def test_a_path_of_small_packets_is_noted() -> None:
    (check,) = reach.judge_path(TARGET, [replace(TRIALS[0], datagram=1200)])
    assert check.grade is Grade.NOTE
    assert "tunnel" in check.says


@pytest.mark.parametrize(
    ("outcomes", "kind"),
    [
        ((Outcome.OPEN, Outcome.OTHER), None),
        ((Outcome.SILENT, Outcome.OTHER), IdentityError),
        ((Outcome.SILENT, Outcome.FOREIGN), ProtocolError),
        ((Outcome.SILENT, Outcome.REFUSED), UnreachableError),
        ((Outcome.SILENT, Outcome.SILENT), UnreachableError),
    ],
)
def test_what_cannot_be_reached_says_why(outcomes: tuple[Outcome, Outcome], kind: type[WarpPortalError] | None) -> None:
    failure = reach.failure_of([replace(trial, outcome=each) for trial, each in zip(TRIALS, outcomes, strict=True)])
    assert (None if failure is None else type(failure)) is kind
    assert failure is None or "192.0.2.1:4433" in str(failure)


@pytest.mark.parametrize(
    ("left_s", "grade", "says"),
    [
        (7 * 86_400, Grade.FINE, "good for 7 d"),
        (3600, Grade.NOTE, "1:00:00"),
        (0, Grade.MEND, "ended"),
        (-60, Grade.MEND, "1:00 ago"),
    ],
)
def test_tickets_are_judged_by_the_clock(left_s: int, grade: Grade, says: str) -> None:
    check = reach.judge_ticket(replace(TARGET, expires_s=NOW_S + left_s), VirtualClock(NOW_S * 10**9))
    assert check is not None
    assert check.grade is grade
    assert says in check.says
    assert reach.judge_ticket(TARGET, VirtualClock()) is None


@pytest.mark.parametrize(("mtu", "datagram"), [(68, 1200), (1280, 1232), (1500, 1452), (9000, 8952), (65_536, 8952)])
def test_datagrams_fit_into_packets(mtu: int, datagram: int) -> None:
    assert datagram_for(mtu) == datagram


MOUNTS = r"""22 1 254:0 / / rw,relatime - ext4 /dev/vda rw
30 22 0:25 / /dev/shm rw - tmpfs tmpfs rw
31 22 0:26 / /mnt/a\040b rw shared:1 - nfs4 host:/x rw
32 22 0:27 / /mnt/a\040b/c rw - xfs /dev/x rw
33 22 0:28 / /mnt/a\040b/c rw - btrfs /dev/y rw
short line - x
no separator
"""


@pytest.mark.parametrize(
    ("path", "found"),
    [("/", "ext4"), ("/dev/shmoo", "ext4"), ("/dev/shm", "tmpfs"), ("/mnt/a b/d", "nfs4"), ("/mnt/a b/c/d", "btrfs")],
)
def test_the_file_system_of_a_path_is_that_of_the_nearest_mount(path: str, found: str) -> None:
    assert disks.file_system_of(path, MOUNTS) == found


@given(st.text(), st.text())
def test_any_list_of_mounts_is_read(path: str, mounts: str) -> None:
    assert isinstance(disks.file_system_of(path, mounts), str)


def test_one_core_is_measured_by_the_cipher_that_it_is_good_at() -> None:
    measured: list[tuple[str, int]] = []

    def run(primitive: str, data: bytes, threads: int, seconds: float) -> tuple[int, float]:
        measured.append((primitive, threads))
        return len(data), 0.5

    assert set(machines.probe_rates(WELL.machine, bytes(1000), run).values()) == {2000.0}
    assert measured[-1] == ("aes-256-gcm", 1)
    machines.probe_rates(replace(WELL.machine, features=()), bytes(1000), run)
    assert measured[-1] == ("chacha20-poly1305", 1)


def test_what_could_not_be_looked_at_is_named() -> None:
    def probe() -> None:
        raise UnreachableError("127.0.0.1:9: no answer")

    (check,) = _made(Part.CPU, "quic", probe, "QUIC from this machine to itself")
    assert check.grade is Grade.FAILED
    assert check.says == "QUIC from this machine to itself could not be looked at: 127.0.0.1:9: no answer"
