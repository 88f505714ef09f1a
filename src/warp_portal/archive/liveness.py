"""Which chunks recipes still use, and how their fragments are numbered once the others are gone.

A chunk is live if any of its fragments is used. A run uses every fragment between its ends, so every chunk it touches is
live, and stays beside its neighbour: a run keeps its length, and only its first ordinal changes.

    chunk       0       1     2          starts 0 3 5
    fragment  0 1 2    3 4   5 6 7       run (6, 2) uses chunk 2
    live       no      no    yes         6 becomes 1
"""

from array import array
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from itertools import accumulate, compress, groupby
from typing import Final

from warp_portal.errors import FormatError

Run = tuple[int, int]

# Fragments whose use is noted together: a hostile recipe may name the same million fragments a million times.
BLOCK: Final = 4096
_ONES: Final = b"\x01" * BLOCK


class Liveness:
    """The fragments used by recipes that were shown to it; `starts` holds each chunk's first fragment, and the end."""

    def __init__(self, fragments_of_chunks: Iterable[int]) -> None:
        self.starts = array("Q", accumulate(fragments_of_chunks, initial=0))
        self._used = bytearray(self.starts[-1])
        self._whole = bytearray(self.starts[-1] // BLOCK)  # whether all of a block is used

    def use(self, runs: Iterable[Run], fragments: int) -> None:
        """Note the runs of a recipe, of a snapshot with so many fragments; raises FormatError for one beyond them."""
        for first, count in runs:
            if first + count > fragments:
                raise FormatError("a file's recipe names fragments that its snapshot does not have")
            self._use(first, first + count)

    def _use(self, first: int, end: int) -> None:
        lower, upper = -(-first // BLOCK), end // BLOCK
        if lower >= upper:
            self._used[first:end] = b"\x01" * (end - first)
            return
        self._used[first : lower * BLOCK] = _ONES[: lower * BLOCK - first]
        self._used[upper * BLOCK : end] = _ONES[: end - upper * BLOCK]
        block = self._whole.find(0, lower, upper)
        while block >= 0:
            self._whole[block] = 1
            self._used[block * BLOCK : (block + 1) * BLOCK] = _ONES
            block = self._whole.find(0, block + 1, upper)

    def used_bytes(self, first: int, lengths: Sequence[int]) -> int:
        """Bytes of those fragments that are used, of the ones from `first` on with these lengths."""
        return sum(compress(lengths, self._used[first : first + len(lengths)]))

    def live(self) -> "LiveChunks":
        """The verdict."""
        flags = bytearray(len(self.starts) - 1)
        for chunk in range(len(flags)):
            flags[chunk] = self._used.find(1, self.starts[chunk], self.starts[chunk + 1]) >= 0
        return LiveChunks(self.starts, flags)


class LiveChunks:
    """Which chunks go on, and the new ordinals of their fragments."""

    def __init__(self, starts: "array[int]", flags: bytearray) -> None:
        self.starts = starts
        self.flags = flags
        sizes = (starts[chunk + 1] - starts[chunk] if flag else 0 for chunk, flag in enumerate(flags))
        self._new_starts = array("Q", accumulate(sizes, initial=0))

    @property
    def count(self) -> int:
        """How many are live."""
        return self.flags.count(1)

    def spans(self, first: int, end: int) -> list[Run]:
        """The live ones of `first` … `end` as ranges [first, end) of neighbours."""
        found, at = [], first
        for flag, group in groupby(self.flags[first:end]):
            length = sum(1 for _ in group)
            if flag:
                found.append((at, at + length))
            at += length
        return found

    def renumbered(self, run: Run) -> Run:
        """A run of live fragments by its new ordinal."""
        first, count = run
        chunk = bisect_right(self.starts, first) - 1
        return first - self.starts[chunk] + self._new_starts[chunk], count
