"""What failed for single paths while the rest was done: all are counted, and the first are kept."""

from collections.abc import Iterable
from typing import Final, NamedTuple

# An archive of some kilobytes can have a million entries that fail, and so can a disk that is dying under a walk: their paths
# are kept as far as this goes.
KEPT_BYTES: Final = 16 * 1024 * 1024
PROBLEM_BYTES: Final = 256  # of one, beside its path
MOST_PLACES: Final = 1 << 17  # places in files that are lost: 16 MiB


class Rest(NamedTuple):
    """What is left of a file with damaged data: `kept` is the path of the file that holds it, `lost` start and end of places
    that are zeros there (all, unless there are very many), `lost_bytes` how many bytes are.
    """

    says: str
    kept: bytes | None
    lost: list[tuple[int, int]]
    lost_bytes: int


class Problem(NamedTuple):
    """An entry that was left out or is in doubt; `errno` 0 = it changed while it was read, or its data is damaged."""

    path: bytes
    what: str
    errno: int
    rest: Rest | None = None


class ProblemList:
    """The problems of one run: `count` of them, `without_errno` of them; `kept` are the first, up to 16 MiB."""

    def __init__(self) -> None:
        self.count = self.without_errno = 0
        self._kept: list[Problem] = []
        self._room, self._places = KEPT_BYTES, MOST_PLACES

    def add(self, problem: Problem) -> None:
        """Count one, and keep it if there is room, and of its places those that there is room for."""
        self.count += 1
        self.without_errno += problem.errno == 0
        self._room -= PROBLEM_BYTES + len(problem.path)
        if self._room < 0:
            return
        if problem.rest:
            lost = problem.rest.lost[: self._places]
            self._places -= len(lost)
            problem = problem._replace(rest=problem.rest._replace(lost=lost))
        self._kept.append(problem)

    def extend(self, found: Iterable[tuple[bytes, str, int]]) -> None:
        """As `add`, for all that the native module tells."""
        for path, what, errno in found:
            self.add(Problem(path, what, errno))

    @property
    def kept(self) -> tuple[Problem, ...]:
        """The first of them."""
        return tuple(self._kept)
