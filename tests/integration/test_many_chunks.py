"""Appending one chunk to a large archive: O(log n) nodes hashed, and proofs that a stranger can check."""

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from warp_portal._native import Frontier
from warp_portal.archive import Level, PackOptions, Stream, append, create, open_archive, verify
from warp_portal.archive.opening import Opened, open_earlier
from warp_portal.archive.proofs import check_extends, consistency_proof, inclusion_proof
from warp_portal.archive.reader import ArchiveReader
from warp_portal.archive.states import snapshot_commits
from warp_portal.errors import IntegrityError
from warp_portal.primitives import merkle
from warp_portal.primitives.cutting import FIXED, KIB, Cutting, Sizes

BLOCK = 4 * KIB
A_BLOCK_A_CHUNK = Cutting(FIXED, Sizes(BLOCK, BLOCK, BLOCK), Sizes(2 * KIB, BLOCK, 2 * BLOCK))
OPTIONS = PackOptions(cutting=A_BLOCK_A_CHUNK)


@contextmanager
def stream(first: int, end: int) -> Iterator[Stream]:
    """A pipe that gives one distinct block for every number."""
    read_fd, write_fd = os.pipe()

    def feed() -> None:
        with suppress(BrokenPipeError), os.fdopen(write_fd, "wb", buffering=1 << 20) as pipe:
            for number in range(first, end):
                pipe.write(number.to_bytes(8, "little").ljust(BLOCK, b"\1"))

    feeder = threading.Thread(target=feed)
    feeder.start()
    try:
        yield Stream(b"blocks", read_fd)
    finally:
        os.close(read_fd)
        feeder.join()


@pytest.mark.parametrize("chunks", [20_000, pytest.param(1_000_000, marks=pytest.mark.soak)])
def test_one_chunk_more_hashes_log_n_nodes_and_is_proven(tmp_path: Path, chunks: int) -> None:
    archive = tmp_path / "a.warp"
    with stream(0, chunks) as source:
        create(archive, source, OPTIONS)
    with stream(chunks, chunks + 1) as source:
        append(archive, source, OPTIONS)
    with open_archive(archive) as reader:
        now = reader.opened
        before = open_earlier(reader.file, now, snapshot_commits(reader.file, reader.newest)[0])
        assert (before.commit.chunks, now.commit.chunks) == (chunks, chunks + 1)
        assert nodes_hashed_by_the_append(reader, before) <= 2 * chunks.bit_length()
        check_extends(reader.file, now, before.commit)
        proof = consistency_proof(reader.file, now, before.commit)
        assert len(proof) <= 32 * (chunks.bit_length() + 1)
        forged = bytes([proof[0] ^ 1]) + proof[1:]
        with pytest.raises(IntegrityError):
            merkle.verify_consistency(chunks, before.commit.root, chunks + 1, now.commit.root, forged)
        prove_inclusion(reader, now, chunks)
        prove_inclusion(reader, now, chunks // 3)
    assert verify(archive, Level.INDEX).ok


def nodes_hashed_by_the_append(reader: ArchiveReader, before: Opened) -> int:
    """What the writer's frontier had to hash, from the state that the first snapshot left."""
    frontier = Frontier(before.commit.chunks, before.toc.clear.frontier)
    frontier.append(leaf(reader, before.commit.chunks))
    assert frontier.root() == reader.commit.root
    return frontier.hashed


def prove_inclusion(reader: ArchiveReader, opened: Opened, chunk: int) -> None:
    proof = inclusion_proof(reader.file, opened, chunk)
    merkle.verify_inclusion(leaf(reader, chunk), chunk, opened.commit.chunks, proof, opened.commit.root)
    with pytest.raises(IntegrityError):
        merkle.verify_inclusion(leaf(reader, chunk - 1), chunk, opened.commit.chunks, proof, opened.commit.root)


def leaf(reader: ArchiveReader, chunk: int) -> bytes:
    return reader.index.leaves()[32 * chunk : 32 * chunk + 32]
