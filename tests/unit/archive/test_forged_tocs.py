"""A table of contents that contradicts its commit, or says what no writer says, is refused: a plain archive anybody can rewrite."""

from dataclasses import replace
from pathlib import Path

import pytest
from tests.unit.archive.common import grow

from warp_portal._native import OBJECT_TOC, ScopeKeys, blake3
from warp_portal.archive import packed
from warp_portal.archive.commit import SIGNED, SNAPSHOT
from warp_portal.archive.opening import last_commit, open_commit, read_header, read_toc
from warp_portal.archive.options import PackOptions, Source
from warp_portal.archive.proofs import check_extends
from warp_portal.archive.storage import ArchiveFile
from warp_portal.archive.toc import TOC
from warp_portal.archive.verification import Level, verify
from warp_portal.archive.writer import append, create
from warp_portal.errors import FormatError, IntegrityError, SignatureError
from warp_portal.keys.signers import SigningKey

PLAIN = ScopeKeys(None, 0)
ALICE, MALLORY = SigningKey(b"a" * 32), SigningKey(b"m" * 32)
ALIGNMENT = 4096


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    root = tmp_path / "tree"
    grow(root, 20, 9000)
    monkeypatch.chdir(root)
    return root


def forge(archive: Path, sealed: dict[str, object], **commit: object) -> None:
    """Replace fields of the newest TOC's sealed part and of its commit; everything unkeyed is made right again."""
    with ArchiveFile(archive) as file:
        read_header(file)
        last = last_commit(file)
        assert last is not None
        toc = read_toc(file, last)
        before = file.read(0, last.toc_offset, "what comes before")
    content = packed.unpack_map(PLAIN.open(OBJECT_TOC, toc.sealed, toc.dp, 1 << 25), "TOC", 1 << 20)
    stored, dp = PLAIN.seal(OBJECT_TOC, packed.pack(content | sealed), 0, 0)
    raw = TOC(toc.clear, dp, stored).serialize()
    end = len(before) + len(raw)
    fields = {"offset": end + -end % ALIGNMENT, "toc_bytes": len(raw), "toc_digest": blake3(raw)} | commit
    forged = replace(last, **fields)  # type: ignore[arg-type]  # fields of the test's own choice
    archive.write_bytes(before + raw + bytes(-end % ALIGNMENT) + forged.serialize())


def test_a_signature_whose_signer_is_left_out_is_not_built_on(tree: Path, archive: Path) -> None:
    create(archive, Source.of(["."]), PackOptions(signing_key=ALICE))
    append(archive, Source.of(["."]), PackOptions(signing_key=ALICE))
    forge(archive, {"signer": b""}, flags=SNAPSHOT | SIGNED, signature=b"\1" * 64, signer_tag=MALLORY.public.tag)
    with pytest.raises(SignatureError):
        append(archive, Source.of(["."]), PackOptions(signing_key=ALICE))
    with pytest.raises(SignatureError):
        verify(archive, Level.QUICK)


@pytest.mark.parametrize(
    "sealed",
    [
        {"signer": ALICE.public.raw},
        {"time": (1 << 64) - 1},
        {"first": [(1 << 64) - 1]},
    ],
)
def test_what_no_writer_says_is_refused(tree: Path, archive: Path, sealed: dict[str, object]) -> None:
    create(archive, Source.of(["."]))
    forge(archive, sealed)
    with pytest.raises(IntegrityError):
        verify(archive, Level.QUICK)
    with pytest.raises(IntegrityError):
        append(archive, Source.of(["."]))


@pytest.mark.parametrize(("sealed", "words"), [({"bytes": 1}, "logical size"), ({"position": b"zzz"}, "a position")])
def test_what_contradicts_the_pages_is_found(tree: Path, archive: Path, sealed: dict[str, object], words: str) -> None:
    create(archive, Source.of(["."]))
    assert verify(archive, Level.INDEX).ok
    forge(archive, sealed)
    assert words in " ".join(verify(archive, Level.INDEX).metadata_damage)


def test_a_damaged_chunk_is_placed_whatever_else_is_wrong(tree: Path, archive: Path) -> None:
    create(archive, Source.of(["."]))
    forge(archive, {"entries": 1})
    raw = bytearray(archive.read_bytes())
    raw[300] ^= 1
    archive.write_bytes(raw)
    report = verify(archive, Level.DEEP)
    assert [(chunk.ordinal, chunk.offset) for chunk in report.damaged_chunks] == [(0, 256)]
    assert "number of entries" in " ".join(report.metadata_damage)


def test_a_proof_over_missing_pages_is_refused(tree: Path, archive: Path) -> None:
    create(archive, Source.of(["."]))
    with ArchiveFile(archive) as file:
        last = last_commit(file)
        assert last is not None
        opened = open_commit(file, read_header(file), last)
        without = replace(opened, toc=replace(opened.toc, clear=replace(opened.toc.clear, pages=())))
        with pytest.raises(FormatError):
            check_extends(file, without, replace(last, chunks=1))
