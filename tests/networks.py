"""Networks of a test's own: namespaces, a line between two of them, and the rules that a firewall has."""

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

from tests.trees import IS_ROOT

DEVICE = "line0"
_TOOLS = ("ip", "nsenter", "unshare")


def reason_to_skip(*more: str) -> str:
    """Why there can be no namespace here; empty if there can. `more`: programs that are needed too."""
    if not IS_ROOT:
        return "only root can make a network namespace"
    missing = [name for name in (*_TOOLS, *more) if shutil.which(name) is None]
    return f"not installed: {', '.join(missing)} (apt-get install iproute2 util-linux nftables)" if missing else ""


@contextmanager
def namespace(address: str | None = None, rules: str = "") -> Iterator[list[str]]:
    """A network with loopback, this IPv4 address and these rules of nftables; what runs a command in it."""
    with subprocess.Popen(["unshare", "--net", "cat"], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdin is not None
        assert holder.stdout is not None
        try:
            # What echoes is in its namespace.
            holder.stdin.write(b"\n")
            holder.stdin.flush()
            holder.stdout.readline()
            within = ["nsenter", f"--net=/proc/{holder.pid}/ns/net"]
            subprocess.run([*within, "ip", "link", "set", "lo", "up"], check=True)
            if address is not None:
                subprocess.run([*within, "ip", "address", "add", f"{address}/24", "dev", "lo"], check=True)
            if rules:
                subprocess.run([*within, "nft", "--file", "-"], input=rules.encode(), check=True)
            yield within
        finally:
            holder.stdin.close()


@contextmanager
def line(addresses: tuple[str, str], rules: str = "") -> Iterator[tuple[list[str], list[str]]]:
    """Two machines on one line, each with its IPv4 address; the first has these rules. What runs a command in each."""
    with namespace(rules=rules) as first, namespace() as second:
        other = second[1].removeprefix("--net=")
        subprocess.run(
            [*first, "ip", "link", "add", DEVICE, "type", "veth", "peer", "name", DEVICE, "netns", other], check=True
        )
        for within, address in zip((first, second), addresses, strict=True):
            subprocess.run([*within, "ip", "address", "add", f"{address}/24", "dev", DEVICE], check=True)
            subprocess.run([*within, "ip", "link", "set", DEVICE, "up"], check=True)
        yield first, second
