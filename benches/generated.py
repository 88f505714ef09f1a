"""Data that is made, not fetched: always the same bytes for the same arguments, modification times included.

incompressible   random files of 4 KiB to 64 MiB: media, encrypted and compressed files
small            many files of 1 to 16 KiB in two versions: words with the frequencies of natural text (Zipf), records of numbers,
                 and one in ten of random bytes
noise, text      one large file of random bytes, or of such words
"""

import os
import shutil
from collections.abc import Callable, Iterator
from itertools import accumulate
from pathlib import Path
from random import Random
from typing import Final

EPOCH: Final = 1_700_000_000  # of all modification times
WORDS: Final = 20_000
_BLOCK: Final = 1 << 20  # of a large file at a time
_POOL: Final = 1 << 16  # words of a large file, from which each of its words is drawn
Tree = Iterator[tuple[str, bytes]]


def incompressible(home: Path, total_bytes: int = 1_000_000_000) -> Path:
    """A directory that holds `tree`: random files, log-uniform in size, of `total_bytes` in all."""
    return made(home, lambda: _random_files(total_bytes))


def _random_files(total_bytes: int) -> Tree:
    random, number = Random(1), 0
    while total_bytes > 0:
        size = min(total_bytes, int(2 ** random.uniform(12, 26)))
        yield f"{number % 16:02}/{number:05}.bin", random.randbytes(size)
        total_bytes, number = total_bytes - size, number + 1


def small_files(home: Path, count: int = 100_000) -> tuple[Path, Path]:
    """Two directories that each hold `tree`: in the second, 2 % of the files are changed, 1 % gone and 1 % new."""
    return made(home / "1", lambda: _small(count, second=False)), made(home / "2", lambda: _small(count, second=True))


def _small(count: int, *, second: bool) -> Tree:
    words = _Words()
    for number in range(count + count // 100 if second else count):
        # Each file from its own seed, so that files in common are equal whatever came before them.
        random = Random(number)
        fate = random.random()
        if number < count and second and fate < 0.01:
            continue
        content = words.file(random)
        if number < count and second and fate < 0.03:
            middle = len(content) // 2
            content = content[:middle] + b"changed\n" + content[middle + random.randrange(64) :]
        yield f"{number // 1000:03}/{number // 100 % 10}/{number:06}.{'txt' if number % 10 else 'bin'}", content


class _Words:
    """A vocabulary whose n-th word is drawn with a probability of about 1/n."""

    def __init__(self) -> None:
        random = Random(2)
        self._words = ["".join(random.choices("etaoinshrdlucmfwyp", k=random.randint(2, 10))) for _ in range(WORDS)]
        self._weights = list(accumulate(1 / (rank + 2) for rank in range(WORDS)))

    def file(self, random: Random) -> bytes:
        """The content of one file."""
        size = int(2 ** random.uniform(10, 14))
        kind = random.randrange(10)
        if kind == 0:
            return random.randbytes(size)
        if kind < 3:
            rows = (
                f"{random.gauss(100, 15):.3f},{random.randrange(1 << 16)},{random.random():.4f}" for _ in range(size)
            )
            return _filled(rows, "\n", size)
        drawn = self.drawn(random, size // 4)
        lines = (" ".join(drawn[start : start + 12]) for start in range(0, len(drawn), 12))
        return _filled(lines, ".\n", size)

    def drawn(self, random: Random, count: int) -> list[str]:
        """So many words."""
        return random.choices(self._words, cum_weights=self._weights, k=count)


def _filled(pieces: Iterator[str], between: str, size: int) -> bytes:
    """Pieces, each followed by `between`, cut to `size` bytes."""
    out, length = [], 0
    for piece in pieces:
        out.append(piece)
        length += len(piece) + len(between)
        if length >= size:
            break
    return (between.join(out) + between).encode()[:size]


def made(home: Path, files: Callable[[], Tree]) -> Path:
    """`home` with its `tree`, written from (path, content) unless it is there already."""
    if (home / "complete").exists():
        return home
    shutil.rmtree(home, ignore_errors=True)
    tree = home / "tree"
    tree.mkdir(parents=True)
    for name, content in files():
        path = tree / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        os.utime(path, (EPOCH, EPOCH))
    for directory, _, _ in os.walk(tree, topdown=False):
        os.utime(directory, (EPOCH, EPOCH))
    (home / "complete").touch()
    return home


def noise_file(path: Path, size: int) -> None:
    """A file of random bytes."""
    random = Random(3)
    _stream(path, size, lambda: random.randbytes(_BLOCK))


def text_file(path: Path, size: int) -> None:
    """A file of lines of words with the frequencies of natural text (Zipf), each drawn for itself."""
    random = Random(4)
    drawn = _Words().drawn(random, _POOL)
    words = [(word + (" " if number % 12 else ".\n")).encode() for number, word in enumerate(drawn)]
    _stream(path, size, lambda: b"".join(random.choices(words, k=_BLOCK // 8)))


def _stream(path: Path, size: int, block: Callable[[], bytes]) -> None:
    with path.open("wb") as file:
        while (left := size - file.tell()) > 0:
            file.write(block()[:left])
    os.utime(path, (EPOCH, EPOCH))
