"""Forgetting snapshots, and writing an archive anew without what no kept one uses.

    choose ─▶ mark what kept recipes use ─▶ copy it beside the archive ─▶ verify the copy ─▶ rename it over the archive

An archive only grows, so a snapshot is forgotten by leaving it out of a new file: under the same archive key, but with its own
uuid. Until the rename the archive is as it was.
"""

import builtins
import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Final

from warp_portal.archive import filetable
from warp_portal.archive.carryover import Carried, Rebinding, SlotKeys, carried_over
from warp_portal.archive.commit import Commit
from warp_portal.archive.content import Content, read_table
from warp_portal.archive.header import Header
from warp_portal.archive.limits import KIND_TABLE
from warp_portal.archive.liveness import LiveChunks, Liveness
from warp_portal.archive.opening import Opened
from warp_portal.archive.original import CHUNK_FRAGMENTS, FRAGMENT_LENGTHS, RAW_LENGTHS, STORED_LENGTHS, Original
from warp_portal.archive.replacement import Replacement, check_room, remove_leftovers
from warp_portal.archive.retention import EVERYTHING, Selection
from warp_portal.archive.rewriting import (
    CompactProgress,
    ProgressCallback,
    Rewriting,
    new_header,
    recipes_column,
)
from warp_portal.archive.slots import Slot
from warp_portal.archive.state import Remembered, StateStore
from warp_portal.archive.storage import AnyPath, ArchiveFile
from warp_portal.archive.unlock import NO_KEY, Unlock
from warp_portal.archive.verification import Level, verify
from warp_portal.clock import SYSTEM_CLOCK, Clock
from warp_portal.errors import IntegrityError, StorageFullError, UsageError, naming
from warp_portal.keys.recipients import Recipient
from warp_portal.keys.signers import SigningKey

# Tables of contents and padding differ a little from those they replace.
SPARE_BYTES: Final = 1024 * 1024


@dataclass(frozen=True, slots=True, repr=False)
class CompactRequest:
    """What to keep, and with which keys; `drop_slots` gives up key slots that the keys at hand cannot make again.

    `slot_passphrases` open the archive too, but are given for their slots: one that has none is refused. So is one of those that
    open the archive, unless `tolerant`, as for one that settings give to every archive.
    """

    selection: Selection = EVERYTHING
    recipients: tuple[Recipient, ...] = ()
    slot_passphrases: tuple[str, ...] = ()
    drop_slots: bool = False
    tolerant: bool = False
    signing_key: SigningKey | None = None
    dry_run: bool = False


@dataclass(frozen=True, slots=True)
class Fate:
    """What becomes of a snapshot: its number afterwards, None if it is forgotten, and the rules that keep it.

    One that a change of keys made holds what the one before it holds: rules keep it only in place of that one, if it was named.
    """

    number: int
    time_ns: int
    becomes: int | None
    rules: tuple[str, ...]
    key_change: bool = False


@dataclass(frozen=True, slots=True)
class CompactReport:
    """What was done, or with `dry_run` would be. `bytes` are stored bytes of chunks; file sizes are in `file_bytes`.

    `unused_bytes` is raw data that no kept snapshot uses, and that stays because the rest of its chunk is used.
    `uuid` is the archive's now; `signed` tells whether its newest snapshot is. With `dry_run`, `obstacle` is why the run itself
    would stop before it writes anything: for want of keys or room, or a signature that does not hold; chunks are not read for
    it. Empty if it would not. `unproven` are public keys that took over a slot each: whose that was can't be known.
    """

    changed: bool
    uuid: "builtins.bytes"
    uuid_before: "builtins.bytes"
    snapshots: tuple[Fate, ...]
    chunks: int
    chunks_before: int
    bytes: int
    bytes_before: int
    unused_bytes: int
    file_bytes: int
    file_bytes_before: int
    signed: bool
    dropped_slots: int = 0
    unproven: tuple[Recipient, ...] = ()
    obstacle: str = ""

    @property
    def forgotten(self) -> int:
        """How many snapshots go."""
        return sum(fate.becomes is None for fate in self.snapshots)


def compact(  # noqa: PLR0913 - one call of the API, mostly by keyword
    path: AnyPath,
    request: CompactRequest = CompactRequest(),
    *,
    unlock: Unlock = NO_KEY,
    state: StateStore | None = None,
    progress: ProgressCallback | None = None,
    clock: Clock = SYSTEM_CLOCK,
) -> CompactReport:
    """Write an archive anew with the snapshots that are selected and the chunks they use, and put it in the old one's place.

    If that would leave out nothing, not a key slot either, nothing is done.

    Raises:
        UsageError: key slots would be lost, a key is given for a slot that is not there, or the archive is signed and no key is given.
        SignerError: a kept snapshot is signed by another key than the one given.
        DamagedTailError: something follows the newest snapshot.
        IntegrityError: a chunk or page that is kept is damaged. The archive is as it was, after any error.
        NotFoundError, BusyError, KeyRequiredError, WrongKeyError, VersionError, StorageFullError, SignatureError, RollbackError.
    """
    opening = replace(unlock, passphrases=unlock.passphrases + request.slot_passphrases)
    with Original(path, opening, state) as original:
        plan = Compaction(original, request)
        if request.dry_run:
            return plan.preview(clock, unlock)
        remove_leftovers(original.file)
        carried = plan.slots(new := new_header(original, clock), unlock)
        if carried is None:
            return plan.report()
        with Replacement(original.file, plan.room_bytes) as replacement:
            with naming(os.fsdecode(replacement.file.path)):
                commit = plan.write(replacement.file, new, carried.slots, clock, progress)
            plan.verify(replacement.file, commit)
            report = plan.report(new, replacement.file, carried)
            if state:
                signer = request.signing_key.public.raw if request.signing_key and commit.signed else b""
                state.remember(new.uuid, Remembered(commit.sequence, commit.digest(), signer))
            replacement.take_over()
        return report


class Compaction:
    """The plan for one archive, and its execution."""

    def __init__(self, original: Original, request: CompactRequest) -> None:
        self._original = original
        self._request = request
        times_ns = [opened.commit.time_ns for opened in original.snapshots]
        self._key_changes = original.key_changes()
        self._kept = request.selection.kept(times_ns, passed_over=self._key_changes)
        self._liveness = Liveness(count for counts in original.index.column(*CHUNK_FRAGMENTS) for count in counts)
        self._mark()
        self._live: LiveChunks = self._liveness.live()
        self._stored_bytes, self._stored_bytes_before = self._live_sum(*STORED_LENGTHS)

    @property
    def _leaves_out(self) -> bool:
        """Whether a snapshot or a chunk would go."""
        return len(self._kept) < len(self._original.snapshots) or self._live.count < self._original.index.chunks

    @property
    def room_bytes(self) -> int:
        """What the new file takes at most."""
        metadata_bytes = self._original.file.size() - self._stored_bytes_before
        return self._stored_bytes + metadata_bytes + SPARE_BYTES

    def _openeds(self) -> Iterator[Opened]:
        """The kept snapshots, the first first."""
        return (self._original.snapshots[number - 1] for number in self._kept)

    def _contents(self) -> Iterator[Content]:
        return (self._original.content(opened, self._liveness.starts) for opened in self._openeds())

    def _mark(self) -> None:
        """Note what kept snapshots use; a page is looked at where it is first listed, which has the fewest fragments."""
        original, seen = self._original, set[int]()
        for content in self._contents():
            for page in content.pages[KIND_TABLE]:
                if page.ref.offset in seen:
                    continue
                seen.add(page.ref.offset)
                columns = read_table(original.file, original.keys, page).to_columns()
                self._liveness.use(filetable.decode_runs(recipes_column(columns)), content.sealed.fragments)

    def _live_sum(self, kind: int, column: int) -> tuple[int, int]:
        """Of a column of chunk sizes: the sum of the live ones, and of all."""
        live = everything = chunk = 0
        for sizes in self._original.index.column(kind, column):
            flags = self._live.flags[chunk : chunk + len(sizes)]
            live += sum(size for size, flag in zip(sizes, flags, strict=True) if flag)
            everything += sum(sizes)
            chunk += len(sizes)
        return live, everything

    def _unused_bytes(self) -> int:
        """Raw bytes of live chunks that no kept recipe uses."""
        used = first = 0
        for lengths in self._original.index.column(*FRAGMENT_LENGTHS):
            used += self._liveness.used_bytes(first, lengths)
            first += len(lengths)
        return self._live_sum(*RAW_LENGTHS)[0] - used

    # Carrying it out

    def slots(self, header: Header, unlock: Unlock) -> Carried | None:
        """The key slots of the new file, None if it would leave out nothing; raises UsageError, before anything is written."""
        if self._leaves_out:
            self._check_signers()
            return self._carried_over(header, unlock)
        if not self._request.drop_slots:
            return None
        carried = self._carried_over(header, unlock)
        if len(carried.slots) == self._slots_before:
            return None
        self._check_signers()
        return carried

    @property
    def _slots_before(self) -> int:
        return len(self._original.newest.slots.slots) if self._original.newest.slots else 0

    def _check_signers(self) -> None:
        own = self._request.signing_key.public if self._request.signing_key else None
        for opened in self._openeds():
            self._original.check_signer(opened, own)

    def _carried_over(self, header: Header, unlock: Unlock) -> Carried:
        original, request = self._original, self._request
        given = SlotKeys(request.slot_passphrases, request.recipients, request.drop_slots, request.tolerant)
        if original.newest.slots is None or original.archive_key is None:
            if given.passphrases or given.recipients:
                raise UsageError(f"{original.file.name} is not encrypted: it has no key slot to keep")
            return Carried()
        binding = Rebinding(original.archive_key, original.header.uuid, header.uuid)
        return carried_over(original.newest.slots.slots, binding, unlock, given)

    def preview(self, clock: Clock, unlock: Unlock) -> CompactReport:
        """What the run would do, and why it would stop before it writes anything, if it would."""
        report = self.report()
        try:
            carried = self.slots(new_header(self._original, clock), unlock)
            if carried is None:
                return report
            check_room(self._original.file, self.room_bytes)
        except (UsageError, IntegrityError, StorageFullError) as error:
            return replace(report, obstacle=str(error))
        return replace(report, dropped_slots=self._slots_before - len(carried.slots), unproven=carried.unproven)

    def write(
        self,
        file: ArchiveFile,
        header: Header,
        slots: tuple[Slot, ...],
        clock: Clock,
        progress: ProgressCallback | None,
    ) -> Commit:
        """Write the new file; its last commit."""
        counter = _Counter(self._live.count, self._stored_bytes, progress)
        rewriting = Rewriting(self._original, self._live, file, clock, counter.add)
        rewriting.begin(header, slots)
        last: Commit | None = None
        for content in self._contents():
            # What was not signed gets no signature now: it would vouch for more than its signer ever did.
            last = rewriting.add(content, self._request.signing_key if content.commit.signed else None)
        assert last is not None, "the newest snapshot is always kept"
        return last

    def verify(self, file: ArchiveFile, commit: Commit) -> None:
        """Raises IntegrityError unless the new file is whole as far as its metadata tell; its chunks were checked on the way."""
        unlock = Unlock(archive_key=self._original.archive_key) if self._original.archive_key else NO_KEY
        report = verify(file.path, Level.INDEX, unlock=unlock, expect_commit=commit.digest())
        if not report.ok or report.snapshots != len(self._kept):
            what = report.metadata_damage[0] if report.metadata_damage else "its snapshots are not all there"
            raise IntegrityError(
                f"{self._original.file.name} was left as it is, for what was written anew is wrong: {what}"
            )

    def report(
        self, header: Header | None = None, file: ArchiveFile | None = None, carried: Carried | None = None
    ) -> CompactReport:
        """The account; without a new file, of what would be done."""
        original, size = self._original, self._original.file.size()
        metadata_bytes = size - self._stored_bytes_before
        return CompactReport(
            changed=header is not None,
            uuid=(header or original.header).uuid,
            uuid_before=original.header.uuid,
            snapshots=tuple(self._fates()),
            chunks=self._live.count,
            chunks_before=original.index.chunks,
            bytes=self._stored_bytes,
            bytes_before=self._stored_bytes_before,
            unused_bytes=self._unused_bytes(),
            file_bytes=file.size() if file else self._stored_bytes + metadata_bytes,
            file_bytes_before=size,
            signed=original.newest.commit.signed,
            dropped_slots=self._slots_before - len(carried.slots) if carried else 0,
            unproven=carried.unproven if carried else (),
        )

    def _fates(self) -> Iterator[Fate]:
        becomes = {number: position for position, number in enumerate(self._kept, 1)}
        for number, opened in enumerate(self._original.snapshots, 1):
            rules, changed = self._kept.get(number, ()), number in self._key_changes
            yield Fate(number, opened.commit.time_ns, becomes.get(number), rules, changed)


@dataclass(slots=True)
class _Counter:
    """Sums up what was copied, and tells it."""

    total_chunks: int
    total_bytes: int
    tell: ProgressCallback | None
    chunks: int = 0
    bytes: int = 0

    def add(self, stored_bytes: int) -> None:
        """One more chunk."""
        self.chunks += 1
        self.bytes += stored_bytes
        if self.tell:
            self.tell(CompactProgress(self.chunks, self.total_chunks, self.bytes, self.total_bytes))
