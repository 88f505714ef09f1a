"""An archive against a plain model of it: a list of snapshots, each a dict of path to what is there.

Every rule edits the tree, or does one operation on the archive and the same on the model. After each operation every snapshot
of the archive is compared with the model's, entry by entry and byte by byte. A run that is killed leaves any part of what it
wrote; until the command is repeated, the snapshots before it must open with `recover`, and only so.
"""

import os
import shutil
import tempfile
from collections.abc import Iterable
from pathlib import Path

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from tests.model.packs import CUTTINGS, IDENTITIES, MEMORIES, POLICIES, How, Loss, Operated
from tests.model.patterns import literal, named, place, written
from tests.model.tree import EDITS, PICKS, SEEDS, Contents, Edit, Node, Tree, bulk, crowd, scanned, stored
from warp_portal.archive import (
    ArchiveReader,
    Change,
    CompactReport,
    CompactRequest,
    ExtractRequest,
    KeepRules,
    Kind,
    Level,
    LiveOptions,
    LiveTree,
    Selection,
    Unlock,
    add_slot,
    compare_snapshots,
    extract,
    list_slots,
    open_archive,
    recorded_source,
    remove_slot,
    verify,
)
from warp_portal.errors import DamagedTailError, FormatError, UsageError, WrongKeyError
from warp_portal.primitives.cutting import Cutting

HOWS = st.builds(How, st.sampled_from(POLICIES), st.booleans(), st.sampled_from(MEMORIES))
LOSSES = st.builds(Loss, st.one_of(st.integers(0, 1000), st.just(1000)), st.integers(0, 3))
FLAGS = st.booleans()
MANY_EDITS = st.lists(EDITS, min_size=1, max_size=12)
CROWDED = st.sampled_from([False] * 9 + [True])
METADATA_BYTES = 64 << 10
FILES = (Kind.FILE, Kind.HARDLINK)

has_snapshot = precondition(lambda self: self.snapshots)
finished = precondition(lambda self: self.snapshots and not self.pending)
stopped = precondition(lambda self: self.pending)


class ArchiveMachine(RuleBasedStateMachine):
    """The rules; `pending` is how the run was begun that was killed last and not repeated.

    `left` files of a killed compaction lie beside the archive: one at most, until the next removes it.
    """

    def __init__(self) -> None:
        super().__init__()
        memory = Path("/dev/shm")
        place = memory if os.access(memory, os.W_OK) else None
        self.home = Path(tempfile.mkdtemp(prefix="warp-model-", dir=place))
        (self.home / "here").mkdir()
        (self.home / "tree").mkdir()
        self.tree = Tree(os.fsencode(self.home / "tree"))
        self.snapshots: list[Contents] = []
        self.pending: How | None = None
        self.end = 0
        self.left = 0
        self.checked = True

    def teardown(self) -> None:
        shutil.rmtree(self.home)

    @initialize(lock=st.tuples(FLAGS, FLAGS), cutting=st.sampled_from(CUTTINGS), crowded=CROWDED, edits=MANY_EDITS)
    def begin(self, lock: tuple[bool, bool], cutting: Cutting, crowded: bool, edits: list[Edit]) -> None:
        """An archive that is not there yet, to be encrypted or signed or both, and a tree for it."""
        self.archive = Operated(self.home, *lock, cutting)
        if crowded:
            crowd(self.tree.root)
        self.edit_tree(edits)

    # The tree

    @rule(edits=MANY_EDITS)
    def edit_tree(self, edits: list[Edit]) -> None:
        for edit in edits:
            self.tree.edit(edit)

    # Packing

    def packed(self, verb: str, how: How, recover: bool = False) -> None:
        """Create or append, to the end."""
        before, now = self.archive.size() if self.pending else self.end, scanned(self.tree.root)
        report = self.archive.pack(verb, how, recover=recover)
        assert report.problems == ()
        self.snapshots.append(now)
        assert (report.snapshot, report.entries) == (len(self.snapshots), len(now))
        assert self.archive.size() - before <= METADATA_BYTES + 4 * data_bytes(now)
        if not self.pending and self.snapshots[-2:-1] == [now]:
            assert report.progress.bytes_raw == 0, "nothing changed, and data was stored again"
        self.committed()

    def committed(self) -> None:
        self.pending, self.end, self.checked = None, self.archive.size(), False

    @precondition(lambda self: not self.snapshots)
    @rule(how=HOWS)
    def create(self, how: How) -> None:
        self.packed("create", self.pending or how)

    @has_snapshot
    @rule(how=HOWS)
    def append(self, how: How) -> None:
        self.packed("append", how)

    @stopped
    @has_snapshot
    @rule(recover=FLAGS)
    def resume(self, recover: bool) -> None:
        assert self.pending
        self.packed("append", self.pending, recover)

    @rule(how=HOWS, loss=LOSSES, seed=SEEDS)
    def crash(self, how: How, loss: Loss, seed: int) -> None:
        """Kill a run, mostly one with much to write."""
        if seed:
            bulk(self.tree.root, seed)
        verb = "append" if self.snapshots else "create"
        how = self.pending or how if verb == "create" else how
        now = scanned(self.tree.root)
        self.archive.crash(verb, how, loss, self.end)
        self.checked = False
        if loss.kept == 1000:
            self.snapshots.append(now)
            self.committed()
        else:
            self.pending = how if self.archive.size() > self.end or not self.snapshots else None

    # Writing anew

    def forgotten(self, report: CompactReport, forget: Iterable[int]) -> None:
        gone = set(forget)
        assert report.forgotten == len(gone)
        self.left = 0
        assert self.archive.size() <= self.end + METADATA_BYTES
        self.snapshots = [each for number, each in enumerate(self.snapshots, 1) if number not in gone]
        self.committed()

    def chosen(self, picks: Iterable[int]) -> frozenset[int]:
        """Numbers of snapshots to forget: never the newest."""
        earlier = len(self.snapshots) - 1
        return frozenset(pick % earlier + 1 for pick in picks) if earlier else frozenset()

    def request(self, forget: frozenset[int] = frozenset(), last: int = 0, drop: bool = False) -> CompactRequest:
        rules = KeepRules(last=last)
        return CompactRequest(Selection(rules, forget), drop_slots=drop, signing_key=self.archive.signing_key)

    @finished
    @rule(picks=st.lists(PICKS, max_size=4))
    def compact(self, picks: list[int]) -> None:
        forget = self.chosen(picks)
        self.forgotten(self.archive.compact(self.request(forget)), forget)

    @finished
    @rule(last=st.integers(1, 3))
    def forget(self, last: int) -> None:
        numbers = range(1, len(self.snapshots) + 1)
        counted = [number for number in numbers if number == 1 or not self.rekeyed_at(number)]
        report = self.archive.compact(self.request(last=last))
        self.forgotten(report, set(numbers) - {*counted[-last:], len(self.snapshots)})

    @finished
    @rule(picks=st.lists(PICKS, min_size=1, max_size=3), moment=st.integers(0, 9))
    def crash_compact(self, picks: list[int], moment: int) -> None:
        forget, before = self.chosen(picks), self.archive.path.read_bytes()
        status = self.archive.crash_compact(self.request(forget), moment)
        assert status != 0 or not forget
        self.left = int(status != 0 and moment != 1)
        if self.archive.path.read_bytes() == before:
            return
        assert moment == 1, "killed before the rename, and changed all the same"
        self.snapshots = [each for number, each in enumerate(self.snapshots, 1) if number not in forget]
        self.committed()

    @stopped
    @rule()
    def what_is_unfinished_is_not_written_anew(self) -> None:
        before = self.archive.path.read_bytes()
        with pytest.raises((DamagedTailError, FormatError)):
            self.archive.compact(self.request())
        assert self.archive.path.read_bytes() == before

    # Keys

    def rekeyed_at(self, number: int) -> bool:
        """Whether a change of keys made this snapshot: no other is the one before it."""
        return self.snapshots[number - 1] is self.snapshots[number - 2]

    def rekeyed(self) -> None:
        """A change of keys is a snapshot that lists what the one before lists."""
        self.snapshots.append(self.snapshots[-1])
        self.committed()

    @finished
    @precondition(lambda self: self.archive.encrypted and len(self.archive.holders) < len(IDENTITIES))
    @rule()
    def add_key(self) -> None:
        archive = self.archive
        number = min(set(range(len(IDENTITIES))) - set(archive.holders))
        recipient, key = IDENTITIES[number].recipient, archive.signing_key
        add_slot(archive.path, archive.unlock, recipient=recipient, signing_key=key, state=archive.state)
        archive.holders.append(number)
        self.rekeyed()

    @finished
    @precondition(lambda self: self.archive.encrypted and len(self.archive.holders) > 1)
    @rule(pick=PICKS)
    def remove_key(self, pick: int) -> None:
        archive = self.archive
        place = pick % len(archive.holders)
        slot_id = list_slots(archive.path)[place].slot_id
        remove_slot(archive.path, archive.unlock, slot_id, signing_key=archive.signing_key, state=archive.state)
        lost = IDENTITIES[archive.holders.pop(place)]
        with pytest.raises(WrongKeyError):
            open_archive(archive.path, Unlock(identities=(lost,)))
        self.rekeyed()

    @finished
    @precondition(lambda self: self.archive.encrypted and len(self.archive.holders) > 1)
    @rule(pick=PICKS)
    def drop_keys(self, pick: int) -> None:
        """Write anew with one key of several: the others stay only if they may not be dropped."""
        archive, last = self.archive, len(self.snapshots)
        holders = archive.holders
        archive.holders = [holders[pick % len(holders)]]
        before, forget = archive.path.read_bytes(), self.chosen(range(last))
        if not forget:
            archive.holders = holders
            return
        with pytest.raises(UsageError, match="slot"):
            archive.compact(self.request(forget))
        assert archive.path.read_bytes() == before
        self.forgotten(archive.compact(self.request(forget, drop=True)), forget)

    # Reading

    def opened(self, pick: int) -> tuple[ArchiveReader, Contents]:
        number = pick % len(self.snapshots) + 1
        archive = self.archive
        reader = open_archive(archive.path, archive.unlock, snapshot=number, recover=self.pending is not None)
        return reader, self.snapshots[number - 1]

    @has_snapshot
    @rule(pick=PICKS)
    def extract(self, pick: int) -> None:
        out = self.home / "out"
        reader, expected = self.opened(pick)
        with reader:
            out.mkdir()
            report = extract(reader, out, ExtractRequest(setuid=True, threads=2))
        assert (report.problems, any(report.skips.values())) == ((), False)
        same(scanned(os.fsencode(out)), expected)
        shutil.rmtree(out)

    @has_snapshot
    @rule(pick=PICKS, which=PICKS, anchored=FLAGS, memory=st.sampled_from(MEMORIES))
    def extract_some(self, pick: int, which: int, anchored: bool, memory: int) -> None:
        """What one path names, by its place in the tree or by its name alone."""
        out = self.home / "out"
        reader, expected = self.opened(pick)
        with reader:
            for path in pick_of(written(expected), which):
                wanted = place(path) if anchored else literal(path.rpartition(b"/")[2])
                chosen = {each: expected[each] for each in expected if named(each, path, anchored)}
                assert [entry.path for entry in reader.entries([wanted])] == list(chosen)
                extract(reader, out, ExtractRequest((wanted,), threads=2, memory=memory))
                found = scanned(os.fsencode(out))
                assert {each for each in found if named(each, path, anchored)} == set(chosen)
                for each, node in chosen.items():
                    if node.kind in FILES:
                        assert found[found[each].link or each].content == expected[node.link or each].content, each
        shutil.rmtree(out, ignore_errors=True)

    @has_snapshot
    @rule(pick=PICKS, which=PICKS, at=st.integers(0, 80_000), length=st.integers(0, 80_000))
    def cat(self, pick: int, which: int, at: int, length: int) -> None:
        reader, expected = self.opened(pick)
        files = [path for path, node in expected.items() if node.kind in FILES]
        with reader:
            assert reader.find(b"not/there") is None
            for path in pick_of(files, which):
                content = expected[expected[path].link or path].content
                with reader.open_file(path) as file:
                    file.seek(at)
                    assert file.read(length) == content[at : at + length]

    @has_snapshot
    @rule(old=PICKS, new=PICKS)
    def diff(self, old: int, new: int) -> None:
        (one, before), (other, after) = self.opened(old), self.opened(new)
        with one, other:
            assert paths(compare_snapshots(one, other)) == changed(before, after)

    @finished
    @rule(read_all=FLAGS)
    def diff_tree(self, read_all: bool) -> None:
        reader, before = self.opened(len(self.snapshots) - 1)
        with reader:
            live = LiveTree(reader, recorded_source(reader), LiveOptions(read_all=read_all, threads=2))
            assert paths(live.changes()) == changed(before, scanned(self.tree.root))
            assert live.problems.count == 0

    # What always holds

    @invariant()
    def nothing_is_left_beside_but_by_a_kill(self) -> None:
        if hasattr(self, "archive"):
            beside = self.archive.beside()
            assert len(beside) == self.left
            assert all(name.startswith("a.warp.compact-") for name in beside)

    @invariant()
    def the_archive_is_what_the_model_is(self) -> None:
        if self.checked or not hasattr(self, "archive"):
            return
        self.checked = True
        self.check_snapshots()
        if self.pending is None:
            self.check_whole()

    def check_snapshots(self) -> None:
        """Every snapshot's content; behind a stopped run only with `recover`."""
        archive = self.archive
        if self.pending is not None:
            with pytest.raises((DamagedTailError, FormatError)):
                open_archive(archive.path, archive.unlock, state=archive.state).close()
        for number in range(len(self.snapshots)):
            reader, expected = self.opened(number)
            with reader:
                assert len(reader.snapshots()) == len(self.snapshots)
                same(stored(reader), expected)

    def check_whole(self) -> None:
        """Deep verification, the state that is remembered, the signature, and nothing behind the end."""
        archive = self.archive
        signer = archive.signing_key.public if archive.signing_key else None
        report = verify(archive.path, Level.DEEP, unlock=archive.unlock, signer=signer, state=archive.state, threads=2)
        assert report.ok, report.metadata_damage
        assert report.snapshots == len(self.snapshots)


def pick_of(paths: list[bytes], which: int) -> list[bytes]:
    """One of them, if there is any."""
    return [paths[which % len(paths)]] if paths else []


def same(found: Contents, expected: Contents) -> None:
    """Fail with the first path that differs, not with all contents."""
    assert list(found) == list(expected)
    for path, node in expected.items():
        assert found[path] == node, path


def data_bytes(contents: Contents) -> int:
    """Bytes of files without their holes, nearly: whole blocks of zeros are not counted."""
    contents_ = (node.content for node in contents.values() if node.kind == Kind.FILE)
    return sum(4096 for content in contents_ for at in range(0, len(content), 4096) if any(content[at : at + 4096]))


def paths(changes: Iterable[Change]) -> list[bytes]:
    """What was compared as different."""
    return [change.path for change in changes]


def changed(before: Contents, after: Contents) -> list[bytes]:
    """Paths that differ, in archive order."""
    everything = sorted({*before, *after}, key=lambda path: path.split(b"/") if path else [])
    return [path for path in everything if _differs(before.get(path), after.get(path))]


def _differs(old: Node | None, new: Node | None) -> bool:
    return old != new
