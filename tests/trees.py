"""Trees to pack: one with every type and attribute a file system here can hold, and how to compare two of them."""

import os
import random
import socket
import stat
import subprocess
from pathlib import Path

IS_ROOT = os.geteuid() == 0


def write(path: Path, content: bytes, mode: int = 0o644) -> None:
    """A file with exactly this mode."""
    path.write_bytes(content)
    path.chmod(mode)


def every_type(root: Path, seed: int = 1) -> None:
    """Fill `root` with every type and attribute; what needs root is left out without it."""
    rng = random.Random(seed)
    root.mkdir(parents=True, exist_ok=True)
    _files(root, rng)
    _names(root)
    _links(root)
    _special(root)
    _attributes(root)
    _times(root)


def _files(root: Path, rng: random.Random) -> None:
    write(root / "empty", b"")
    write(root / "one", b"1")
    for number in range(60):
        write(
            root / f"small-{number:02}", rng.randbytes(rng.randrange(1, 9000)), rng.choice((0o644, 0o600, 0o755, 0o444))
        )
    write(root / "text", b"a line that comes again and again\n" * 40_000)
    write(root / "medium", rng.randbytes(700_000))
    large = bytearray(rng.randbytes(9 << 20))
    write(root / "large", bytes(large))
    large[4_000_000:4_000_000] = b"inserted in the middle"
    write(root / "large-edited", bytes(large))
    (root / "duplicate").write_bytes((root / "medium").read_bytes())
    with (root / "sparse").open("wb") as file:
        file.truncate(30 << 20)
        file.seek(7 << 20)
        file.write(rng.randbytes(50_000))
        file.seek((30 << 20) - 10)
        file.write(b"at the end")
    with (root / "one-hole").open("wb") as file:
        file.truncate(5 << 20)


def _names(root: Path) -> None:
    for name in (b"new\nline", b"not-\xff\xfe-utf8", b"esc\x1b[31m", b" space ", b"-dash", b"x" * 255, "ü–名".encode()):
        path = os.path.join(os.fsencode(root), name)
        with open(path, "wb") as file:
            file.write(name)
    deep = root / "deep"
    for level in range(30):
        deep = deep / f"level-{level}"
    deep.mkdir(parents=True)
    write(deep / "bottom", b"deep down")
    # Sorting bytewise by component differs from sorting whole paths here.
    for directory in ("order", "order-a", "order.b"):
        (root / directory).mkdir()
        write(root / directory / "file", directory.encode())


def _links(root: Path) -> None:
    (root / "link").symlink_to("medium")
    (root / "dangling").symlink_to("nowhere/at/all")
    (root / "link-to-directory").symlink_to("order")
    (root / "absolute").symlink_to("/etc/hostname")
    os.link(root / "medium", root / "hard-1")
    os.link(root / "medium", root / "order" / "hard-2")
    os.link(root / "empty", root / "hard-empty")


def _special(root: Path) -> None:
    os.mkfifo(root / "fifo", 0o640)
    if IS_ROOT:
        os.mknod(root / "null", stat.S_IFCHR | 0o666, os.makedev(1, 3))
        os.mknod(root / "block", stat.S_IFBLK | 0o660, os.makedev(7, 200))


def add_socket(root: Path) -> None:
    """A socket: recorded, never restored."""
    here = os.getcwd()
    os.chdir(root)  # the path of a socket is limited to 107 bytes
    try:
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind("socket")
    finally:
        os.chdir(here)


def _attributes(root: Path) -> None:
    (root / "order").chmod(0o2751 if IS_ROOT else 0o751)
    (root / "order-a").chmod(0o1777)
    write(root / "setuid", b"#!/bin/sh\n", 0o644)
    (root / "setuid").chmod(0o4755)
    write(root / "secret", b"no permission at all", 0o600)
    if IS_ROOT:
        os.chown(root / "one", 1234, 4321)
        os.chown(root / "order.b", 1, 2)
        os.lchown(root / "link", 65534, 65534)
        (root / "secret").chmod(0)
    try:
        os.setxattr(root / "text", b"user.comment", b"a value with \x00 in it")
        os.setxattr(root / "order", b"user.on-directory", b"yes")
        subprocess.run(["setfacl", "-m", "u:1234:rwx,g:4321:r", root / "small-00"], check=True, capture_output=True)
        subprocess.run(["setfacl", "-d", "-m", "u:1234:rx", root / "order-a"], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        pass  # a file system without extended attributes: there is nothing to keep


def _times(root: Path) -> None:
    os.utime(root / "small-01", ns=(0, 1))
    os.utime(root / "small-02", ns=(0, -1_500_000_001))
    os.utime(root / "small-03", ns=(0, 4_102_444_800_123_456_789))
    os.utime(root / "link", ns=(5, 1_234_567_890_987_654_321), follow_symlinks=False)
    for directory in sorted((p for p in root.rglob("*") if p.is_dir() and not p.is_symlink()), reverse=True):
        os.utime(directory, ns=(0, 1_600_000_000_000_000_001 + len(directory.name)))
    os.utime(root, ns=(0, 1_500_000_000_000_000_007))


def differences(expected: Path, restored: Path) -> str:
    """What rsync would have to change to make `restored` like `expected`; empty if nothing."""
    command = ["rsync", "-aHAXn", "--checksum", "--itemize-changes", "--delete", f"{expected}/", f"{restored}/"]
    return subprocess.run(command, check=True, capture_output=True, text=True, errors="replace").stdout
