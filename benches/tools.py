"""What each tool of the archive bench is asked to do, in one form: ours, and pipes around tar.

A tool packs version 1, then adds version 2 and again the same, checks all, and restores the newest. What it cannot do it says.
"""

import os
import shutil
import subprocess
import sys
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Final

from benches.harness import Run, measure, shell, tree_bytes
from benches.places import Place

WARP: Final = str(Path(sys.executable).parent / "warp")


class Tool(ABC):
    """One way to pack and restore a tree. `name` stands in tables, `settings` says how it is run."""

    name: str
    settings: str
    encrypted = True
    appends = True

    def __init__(self, place: Place) -> None:
        self.place = place

    def prepare(self) -> None:  # noqa: B027 - most have nothing to prepare
        """What comes before the first pack and is not timed."""

    @abstractmethod
    def pack(self, number: int) -> Run:
        """Pack what lies at the common path as snapshot `number`, from 1."""

    @abstractmethod
    def extract(self, target: Path) -> Run:
        """Restore the newest snapshot below `target`."""

    @abstractmethod
    def outputs(self) -> tuple[Path, ...]:
        """What is stored, then what else lies in the scratch space (caches)."""

    def stored_bytes(self) -> int:
        """Bytes of what is stored."""
        return tree_bytes(self.outputs()[0])

    def clean(self) -> None:
        """Delete all outputs."""
        for path in self.outputs():
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)


class Checker(Tool):
    """A tool that can tell without the tree whether all that it stored is whole."""

    @abstractmethod
    def verify(self) -> Run:
        """Check every stored byte."""


class Warp(Checker):
    """Our own command."""

    def __init__(self, place: Place, name: str, settings: str, *, cores: int = 0, verify_writes: bool = True) -> None:
        super().__init__(place)
        self.name, self.settings = name, settings
        self._archive = place.scratch / f"{name}.warp"
        self._pinned = ("taskset", "-c", str(min(os.sched_getaffinity(0)))) if cores == 1 else ()
        self._common = ("--passphrase-file", str(place.secret), *(("-j", str(cores)) if cores else ()))
        self._writing = () if verify_writes else ("--no-verify",)

    def pack(self, number: int) -> Run:
        verb = "create" if number == 1 else "append"
        return self._run(verb, str(self._archive), "-C", str(self.place.current), "tree", *self._writing)

    def verify(self) -> Run:
        return self._run("verify", "--level", "deep", str(self._archive))

    def extract(self, target: Path) -> Run:
        return self._run("extract", str(self._archive), "-C", str(target))

    def outputs(self) -> tuple[Path, ...]:
        return self._archive, self.place.scratch / f"{self.name}-state"

    def _run(self, *arguments: str) -> Run:
        state = {"WARP_STATE_DIR": str(self.outputs()[1])}
        return measure([*self._pinned, WARP, *arguments, *self._common], env=state)


class Pipe(Tool):
    """tar through filters into one file: no deduplication, no index, no random access."""

    encrypted = appends = False

    def __init__(self, place: Place, name: str, pack: str, unpack: str) -> None:
        super().__init__(place)
        self.name, self._pack, self._unpack = name, pack, unpack
        self.settings = f"tar -c{pack}; {unpack}tar -x"
        self._file = place.scratch / "piped"

    def pack(self, number: int) -> Run:
        return shell(f"tar -C {self.place.current} -c tree{self._pack} > {self._file}")

    def extract(self, target: Path) -> Run:
        return shell(f"< {self._file} {self._unpack}tar -C {target} -x")

    def outputs(self) -> tuple[Path, ...]:
        return (self._file,)


class SealedPipe(Pipe):
    """tar, zstd and age: the floor of a rival, for it encrypts too."""

    encrypted = True

    def __init__(self, place: Place, name: str, zstd: str) -> None:
        identity = place.scratch / "age-key"
        identity.unlink(missing_ok=True)
        made = subprocess.run(["age-keygen", "-o", identity], check=True, capture_output=True, text=True).stderr
        super().__init__(
            place,
            name,
            f" | {zstd} | age -r {made.split()[-1]}",
            f"age -d -i {identity} | {zstd.split(maxsplit=1)[0]} -q -dc | ",
        )
        self.settings = f"tar -c | {zstd} | age -r KEY; age -d -i FILE | zstd -q -dc | tar -x"
