"""An archive, and the place that it goes to."""

import os
from dataclasses import replace
from pathlib import Path

from tests.unit.archive.common import KEY, LOCK, OFTEN, UNLOCK, grow, grow_large

from warp_portal.archive.options import Source
from warp_portal.archive.receiving import Target
from warp_portal.archive.state import StateStore
from warp_portal.archive.trust import Expectation
from warp_portal.archive.unlock import NO_KEY
from warp_portal.archive.verification import Level, verify
from warp_portal.archive.writer import append, create
from warp_portal.keys.signers import SigningKey

SIGNER = SigningKey(b"k" * 32)


class Place:
    """A tree, its archive, and where that goes."""

    def __init__(self, path: Path, *, encrypted: bool = False, signing_key: SigningKey | None = None) -> None:
        self.path, self.tree, self.archive = path, path / "tree", path / "a.warp"
        self.copy, self.records = path / "there" / "b.warp", path / "records"
        self.options = replace(OFTEN, signing_key=signing_key)
        self.state = StateStore(path / "state")
        self.encrypted = encrypted
        self.copy.parent.mkdir()
        self.records.mkdir()
        grow(self.tree, 120, 20_000)
        grow_large(self.tree / "large", 20 << 20)
        self.create()

    def create(self) -> None:
        source = Source.of([self.tree])
        if self.encrypted:
            create(self.archive, source, self.options, lock=LOCK, archive_key=KEY, state=self.state)
        else:
            create(self.archive, source, self.options, state=self.state)

    def append(self, seed: int, size: int = 3 << 20) -> None:
        grow_large(self.tree / f"more{seed}", size, seed=seed)
        unlock = UNLOCK if self.encrypted else NO_KEY
        append(self.archive, Source.of([self.tree]), self.options, unlock=unlock, state=self.state)

    def target(self, expectation: Expectation = Expectation(), state: StateStore | None = None) -> Target:
        return Target(self.copy, self.records, expectation, state)

    def check(self, level: Level = Level.DATA) -> None:
        """The copy is the archive, and nothing else is left."""
        assert self.copy.read_bytes() == self.archive.read_bytes()
        assert verify(self.copy, level).ok
        assert os.listdir(self.copy.parent) == ["b.warp"]
        assert os.listdir(self.records) == []

    def damage(self, offset: int) -> None:
        with open(self.archive, "r+b") as file:
            file.seek(offset)
            byte = file.read(1)[0]
            file.seek(offset)
            file.write(bytes([byte ^ 1]))
