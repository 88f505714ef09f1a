"""A long stream with little in it that is new: unique data, repeats of it at shifted offsets, and runs of zeros.

The unique data is an endless AES-CTR keystream, so that any range of the stream can be made again; of every two blocks of
it one is folded to sixteen values a byte, which a compressor halves. What repeats is a stretch of the unique data of
the last `history` bytes, from any byte to any byte. Which piece follows which is decided by a seeded generator.

    python -m tests.scale.logical_stream SIZE UNIQUE HISTORY SEED DIGEST      to standard output; its BLAKE3 into the file DIGEST
"""

import os
import random
import sys
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Final, NamedTuple

from blake3 import blake3
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

KIB, MIB, GIB = 1 << 10, 1 << 20, 1 << 30
BLOCK: Final = MIB
_FOLD: Final = bytes(b"etaoinshrdlu \n01"[value & 15] for value in range(256))
_ZEROS: Final = bytes(4 * MIB)
WRITE_BYTES: Final = 4 * MIB


class Piece(NamedTuple):
    """A stretch of the stream: where it begins, its length, and where in the unique data it comes from (None: zeros)."""

    start: int
    length: int
    source: int | None


@dataclass(frozen=True, slots=True)
class Shape:
    """Bytes of a stream in all, of its unique data (about), and how far back repeats reach."""

    size: int
    unique: int
    history: int
    seed: int = 1


class LogicalStream:
    """The stream of a shape: `buffers` gives it from the first byte to the last, `at` any range of it."""

    def __init__(self, shape: Shape) -> None:
        self.shape = shape
        self.pieces = list(_pieces(shape))
        self._starts = [piece.start for piece in self.pieces]
        self._key = random.Random(shape.seed).randbytes(16)

    def buffers(self) -> Iterator[memoryview]:
        """All of it, in buffers that hold until the next is asked for."""
        ring, history, made = memoryview(bytearray(self.shape.history)), self.shape.history, 0
        for piece in self.pieces:
            if piece.source is None:
                yield from _runs(piece.length)
                continue
            while made < piece.source + piece.length:
                ring[made % history : made % history + BLOCK] = self._block(made // BLOCK)
                made += BLOCK
            yield from _slices(ring, piece.source, piece.length)

    def at(self, offset: int, length: int) -> bytes:
        """The bytes from `offset` on."""
        parts = []
        while length:
            piece = self.pieces[bisect_right(self._starts, offset) - 1]
            count = min(length, piece.start + piece.length - offset)
            source = None if piece.source is None else piece.source + offset - piece.start
            parts.append(bytes(count) if source is None else self._unique(source, count))
            offset, length = offset + count, length - count
        return b"".join(parts)

    def _unique(self, start: int, length: int) -> bytes:
        blocks = range(start // BLOCK, (start + length - 1) // BLOCK + 1)
        return b"".join(map(self._block, blocks))[start % BLOCK :][:length]

    def _block(self, number: int) -> bytes:
        """Block `number` of the unique data."""
        counter = (number * (BLOCK // 16)).to_bytes(16, "big")
        keystream = Cipher(algorithms.AES(self._key), modes.CTR(counter)).encryptor().update(_one_block())
        return keystream.translate(_FOLD) if number % 2 else keystream


@lru_cache(1)
def _one_block() -> bytes:
    return bytes(BLOCK)


def _pieces(shape: Shape) -> Iterator[Piece]:
    """Unique data wherever there is less of it than its share; between, nine repeats to one run of zeros."""
    rng = random.Random(shape.seed)
    longest = max(shape.history // 4, BLOCK)
    start = unique = 0
    while start < shape.size:
        left = shape.size - start
        if unique * shape.size <= start * shape.unique:
            length = min(rng.randrange(1, min(8 * MIB, shape.history // 4)), left)
            yield Piece(start, length, unique)
            unique += length
        elif rng.random() < 0.1:
            length = min(rng.randrange(1, longest // 4), left)
            yield Piece(start, length, None)
        else:
            # Two blocks less than the history: the block that is being made takes the place of the oldest.
            oldest = max(0, unique - shape.history + 2 * BLOCK)
            length = min(rng.randrange(1, longest), left, unique - oldest)
            yield Piece(start, length, rng.randrange(oldest, unique - length + 1))
        start += length


def _runs(length: int) -> Iterator[memoryview]:
    zeros = memoryview(_ZEROS)
    for done in range(0, length, len(zeros)):
        yield zeros[: length - done]


def _slices(ring: memoryview, start: int, length: int) -> Iterator[memoryview]:
    """A stretch of what the ring holds, cut where the ring ends and to a size that caches hold."""
    while length:
        place = start % len(ring)
        count = min(length, len(ring) - place, WRITE_BYTES)
        yield ring[place : place + count]
        start, length = start + count, length - count


def send(stream: LogicalStream, fd: int) -> bytes:
    """Write all of a stream; the BLAKE3 of what was written."""
    digest = blake3(max_threads=blake3.AUTO)
    for buffer in stream.buffers():
        digest.update(buffer)
        while buffer:
            buffer = buffer[os.write(fd, buffer) :]
    return digest.digest()


if __name__ == "__main__":
    shape = Shape(*map(int, sys.argv[1:5]))
    Path(sys.argv[5]).write_bytes(send(LogicalStream(shape), 1))
