"""What tries to reach another machine mean: which carrier works, whether UDP is blocked, what the path lets through."""

from collections.abc import Sequence
from typing import Final

from warp_portal.archive.options import MIB
from warp_portal.clock import Clock
from warp_portal.errors import IdentityError, ProtocolError, UnreachableError, WarpPortalError
from warp_portal.transport.dialing import preferred
from warp_portal.transport.doctoring.carriers import HEADERS, LEAST_DATAGRAM
from warp_portal.transport.doctoring.checks import Check, Grade, Part, Stage
from warp_portal.transport.doctoring.path import Outcome, Target, Trial
from warp_portal.units import format_duration

# Bytes under way to one side, at most (rust/warp-net/src/tuning.rs).
QUIC_WINDOW: Final = 64 * MIB
# What a network of usual packets lets through over IPv4, or IPv6 and a tunnel.
_USUAL_DATAGRAM: Final = 1380
_DAY_S: Final = 86_400
# TCP and TLS 1.3 take a round trip each.
_TCP_ROUND_TRIPS: Final = 2
_SAYS: Final = {
    Outcome.REFUSED: "nothing listens there",
    Outcome.SILENT: "no answer",
    Outcome.OTHER: "another machine answers, with another key than the ticket's",
    Outcome.FOREIGN: "what answers does not speak our protocol",
}


def judge_path(target: Target, trials: Sequence[Trial]) -> list[Check]:
    """What is to be said of the tries. Addresses that do not answer are no fault where another one does."""
    checks = [_tried(trial, target) for trial in trials]
    working = {(trial.place, trial.carrier) for trial in trials if trial.outcome is Outcome.OPEN}
    for place in dict.fromkeys(trial.place for trial in trials):
        port = place.rpartition(":")[2]
        tried = {trial.carrier for trial in trials if trial.place == place}
        if (place, "tcp") in working and "quic" in tried and (place, "quic") not in working:
            says = f"UDP does not get through to {place}: transfers go over TCP, which long paths with losses slow down"
            advice = f"let UDP port {port} through the firewalls of both sides and between them (there: ufw allow {port}/udp)"
            checks.append(Check(Part.PATH, "udp", Grade.MEND, says, advice))
        if (place, "quic") in working and "tcp" in tried and (place, "tcp") not in working:
            says = f"TCP does not get through to {place}: there is nothing to go on over where UDP is blocked"
            checks.append(Check(Part.PATH, "tcp", Grade.NOTE, says, f"there: ufw allow {port}/tcp"))
    return checks


def _tried(trial: Trial, target: Target) -> Check:
    figures: dict[str, object] = {
        "address": trial.place,
        "carrier": trial.carrier,
        "outcome": trial.outcome.value,
        "handshake_s": round(trial.handshake_s, 4),
        "rtt_s": round(trial.rtt_s, 6),
        "datagram": trial.datagram,
    }
    name = f"{trial.place} by {trial.carrier.upper()}"
    if trial.outcome is not Outcome.OPEN:
        reason = f" ({trial.says})" if trial.outcome is Outcome.FOREIGN else ""
        says = f"{name}: {_SAYS[trial.outcome]}{reason}"
        return Check(Part.PATH, trial.carrier, Grade.NOTE, says, figures=figures)
    key = "with the ticket's key, " if target.listener is not None else ""
    says = f"{name}: encrypted, {key}after {format_duration(trial.handshake_s)}"
    if trial.carrier != "quic":
        return Check(Part.PATH, trial.carrier, Grade.FINE, says, figures=figures)
    says += f"; round trip {format_duration(trial.rtt_s)}, datagrams of {trial.datagram:,} bytes"
    if LEAST_DATAGRAM <= trial.datagram < _USUAL_DATAGRAM:
        says += ": the path carries only small packets, as in a tunnel"
        return Check(Part.PATH, "quic", Grade.NOTE, says, "take a way without the tunnel, if there is one", figures)
    return Check(Part.PATH, "quic", Grade.FINE, says, figures=figures)


def judge_ticket(target: Target, clock: Clock) -> Check | None:
    """Whether it still lets somebody in; None if there is none."""
    if target.expires_s is None:
        return None
    left_s = target.expires_s - clock.now_ns() // 10**9
    figures: dict[str, object] = {"expires_s": target.expires_s, "addresses": [str(each) for each in target.addresses]}
    if target.is_over(clock):
        says = f"the ticket ended {format_duration(-left_s)} ago by this machine's clock"
        advice = "there: run the same `warp send` again, and take the ticket that it prints"
        return Check(Part.PATH, "ticket", Grade.MEND, says, advice, figures)
    grade = Grade.NOTE if left_s < _DAY_S else Grade.FINE
    return Check(Part.PATH, "ticket", grade, f"the ticket is good for {format_duration(left_s)}", figures=figures)


def carrier_of(trials: Sequence[Trial]) -> str | None:
    """The carrier that a transfer would take; None if nothing was reached."""
    opened = [trial for trial in trials if trial.outcome is Outcome.OPEN]
    if not opened:
        return None
    host = opened[0].host
    return next(name for name in preferred(host) if any((each.host, each.carrier) == (host, name) for each in opened))


def packets_of(trials: Sequence[Trial]) -> int | None:
    """Bytes of the largest packet that went through to the other machine; None if QUIC did not look for it."""
    return max((trial.datagram + HEADERS for trial in trials if trial.datagram), default=None)


def stage_of(trials: Sequence[Trial], tcp_window: int | None) -> Stage | None:
    """What the path lets through at most: what may be under way, in a round trip. Of the carrier that a transfer would take."""
    opened = [trial for trial in trials if trial.outcome is Outcome.OPEN]
    quic = [trial for trial in opened if trial.carrier == "quic" and trial.rtt_s > 0]
    if quic:
        rtt_s = min(trial.rtt_s for trial in quic)
        advice = "a machine that is nearer: so much waits for answers that come late"
        return Stage(Part.PATH, "the path lets through", QUIC_WINDOW / rtt_s, advice=advice)
    if not opened or tcp_window is None:
        return None
    rtt_s = min(trial.handshake_s for trial in opened) / _TCP_ROUND_TRIPS
    most = 2 * QUIC_WINDOW
    advice = f"let UDP through, or, as root: sysctl -w net.ipv4.tcp_wmem='4096 16384 {most}' net.ipv4.tcp_rmem='4096 131072 {most}'"
    return Stage(Part.PATH, "the path lets through", tcp_window / max(rtt_s, 1e-6), advice=advice)


def failure_of(trials: Sequence[Trial]) -> WarpPortalError | None:
    """Why the target can't be reached; None if it can."""
    outcomes = {trial.outcome for trial in trials}
    if Outcome.OPEN in outcomes:
        return None
    places = ", ".join(dict.fromkeys(trial.place for trial in trials))
    if Outcome.OTHER in outcomes:
        return IdentityError(f"at {places} another machine answers than the ticket's: ask for another ticket")
    if Outcome.FOREIGN in outcomes:
        return ProtocolError(f"what answers at {places} is no `warp send`: is the port right?")
    if Outcome.REFUSED in outcomes:
        return UnreachableError(f"nothing listens at {places}: is `warp send` still there, and the port right?")
    return UnreachableError(f"no answer from {places}: is the machine on, and does its firewall let this port through?")
