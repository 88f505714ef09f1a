"""The kept inputs of the Python targets, and seeded changes of them. Those of the Rust targets are in rust/fuzz/tests."""

import random
import re
from pathlib import Path

import pytest

from tests.fuzz import forging, sections, seeds
from tests.fuzz.targets import PYTHON, RUST
from warp_portal.archive.indexparts import IndexParts
from warp_portal.archive.unlock import Unlock
from warp_portal.archive.verification import Level, verify

CHANGES = 100
LARGEST_CORPUS = 1 << 20
RUST_LIST = Path(__file__).resolve().parents[2] / "rust" / "fuzz" / "src" / "lib.rs"


@pytest.mark.parametrize("name", PYTHON)
def test_kept_inputs_are_answered_rightly(name: str) -> None:
    inputs = sections.corpus(name)
    assert inputs
    for data in inputs:
        PYTHON[name].run(data)


@pytest.mark.parametrize("name", PYTHON)
def test_changed_inputs_are_answered_rightly(name: str) -> None:
    inputs, choice = sections.corpus(name), random.Random(name)
    for _ in range(CHANGES):
        PYTHON[name].run(changed(choice.choice(inputs), choice))


def changed(data: bytes, choice: random.Random) -> bytes:
    """A few bytes set, flipped, left out or put in."""
    out = bytearray(data)
    for _ in range(choice.randrange(1, 4)):
        at = choice.randrange(len(out) + 1)
        if choice.random() < 0.7 and at < len(out):
            out[at] = choice.choice((out[at] ^ 1 << choice.randrange(8), 0, 0x7F, 0x80, 0xFF))
        elif choice.random() < 0.5:
            del out[at : at + choice.randrange(1, 5)]
        else:
            out[at:at] = choice.randbytes(choice.randrange(1, 5))
    return bytes(out)


@pytest.mark.parametrize("choice", [0, forging.ENCRYPTED])
def test_the_archive_target_reads_files_by_parts_of_the_index(choice: int, monkeypatch: pytest.MonkeyPatch) -> None:
    runs, locate = [], IndexParts.locate

    def seen(parts: IndexParts, first: int, count: int) -> list[tuple[int, int, int]]:
        runs.append((first, count))
        return locate(parts, first, count)

    monkeypatch.setattr(IndexParts, "locate", seen)
    PYTHON["archive"].run(seeds.whole_archive(choice))
    assert {(0, 1), (1, 2)} <= set(runs)


def test_the_corpora_stay_small() -> None:
    assert sum(path.stat().st_size for path in sections.CORPUS.iterdir()) < LARGEST_CORPUS
    assert {path.name for path in sections.CORPUS.iterdir()} == {*PYTHON, *RUST}


def test_every_target_has_seeds() -> None:
    assert set(seeds.everything()) == {*PYTHON, *RUST}


@pytest.mark.parametrize("encrypted", [False, True])
def test_an_archive_seed_is_a_whole_archive(tmp_path: Path, encrypted: bool) -> None:
    path = tmp_path / "a.warp"
    path.write_bytes(forging.forged(seeds.whole_archive(int(encrypted))))
    report = verify(path, Level.DEEP, unlock=Unlock(archive_key=forging.KEY) if encrypted else Unlock())
    assert report.ok, report.metadata_damage
    assert report.chunks == 3


def test_the_rust_targets_are_those_of_the_crate() -> None:
    assert sorted(re.findall(r'"(rust-[\w-]+)"', RUST_LIST.read_text())) == sorted(RUST)


def test_parts_survive_their_bytes() -> None:
    parts = [b"one", b"", bytes(300)]
    assert sections.split(sections.join(parts)) == parts
    assert sections.split(b"\5\0\0\0ab") == [b"ab"]
    assert sections.split_into(b"abc", 2) == [b"", b""]
