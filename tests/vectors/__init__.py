"""Archives of format version 1 as they were first written: every later version must read them.

    python -m tests.vectors        writes them anew, which only a new format version may ask for

`plain.warp` has one snapshot; `encrypted.warp` has two, is signed, and opens with the passphrase `correct horse`, with
the identity of 32 bytes `i`, or with the raw key of 32 bytes `k`.
"""

from pathlib import Path

HERE = Path(__file__).resolve().parent
PASSPHRASE = "correct horse"
IDENTITY_SEED = b"i" * 32
ARCHIVE_KEY = b"k" * 32
SIGNING_SEED = b"s" * 32
CONTENTS = {
    b"empty": b"",
    b"letters/a.txt": b"Dear reader, ...\n" * 40,
    b"letters/b.bin": bytes(range(256)) * 3,
    b"umlaut-\xc3\xbc": b"x",
}
ADDED = {b"letters/c.txt": b"added by the second snapshot\n"}
LINK = (b"letters/link", b"a.txt")
HARDLINK = (b"letters/z-again", b"letters/a.txt")
MODE, MTIME_NS = 0o640, 1_600_000_000_123_456_789
