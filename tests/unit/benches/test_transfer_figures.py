"""benches/transfer.py: what is read from what tools say, and ratios and bars."""

import time
from pathlib import Path
from typing import Any

import pytest
from benches import links, loads, transfer, transfer_lineup, transports
from benches.bars import BARS, Bar, Measure, verdicts
from benches.harness import CommandFailedError
from benches.links import Network
from benches.shipping import RESUME, SECOND, SEND
from benches.transfer_lineup import Ground
from benches.transfer_report import bar_lines, markdown
from benches.warp_mover import rewritten, summary

from warp_portal.errors import UsageError
from warp_portal.protocol.addresses import Address
from warp_portal.protocol.ticket import Carriers, Ticket

IPERF = '{"end": {"sum_sent": {"seconds": 2.0}, "sum_received": {"seconds": 2.5, "bytes": 10}}}'
QUINN = """
Server connection stats:
        current_mtu: 1452,
Client connection stats:
        current_mtu: 1452,
Transferred 314572800 bytes on 1 streams in 1.86s (161.40 MiB/s)
"""
DEVICES = """Inter-|   Receive                                                |  Transmit
 face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls carrier compressed
    lo:     100       1    0    0    0     0          0         0      300       1    0    0    0     0       0          0
 line0:    2000       1    0    0    0     0          0         0     5000       1    0    0    0     0       0          0
"""


def test_bytes_of_a_device_are_found_in_the_kernels_table() -> None:
    assert links.counted(DEVICES, "lo") == (300, 100)
    assert links.counted(DEVICES, "line0") == (5000, 2000)
    with pytest.raises(ValueError, match="no eth0"):
        links.counted(DEVICES, "eth0")


def test_the_seconds_that_iperf3_tells_are_the_receivers() -> None:
    assert transports.iperf_seconds(IPERF) == 2.5


@pytest.mark.parametrize("said", ["", "iperf3: error", "[]", '{"end": {}}', '{"error": "unable to connect"}'])
def test_iperf3_without_seconds_has_failed(said: str) -> None:
    with pytest.raises(CommandFailedError, match="told no seconds"):
        transports.iperf_seconds(said)


@pytest.mark.parametrize(
    ("shown", "seconds"), [("1.86s", 1.86), ("950.25ms", 0.95025), ("12.5µs", 12.5e-6), ("7ns", 7e-9)]
)
def test_the_seconds_that_quinn_tells(shown: str, seconds: float) -> None:
    assert transports.quinn_seconds(QUINN.replace("1.86s", shown)) == pytest.approx(seconds)


def test_quinn_with_other_datagrams_than_asked_has_failed() -> None:
    with pytest.raises(CommandFailedError, match="of 1200, 1200 bytes, not of 1452"):
        transports.quinn_seconds(QUINN.replace("1452", "1200"))
    with pytest.raises(CommandFailedError, match="told no seconds"):
        transports.quinn_seconds("client failed: timed out")


def test_a_summary_is_found_among_other_lines() -> None:
    said = (
        '{"type": "offer"}\na note\n[1]\n{"type": "summary", "seconds": 1}\n{"type": "summary", "seconds": 2}\n{"half'
    )
    assert summary(said)["seconds"] == 2
    assert summary("killed") == {}


def test_a_ticket_is_led_to_one_address_and_one_carrier() -> None:
    expires = time.time_ns() // 10**9 + 60
    before = Ticket((Address("192.0.2.1", 4433), Address("192.0.2.2", 4433)), bytes(32), bytes(16), bytes(32), expires)
    after = Ticket.parse(rewritten(before.text(), "::1", Carriers.TCP), time.time_ns())
    assert after.addresses == (Address("::1", 4433),)
    assert after.carriers is Carriers.TCP
    assert (after.listener, after.session, after.secret) == (before.listener, before.session, before.secret)
    with pytest.raises(UsageError):
        rewritten("warp-ticket:nothing", "::1", Carriers.TCP)


def row(tool: str, step: str, *walls: float, wire: int | None = 10, told: float | None = None) -> dict[str, Any]:
    sides = {"sender_cpu_s": 1.0, "receiver_cpu_s": 2.0, "sender_peak_bytes": 30_000_000, "receiver_peak_bytes": 0}
    more = {**sides, "ready_s": 0.5, "wire_bytes": wire, "told_s": told, "again_bytes": None}
    return {"tool": tool, "step": step, "runs": [{"wall_s": wall, **more} for wall in walls], "sizes": {}}


def results(*rows: dict[str, Any], name: str = "file") -> dict[str, Any]:
    failures = [{"tool": "croc", "step": SEND, "error": "exit 1: croc\nno relay"}] * 2
    arrived = {"rsync, send": [0, []], "scp, send": [2, ["Only in old: a", "Only in old: b"]]}
    result = {"files": 1, "bytes": 4_000_000_000, "rounds": 3, "rows": list(rows), "failures": failures}
    return {"scale": 1.0, "network": "loopback", "sets": {name: {**result, "arrived": arrived}}}


def test_a_ratio_of_times_is_how_often_ours_fits_into_the_others() -> None:
    sets = results(row("warp-quic", SEND, 2, 1, 9), row("rsync", SEND, 6))["sets"]
    bar = Bar("file", SEND, "warp-quic", "rsync", Measure.WHOLE, 3)
    assert bar.ratio(sets) == 3
    assert bar.met(3)
    assert not bar.met(2.9)


def test_a_ratio_of_bytes_is_to_be_small() -> None:
    sets = results(row("warp-tcp", SECOND, 1, wire=40), row("rsync -z", SECOND, 1, wire=10))["sets"]
    bar = Bar("file", SECOND, "warp-tcp", "rsync -z", Measure.NETWORK, 5)
    assert bar.ratio(sets) == 4
    assert bar.met(5)
    assert not bar.met(5.1)


def test_what_was_not_measured_has_no_ratio() -> None:
    bar = Bar("file", SEND, "warp-quic", "rsync", Measure.NETWORK, 1)
    assert bar.ratio({}) is None
    assert bar.ratio(results(row("warp-quic", SEND, 1))["sets"]) is None
    assert bar.ratio(results(row("warp-quic", SEND, 1, wire=None), row("rsync", SEND, 1))["sets"]) is None


def test_every_bar_names_tools_that_there_are(tmp_path: Path) -> None:
    network = Network("here", "127.0.0.1")
    ground = Ground(tmp_path, network, network, "")
    names = {entrant.make(ground, "x").name for entrant in transfer_lineup.ENTRANTS}
    assert {name for bar in BARS for name in (bar.ours, bar.theirs)} <= names
    assert {bar.load for bar in BARS} <= set(loads.SETS)


def test_bars_are_judged_of_what_is_there() -> None:
    rows = [row("warp-tcp", SEND, 2, told=1.0), row("iperf3", SEND, 1, told=0.4), row("croc", SEND, 20)]
    found = {(each.bar.theirs, each.met) for each in verdicts(results(*rows)["sets"])}
    assert found == {("iperf3", True), ("croc", True)}
    lines = list(bar_lines(results(*rows)))
    assert "| file | send | connection | `warp-tcp` : iperf3 | 40 % | ≥ 30 % | met |" in lines
    assert any("`warp-tcp` : croc | 10× | ≥ 8× | met" in line for line in lines)


def test_bars_say_if_the_data_was_smaller_than_they_mean() -> None:
    rows = row("warp-tcp", SEND, 2), row("croc", SEND, 8)
    lines = list(bar_lines({**results(*rows), "scale": 0.025}))
    assert lines[0].startswith("**At 0.025 of the size")
    assert "**missed**" in lines[-1]
    assert list(bar_lines(results())) == []


def test_the_report_has_a_table_a_step_and_each_failure_once() -> None:
    rows = row("rsync", SEND, 3, 2, 4, wire=None), row("rsync", SECOND, 1)
    lines = list(markdown("file", results(*rows)["sets"]["file"]))
    assert "| rsync | 3.00 (2.00–4.00) | 0.50 | 1333 | 1.00 |  | 30 |  |  |" in lines
    assert "| rsync | 1.00 (1.00–1.00) | 0.50 |  | 1.00 |  | 30 |  | 0.0 |" in lines
    assert sum("Failed** 2 times: croc, send" in line for line in lines) == 1
    assert any("byte for byte: rsync, send." in line for line in lines)
    assert any("**scp, send**: what arrived differs in 2 paths, the first: `Only in old: a`" in line for line in lines)


def test_bytes_sent_again_have_a_column_where_they_are_known() -> None:
    again = row("rsync", RESUME, 1)
    again["runs"][0]["again_bytes"] = 5_100_000
    lines = list(markdown("resume", results(again)["sets"]["file"]))
    assert any(line.endswith("| sent again MB |") for line in lines)
    assert any(line.endswith("| 5.1 |") for line in lines)


def test_scales_have_names_and_are_at_most_whole() -> None:
    assert [transfer.scale(text) for text in ("full", "small", "0.5")] == [1, 1 / 40, 0.5]
    for wrong in ("0", "2", "large", "nan"):
        with pytest.raises(ValueError, match=wrong):
            transfer.scale(wrong)
