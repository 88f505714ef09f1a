"""The snapshots of an archive, and which of them are states of their own: a change of keys repeats the one before it."""

from collections.abc import Iterator, Sequence

from warp_portal._native import ScopeKeys
from warp_portal.archive.commit import Commit
from warp_portal.archive.content import State, state_of
from warp_portal.archive.opening import Opened, history, open_earlier
from warp_portal.archive.storage import ArchiveFile
from warp_portal.errors import IntegrityError


def snapshot_commits(file: ArchiveFile, newest_commit: Commit) -> list[Commit]:
    """The commits of all snapshots up to one, the first first."""
    return [commit for commit in history(file, newest_commit) if commit.snapshot][::-1]


def states(file: ArchiveFile, opened: Opened, commits: Sequence[Commit], keys: ScopeKeys) -> Iterator[int]:
    """Numbers of the snapshots that no change of keys made, the newest first: it reads on only as far as it is asked."""
    state = None  # of the snapshot at hand, where it was compared with the one after it
    for number in range(len(commits), 1, -1):
        before, commit = commits[number - 2 : number]
        if not opened.header.encrypted or before.chunks != commit.chunks:  # most are told apart without their TOCs
            state = None
            yield number
            continue
        after, state = state or _state(file, opened, commit, keys), _state(file, opened, before, keys)
        if state is None or state != after:
            yield number
    yield 1


def key_changes(file: ArchiveFile, opened: Opened, commits: Sequence[Commit], keys: ScopeKeys) -> frozenset[int]:
    """Numbers of the snapshots that a change of keys made."""
    return frozenset(range(1, len(commits) + 1)) - frozenset(states(file, opened, commits, keys))


def _state(file: ArchiveFile, opened: Opened, commit: Commit, keys: ScopeKeys) -> State | None:
    """What tells a snapshot from a change of keys; None where that is damaged: the others are shown all the same."""
    try:
        return state_of(open_earlier(file, opened, commit), keys)
    except IntegrityError:
        return None
