"""Which tools take part in a bench, in the order of its tables; absent ones are named with how to get them. Those of the archive
bench are here, those of the transfer bench in transfer_lineup.py.
"""

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

from benches import peers
from benches.peers import Borg, Restic
from benches.places import Place
from benches.tools import WARP, Pipe, SealedPipe, Tool, Warp

CORES: Final = len(os.sched_getaffinity(0))
ZSTD_FAST, ZSTD_DEFAULT = f"zstd -q -1 -T{CORES}", f"zstd -q -3 -T{CORES}"

W = TypeVar("W")  # where tools work
T = TypeVar("T")  # what the bench has of a tool


@dataclass(frozen=True, slots=True)
class Entrant(Generic[W, T]):
    """A tool by the name that `--tools` takes; `needs` are its programs, the first one is handed over by its path."""

    key: str
    needs: tuple[str, ...]
    make: Callable[[W, str], T]


Packer = Entrant[Place, Tool]


def _warp(key: str, settings: str, *, cores: int = 0, verify_writes: bool = True) -> Packer:
    return Entrant(key, (), lambda place, _: Warp(place, key, settings, cores=cores, verify_writes=verify_writes))


def _sealed(key: str, zstd: str) -> Packer:
    name = f"tar|{zstd.replace(' -q', '')}|age"
    return Entrant(key, ("age", "zstd"), lambda place, _: SealedPipe(place, name, zstd))


def _pipe(key: str, name: str, needs: tuple[str, ...], pack: str, unpack: str) -> Packer:
    return Entrant(key, needs, lambda place, _: Pipe(place, name, pack, unpack))


ENTRANTS: Final[tuple[Packer, ...]] = (
    _warp("warp", "defaults, all cores"),
    _warp("warp-no-verify", "--no-verify: what is written is not decoded and compared", verify_writes=False),
    _warp("warp-1-core", "-j 1, pinned to one core", cores=1),
    Entrant("restic", ("restic",), lambda place, binary: Restic(place, binary, "restic")),
    Entrant("rustic", ("rustic",), lambda place, binary: Restic(place, binary, "rustic")),
    Entrant("borg", ("borg",), lambda place, binary: Borg(place, binary, "borg", "lz4")),
    Entrant("borg-zstd", ("borg",), lambda place, binary: Borg(place, binary, "borg zstd 3", "zstd,3")),
    _sealed("tar-zstd-age", ZSTD_FAST),
    _pipe("tar-zstd", f"tar|{ZSTD_DEFAULT.replace(' -q', '')}", ("zstd",), f" | {ZSTD_DEFAULT}", "zstd -q -dc | "),
    _pipe("tar-lz4", "tar|lz4", ("lz4",), " | lz4 -q", "lz4 -q -dc | "),
    _pipe("tar", "tar", (), "", ""),
)
KEYS: Final = tuple(entrant.key for entrant in ENTRANTS)


@dataclass(frozen=True, slots=True)
class Lineup(Generic[W, T]):
    """The chosen tools that are there, with their programs' paths; and why each other one is not."""

    present: tuple[tuple[Entrant[W, T], str], ...]
    absent: dict[str, str]
    versions: dict[str, str]

    def tools(self, place: W) -> list[T]:
        """One of each, for a data set."""
        return [entrant.make(place, binary) for entrant, binary in self.present]


def choose(keys: Iterable[str], given: Mapping[str, str | None]) -> Lineup[Place, Tool]:
    """The chosen tools of the archive bench."""
    return chosen(ENTRANTS, keys, given)


def chosen(entrants: Sequence[Entrant[W, T]], keys: Iterable[str], given: Mapping[str, str | None]) -> Lineup[W, T]:
    """Find the chosen tools; `given` are paths of programs by name. SystemExit for an unknown tool."""
    wanted, known = set(keys), [entrant.key for entrant in entrants]
    if unknown := wanted - set(known):
        raise SystemExit(f"unknown tools: {', '.join(sorted(unknown))}; there are {', '.join(known)}")
    present, absent, versions = [], {}, {"warp": peers.version("warp", WARP)}
    for entrant in (each for each in entrants if each.key in wanted):
        found = {name: peers.find(name, given.get(name)) for name in entrant.needs}
        missing = [name for name, path in found.items() if path is None]
        if missing:
            absent[entrant.key] = "; ".join(f"{name} is absent: {peers.HOW_TO_GET[name]}" for name in missing)
            continue
        paths = {name: path for name, path in found.items() if path is not None}
        versions.update({name: peers.version(name, path) for name, path in paths.items() if name not in versions})
        present.append((entrant, next(iter(paths.values()), "")))
    return Lineup(tuple(present), absent, versions)
