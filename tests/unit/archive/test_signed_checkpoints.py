"""Who signs goes on from nothing that others left: forged checkpoints are not resumed, and signed ones are no snapshots."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from tests.unit.archive.common import KEY, LOCK, OFTEN, UNLOCK, check_contents, dies_at, grow, grow_large, killed, read

from warp_portal._native import ScopeKeys
from warp_portal.archive.commit import CHECKPOINT, SIGNED, SNAPSHOT, Commit
from warp_portal.archive.content import open_content
from warp_portal.archive.opening import history, last_commit, open_commit, read_header
from warp_portal.archive.options import PackOptions, Source
from warp_portal.archive.reader import open_archive
from warp_portal.archive.state import Remembered, StateStore
from warp_portal.archive.storage import ArchiveFile
from warp_portal.archive.trust import SignatureState
from warp_portal.archive.verification import Level, verify
from warp_portal.archive.writer import append, create
from warp_portal.errors import DamagedTailError, SignatureError, UnsignedError, UsageError
from warp_portal.keys.signers import SigningKey

ALICE, MALLORY = SigningKey(b"a" * 32), SigningKey(b"m" * 32)
PLAIN = ScopeKeys(None, 0)
UNSIGNED = replace(OFTEN, checkpoint_bytes=1 << 18)
BY_ALICE, BY_MALLORY = replace(UNSIGNED, signing_key=ALICE), replace(UNSIGNED, signing_key=MALLORY)
Change = Callable[[Commit, bytes], Commit]


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    root = tmp_path / "tree"
    grow(root, 40, 9000)
    monkeypatch.chdir(root)
    return root


def stopped_create(archive: Path, options: PackOptions) -> bytes:
    """What a create leaves that is killed after its second checkpoint."""
    grow_large(Path("more"), 24 << 20, seed=2)
    killed(lambda: create(archive, Source.of(["."]), options, progress=dies_at(2)), archive.unlink)
    return whole_part(archive)


def stopped_append(archive: Path, options: PackOptions, state: StateStore | None = None) -> bytes:
    """A snapshot by Alice, and what an append leaves that is killed after its second checkpoint."""
    create(archive, Source.of(["."]), BY_ALICE)
    finished = archive.read_bytes()
    grow_large(Path("more"), 24 << 20, seed=2)
    killed(
        lambda: append(archive, Source.of(["."]), options, state=state, progress=dies_at(2)),
        lambda: archive.write_bytes(finished),
    )
    return whole_part(archive)


def whole_part(archive: Path) -> bytes:
    """The archive up to its last commit, where it is cut off."""
    with open(archive, "rb") as file:
        raw = file.read()
    at = raw.rindex(b"WCOMMIT1") + 256
    archive.write_bytes(raw[:at])
    return raw[:at]


def commits(archive: Path) -> list[Commit]:
    """From the newest back."""
    with ArchiveFile(archive) as file:
        newest = last_commit(file)
        assert newest is not None
        return list(history(file, newest))


def change_newest(archive: Path, change: Change) -> None:
    """Exchange the last commit, under a right checksum."""
    newest, uuid = commits(archive)[0], archive.read_bytes()[40:56]
    archive.write_bytes(archive.read_bytes()[:-256] + change(newest, uuid).serialize())


def unsigned(commit: Commit, uuid: bytes) -> Commit:
    return replace(commit, flags=commit.flags & ~SIGNED).sealed(PLAIN, uuid, None)


def with_other_time(commit: Commit, uuid: bytes) -> Commit:
    return replace(commit, time_ns=commit.time_ns + 1)


def by_mallory(commit: Commit, uuid: bytes) -> Commit:
    return replace(commit, time_ns=commit.time_ns + 1).sealed(PLAIN, uuid, MALLORY)


def under_the_name_of_alice(commit: Commit, uuid: bytes) -> Commit:
    return replace(by_mallory(commit, uuid), signer_tag=ALICE.public.tag)


FORGERIES = [unsigned, with_other_time, by_mallory, under_the_name_of_alice]


def test_a_run_that_signs_signs_its_checkpoints(tree: Path, archive: Path) -> None:
    stopped_create(archive, BY_ALICE)
    with ArchiveFile(archive) as file:
        header = read_header(file)
        for commit in commits(archive):
            assert commit.flags == CHECKPOINT | SIGNED
            commit.check_signature(header.uuid, ALICE.public)
            opened = open_commit(file, header, commit)
            assert open_content(opened, PLAIN).sealed.signer == ALICE.public.raw


def test_what_the_same_key_signed_is_resumed(tree: Path, archive: Path) -> None:
    stopped_create(archive, BY_ALICE)
    assert create(archive, Source.of(["."]), BY_ALICE).resumed
    check_contents(read(archive, None), tree)
    assert verify(archive, Level.DEEP, signer=ALICE.public).ok


def test_a_signed_append_is_resumed_by_its_signer(tree: Path, archive: Path) -> None:
    stopped_append(archive, BY_ALICE)
    assert append(archive, Source.of(["."]), BY_ALICE).resumed
    check_contents(read(archive, None), tree)
    assert verify(archive, Level.DEEP, signer=ALICE.public).ok


@pytest.mark.parametrize("forge", FORGERIES)
def test_a_create_that_signs_refuses_a_forged_checkpoint(forge: Change, tree: Path, archive: Path) -> None:
    stopped_create(archive, BY_ALICE)
    change_newest(archive, forge)
    before = archive.read_bytes()
    with pytest.raises(UsageError, match="not all of it is signed by the key given"):
        create(archive, Source.of(["."]), BY_ALICE)
    assert archive.read_bytes() == before


@pytest.mark.parametrize("forge", FORGERIES)
def test_an_append_that_signs_cuts_a_forged_checkpoint_off(forge: Change, tree: Path, archive: Path) -> None:
    stopped_append(archive, BY_ALICE)
    change_newest(archive, forge)
    assert not append(archive, Source.of(["."]), BY_ALICE).resumed
    assert [commit.flags for commit in commits(archive) if commit.flags & CHECKPOINT and not commit.signed] == []
    check_contents(read(archive, None), tree)
    assert verify(archive, Level.DEEP, signer=ALICE.public).ok


def test_one_forged_checkpoint_among_signed_ones_is_enough(
    tree: Path, archive: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stopped_append(archive, BY_ALICE)
    change_newest(archive, unsigned)
    forged, stopped = commits(archive)[0], archive.read_bytes()
    grow_large(Path("most"), 24 << 20, seed=3)
    with monkeypatch.context() as patch:  # a signed checkpoint on top of others, as no writer of ours makes it
        patch.setattr("warp_portal.archive.writer.signed_alike", lambda *_: True)
        patch.setattr("warp_portal.archive.content._check_signer", lambda *_: None)
        killed(
            lambda: append(archive, Source.of(["."]), BY_ALICE, progress=dies_at(1)),
            lambda: archive.write_bytes(stopped),
        )
    whole_part(archive)
    assert commits(archive)[0].signed
    assert forged in commits(archive)
    assert not append(archive, Source.of(["."]), BY_ALICE).resumed
    assert forged not in commits(archive)


def test_bytes_after_a_forged_checkpoint_are_cut_off_only_if_they_are_known(
    tree: Path, archive: Path, state: StateStore, tmp_path: Path
) -> None:
    stopped, other = stopped_append(archive, BY_ALICE, state), StateStore(tmp_path / "other")
    change_newest(archive, unsigned)
    with open(archive, "ab") as file:
        file.write(b"rest")
    with open_archive(archive, recover=True) as reader:
        other.remember(reader.uuid, Remembered(reader.commit.sequence, reader.commit_hash, ALICE.public.raw))
    for stranger in (None, other):
        with pytest.raises(DamagedTailError, match="perhaps a newer snapshot"):
            append(archive, Source.of(["."]), BY_ALICE, state=stranger)
    assert archive.stat().st_size == len(stopped) + 4
    assert not append(archive, Source.of(["."]), BY_ALICE, state=state).resumed


def test_another_key_or_none_at_first_is_no_reason_to_resume(tree: Path, archive: Path) -> None:
    stopped_create(archive, UNSIGNED)
    with pytest.raises(UsageError, match="repeat the command"):
        create(archive, Source.of(["."]), BY_ALICE)
    assert create(archive, Source.of(["."]), UNSIGNED).resumed


def test_a_create_begun_with_a_key_is_not_finished_without(tree: Path, archive: Path) -> None:
    stopped = stopped_create(archive, BY_ALICE)
    with pytest.raises(UsageError, match="begun with a signing key: sign with the same"):
        create(archive, Source.of(["."]), UNSIGNED)
    with pytest.raises(UsageError, match="with the key that it was begun with"):
        create(archive, Source.of(["."]), BY_MALLORY)
    assert archive.read_bytes() == stopped


def test_an_append_without_the_key_begins_at_the_snapshot(tree: Path, archive: Path) -> None:
    create(archive, Source.of(["."]), UNSIGNED)
    finished = archive.read_bytes()
    grow_large(Path("more"), 24 << 20, seed=2)
    killed(
        lambda: append(archive, Source.of(["."]), BY_ALICE, progress=dies_at(1)), lambda: archive.write_bytes(finished)
    )
    whole_part(archive)
    assert not append(archive, Source.of(["."]), UNSIGNED).resumed
    assert not any(commit.signed for commit in commits(archive))
    assert verify(archive, Level.DEEP).signature == SignatureState.UNSIGNED


def test_encrypted_archives_follow_the_same_rules(tree: Path, archive: Path) -> None:
    grow_large(Path("more"), 24 << 20, seed=2)
    killed(
        lambda: create(archive, Source.of(["."]), BY_ALICE, lock=LOCK, archive_key=KEY, progress=dies_at(1)),
        archive.unlink,
    )
    for options in (UNSIGNED, BY_MALLORY):
        with pytest.raises(UsageError, match="begun with"):
            create(archive, Source.of(["."]), options, lock=LOCK, archive_key=KEY)
    assert create(archive, Source.of(["."]), BY_ALICE, lock=LOCK, archive_key=KEY).resumed
    assert verify(archive, Level.DEEP, unlock=UNLOCK, signer=ALICE.public).ok


def test_a_signed_checkpoint_is_no_signed_snapshot(tree: Path, archive: Path) -> None:
    create(archive, Source.of(["d1"]), UNSIGNED)
    finished = archive.read_bytes()
    grow_large(Path("more"), 24 << 20, seed=2)
    killed(
        lambda: append(archive, Source.of(["."]), BY_ALICE, progress=dies_at(1)), lambda: archive.write_bytes(finished)
    )
    whole_part(archive)
    with pytest.raises(DamagedTailError):
        verify(archive, Level.QUICK, signer=ALICE.public)
    with open_archive(archive, recover=True) as reader:
        assert (reader.signature, reader.snapshot.signed) == (SignatureState.UNSIGNED, False)


def test_the_signature_of_a_checkpoint_does_not_hold_for_a_snapshot(tree: Path, archive: Path) -> None:
    stopped_create(archive, BY_ALICE)
    change_newest(archive, lambda commit, _: replace(commit, flags=SNAPSHOT | SIGNED))
    with pytest.raises(SignatureError):
        open_archive(archive)


@pytest.mark.parametrize("stopped", [stopped_create, stopped_append])
def test_nobody_else_ends_what_a_signing_run_began(
    stopped: Callable[[Path, PackOptions], bytes], tree: Path, archive: Path
) -> None:
    stopped(archive, BY_ALICE)
    change_newest(archive, lambda commit, uuid: unsigned(replace(commit, flags=SNAPSHOT), uuid))
    for attempt in (open_archive, lambda path: append(path, Source.of(["."]), BY_ALICE)):
        with pytest.raises(UnsignedError, match="is not signed"):
            attempt(archive)
