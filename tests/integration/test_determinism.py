"""The same tree and key give the same archive content for any number of threads."""

from pathlib import Path

import pytest

from tests.trees import every_type
from warp_portal.archive import Lock, PackOptions, Source, Unlock, create, open_archive

KEY = bytes(range(32))


def content(archive: Path) -> tuple[object, ...]:
    """Everything that must not depend on threads: cids, fragments, recipes."""
    with open_archive(archive, Unlock(archive_key=KEY)) as reader:
        index = reader.chunk_index()
        spans = tuple(index.chunk_fragments(chunk) for chunk in range(index.chunks))
        entries = tuple(table.entry(number) for table in reader.tables() for number in range(len(table)))
        return reader.commit.root, index.chunks, index.fragments, spans, entries


def test_content_is_the_same_for_one_to_eight_threads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tree = tmp_path / "tree"
    every_type(tree)
    monkeypatch.chdir(tree)
    found = []
    for threads in range(1, 9):
        archive = tmp_path / f"{threads}.warp"
        options = PackOptions(threads=threads, checkpoint_bytes=1 << 20 if threads % 2 else 1 << 40)
        create(archive, Source.of(["."]), options, lock=Lock(passphrases=("x",)), archive_key=KEY)
        found.append(content(archive))
    assert all(other == found[0] for other in found[1:])
