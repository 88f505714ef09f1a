"""One archive operation in a process of its own, under a fixed key, so that it can be killed and compared.

python -m tests.chaos.driver create|append|compact|extract ARCHIVE DIRECTORY STATE
"""

import os
import sys
from pathlib import Path

from warp_portal.archive import (
    CompactRequest,
    Lock,
    PackOptions,
    Selection,
    Source,
    StateStore,
    Unlock,
    append,
    compact,
    create,
    extract,
    open_archive,
)
from warp_portal.keys import Recipient

KEY = bytes(range(32))
UUID = bytes(range(16))
RECIPIENT = Recipient.parse("warp-recipient-x25519:kg6skuqhylmkoisxfh3hc23iygeetdb2gft5vmelkjrgffckf5c2czdm2u")
OPTIONS = PackOptions(checkpoint_bytes=2 << 20, threads=2)


def main(verb: str, archive: str, directory: str, state: str) -> None:
    """Run one operation; an exception ends the process with a traceback."""
    store = StateStore(Path(state))
    if verb == "extract":
        with open_archive(archive, Unlock(archive_key=KEY), state=store) as reader:
            report = extract(reader, directory)
        print("problems", len(report.problems))
        return
    if verb == "compact":  # to the newest of two snapshots
        request = CompactRequest(Selection(forgotten=frozenset({1})), recipients=(RECIPIENT,))
        print("chunks", compact(archive, request, unlock=Unlock(archive_key=KEY), state=store).chunks)
        return
    os.chdir(directory)
    if verb == "create":
        lock = Lock(recipients=(RECIPIENT,))
        packed = create(archive, Source.of(["."]), OPTIONS, lock=lock, state=store, archive_key=KEY, uuid=UUID)
    else:
        packed = append(archive, Source.of(["."]), OPTIONS, unlock=Unlock(archive_key=KEY), state=store)
    print("resumed" if packed.resumed else "fresh", "problems", len(packed.problems))


if __name__ == "__main__":
    main(*sys.argv[1:])
