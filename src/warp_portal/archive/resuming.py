"""Which commit a writer may go on from, and what it may cut off after it.

Bytes after the last whole commit are either what a stopped append left, or a finished snapshot that lost its end, as in a
partial download. Only the first may be cut: they follow a checkpoint of the very run that is repeated, or the snapshot
that this machine noted when it began to append.

Anyone can forge a checkpoint of a plain archive, and the snapshot that is built on it would vouch for it. So a run that
signs goes on from checkpoints only if they are signed by its own key.
"""

import contextlib
import os
from collections.abc import Iterator
from itertools import takewhile

from warp_portal._native import ScopeKeys
from warp_portal.archive.commit import COMMIT_BYTES, MAGIC, Commit
from warp_portal.archive.content import open_content
from warp_portal.archive.header import Header
from warp_portal.archive.limits import ALIGNMENT
from warp_portal.archive.opening import (
    Opened,
    candidates_before,
    history,
    last_commit,
    open_commit,
    read_header,
    slot_copy_offset,
)
from warp_portal.archive.options import POLICY
from warp_portal.archive.slots import PASSPHRASE
from warp_portal.archive.state import Remembered, StateStore, Unfinished
from warp_portal.archive.storage import ArchiveFile
from warp_portal.archive.unlock import Lock
from warp_portal.errors import (
    BeginningError,
    DamagedTailError,
    IntegrityError,
    SignatureError,
    UsageError,
    VersionError,
)
from warp_portal.keys.signers import Signer


def writable_header(file: ArchiveFile) -> Header:
    """The header of an archive that this version may write to."""
    header = read_header(file)
    if header.writer_features or header.minor:
        raise VersionError(f"{file.name} was written by a newer version, which must be used to change it")
    return header


def newest_for_writer(file: ArchiveFile, header: Header, *, recover: bool = False) -> Opened:
    """The newest whole commit of either kind; whether what follows it may go, `check_tail` tells.

    Raises:
        DamagedTailError: a snapshot after it is damaged (unless `recover`), or there is none.
    """
    opened = find_newest(file, header, recover=recover)
    if opened is None:
        raise DamagedTailError(f"{file.name}: it has no commit: repeat the command that began it")
    return opened


def find_newest(file: ArchiveFile, header: Header, *, recover: bool = False) -> Opened | None:
    """As `newest_for_writer`, but None if there is no commit."""
    commit = last_commit(file)
    if commit is not None and not recover:
        return open_commit(file, header, commit)
    if not recover and _ends_like_a_commit(file):
        raise _damaged(file)
    for candidate in candidates_before(file, file.size()):
        try:
            return open_commit(file, header, candidate)
        except BeginningError:
            raise  # it is the same for every commit
        except IntegrityError:
            if candidate.snapshot and not recover:
                raise _damaged(file) from None
    return None


def recipients_of(lock: Lock | None) -> tuple[str, ...]:
    """As the record of an unfinished archive holds them."""
    return tuple(sorted(map(str, lock.recipients))) if lock else ()


def locked_alike(opened: Opened, record: Unfinished | None, lock: Lock | None) -> bool:
    """Whether an unfinished archive is for whom `lock` says: else a passphrase that this run leaves out would open it too."""
    if record is not None and record.recipients != recipients_of(lock):
        return False
    slots = opened.slots.slots if opened.slots else ()
    return sum(slot.type == PASSPHRASE for slot in slots) == (len(lock.passphrases) if lock else 0)


def same_run(recorded: dict[str, object], own: dict[str, object]) -> bool:
    """Whether the arguments that a checkpoint records are those of this run.

    The version of the compression's policy doesn't count: an update must not keep a run from being resumed, and an archive
    may hold chunks that were compressed by different ones.
    """
    return recorded | {POLICY: None} == own | {POLICY: None}


def signed_alike(file: ArchiveFile, opened: Opened, own: Signer | None) -> bool:
    """Whether each checkpoint since the last snapshot holds a signature by `own`, or has none where `own` is None."""
    checkpoints = takewhile(lambda commit: not commit.snapshot, history(file, opened.commit))
    return all(_signed_by(commit, opened.header.uuid, own) for commit in checkpoints)


def _signed_by(commit: Commit, uuid: bytes, own: Signer | None) -> bool:
    if own is None or not commit.signed:
        return own is None and not commit.signed
    try:
        commit.check_signature(uuid, own)
    except SignatureError:
        return False
    return commit.signer_tag == own.tag


def check_signed_alike(file: ArchiveFile, opened: Opened, own: Signer | None) -> None:
    """Raises UsageError unless an unfinished archive is signed as the run that would finish it signs."""
    if signed_alike(file, opened, own):
        return
    if own is None:
        raise UsageError(
            f"{file.name} is unfinished, and was begun with a signing key: sign with the same (--sign), or remove it"
        )
    raise UsageError(
        f"{file.name} is unfinished, and not all of it is signed by the key given: repeat the command with the key that it "
        "was begun with, or without one if it was; if somebody else can write there, remove it and begin anew"
    )


def check_finished(file: ArchiveFile, newest: Opened, begun: bytes | None = None) -> None:
    """Raises DamagedTailError unless the file ends with its newest snapshot: what is no append may only start from there.

    A change that was `begun` here after that commit, and stopped, may have left something after it.
    """
    own = newest.commit.snapshot and newest.commit.digest() == begun
    if not newest.commit.snapshot or (file.size() > newest.commit.end and not own):
        raise DamagedTailError(
            f"{file.name}: its last change was not finished, or its end is cut off: repeat that command or fetch the archive "
            "again, then run this one; `warp append --recover` goes on from the last whole state"
        )


def check_tail(file: ArchiveFile, newest: Commit, start: Commit, begun: bytes | None) -> None:
    """Refuse to cut off what may be more than the rest of a stopped append.

    `newest` is the newest whole commit, `start` the one to go on from: it, or the snapshot before it; `begun` the digest of
    the one that a stopped run of this machine went on from.

    Raises:
        DamagedTailError: something unknown would be lost.
    """
    if file.size() == newest.end or (start == newest and not newest.snapshot):
        return
    if start.snapshot and begun == start.digest():
        return
    raise DamagedTailError(
        f"{file.name}: unknown bytes follow its last whole commit, perhaps a newer snapshot that was cut short: fetch the "
        "archive again, or repeat the append that was stopped; `warp append --recover` cuts them off"
    )


@contextlib.contextmanager
def noted_change(file: ArchiveFile, uuid: bytes, last: Commit, state: StateStore | None) -> Iterator[None]:
    """Note that what follows the snapshot `last` is this machine's own, until it is a snapshot itself or nothing is left of it."""
    if state is None:
        yield
        return
    state.begin_change(uuid, last.digest())
    try:
        yield
    except BaseException:
        if file.size() <= last.end:
            state.end_change(uuid)
        raise
    state.end_change(uuid)


def remembered_as(snapshot: Opened, keys: ScopeKeys) -> Remembered:
    """What to remember of a snapshot."""
    commit = snapshot.commit
    return Remembered(commit.sequence, commit.digest(), open_content(snapshot, keys).sealed.signer)


def tidy_slots(file: ArchiveFile, opened: Opened) -> None:
    """Zero the slot copy that is not in use, if a change of keys was stopped before it could."""
    header = opened.header
    unused = slot_copy_offset(header, 1 - opened.toc.clear.active_copy)
    if header.encrypted and any(file.read(unused, header.slot_copy_bytes, "the key slots")):
        os.pwrite(file.fd, bytes(header.slot_copy_bytes), unused)
        file.sync()


def _damaged(file: ArchiveFile) -> DamagedTailError:
    return DamagedTailError(
        f"{file.name}: its newest commit is damaged: verify it, or extract with --recover; "
        "`warp append --recover` goes on from the state before and loses the newest"
    )


def _ends_like_a_commit(file: ArchiveFile) -> bool:
    if file.size() % ALIGNMENT != COMMIT_BYTES:
        return False
    offset = file.size() - COMMIT_BYTES
    if offset == 0:
        return False  # there is the header alone
    raw = file.read(offset, COMMIT_BYTES, "the end")
    return raw[:8] == MAGIC or raw[24:32] == offset.to_bytes(8, "little")
