"""Creating, resuming and appending: which state of the file a run goes on from, and what is remembered of it.

create    no file, or an empty one    → a new archive
          unfinished, equal arguments → go on from its last checkpoint (or anew, if it has none)
          the same, signed otherwise  → refused
          anything else               → refused
append    finished                    → go on from the newest snapshot
          unfinished, equal arguments → go on from the last checkpoint
          other arguments or signer   → cut back to the newest snapshot, then go on from there
          followed by other bytes     → the same if they are what this machine's append left, else refused (`resuming`)
"""

import contextlib
import errno
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Final

from warp_portal._native import ScopeKeys, blake3
from warp_portal.archive.base import Base, load_base
from warp_portal.archive.commit import Commit
from warp_portal.archive.content import open_content
from warp_portal.archive.header import HEADER_BYTES, Header
from warp_portal.archive.limits import SUITE_PLAIN, UUID_BYTES, ZERO_DIGEST
from warp_portal.archive.opening import Opened, history, open_commit, open_earlier, read_header
from warp_portal.archive.options import PACK_DEFAULTS, PackOptions, PackReport, Source, Stream
from warp_portal.archive.packing import Job, Packing, ProgressCallback, Target
from warp_portal.archive.resuming import (
    check_signed_alike,
    check_tail,
    find_newest,
    locked_alike,
    newest_for_writer,
    noted_change,
    recipients_of,
    remembered_as,
    same_run,
    signed_alike,
    tidy_slots,
    writable_header,
)
from warp_portal.archive.state import Remembered, StateStore, Unfinished
from warp_portal.archive.storage import AnyPath, ArchiveFile, FileOutput, sync_directory
from warp_portal.archive.trust import check_continued, check_state
from warp_portal.archive.unlock import NO_KEY, Lock, Unlock, new_slots, open_keys, random_archive_key
from warp_portal.clock import SYSTEM_CLOCK, Clock
from warp_portal.errors import FormatError, KeyRequiredError, NotFoundError, StorageFullError, UsageError, naming
from warp_portal.keys.signers import Signer

_FULL: Final = (errno.ENOSPC, errno.EDQUOT)

PreviousCallback = Callable[[dict[str, object]], None]


@dataclass(frozen=True, slots=True, repr=False)
class Setting:
    """What surrounds a run beside its job: how a new archive is locked, what is remembered, and given randomness.

    `previous` hears with which arguments the snapshot before was made, before anything is packed.
    """

    lock: Lock | None = None
    unlock: Unlock = NO_KEY
    state: StateStore | None = None
    archive_key: bytes | None = None
    uuid: bytes | None = None
    previous: PreviousCallback | None = None


class ArchiveWriter:
    """One archive that is created or appended to; `run` does it."""

    def __init__(self, job: Job, setting: Setting) -> None:
        self._job = job
        self._setting = setting
        self._own: Signer | None = job.options.signing_key.public if job.options.signing_key else None
        self._notices: list[str] = []
        self._warnings: list[str] = []

    def create(self, target: AnyPath | int) -> PackReport:
        """Make a new archive at a path, or on a descriptor (a pipe: not resumable)."""
        if isinstance(target, int):
            with _named_full_disk(target):
                return self._run(self._begin(None, target), None)
        with _named_full_disk(target), contextlib.ExitStack() as stack:
            file, is_new = _new_or_existing(target)
            stack.enter_context(file)
            file.lock()
            try:
                return self._run(self._resumable(file) or self._begin(file, file.fd), file)
            finally:
                if is_new and file.size() == 0 and file.named():  # nothing came of it: leave no empty file behind
                    os.unlink(file.path)

    def append(self, path: AnyPath, *, recover: bool = False) -> PackReport:
        """Add a snapshot to an archive; `recover` cuts off whatever follows its last whole state."""
        with _named_full_disk(path), ArchiveFile(path, os.O_RDWR) as file:
            file.lock()
            header = writable_header(file)
            opened = newest_for_writer(file, header, recover=recover)
            keys = open_keys(header, opened.slots, self._setting.unlock)
            # As in reading, who recovers has chosen to go back behind what is remembered.
            state = None if recover else self._setting.state
            seen = state.remembered(header.uuid) if state else None
            check_state(file, opened, keys, seen)
            last = self._last_snapshot(file, opened)
            start = opened if self._goes_on(file, opened, keys) else open_commit(file, header, last)
            if recover:
                self._note_going_back(opened)
            else:
                begun = state.changed_from(header.uuid) if state else None
                check_tail(file, opened.commit, start.commit, begun)
            self._note_cutting(file, start.commit)
            snapshot = open_earlier(file, opened, last)
            self._check_start(file, snapshot, keys, seen, go_back=recover)
            if self._setting.previous:
                self._setting.previous(open_content(snapshot, keys).sealed.arguments)
            tidy_slots(file, opened)
            with noted_change(file, header.uuid, last, self._setting.state):
                return self._run(_going_on(file, start, keys), file)

    def _note_going_back(self, opened: Opened) -> None:
        remembered = self._setting.state.remembered(opened.header.uuid) if self._setting.state else None
        if remembered and remembered.commit_digest != opened.commit.digest():
            self._warnings.append(
                f"it was at commit {opened.commit.sequence}, and is not the state that this machine saw last (commit "
                f"{remembered.sequence}): what that holds is not in it, and copies of that state will be refused from now on"
            )

    def _note_cutting(self, file: ArchiveFile, start: Commit) -> None:
        if file.size() > start.end:
            what = "of an unfinished or damaged run" if start.snapshot else "after the last checkpoint"
            self._notices.append(f"{file.size() - start.end:,} bytes {what} were cut off")

    def _last_snapshot(self, file: ArchiveFile, opened: Opened) -> Commit:
        snapshot = next((commit for commit in history(file, opened.commit) if commit.snapshot), None)
        if snapshot is None:
            raise UsageError(f"{file.name} was never finished: run the create command again")
        if snapshot.signed and self._job.options.signing_key is None:
            raise UsageError(f"{file.name} is signed: sign what you append, or readers will refuse it")
        return snapshot

    def _goes_on(self, file: ArchiveFile, opened: Opened, keys: ScopeKeys) -> bool:
        """Whether to go on from this commit: the newest snapshot, or a checkpoint of an equal run that signs alike."""
        if opened.commit.snapshot:
            return True
        if not signed_alike(file, opened, self._own):
            return False
        return same_run(load_base(file, opened, keys).arguments, self._job.arguments())

    def _check_start(
        self, file: ArchiveFile, snapshot: Opened, keys: ScopeKeys, seen: Remembered | None, *, go_back: bool
    ) -> None:
        """Whose it is; then remember it."""
        start = remembered_as(snapshot, keys)
        check_continued(file, snapshot, start.signer, seen, self._own)
        if self._own and start.signer not in (b"", self._own.raw):
            self._warnings.append(
                "it is signed by another key than before: machines that remember that signer refuse it until "
                f"`warp verify --signer {self._own}` is run there"
            )
        if self._setting.state and start != seen:
            self._setting.state.remember(snapshot.header.uuid, start, go_back=go_back)

    # Creating

    def _resumable(self, file: ArchiveFile) -> Target | None:
        """The target if the file is an unfinished archive of this very job; None if it is empty or has nothing worth keeping."""
        if file.size() == 0:
            return None
        record = self._setting.state.unfinished(file.path) if self._setting.state else None
        newest = newest_of_any_kind(file)
        if newest is None:
            if record is not None and may_be(file, record.header):
                return None
            raise UsageError(f"{file.name} exists: choose another name, or remove it")
        header, commit = newest
        if any(earlier.snapshot for earlier in history(file, commit)):
            if record and self._setting.state and record.uuid == header.uuid:
                self._setting.state.finish(file.path)  # it holds the key, and was left by a run killed at its very end
            raise UsageError(f"{file.name} is a finished archive: append to it, or choose another name")
        return self._resume(file, open_commit(file, header, commit), record)

    def _resume(self, file: ArchiveFile, opened: Opened, record: Unfinished | None) -> Target:
        """Go on with an unfinished create, if this is the same one."""
        header, lock = opened.header, self._setting.lock
        ours = record if record and record.uuid == header.uuid else None
        suite = lock.suite if lock else SUITE_PLAIN
        same = header.cutting == self._job.options.cutting and header.suite == suite
        same &= locked_alike(opened, ours, lock)
        if same:
            check_signed_alike(file, opened, self._own)
            keys = self._resume_keys(opened, ours)
            same = same_run(load_base(file, opened, keys).arguments, self._job.arguments())
        if not same:
            raise UsageError(
                f"{file.name} is unfinished, and was begun with other arguments: repeat those, or remove it"
            )
        return _going_on(file, opened, keys)

    def _resume_keys(self, opened: Opened, record: Unfinished | None) -> ScopeKeys:
        """The keys by the passphrases given, which must all fit, or else by the state record."""
        keys = None
        lock = self._setting.lock
        for passphrase in lock.passphrases if lock else ():
            unlock = Unlock((passphrase,), large_argon2=lock is not None and lock.cost.large)
            keys = open_keys(opened.header, opened.slots, unlock)
        if keys is not None:
            return keys
        try:
            archive_key = record.archive_key if record else self._setting.archive_key
            return open_keys(opened.header, opened.slots, Unlock(archive_key=archive_key or None))
        except KeyRequiredError:
            raise UsageError(
                "the archive is unfinished, and its key was not kept here: remove it and begin anew"
            ) from None

    def _begin(self, file: ArchiveFile | None, fd: int) -> Target:
        """Write the header and key slots of a new archive."""
        setting, lock = self._setting, self._setting.lock
        if lock and not (lock.passphrases or lock.recipients or setting.archive_key):
            raise UsageError("an encrypted archive needs a passphrase or a recipient: nobody could open it")
        uuid = setting.uuid or os.urandom(UUID_BYTES)
        archive_key = (setting.archive_key or random_archive_key()) if lock else None
        keys = ScopeKeys(archive_key, lock.suite if lock else SUITE_PLAIN)
        header = self._new_header(keys, uuid)
        copies = _new_slot_copies(lock, archive_key, keys, uuid) if lock and archive_key else b""
        if file is not None:
            os.ftruncate(fd, 0)  # before the record changes: a file is recognized by it
        if file is not None and setting.state:
            recipients, arguments = recipients_of(lock), self._job.arguments()
            record = Unfinished(uuid, archive_key or b"", arguments, recipients, header.serialize())
            setting.state.begin(file.path, record)
        with naming(os.fsdecode(file.path)) if file else contextlib.nullcontext():
            output = FileOutput(fd, 0, durable=file is not None)
            output.emit(header.serialize() + copies)
            output.sync()  # or a loss of power might leave what follows without what tells whose it is
        digest = blake3(copies[: header.slot_copy_bytes]) if lock else ZERO_DIGEST
        return Target(fd, file, header.first_segment, header, keys, Base(slots_digest=digest))

    def _new_header(self, keys: ScopeKeys, uuid: bytes) -> Header:
        lock = self._setting.lock
        header = Header(
            uuid=uuid,
            suite=keys.suite,
            cutting=self._job.options.cutting,
            slot_copy_bytes=lock.slot_copy_bytes if lock else 0,
            key_commitment=keys.commitment() if lock else ZERO_DIGEST,
            created_ns=self._job.clock.now_ns(),
        )
        return replace(header, mac=keys.header_mac(header.body()))

    # Running

    def _run(self, target: Target, file: ArchiveFile | None) -> PackReport:
        packing = Packing(target, self._job)
        commit = packing.run()
        digest = commit.digest()
        if file is not None and self._setting.state:
            sync_directory(file.path)
            signer = self._own.raw if self._own else b""
            self._setting.state.remember(target.header.uuid, Remembered(commit.sequence, digest, signer))
            self._setting.state.finish(file.path)
        entries, logical_bytes = packing.totals
        if idle := packing.idle_excludes:
            self._notices.append(
                f"nothing was excluded by {', '.join(idle)}: such a pattern counts from inside each path that is packed, "
                "as /name or name"
            )
        return PackReport(
            path=file.path if file else None,
            uuid=target.header.uuid,
            snapshot=sum(each.snapshot for each in history(file, commit)) if file else 1,
            sequence=commit.sequence,
            commit_hash=digest,
            resumed=target.base.unfinished,
            entries=entries,
            files=packing.progress.files,
            bytes=logical_bytes,
            progress=packing.progress,
            problems=packing.problems.kept,
            failed=packing.problems.count,
            encrypted=target.header.encrypted,
            notices=tuple(self._notices),
            warnings=tuple(self._warnings),
        )


def create(  # noqa: PLR0913 - one call of the API, mostly by keyword
    target: AnyPath | int,
    source: Source | Stream,
    options: PackOptions = PACK_DEFAULTS,
    *,
    lock: Lock | None = None,
    state: StateStore | None = None,
    progress: ProgressCallback | None = None,
    clock: Clock = SYSTEM_CLOCK,
    archive_key: bytes | None = None,
    uuid: bytes | None = None,
) -> PackReport:
    """Make an archive at a path, or on an open descriptor (a pipe). An unfinished one of equal arguments is resumed.

    Without `lock` the archive is plain. `archive_key` (32 bytes) and `uuid` (16) are for tests and escrow; else random.

    Raises:
        UsageError: the path holds something else, or the arguments make no sense.
        BusyError: another process writes to it.
        StorageFullError: no room; what is there can be resumed.
    """
    setting = Setting(lock=lock, state=state, archive_key=archive_key, uuid=uuid)
    return ArchiveWriter(Job(source, options, clock, progress), setting).create(target)


def append(  # noqa: PLR0913 - one call of the API, mostly by keyword
    path: AnyPath,
    source: Source | Stream,
    options: PackOptions = PACK_DEFAULTS,
    *,
    unlock: Unlock = NO_KEY,
    state: StateStore | None = None,
    progress: ProgressCallback | None = None,
    clock: Clock = SYSTEM_CLOCK,
    recover: bool = False,
    previous: PreviousCallback | None = None,
) -> PackReport:
    """Add a snapshot to an archive; unchanged files are not read. `options.cutting` is ignored: the archive has its own.

    With `recover`, what follows the last whole commit is cut off whatever it is, and rollback is not checked. `previous`
    is called with the arguments of the newest snapshot, as its maker recorded them, before anything is packed.

    Raises:
        DamagedTailError: bytes that no append of this machine left follow the last whole commit.
        UnsignedError, SignatureError: it is not signed as it was, its signature does not hold, or is by a stranger.
        NotFoundError, BusyError, KeyRequiredError, WrongKeyError, IntegrityError, VersionError, UsageError, StorageFullError.
    """
    setting = Setting(unlock=unlock, state=state, previous=previous)
    return ArchiveWriter(Job(source, options, clock, progress), setting).append(path, recover=recover)


def _new_or_existing(path: AnyPath) -> tuple[ArchiveFile, bool]:
    """The file at a path, open to be written, and whether it was made just now."""
    directory = os.path.dirname(os.fsencode(path))
    if directory and not os.path.isdir(directory):
        raise NotFoundError(f"{os.fsdecode(directory)!r}: no such directory: make it, or name another")
    try:
        return ArchiveFile(path, os.O_RDWR | os.O_CREAT | os.O_EXCL), True
    except FileExistsError:
        return ArchiveFile(path, os.O_RDWR | os.O_CREAT), False


def newest_of_any_kind(file: ArchiveFile) -> tuple[Header, Commit] | None:
    """The header and newest commit of what may be an archive."""
    try:
        header = read_header(file)
    except FormatError:
        return None
    opened = find_newest(file, header)
    return (header, opened.commit) if opened else None


def may_be(file: ArchiveFile, header: bytes) -> bool:
    """Whether a file without commits is what is left of the archive with this header: it, or the beginning of it."""
    size = min(file.size(), HEADER_BYTES)
    return len(header) == HEADER_BYTES and file.read(0, size, "the header") == header[:size]


def _going_on(file: ArchiveFile, opened: Opened, keys: ScopeKeys) -> Target:
    """Cut off what follows a commit, and write from there."""
    base = load_base(file, opened, keys)
    end = opened.commit.end
    if file.size() > end:
        os.ftruncate(file.fd, end)
    os.lseek(file.fd, end, os.SEEK_SET)
    return Target(file.fd, file, end, opened.header, keys, base)


def _new_slot_copies(lock: Lock, archive_key: bytes, keys: ScopeKeys, uuid: bytes) -> bytes:
    """The active first copy and the empty second."""
    slots = new_slots(lock, archive_key, uuid)
    first = replace(slots, mac=keys.slot_mac(slots.body())).serialize(lock.slot_copy_bytes)
    return first + bytes(lock.slot_copy_bytes)


@contextlib.contextmanager
def _named_full_disk(path: AnyPath | int) -> Iterator[None]:
    """A full disk gets the error class that says so; where nothing can be resumed, only the name of the place."""
    try:
        yield
    except OSError as error:
        if error.errno not in _FULL:
            raise
        if isinstance(path, int):
            error.filename = error.filename or ("standard output" if path == 1 else f"descriptor {path}")
            raise
        name = os.fsdecode(path).encode("utf-8", "replace").decode()
        raise StorageFullError(f"{name}: no room left: make room and repeat the command to resume") from error
