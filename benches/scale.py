"""Time and memory of each command on a tree of very many small files.

    ./dev bench scale [--directories 1000] [--only archive|transfer] [--tree DIR] [--scratch DIR] [--json FILE]

The tree (1,000 files a directory) is made below --tree unless it is there from a run before. Ten million files
(--directories 10000) want a file system of their own: `mkfs.ext4 -O inline_data -I 512 -N 10300000`, 8 GB. With so many, what
is cached and what is not differs from step to step: run it on a machine with memory to spare. `transfer` sends the tree into
--scratch, which takes as many inodes once more; send and receive run at the same time.
"""

import argparse
import shutil
import sys
import tempfile
from pathlib import Path

from tests.scale import small_files
from tests.scale.small_files import directory_name

from benches.harness import CommandFailedError, Table, measure, write_json
from benches.transfers import transfer

WARP = str(Path(sys.executable).parent / "warp")


def main() -> int:
    """Make the tree if it is missing, run all steps once, tell what they took."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--directories", type=int, default=1000)
    parser.add_argument("--only", choices=("archive", "transfer"))
    parser.add_argument("--tree", type=Path, default=Path(tempfile.gettempdir()) / "warp-scale")
    parser.add_argument("--scratch", type=Path, default=Path(tempfile.gettempdir()))
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    root = made_tree(arguments.tree, arguments.directories)
    scratch = Path(tempfile.mkdtemp(prefix="warp-scale-", dir=arguments.scratch))
    try:
        table = Table()
        if arguments.only != "transfer":
            archive_steps(table, root, scratch, arguments.directories)
        if arguments.only != "archive":
            transfer_steps(table, root, scratch)
    finally:
        shutil.rmtree(scratch)
    print("\n".join(table.lines()))
    if arguments.json:
        write_json(arguments.json, {"directories": arguments.directories, "series": table.as_json()})
    return 0


def made_tree(parent: Path, directories: int) -> Path:
    """The tree, complete; it stays for the next run."""
    root, complete = parent / f"files-{directories}", parent / f"files-{directories}.complete"
    if not complete.exists():
        shutil.rmtree(root, ignore_errors=True)
        print(f"making {directories * small_files.FILES:,} files below {root} …", file=sys.stderr)
        small_files.make(root, 0, directories)
        complete.touch()
    return root


def archive_steps(table: Table, root: Path, scratch: Path, directories: int) -> None:
    """Each command once; the directory asked for lies in the middle."""
    archive, secret = scratch / "a.warp", scratch / "passphrase"
    secret.write_text("a passphrase for measuring\n")
    secret.chmod(0o600)
    key = ("-p", str(secret))
    middle = f"{root.name}/{directory_name(directories // 2)}"
    packed = (*key, "-C", str(root.parent), root.name)

    def step(name: str, command: str, *rest: str) -> None:
        table.time("warp", name, lambda: measure([WARP, command, str(archive), *rest]), lambda: archive.stat().st_size)

    step("create", "create", *packed)
    step("info", "info", *key)
    step("list a directory", "list", middle, *key)
    step("cat a file", "cat", f"{middle}/0500.json", *key)
    step("extract a dir.", "extract", middle, *key, "-C", str(scratch / "out"))
    step("verify index", "verify", *key, "--level", "index")
    step("verify deep", "verify", *key, "--level", "deep")
    step("list all", "list", "--paths", *key)
    step("unchanged", "append", *packed)


def transfer_steps(table: Table, root: Path, scratch: Path) -> None:
    """The tree from one process to another, and what each of them took."""
    try:
        runs = transfer(WARP, root, scratch / "received", scratch)
    except CommandFailedError as error:
        table.fail("warp", "send and receive", str(error))
        return
    for name, run in zip(("send", "receive"), runs, strict=True):
        table.add("warp", name, run)


if __name__ == "__main__":
    sys.exit(main())
