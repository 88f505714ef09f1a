"""Values that tests of the transport share."""

import subprocess
import sys

from warp_portal.keys import Machine
from warp_portal.protocol.addresses import Address
from warp_portal.transport.record import Kind, SessionRecord

SESSION = bytes(range(16))
SCOPE = bytes(range(100, 132))
MACHINE = Machine(bytes(range(32)))
OTHER = Machine(bytes(range(1, 33)))
ADDRESSES = (Address("192.0.2.1", 4433), Address("2001:db8::1", 443), Address("box.example", 1))
RECORD = SessionRecord(
    Kind.RECEIVE, SESSION, "photos of a summer", (b"/home/me/\xff",), 1_800_000_000, 1_800_000_001, MACHINE.raw, SCOPE, 5, 7, 9
)  # fmt: skip
SEND = SessionRecord(Kind.SEND, bytes(16), "", (b"/a", b"/b"), 1_800_000_000, 1_800_000_000)


def at_once(code: str, *arguments: tuple[str, ...]) -> list[str]:
    """Run Python code in a process for each tuple of arguments, all from the same moment on; what each printed.

    The code says `ready` and waits for a line before it does what may collide.
    """
    runs = [
        subprocess.Popen([sys.executable, "-c", code, *each], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for each in arguments
    ]
    for run in runs:
        assert run.stdout
        assert run.stdout.readline() == "ready\n"
    for run in runs:
        assert run.stdin
        run.stdin.write("!\n")
        run.stdin.flush()
    said = [run.communicate()[0] for run in runs]
    assert all(run.returncode == 0 for run in runs)
    return said
