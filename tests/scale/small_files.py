"""Trees of very many small files: directories of 1,000 records each, no two of them alike.

    python -m tests.scale.small_files DIRECTORY FIRST END      make the directories FIRST … END - 1

A record is a short text of some 100 to 300 bytes, as queues of mail, caches and sensors leave them.
"""

import os
import random
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

FILES: Final = 1000
DIRECTORIES_A_GROUP: Final = 100
_WORDS: Final = "sent read moved kept late early north south cold warm open shut high low first last".split()


def directory_name(number: int) -> str:
    """Where directory `number` lies, below the tree's root."""
    return f"{number // DIRECTORIES_A_GROUP:03}/{number % DIRECTORIES_A_GROUP:02}"


def records(number: int) -> Iterator[tuple[str, bytes]]:
    """Name and content of the files in directory `number`."""
    rng = random.Random(number)
    noise = rng.randbytes(FILES * 64).hex()
    words = rng.choices(_WORDS, k=2 * FILES)
    for file in range(FILES):
        text = noise[file * 128 : file * 128 + 40 + (file * 37 + number) % 88]
        line = f'{{"id":{number * FILES + file},"state":"{words[2 * file]}","next":"{words[2 * file + 1]}","key":"{text}"}}\n'
        yield f"{file:04}.json", (line + "-" * (file % 61)).encode()


def make(root: Path, first: int, end: int) -> None:
    """Make the directories `first` … `end` - 1 below `root`."""
    for number in range(first, end):
        directory = root / directory_name(number)
        directory.mkdir(parents=True)
        fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
        try:
            for name, content in records(number):
                _write(fd, name, content)
        finally:
            os.close(fd)


def _write(directory: int, name: str, content: bytes) -> None:
    fd = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644, dir_fd=directory)
    try:
        os.write(fd, content)
    finally:
        os.close(fd)


if __name__ == "__main__":
    make(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
