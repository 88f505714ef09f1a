"""What `analyze` tells of small made trees, beside what `create` then does with them."""

import random
from pathlib import Path

import pytest

from warp_portal.archive import Analysis, AnalyzeOptions, AnalyzeProgress, PackOptions, Source, analyze, create
from warp_portal.archive import survey as surveys
from warp_portal.archive.survey import read_one_in
from warp_portal.primitives.compression import policy
from warp_portal.primitives.cutting import PROFILES

PLAIN = AnalyzeOptions(suite="plain", passphrase=False)
WORDS = [
    word * 2 for word in ("archive", "fragment", "chunk", "entry", "commit", "page", "index", "slot", "tree", "key")
]


def text(rng: random.Random, size: int) -> bytes:
    return " ".join(rng.choice(WORDS) + str(rng.randrange(1000)) for _ in range(size // 12)).encode()


def archive_bytes(source: Source, tmp_path: Path) -> int:
    path = tmp_path / "real.warp"
    create(path, source)
    size = path.stat().st_size
    path.unlink()
    return size


def compared(tree: Path, tmp_path: Path, options: AnalyzeOptions = PLAIN) -> tuple[Analysis, float]:
    """An analysis, and predicted ÷ real size."""
    source = Source.of([tree])
    found = analyze(source, options)
    return found, found.estimate.archive_bytes / archive_bytes(source, tmp_path)


@pytest.fixture
def sampling(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if the tree were large: one in four bytes is read."""
    monkeypatch.setattr(surveys, "READ_BYTES", 6 << 20)


def test_text_is_predicted_as_create_stores_it(tmp_path: Path) -> None:
    rng, tree = random.Random(1), tmp_path / "tree"
    tree.mkdir()
    for number in range(300):
        (tree / f"{number}.txt").write_bytes(text(rng, rng.randrange(100, 40_000)))
    found, quotient = compared(tree, tmp_path)
    assert quotient == pytest.approx(1, abs=0.10)
    (kind,) = found.types
    assert (kind.extension, kind.files, found.complete, found.problems) == ("txt", 300, True, ())
    assert kind.entropy is not None
    assert 3 < kind.entropy < 5
    assert kind.compressed_share == 0


def test_random_bytes_are_told_to_be_incompressible(tmp_path: Path) -> None:
    rng, tree = random.Random(10), tmp_path / "tree"
    tree.mkdir()
    for number in range(3):
        (tree / f"{number}.BIN").write_bytes(rng.randbytes(3 << 20))
    found, quotient = compared(tree, tmp_path)
    assert quotient == pytest.approx(1, abs=0.01)
    assert found.estimate.ratio >= 1
    assert found.advice.compression == "none"
    (kind,) = found.types
    # A block of few bytes may look as if it had structure.
    assert kind.extension == "bin"
    assert kind.compressed_share == pytest.approx(1, abs=0.01)


def test_a_copy_of_everything_is_told_to_be_duplicate(tmp_path: Path) -> None:
    rng, tree = random.Random(2), tmp_path / "tree"
    for name in ("one", "two"):
        (tree / name).mkdir(parents=True)
    for number in range(50):
        content = rng.randbytes(rng.randrange(1, 200_000))
        for name in ("one", "two"):
            (tree / name / str(number)).write_bytes(content)
    found, quotient = compared(tree, tmp_path)
    assert found.estimate.duplicate_bytes * 2 == found.estimate.data_bytes
    assert quotient == pytest.approx(1, abs=0.02)


@pytest.mark.usefixtures("sampling")
def test_copies_are_seen_in_a_sample(tmp_path: Path) -> None:
    rng, tree = random.Random(3), tmp_path / "tree"
    for name in ("one", "two"):
        (tree / name).mkdir(parents=True)
    for number in range(600):
        content = rng.randbytes(rng.randrange(1, 40_000))
        for name in ("one", "two"):
            (tree / name / str(number)).write_bytes(content)
    found, quotient = compared(tree, tmp_path)
    assert not found.complete
    assert found.read_bytes < 0.7 * found.bytes
    assert found.estimate.duplicate_bytes == pytest.approx(found.bytes / 2, rel=0.02)
    assert quotient == pytest.approx(1, abs=0.10)


@pytest.mark.usefixtures("sampling")
def test_copies_of_one_large_file_are_seen_in_a_sample(tmp_path: Path) -> None:
    tree, content = tmp_path / "tree", random.Random(4).randbytes(24 << 20)
    tree.mkdir()
    for name in ("one", "two"):
        (tree / name).write_bytes(content)
    found, _ = compared(tree, tmp_path)
    assert found.estimate.duplicate_bytes == pytest.approx(found.bytes / 2, rel=0.02)


@pytest.mark.usefixtures("sampling")
@pytest.mark.parametrize(("before", "after"), [(1000, 0), (0, 3 << 20)])
def test_most_of_a_large_copy_that_begins_later_or_has_grown_is_seen_in_a_sample(
    tmp_path: Path, before: int, after: int
) -> None:
    rng, tree = random.Random(41), tmp_path / "tree"
    tree.mkdir()
    content = rng.randbytes(24 << 20)
    (tree / "one").write_bytes(content)
    (tree / "two").write_bytes(rng.randbytes(before) + content + rng.randbytes(after))
    found, _ = compared(tree, tmp_path)
    assert not found.complete
    assert 0.7 * len(content) < found.estimate.duplicate_bytes < 1.1 * len(content)


@pytest.mark.usefixtures("sampling")
def test_a_copy_far_from_its_place_is_seen_only_if_all_is_read(tmp_path: Path) -> None:
    rng, tree = random.Random(42), tmp_path / "tree"
    tree.mkdir()
    content = rng.randbytes(12 << 20)
    (tree / "one").write_bytes(content)
    (tree / "two").write_bytes(rng.randbytes(5 << 20) + content)
    told = [
        analyze(Source.of([tree]), AnalyzeOptions(suite="plain", passphrase=False, full=full)).estimate
        for full in (False, True)
    ]
    assert told[0].duplicate_bytes < 0.1 * len(content)
    assert told[1].duplicate_bytes > 0.9 * len(content)


@pytest.mark.usefixtures("sampling")
def test_many_copies_of_one_small_file_are_never_missed(tmp_path: Path) -> None:
    rng, tree = random.Random(5), tmp_path / "tree"
    tree.mkdir()
    content = rng.randbytes(9_999)
    for number in range(1000):
        (tree / f"same-{number}").write_bytes(content)
        (tree / f"other-{number}").write_bytes(rng.randbytes(10_000 + number))
    found, _ = compared(tree, tmp_path)
    assert found.estimate.duplicate_bytes == pytest.approx(999 * len(content), rel=0.02)


@pytest.mark.usefixtures("sampling")
def test_full_reads_everything(tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    tree.mkdir()
    (tree / "large").write_bytes(random.Random(6).randbytes(20 << 20))
    found = analyze(Source.of([tree]), AnalyzeOptions(full=True, suite="plain", passphrase=False))
    assert (found.complete, found.read_bytes) == (True, 20 << 20)


def test_holes_are_no_data(tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    tree.mkdir()
    with (tree / "sparse").open("wb") as file:
        file.truncate(64 << 20)
        file.seek(33 << 20)
        file.write(random.Random(7).randbytes(1 << 20))
    found, quotient = compared(tree, tmp_path)
    assert found.bytes == 64 << 20
    assert found.estimate.data_bytes == pytest.approx(1 << 20, rel=0.01)
    assert quotient == pytest.approx(1, abs=0.02)


def test_an_empty_tree_is_told(tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    tree.mkdir()
    (tree / "empty").touch()
    found = analyze(Source.of([tree]), PLAIN)
    assert (found.files, found.bytes, found.estimate.ratio, found.estimate.new_bytes) == (1, 0, 0, 0)
    assert (found.advice.compression, found.advice.profile) == ("auto", "general")


def test_what_is_excluded_is_not_counted(tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    tree.mkdir()
    (tree / "a.txt").write_text("kept")
    (tree / "b.o").write_bytes(bytes(5000))
    found = analyze(Source.of([tree], excludes=["*.o"]), PLAIN)
    assert [kind.extension for kind in found.types] == ["txt"]
    assert found.bytes == 4


def test_a_second_walk_finds_what_was_not_held(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tree = tmp_path / "tree"
    tree.mkdir()
    for number in range(50):
        (tree / str(number)).write_bytes(bytes([number]) * 1000)
    held = analyze(Source.of([tree]), PLAIN)
    monkeypatch.setattr(surveys, "HELD_ENTRIES", 10)
    again = analyze(Source.of([tree]), PLAIN)
    assert (
        (again.read_bytes, again.estimate.new_bytes) == (held.read_bytes, held.estimate.new_bytes) == (50_000, 50_000)
    )


def test_an_unreadable_file_is_a_problem_and_the_rest_is_told(tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    tree.mkdir()
    (tree / "a").write_bytes(b"x" * 5000)
    (tree / "b").write_bytes(b"y" * 5000)
    source = Source.of([tree])

    def vanish(progress: AnalyzeProgress) -> None:
        if progress.total_bytes is None:
            (tree / "a").unlink(missing_ok=True)

    found = analyze(source, AnalyzeOptions(suite="plain", passphrase=False, progress=vanish))
    assert [(problem.path, problem.what) for problem in found.problems] == [
        (str(tree / "a").encode().lstrip(b"/"), "read")
    ]
    assert found.files == 2
    assert (found.read_bytes, found.estimate.data_bytes, found.estimate.new_bytes) == (5000, 5000, 5000)


def test_finer_fragments_are_advised_where_they_find_much_more(tmp_path: Path) -> None:
    rng, tree = random.Random(8), tmp_path / "tree"
    tree.mkdir()
    blocks = [rng.randbytes(40_000) for _ in range(40)]
    for number in range(30):
        # Equal pieces, too short for fragments of 64 KiB, in ever new company.
        parts = [part for _ in range(20) for part in (rng.choice(blocks), rng.randbytes(3_000))]
        (tree / f"{number}.img").write_bytes(b"".join(parts))
    found = analyze(Source.of([tree]), PLAIN)
    assert found.advice.profile == "fine"
    general = archive_bytes(Source.of([tree]), tmp_path)
    path = tmp_path / "fine.warp"
    create(path, Source.of([tree]), PackOptions(cutting=PROFILES["fine"]))
    assert path.stat().st_size < 0.93 * general


def test_alternatives_hold_the_chosen_compression_and_what_it_would_store(tmp_path: Path) -> None:
    rng, tree = random.Random(9), tmp_path / "tree"
    tree.mkdir()
    for number in range(20):
        (tree / f"{number}.log").write_bytes(text(rng, 200_000))
    source = Source.of([tree])
    found = analyze(source, PLAIN)
    sizes = {offer.compression: offer.archive_bytes for offer in found.alternatives}
    assert list(sizes) == sorted(sizes, key=lambda name: -sizes[name])
    for name in ("none", "lz4", "zstd:9"):
        path = tmp_path / "other.warp"
        create(path, source, PackOptions(policy=policy(name)))
        assert sizes[name] / path.stat().st_size == pytest.approx(1, abs=0.10), name
        path.unlink()


def test_the_time_has_a_range_and_every_step(tmp_path: Path) -> None:
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree" / "a").write_bytes(b"some text " * 100_000)
    made = analyze(Source.of([tmp_path / "tree"]), AnalyzeOptions(start_s=0.5)).estimate
    assert made.seconds_low < made.seconds < made.seconds_high
    assert made.seconds > 0.5 + sum(made.cpu_s.values()) / 1024
    assert min(made.cpu_s[step] for step in ("walk", "read", "cut and name", "compress", "check and seal", "write")) > 0
    assert made.contention >= 1
    assert made.quiet_seconds <= made.seconds


def test_less_of_larger_trees_is_read() -> None:
    shares = [read_one_in(size) for size in (300 << 20, 3 << 30, 1 << 40)]
    assert shares == sorted(shares)
    assert shares[-1] == 1024
