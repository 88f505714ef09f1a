"""Backup tools to compare with, at their own defaults: where they are found, and how they are run.

restic    AES-256-CTR with Poly1305, zstd, chunks of 0.5–8 MiB
rustic    the same repository format, in Rust
borg      repokey-blake2 (AES-256-CTR with keyed BLAKE2b); lz4 is its default, and zstd,3 is run beside it, as the others use zstd
The passphrase comes from a file. Caches outside the repository lie in the scratch space and do not count as stored.
"""

import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Final

from benches.harness import Run, measure
from benches.places import Place
from benches.tools import Checker

HOW_TO_GET: Final = {
    "restic": "git clone https://github.com/restic/restic && cd restic && go build ./cmd/restic, or apt-get install restic",
    "borg": "apt-get install borgbackup",
    "rustic": "cargo install rustic-rs --locked",
    "age": "apt-get install age",
    "lz4": "apt-get install lz4",
    "zstd": "apt-get install zstd",
    "rsync": "apt-get install rsync",
    "sshd": "apt-get install openssh-server",
    "scp": "apt-get install openssh-client",
    "iperf3": "apt-get install iperf3",
    "croc": "go install github.com/schollz/croc/v10@latest",
    "wormhole": "pip install magic-wormhole magic-wormhole-mailbox-server magic-wormhole-transit-relay, in an environment of "
    "their own",
    "sendme": "cargo install sendme --locked",
    "quinn": "git clone https://github.com/quinn-rs/quinn && cd quinn && cargo build --release -p bench: target/release/bulk",
}
_ASKED: Final[Mapping[str, str]] = MappingProxyType({"restic": "version", "sshd": "-V"})


def find(name: str, given: str | None = None) -> str | None:
    """The path of a tool: as given, else from PATH; None if it is absent. SystemExit if a given one cannot be run."""
    found = shutil.which(given or name)
    if given and found is None:
        raise SystemExit(f"--{name} {given}: no such program")
    return str(Path(found).resolve()) if found else None


def version(name: str, binary: str) -> str:
    """What a tool says its version is, on one line."""
    ran = subprocess.run([binary, _ASKED.get(name, "--version")], check=False, capture_output=True, text=True)
    if ran.returncode and name not in _ASKED:
        return _commit(Path(binary)) or "unknown"
    return next(iter((ran.stdout + ran.stderr).strip().splitlines()), "unknown")


def _commit(binary: Path) -> str:
    """The commit of the repository in which a program without a version was built."""
    asked = ["git", "-C", str(binary.parent), "log", "-1", "--format=commit %h of %cs"]
    return subprocess.run(asked, check=False, capture_output=True, text=True).stdout.strip()


class Repository(Checker):
    """A tool that keeps snapshots in a directory of its own."""

    environment: Mapping[str, str]

    def __init__(self, place: Place, binary: str, name: str, settings: str) -> None:
        super().__init__(place)
        self.binary, self.name, self.settings = binary, name, settings
        self.repository = place.scratch / f"{name}-repository"
        self.cache = place.scratch / f"{name}-cache"

    def outputs(self) -> tuple[Path, ...]:
        return self.repository, self.cache

    def run(self, *arguments: str, cwd: Path | None = None) -> Run:
        """A command of the tool, in the directory that holds the tree."""
        return measure([self.binary, *arguments], env=self.environment, cwd=cwd or self.place.current)


class Restic(Repository):
    """restic and rustic: one format, nearly one command line."""

    def __init__(self, place: Place, binary: str, name: str) -> None:
        super().__init__(place, binary, name, "defaults")
        prefix = name.upper()
        self.environment = {
            f"{prefix}_REPOSITORY": str(self.repository),
            f"{prefix}_PASSWORD_FILE": str(place.secret),
            f"{prefix}_CACHE_DIR": str(self.cache),
        }

    def prepare(self) -> None:
        self.run("init")

    def pack(self, number: int) -> Run:
        return self.run("backup", "tree")

    def verify(self) -> Run:
        return self.run("check", "--read-data")

    def extract(self, target: Path) -> Run:
        into = [str(target)] if self.name == "rustic" else ["--target", str(target)]
        return self.run("restore", "latest", *into)


class Borg(Repository):
    """borg 1.x."""

    def __init__(self, place: Place, binary: str, name: str, compression: str) -> None:
        super().__init__(place, binary, name, f"--encryption repokey-blake2, --compression {compression}")
        self._compression = compression
        self._newest = 0
        self.environment = {
            "BORG_REPO": str(self.repository),
            "BORG_PASSCOMMAND": f"cat {place.secret}",
            "BORG_BASE_DIR": str(self.cache),
        }

    def prepare(self) -> None:
        self.cache.mkdir()
        self.run("init", "--encryption", "repokey-blake2")

    def pack(self, number: int) -> Run:
        self._newest = number
        return self.run("create", "--compression", self._compression, f"::{number}", "tree")

    def verify(self) -> Run:
        return self.run("check", "--verify-data")

    def extract(self, target: Path) -> Run:
        return self.run("extract", f"::{self._newest}", cwd=target)
