"""Writing a commit: TOC, padding, and the 256 bytes that make it all valid, with a sync before and after them.

… pages │ TOC │ zeros to 4096 │ ── sync ── commit ── sync ──
"""

from dataclasses import dataclass, field

from warp_portal._native import OBJECT_TOC, Frontier, ScopeKeys, blake3
from warp_portal.archive.base import Base
from warp_portal.archive.commit import CHECKPOINT, SNAPSHOT, Commit
from warp_portal.archive.content import Page
from warp_portal.archive.header import Header
from warp_portal.archive.limits import ALIGNMENT, KIND_CHUNK, KIND_LOCATOR, KIND_TABLE, MAX_TOC
from warp_portal.archive.storage import Output
from warp_portal.archive.toc import TOC, ClearTOC, SealedTOC, bounded_owners, check_pages
from warp_portal.clock import Clock
from warp_portal.errors import FormatError, UsageError
from warp_portal.keys.signers import SigningKey
from warp_portal.primitives.compression import ZSTD

TOC_LEVEL = 3


@dataclass(frozen=True, slots=True)
class Facts:
    """What a commit says beside its pages. `position` is empty for a snapshot; without `time_ns` it is made now."""

    fragments: int
    entries: int
    logical_bytes: int
    stored_bytes: int
    scan_time_ns: int
    arguments: dict[str, object] = field(default_factory=dict)
    owners: tuple[dict[int, bytes], dict[int, bytes]] = ({}, {})
    position: bytes = b""
    time_ns: int | None = None


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

    def checkpoint(
        self, output: Output, listed: list[Page], facts: Facts, frontier: Frontier, signing_key: SigningKey | None
    ) -> Commit:
        """Append a checkpoint; signed like the snapshot to come, so that a run that resumes knows it for its own."""
        toc = self._append_toc(output, self._toc(listed, facts, frontier, signing_key))
        return self._append(output, self._draft(toc, facts, frontier, CHECKPOINT), signing_key)

    def snapshot(
        self, output: Output, listed: list[Page], facts: Facts, frontier: Frontier, signing_key: SigningKey | None
    ) -> Commit:
        """Append a snapshot."""
        toc = self._append_toc(output, self._toc(listed, facts, frontier, signing_key))
        return self._append(output, self._draft(toc, facts, frontier, SNAPSHOT), signing_key)

    def _append_toc(self, output: Output, toc: TOC) -> tuple[int, bytes]:
        """Its offset and bytes; raises UsageError, before anything is written, for what no reader would take."""
        raw = toc.serialize()
        try:
            check_pages(toc.clear.pages, output.offset)
        except FormatError as error:
            raise UsageError(
                f"the archive would be one that no reader takes: {error}: pack fewer entries into it"
            ) from error
        if len(raw) > MAX_TOC:
            raise UsageError("the table of contents would be longer than any reader takes: pack fewer entries into it")
        offset = output.emit(raw)
        output.emit(bytes(-output.offset % ALIGNMENT))
        output.sync()
        return offset, raw

    def _draft(self, toc: tuple[int, bytes], facts: Facts, frontier: Frontier, flags: int) -> Commit:
        """The commit that follows a TOC and its padding, without signature and MAC."""
        toc_offset, raw = toc
        end = toc_offset + len(raw)
        return Commit(
            sequence=self.last.sequence + 1 if self.last else 1,
            previous=self.last.offset if self.last else 0,
            offset=end + -end % ALIGNMENT,
            toc_offset=toc_offset,
            toc_bytes=len(raw),
            toc_digest=blake3(raw),
            chunks=frontier.size,
            root=frontier.root(),
            stored_bytes=facts.stored_bytes,
            flags=flags,
            time_ns=self._clock.now_ns() if facts.time_ns is None else facts.time_ns,
        )

    def _append(self, output: Output, draft: Commit, signing_key: SigningKey | None) -> Commit:
        commit = draft.sealed(self._keys, self._header.uuid, signing_key)
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
            owners=bounded_owners(facts.owners),
            position=facts.position,
        )
        stored, dp = self._keys.seal(OBJECT_TOC, sealed.serialize(), ZSTD, TOC_LEVEL)
        return TOC(clear, dp, stored)
