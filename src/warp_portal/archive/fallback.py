"""Which snapshot to read of an archive whose metadata is damaged."""

from warp_portal.archive.commit import Commit
from warp_portal.archive.content import read_stored
from warp_portal.archive.opening import Opened, history, open_earlier
from warp_portal.archive.storage import ArchiveFile
from warp_portal.archive.toc import PageRef
from warp_portal.errors import IntegrityError


def newest_whole(file: ArchiveFile, opened: Opened) -> Commit | None:
    """The commit of the newest snapshot, from `opened` back, whose metadata is what its digests say; None if there is none."""
    pages = _Pages(file)
    try:
        for commit in history(file, opened.commit):
            if commit.snapshot and pages.hold(opened, commit):
                return commit
    except IntegrityError:  # the chain cannot be followed any further
        return None
    return None


class _Pages:
    """Pages that were read: snapshots share most of theirs."""

    def __init__(self, file: ArchiveFile) -> None:
        self._file = file
        self._whole: dict[PageRef, bool] = {}

    def hold(self, opened: Opened, commit: Commit) -> bool:
        """Whether the table of contents and all pages of a snapshot are whole."""
        try:
            toc = open_earlier(self._file, opened, commit).toc
        except IntegrityError:
            return False
        return all(map(self._is_whole, toc.clear.pages))

    def _is_whole(self, ref: PageRef) -> bool:
        if ref not in self._whole:
            try:
                read_stored(self._file, ref)
                self._whole[ref] = True
            except IntegrityError:
                self._whole[ref] = False
        return self._whole[ref]
