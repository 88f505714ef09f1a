"""The main job on a real tree: pack, kill, resume, append, break, verify, restore, compare; send, kill, resume, compare; then a table.

    ./dev demo [--tree DIR] [--keep DIR]

The tree is the Rust toolchain of this machine (it is there, since the build needed it), or any directory of yours.
"""

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

from benches import limit

from demo.transfer import transfer
from warp_portal.archive import Unlock, open_archive

WARP = str(Path(sys.executable).parent / "warp")
WANTED_BYTES = 1 << 30
KILL_AT = 0.5


@dataclass(slots=True)
class Demo:
    """The scene: a tree, a directory to work in, and the rows of the closing table."""

    tree: Path
    home: Path
    rows: list[tuple[str, str]] = field(default_factory=list)

    @property
    def secret(self) -> tuple[str, str]:
        """The option that names the passphrase file."""
        return "--passphrase-file", str(self.home / "passphrase")

    def say(self, text: str) -> None:
        """A headline of the story."""
        print(f"\n\033[1m▸ {text}\033[0m" if sys.stdout.isatty() else f"\n> {text}", flush=True)

    def warp(self, *arguments: str, expect: int = 0) -> tuple[dict[str, object], float]:
        """Run `warp … --json`, show the command, return its summary and wall seconds."""
        print(f"  $ warp {' '.join(arguments)}", flush=True)
        start = time.perf_counter()
        done = subprocess.run([WARP, *arguments, "--json"], capture_output=True, text=True, check=False)
        wall = time.perf_counter() - start
        if done.returncode != expect:
            raise SystemExit(
                f"warp {arguments[0]}: exit {done.returncode}, expected {expect}\n{done.stdout}{done.stderr}"
            )
        records = [json.loads(line) for line in done.stdout.splitlines()]
        return next((record for record in records if record["type"] == "summary"), records[-1]), wall


def main() -> None:
    """Tell the story in a temporary directory that is removed at the end."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tree", type=Path, help="a directory of at least a few hundred MB")
    parser.add_argument("--keep", type=Path, help="work in this directory and leave everything there")
    args = parser.parse_args()
    home = args.keep or Path(tempfile.mkdtemp(prefix="warp-demo-"))
    home.mkdir(parents=True, exist_ok=True)
    try:
        tell(Demo(_working_copy(args.tree or _toolchain(), home), home))
    finally:
        if args.keep is None:
            shutil.rmtree(home)


def tell(demo: Demo) -> None:
    """The acts, in order."""
    start = time.perf_counter()
    passphrase = demo.home / "passphrase"
    passphrase.touch(mode=0o600)
    passphrase.write_text("correct horse battery staple\n")
    demo.warp("key", "keygen", "--kind", "signing", str(demo.home / "signer"))
    archive = demo.home / "toolchain.warp"
    create(demo, archive)
    resume(demo, demo.home / "killed.warp")
    append(demo, archive)
    damage(demo, archive)
    restore(demo, archive)
    send(demo)
    width = max(len(name) for name, _ in demo.rows)
    print("\n" + "\n".join(f"  {name:{width}}  {value}" for name, value in demo.rows))
    print(f"\n  all of it in {time.perf_counter() - start:.0f} s")


def create(demo: Demo, archive: Path) -> None:
    """An encrypted, signed archive, with progress on the terminal."""
    total = _tree_bytes(demo.tree)
    demo.say(f"pack {total / 1e9:.2f} GB, encrypted and signed")
    arguments = _create(demo, archive)
    print(f"  $ warp {' '.join(arguments)}", flush=True)
    start = time.perf_counter()
    subprocess.run([WARP, *arguments], check=True)
    wall = time.perf_counter() - start
    stored = archive.stat().st_size
    demo.rows.append(("create", f"{total / wall / 1e6:6.0f} MB/s   {wall:5.1f} s"))
    demo.rows.append(("size", f"{total / 1e6:.0f} MB → {stored / 1e6:.0f} MB ({total / stored:.2f} : 1)"))
    demo.rows.append(("share of the host's limit", f"eta {_eta(demo, archive, wall):.2f}"))


def resume(demo: Demo, archive: Path) -> None:
    """Kill -9 a second create half way; the same command goes on from its last checkpoint."""
    demo.say("kill a second create half way, and run it again")
    arguments = _create(demo, archive, "--checkpoint-bytes", "16M")
    print(f"  $ warp {' '.join(arguments)}   # kill -9 at {KILL_AT:.0%}", flush=True)
    process = subprocess.Popen(
        [WARP, *arguments, "--json"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    assert process.stdout is not None
    total = _tree_bytes(demo.tree)
    for line in process.stdout:
        record = json.loads(line)
        if record["type"] == "progress" and record["bytes_read"] >= KILL_AT * total:
            break
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stdout.close()
    if process.returncode != -signal.SIGKILL:
        raise SystemExit("the create ended before it could be killed; give a larger --tree")
    print(f"  killed with {archive.stat().st_size / 1e6:.0f} MB written")
    summary, wall = demo.warp(*arguments)
    if not summary["resumed"]:
        raise SystemExit("the second run started anew instead of resuming")
    totals = summary["totals"]
    assert isinstance(totals, dict)
    reused = totals["bytes_reused"] + totals["bytes_duplicate"]
    demo.rows.append(("resumed after kill -9", f"{reused / 1e6:.0f} MB not packed again, {wall:.1f} s"))


def append(demo: Demo, archive: Path) -> None:
    """Change a little, add it as a second snapshot."""
    demo.say("change one file, add another, append")
    before = archive.stat().st_size
    victim = max((path for path in demo.tree.rglob("*.so*") if path.is_file()), key=lambda path: path.stat().st_size)
    with victim.open("r+b") as file:
        file.seek(victim.stat().st_size // 2)
        file.write(b"a change in the middle of a large file")
    (demo.tree / "new-file").write_text("a new file\n")
    _, wall = demo.warp(
        "append",
        str(archive),
        "-C",
        str(demo.tree.parent),
        demo.tree.name,
        *demo.secret,
        "--sign",
        str(demo.home / "signer"),
    )
    grown = archive.stat().st_size - before
    demo.rows.append(("append a change", f"{wall:.2f} s, archive grew by {grown / 1e3:.0f} kB"))


def damage(demo: Demo, archive: Path) -> None:
    """One flipped bit in a copy: verify names the file that it hits."""
    demo.say("flip one bit in a copy; verify finds it and names the file")
    copy = demo.home / "damaged.warp"
    shutil.copyfile(archive, copy)
    with copy.open("r+b") as file:
        file.seek(copy.stat().st_size // 3)
        byte = file.read(1)[0]
        file.seek(-1, os.SEEK_CUR)
        file.write(bytes([byte ^ 0x10]))
    demo.warp("verify", str(copy), "--level", "deep", *demo.secret, expect=13)
    shown = subprocess.run(
        [WARP, "verify", str(copy), "--level", "deep", *demo.secret], capture_output=True, text=True, check=False
    )
    print("\n".join(f"  {line}" for line in (shown.stdout + shown.stderr).strip().splitlines()[:8]))
    copy.unlink()
    _, wall = demo.warp("verify", str(archive), "--level", "deep", *demo.secret)
    demo.rows.append(("verify deep", f"{_tree_bytes(demo.tree) / wall / 1e6:6.0f} MB/s   {wall:5.1f} s"))


def restore(demo: Demo, archive: Path) -> None:
    """Restore and compare every byte and attribute."""
    demo.say("restore and compare")
    target = demo.home / "restored"
    target.mkdir()
    _, wall = demo.warp("extract", str(archive), "-C", str(target), *demo.secret)
    total = _tree_bytes(demo.tree)
    demo.rows.append(("extract", f"{total / wall / 1e6:6.0f} MB/s   {wall:5.1f} s"))
    demo.rows.append(("restored tree", _compare(demo.tree, target / demo.tree.name)))


def send(demo: Demo) -> None:
    """Send the tree from process to process over QUIC; kill -9 the receiver on the way, and go on."""
    demo.say("send the tree to another process, kill that half way, and go on")
    target = demo.home / "received"
    target.mkdir()
    done = transfer(demo.tree, target, demo.home, _tree_bytes(demo.tree))
    received = done.summary["bytes_received"]
    wire = done.summary["bytes_wire"]
    assert isinstance(received, int)
    assert isinstance(wire, int)
    rates = f"{received / done.seconds / 1e6:6.0f} MB/s   {done.seconds:5.1f} s, over the wire {wire / 1e6:.0f} MB"
    demo.rows.append(("send and receive", rates))
    demo.rows.append(
        ("after kill -9", f"{(done.total - received) / 1e6:.0f} of {done.total / 1e6:.0f} MB not sent again")
    )
    demo.rows.append(("received tree", _compare(demo.tree, target / demo.tree.name)))


def _compare(expected: Path, restored: Path) -> str:
    if shutil.which("rsync"):
        command = ["rsync", "-aHAXn", "--checksum", "--itemize-changes", "--delete", f"{expected}/", f"{restored}/"]
        what = "rsync -aHAXn --checksum --delete finds no difference"
    else:
        command = ["diff", "-r", "--no-dereference", str(expected), str(restored)]
        what = "diff -r finds no difference"
    print(f"  $ {' '.join(command)}", flush=True)
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0 or done.stdout:
        raise SystemExit(f"the restored tree differs:\n{done.stdout[:2000]}{done.stderr}")
    return what


def _create(demo: Demo, archive: Path, *options: str) -> list[str]:
    place = ["-C", str(demo.tree.parent), demo.tree.name]
    return ["create", str(archive), *place, *demo.secret, "--sign", str(demo.home / "signer"), *options]


def _eta(demo: Demo, archive: Path, wall: float) -> float:
    """Share of the host's limit on all cores, from its primitives measured on the same data."""
    passphrase = (demo.home / "passphrase").read_text().strip()
    with open_archive(archive, Unlock((passphrase,))) as reader:
        index = reader.index
        raw_bytes = sum(length for _, _, length in index.locate(0, index.fragments))
        work = limit.Work(_tree_bytes(demo.tree), raw_bytes, reader.commit.stored_bytes)
    return sum(limit.measure(demo.tree, work).create.values()) / (len(os.sched_getaffinity(0)) * wall)


def _toolchain() -> Path:
    found = subprocess.run(["rustc", "--print", "sysroot"], capture_output=True, text=True, check=False).stdout.strip()
    if found and _tree_bytes(Path(found)) >= WANTED_BYTES:
        return Path(found)
    return Path("/usr/lib")


def _working_copy(tree: Path, home: Path) -> Path:
    """A copy of at least 1 GB of the tree, as the story changes files in it."""
    copy = home / "tree"
    print(f"copying {tree} to a scratch directory", flush=True)
    copied = 0
    for child in sorted(tree.iterdir()):
        target = copy / child.name
        if child.is_dir() and not child.is_symlink():
            shutil.copytree(child, target, symlinks=True)
        elif child.is_file():
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(child, target, follow_symlinks=False)
        copied += _tree_bytes(target) if target.is_dir() else child.lstat().st_size
        if copied >= 2 * WANTED_BYTES:
            break
    if copied < WANTED_BYTES:
        print(f"  note: only {copied / 1e9:.2f} GB there")
    return copy


def _tree_bytes(tree: Path) -> int:
    return sum(path.stat().st_size for path in tree.rglob("*") if path.is_file() and not path.is_symlink())


if __name__ == "__main__":
    main()
