"""The beginning and the commits of an archive as they come from a machine that may lie, and what is asked of it."""

import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from tests.unit.archive.common import OFTEN, grow, grow_large

from warp_portal._native import ScopeKeys, blake3
from warp_portal.archive.chain import Chain, Links, Piece
from warp_portal.archive.commit import Commit
from warp_portal.archive.offering import Offering
from warp_portal.archive.opening import Opened
from warp_portal.archive.options import Source
from warp_portal.archive.pages import LOCATOR_WIDTHS, IndexPage, locator_root, open_store_payload, store_payload
from warp_portal.archive.toc import TOC, PageRef
from warp_portal.archive.wanted import Bounds, MetadataPlaces, WantedChunks, WantedMetadata
from warp_portal.archive.writer import append, create
from warp_portal.errors import FormatError, IntegrityError, ProtocolError, VersionError, WarpPortalError

PLAIN = ScopeKeys(None, 0)


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two snapshots with checkpoints between them."""
    path = tmp_path_factory.mktemp("chain")
    grow(path / "tree", 30, 9000)
    grow_large(path / "tree" / "large", 4 << 20)
    create(path / "a.warp", Source.of([path / "tree"]), OFTEN)
    grow_large(path / "tree" / "more", 2 << 20, seed=5)
    append(path / "a.warp", Source.of([path / "tree"]), OFTEN)
    return path / "a.warp"


class Come:
    """A chain that takes what a source sends; `change` makes other bytes of it."""

    def __init__(self, archive: Path, change: Callable[[int, bytes], bytes] = lambda _, data: data) -> None:
        with Offering(archive) as offering:
            self.commit = offering.commit
            sent = [(0, offering.beginning()), *(piece for step in offering.steps(None) for piece in step.pieces)]
            self.refs = offering.locators
            self.stored = [offering.locator(number) for number in range(len(self.refs))]
            self.counts = [step.pages for step in offering.steps(None)]
        self.sent = [(offset, change(number, data)) for number, (offset, data) in enumerate(sent)]
        self.listed: list[Opened] = []
        self.chain = self.begin(self.commit)

    def begin(self, commit: Commit) -> Chain:
        return Chain("a", commit, Links(), self.listed.append)

    def all(self, out: list[Piece] | None = None) -> list[Piece]:
        written = [] if out is None else out
        for offset, data in self.sent:
            written += self.chain.take(offset, data)
        return written


def test_all_that_comes_is_written_where_it_belongs(archive: Path) -> None:
    come, whole = Come(archive), archive.read_bytes()
    out = come.all()
    assert come.chain.complete
    assert not come.chain.broken
    assert all(whole[offset : offset + len(data)] == data for offset, data in out)
    assert sorted(out) == sorted({*come.sent, *((0, whole[:256]),)})
    assert [len(opened.toc.clear.pages) for opened in come.listed] == come.counts
    assert come.listed[0].commit.snapshot
    assert len(come.listed) > 2


def test_pieces_may_come_in_any_order(archive: Path) -> None:
    come = Come(archive)
    pieces = [(offset + at, data[at : at + 1000]) for offset, data in come.sent[1:] for at in range(0, len(data), 1000)]
    pieces.append(come.sent[0])
    random.Random(3).shuffle(pieces)
    out = [piece for offset, data in pieces for piece in come.chain.take(offset, data)]
    assert come.chain.complete
    assert sorted(out) == sorted(Come(archive).all())


def test_a_flipped_bit_is_found_before_it_is_written(archive: Path) -> None:
    rng, whole = random.Random(1), archive.read_bytes()
    for number in range(len(Come(archive).sent)):
        for _ in range(5):
            place, bit = rng.random(), 1 << rng.randrange(8)

            def flip(at: int, data: bytes, number: int = number, place: float = place, bit: int = bit) -> bytes:
                where = int(place * len(data))
                return data[:where] + bytes([data[where] ^ bit]) + data[where + 1 :] if at == number else data

            come, written = Come(archive, flip), list[Piece]()
            with pytest.raises((IntegrityError, ProtocolError, VersionError)):
                come.all(written)
            assert all(whole[offset : offset + len(data)] == data for offset, data in written)
            assert number > 1 or not written


def test_bytes_that_nobody_awaits_are_refused(archive: Path) -> None:
    cases: list[Callable[[Come], object]] = [
        lambda come: [come.chain.take(*come.sent[2]), come.chain.take(*come.sent[2])],
        lambda come: [come.all(), come.chain.take(0, b"x")],
        lambda come: come.chain.take(5, b""),
        lambda come: [come.chain.take(1 << 40 | at << 20, bytes(1 << 20)) for at in range(257)],
        lambda come: [come.chain.take(10**9, b"x"), come.all()],
        lambda come: [come.chain.take(*come.sent[0]), come.chain.take(come.sent[1][0], come.sent[1][1] + b"x")],
    ]
    for case in cases:
        with pytest.raises(ProtocolError):
            case(Come(archive))


def test_a_chain_ends_where_older_commits_are_lost(archive: Path) -> None:
    for late in (False, True):
        come = Come(archive)
        if not late:
            come.chain.break_off(come.counts[0])
        for piece in come.sent[:2]:
            come.chain.take(*piece)
        if late:
            assert not come.chain.complete
            come.chain.break_off(come.counts[0])
        assert come.chain.complete
        assert come.chain.broken


@pytest.mark.parametrize("number", [0, 1, 10**6])
@pytest.mark.parametrize("before", [False, True])
def test_a_loss_that_cannot_be_is_refused(archive: Path, number: int, before: bool) -> None:
    come = Come(archive)

    def both() -> None:
        if before:
            come.chain.break_off(number)
        come.all()
        if not before:
            come.chain.break_off(number)

    with pytest.raises(ProtocolError):
        both()


def forged(archive: Path, change: Callable[[TOC], TOC]) -> Come:
    """An archive whose newest TOC is another, and whose commit vouches for it."""
    come = Come(archive)
    toc_offset, raw = come.sent[1]
    raw = change(TOC.parse(raw, toc_offset)).serialize()
    offset = toc_offset + len(raw) + -(toc_offset + len(raw)) % 4096
    commit = replace(come.commit, toc_bytes=len(raw), toc_digest=blake3(raw), offset=offset)
    come.commit = commit
    come.chain = come.begin(commit)
    come.sent[1] = toc_offset, raw
    return come


def with_pages(toc: TOC, change: Callable[[list[PageRef]], list[PageRef]]) -> TOC:
    return replace(toc, clear=replace(toc.clear, pages=tuple(change(list(toc.clear.pages)))))


TOC_LIES: dict[str, Callable[[TOC], TOC]] = {
    "another header": lambda toc: replace(toc, clear=replace(toc.clear, header_digest=bytes(32))),
    "key slots of a plain archive": lambda toc: replace(toc, clear=replace(toc.clear, slots_digest=b"s" * 32)),
    "another number of chunks": lambda toc: replace(toc, clear=replace(toc.clear, chunks=3, frontier=bytes(64))),
    "no commit before": lambda toc: replace(toc, clear=replace(toc.clear, previous_digest=bytes(32))),
    "a locator page less": lambda toc: with_pages(toc, lambda pages: pages[1:]),
    "another root": lambda toc: with_pages(toc, lambda pages: [pages[0]._replace(root=b"r" * 32), *pages[1:]]),
}


@pytest.mark.parametrize("lie", TOC_LIES)
def test_a_toc_that_cannot_be_is_refused(archive: Path, lie: str) -> None:
    come = forged(archive, TOC_LIES[lie])
    with pytest.raises(IntegrityError):
        come.all()
    assert not come.listed


# Pages


def places(come: Come, listed: list[Opened] | None = None) -> MetadataPlaces:
    found = MetadataPlaces(Bounds(0, come.commit.offset))
    for opened in listed or come.listed:
        found.add(opened)
    found.close()
    return found


def moved(opened: Opened, at: int, **fields: int | bytes) -> Opened:
    def change(pages: list[PageRef]) -> list[PageRef]:
        return [page._replace(**fields) if number == at else page for number, page in enumerate(pages)]  # type: ignore[arg-type]

    return replace(opened, toc=with_pages(opened.toc, change))


def test_pages_lie_side_by_side_within_the_archive(archive: Path) -> None:
    come = Come(archive)
    come.all()
    assert len(places(come)) > 5
    newest, *older = come.listed
    last = len(newest.toc.clear.pages) - 1
    cases = [
        [moved(newest, last, offset=100), *older],
        [moved(newest, last, offset=come.commit.toc_offset - 1), *older],
        [moved(newest, last, stored_bytes=1 << 40), *older],
        [moved(newest, last, offset=newest.toc.clear.pages[last - 1].offset + 1), *older],
        [moved(newest, last, offset=older[0].commit.offset), *older],
    ]
    shared = {page.offset for page in newest.toc.clear.pages} & {page.offset for page in older[-1].toc.clear.pages}
    if shared:
        at = next(at for at, page in enumerate(older[-1].toc.clear.pages) if page.offset in shared)
        cases.append([newest, *older[:-1], moved(older[-1], at, digest=bytes(32))])
    for listed in cases:
        with pytest.raises(FormatError):
            places(come, listed)


def test_a_page_is_asked_for_twice_at_most(archive: Path) -> None:
    come, whole = Come(archive), archive.read_bytes()
    come.all()
    wanted = WantedMetadata(places(come), lambda _: False)
    numbers = list(wanted.ask(1 << 30))
    assert len(numbers) == len(set(numbers)) == len(places(come))
    page = next(iter(wanted._waiting.values()))
    assert wanted.take(page.offset, bytes(page.length)) == []
    assert list(wanted.ask(1 << 30)) == [page.number]
    right = whole[page.offset : page.offset + page.length]
    assert wanted.take(page.offset + 10, right[10:]) == []
    assert wanted.take(page.offset, right[:10]) == [(page.offset, right)]
    for bad in ((page.offset, right), (3, b"x"), (10**12, b"x")):
        with pytest.raises(ProtocolError):
            wanted.take(*bad)
    with pytest.raises(ProtocolError):
        wanted.lose(page.number)
    second = next(iter(wanted._waiting.values()))
    wanted.take(second.offset, bytes(second.length))
    with pytest.raises(IntegrityError, match="twice"):
        wanted.take(second.offset, bytes(second.length))


def test_little_is_on_the_way_at_once(archive: Path) -> None:
    come = Come(archive)
    come.all()
    wanted = WantedMetadata(places(come), lambda _: False)
    assert len(list(wanted.ask(1))) == 1
    assert list(wanted.ask(1)) == []
    for page in list(wanted._waiting.values()):
        wanted.lose(page.number)
    assert wanted.outstanding == 0
    assert len(list(wanted.ask(1))) == 1


# Chunks


def relocated(come: Come, change: Callable[[bytearray, bytearray], None]) -> tuple[PageRef, bytes]:
    """A locator page with other offsets or lengths, for which a reference vouches."""
    page = IndexPage.parse(open_store_payload(come.stored[0]), LOCATOR_WIDTHS)
    offsets, lengths = bytearray(page.columns[0]), bytearray(page.columns[1])
    change(offsets, lengths)
    page = IndexPage(page.first, (bytes(offsets), bytes(lengths), page.columns[2]))
    stored = store_payload(page.serialize(LOCATOR_WIDTHS))
    ref = come.refs[0]._replace(digest=blake3(stored), root=locator_root(page), stored_bytes=len(stored))
    return ref, stored


def put(column: bytearray, at: int, value: int, width: int) -> None:
    column[at * width : (at + 1) * width] = value.to_bytes(width, "little")


def test_chunks_lie_side_by_side_and_not_on_metadata(archive: Path) -> None:
    come = Come(archive)
    come.all()
    bounds = Bounds(0, come.commit.offset)
    chunks = WantedChunks(bounds, come.refs, places(come))
    assert chunks.locators(0, come.stored[0]) == [(come.refs[0].offset, come.stored[0])]
    for number in (0, len(come.refs)):
        with pytest.raises(ProtocolError):
            chunks.locators(number, come.stored[0])
    metadata = places(come).page(0).offset
    lies: list[Callable[[bytearray, bytearray], None]] = [
        lambda offsets, _: put(offsets, 1, int.from_bytes(offsets[:8], "little") + 1, 8),
        lambda offsets, _: put(offsets, len(offsets) // 8 - 1, come.commit.offset - 1, 8),
        lambda offsets, lengths: put(lengths, _before(offsets, metadata), 1 << 20, 4),
        lambda offsets, lengths: put(lengths, 0, 1 << 30, 4),
    ]
    for lie in lies:
        ref, stored = relocated(come, lie)
        forged = WantedChunks(bounds, (ref, *come.refs[1:]), places(come))
        with pytest.raises(FormatError):
            forged.locators(0, stored)


def _before(offsets: bytearray, place: int) -> int:
    return max(at for at, offset in enumerate(memoryview(offsets).cast("Q")) if offset < place)


def test_a_locator_page_is_that_of_the_toc(archive: Path) -> None:
    come = Come(archive)
    come.all()
    for stored in (come.stored[0] + b"x", come.stored[0][:-1] + b"x", b""):
        chunks = WantedChunks(Bounds(0, come.commit.offset), come.refs, places(come))
        with pytest.raises(IntegrityError):
            chunks.locators(0, stored)


def test_as_many_chunks_are_asked_for_as_there_is_room(archive: Path) -> None:
    come = Come(archive)
    come.all()
    chunks = WantedChunks(Bounds(0, come.commit.offset), come.refs, places(come))
    chunks.resume({0: [(0, 3), (5, 6)]})
    for number, stored in enumerate(come.stored):
        chunks.locators(number, stored)

    def read(ref: PageRef) -> bytes:
        return come.stored[come.refs.index(ref)]

    asked, received, rounds = [], 0, 0
    while not chunks.all_asked:
        rounds += 1
        for number, spans, _ in chunks.ask(100_000, received, read):
            asked += [number * 4096 + chunk for start, end in spans for chunk in range(start, end)]
            chunks.keep({number: spans})
        assert chunks._asked_bytes - received < 110_000
        received = chunks._asked_bytes
    assert asked == [3, 4, *range(6, come.commit.chunks)]
    assert chunks.done
    assert rounds > 10


def test_errors_are_those_of_the_tree(archive: Path) -> None:
    """Random bytes end in a typed error, whatever they are."""
    rng = random.Random(9)
    for _ in range(300):
        come = Come.__new__(Come)
        come.listed = []
        chain = Chain("a", Commit.parse(archive.read_bytes()[-256:]), Links(), come.listed.append)
        with pytest.raises(WarpPortalError):
            chain.take(0, archive.read_bytes()[:256] + rng.randbytes(rng.randrange(1, 300)))
