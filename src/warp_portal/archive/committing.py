"""Writing a commit: TOC, padding, and the 256 bytes that make it all valid, with a sync before and after them.

… pages │ TOC │ zeros to 4096 │ ── sync ── commit ── sync ──
"""

from dataclasses import dataclass, field

from warp_portal._native import OBJECT_TOC, Frontier, ScopeKeys, blake3
from warp_portal.archive.base import Base
from warp_portal.archive.commit import CHECKPOINT, SNAPSHOT, Commit
from warp_portal.archive.content import Page
from warp_portal.archive.header import Header
from warp_portal.archive.limits import ALIGNMENT, KIND_CHUNK, KIND_LOCATOR, KIND_TABLE
from warp_portal.archive.storage import Output
from warp_portal.archive.toc import TOC, ClearTOC, SealedTOC
from warp_portal.clock import Clock
from warp_portal.keys.signers import SigningKey
from warp_portal.primitives.compression import ZSTD

TOC_LEVEL = 3


@dataclass(frozen=True, slots=True)
class Facts:
    """What a commit says beside its pages. `position` is empty for a snapshot."""

    fragments: int
    entries: int
    logical_bytes: int
    stored_bytes: int
    scan_time_ns: int
    arguments: dict[str, object] = field(default_factory=dict)
    owners: tuple[dict[int, bytes], dict[int, bytes]] = ({}, {})
    position: bytes = b""


class CommitChain:
    """The end of an archive's chain of commits, and how the next one is made."""

    def __init__(self, header: Header, keys: ScopeKeys, base: Base, clock: Clock) -> None:
        self._header = header
        self._header_digest = blake3(header.serialize())
        self._keys = keys
        self._clock = clock
        self.active_copy = base.active_copy
        self.slots_digest = base.slots_digest
        self.last: Commit | None = base.commit
        self.last_digest = base.commit_digest

    def checkpoint(self, output: Output, listed: list[Page], facts: Facts, frontier: Frontier) -> Commit:
        """Append a checkpoint; never signed."""
        return self._append(output, listed, facts, frontier, None, CHECKPOINT)

    def snapshot(
        self, output: Output, listed: list[Page], facts: Facts, frontier: Frontier, signing_key: SigningKey | None
    ) -> Commit:
        """Append a snapshot."""
        return self._append(output, listed, facts, frontier, signing_key, SNAPSHOT)

    def _append(
        self,
        output: Output,
        listed: list[Page],
        facts: Facts,
        frontier: Frontier,
        signing_key: SigningKey | None,
        flags: int,
    ) -> Commit:
        toc = self._toc(listed, facts, frontier, signing_key).serialize()
        toc_offset = output.emit(toc)
        output.emit(bytes(-output.offset % ALIGNMENT))
        output.sync()
        commit = Commit(
            sequence=self.last.sequence + 1 if self.last else 1,
            previous=self.last.offset if self.last else 0,
            offset=output.offset,
            toc_offset=toc_offset,
            toc_bytes=len(toc),
            toc_digest=blake3(toc),
            chunks=frontier.size,
            root=frontier.root(),
            stored_bytes=facts.stored_bytes,
            flags=flags,
            time_ns=self._clock.now_ns(),
        ).sealed(self._keys, self._header.uuid, signing_key)
        output.emit(commit.serialize())
        output.sync()
        self.last, self.last_digest = commit, commit.digest()
        return commit

    def _toc(self, listed: list[Page], facts: Facts, frontier: Frontier, signing_key: SigningKey | None) -> TOC:
        clear = ClearTOC(
            active_copy=self.active_copy,
            header_digest=self._header_digest,
            slots_digest=self.slots_digest,
            previous_digest=self.last_digest,
            chunks=frontier.size,
            frontier=frontier.nodes(),
            pages=tuple(page.ref for page in listed),
        )
        sealed = SealedTOC(
            fragments=facts.fragments,
            entries=facts.entries,
            logical_bytes=facts.logical_bytes,
            dps=tuple(page.dp for page in listed if page.ref.kind != KIND_LOCATOR),
            first_fragments=tuple(page.first_fragment for page in listed if page.ref.kind == KIND_CHUNK),
            first_paths=tuple(page.first_path for page in listed if page.ref.kind == KIND_TABLE),
            signer=signing_key.public.raw if signing_key else b"",
            time_ns=facts.scan_time_ns,
            arguments=facts.arguments,
            owners=facts.owners,
            position=facts.position,
        )
        stored, dp = self._keys.seal(OBJECT_TOC, sealed.serialize(), ZSTD, TOC_LEVEL)
        return TOC(clear, dp, stored)
