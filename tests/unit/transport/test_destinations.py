"""Where what comes goes: names that strangers chose stay in the directory, and what is finished twice is done once."""

import os
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from tests.unit.transport.common import RECORD, SESSION

from warp_portal.errors import ExistsError, RecordsError, UsageError
from warp_portal.transport.destinations import (
    STAGED,
    STDOUT,
    SUFFIX,
    Arriving,
    IntoDirectory,
    IntoFile,
    IntoStdout,
    archive_name,
    packed,
    staged,
    staging,
)

TREE = Arriving(SESSION, "tree", is_tree=True)
ARCHIVE = Arriving(SESSION, "home.warp", is_tree=False)
TITLES = st.text(st.characters(exclude_categories=["Cs"]), max_size=300) | st.from_regex(r"[./\\~a\x00\n-]{0,12}")


@given(TITLES)
@example("../../etc/passwd")
@example("..")
@example(".warp")
@example("-rf.warp")
@example("a\u202efdp.warp")
@example("x" * 250 + ".warp")
@example("letters/home.warp")
def test_the_name_of_an_archive_stays_in_its_directory(title: str) -> None:
    name = archive_name(title)
    assert name == os.path.basename(name)
    assert name.isprintable()
    assert not name.startswith((".", "-"))
    assert name.endswith(SUFFIX)
    assert 0 < len(name.encode()) + len(".warp-part") <= 255
    assert archive_name(name) == name
    assert "/" not in title or name == "received.warp"


@given(st.from_regex(r"[a-zA-Z0-9_ äß][a-zA-Z0-9_. äß-]{0,40}", fullmatch=True))
def test_a_sound_name_is_kept(stem: str) -> None:
    assert archive_name(stem + SUFFIX) == stem + SUFFIX


def test_an_archive_is_a_file_in_the_directory_or_staged_there(tmp_path: Path) -> None:
    kept = IntoDirectory(tmp_path / "out")
    assert kept.make(ARCHIVE, tmp_path) == tmp_path / "out" / "home.warp" == kept.noted(ARCHIVE)
    assert kept.make(TREE, tmp_path) == tmp_path / "out" == kept.noted(TREE)
    restored = list[tuple[Path, Path]]()
    restoring = IntoDirectory(tmp_path / "out", lambda *paths: restored.append(paths))
    place = restoring.make(ARCHIVE, tmp_path)
    assert place == staging(tmp_path / "out", tmp_path, is_tree=False)
    place.touch()
    restoring.finish(ARCHIVE, place)
    assert restored == [(place, tmp_path / "out")]
    assert not place.exists()


@pytest.mark.parametrize("restores", [False, True])
def test_a_link_at_the_name_of_an_archive_leads_nowhere(tmp_path: Path, restores: bool) -> None:
    destination = IntoDirectory(tmp_path / "out", (lambda *_: None) if restores else None)
    destination.check()
    destination.place(ARCHIVE, tmp_path).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ExistsError, match="is a link"):
        destination.make(ARCHIVE, tmp_path)


def test_a_link_at_the_name_of_a_staged_tree_leads_nowhere(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    destination = IntoFile(tmp_path / "file", None, overwrite=False)
    destination.place(TREE, tmp_path).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ExistsError, match="is a link"):
        destination.make(TREE, tmp_path)


def test_one_file_takes_its_new_name(tmp_path: Path) -> None:
    destination = IntoFile(tmp_path / "file", None, overwrite=False)
    place = destination.make(TREE, tmp_path)
    (place / "original").write_bytes(b"content")
    destination.finish(TREE, place)
    assert (tmp_path / "file").read_bytes() == b"content"
    assert sorted(os.listdir(tmp_path)) == ["file", "staged"]
    for left in (True, False):  # a kill came behind the rename, before or after what was staged went
        if left:
            place.mkdir()
        destination.finish(TREE, place)
        assert (tmp_path / "file").read_bytes() == b"content"
        assert not place.exists()
    with pytest.raises(ExistsError, match="exists already"):
        destination.make(TREE, tmp_path)


@pytest.mark.parametrize("found", [(), ("one", "two"), ("link",)])
def test_what_is_not_one_file_is_kept(tmp_path: Path, found: tuple[str, ...]) -> None:
    destination = IntoFile(tmp_path / "file", None, overwrite=False)
    place = destination.make(TREE, tmp_path)
    for name in found:
        (place / name).symlink_to("/etc/passwd") if name == "link" else (place / name).touch()
    with pytest.raises(UsageError, match="not one file"):
        destination.finish(TREE, place)
    assert sorted(os.listdir(place)) == sorted(found)
    assert not (tmp_path / "file").exists()


@pytest.mark.parametrize("target", ["file", "-"])
def test_more_entries_than_one_are_refused(tmp_path: Path, target: str) -> None:
    many = TREE._replace(entries=2)
    destination = IntoStdout(lambda _: None) if target == "-" else IntoFile(tmp_path / target, None, overwrite=True)
    with pytest.raises(UsageError, match="more than one file"):
        destination.make(many, tmp_path)
    assert os.listdir(tmp_path) == []


def test_what_is_packed_takes_its_name_when_it_is_whole(tmp_path: Path) -> None:
    target, made = tmp_path / "home.warp", list[Path]()

    def fails(_: Path, archive: Path) -> None:
        made.append(archive)
        raise UsageError("no more")

    failing = IntoFile(target, fails, overwrite=False)
    place = failing.make(TREE, tmp_path)
    with pytest.raises(UsageError, match="no more"):
        failing.finish(TREE, place)
    assert made == [packed(place)]
    assert place.is_dir()

    def packs(_: Path, archive: Path) -> None:
        archive.write_bytes(b"whole")

    packing = IntoFile(target, packs, overwrite=False)
    packing.finish(TREE, place)
    assert target.read_bytes() == b"whole"
    assert sorted(os.listdir(tmp_path)) == ["home.warp", "staged"]
    # Killed just before the session was forgotten.
    packing.finish(TREE, place)
    assert target.read_bytes() == b"whole"


def test_standard_output_gets_what_lies_in_the_session(tmp_path: Path) -> None:
    written = list[bytes]()
    destination = IntoStdout(written.append)
    for what in (TREE, ARCHIVE):
        written.clear()
        place = destination.make(what, tmp_path)
        assert place.parent == tmp_path
        (place / "file" if what.is_tree else place).write_bytes(b"content")
        destination.finish(what, place)
        assert written == [b"content"]
    assert destination.noted(TREE) == STDOUT


def test_what_is_staged_has_a_name_that_no_sender_chose(tmp_path: Path) -> None:
    names = set[Path]()
    for session in ("one", "two"):
        records = tmp_path / session
        records.mkdir()
        assert staged(tmp_path / "file", records, is_tree=True) is None
        place = staging(tmp_path / "file", records, is_tree=True)
        assert (
            staging(tmp_path / "file", records, is_tree=True)
            == place
            == staged(tmp_path / "file", records, is_tree=True)
        )
        names.add(place)
    assert len(names) == 2
    (records / STAGED).write_text("../../../home")
    with pytest.raises(RecordsError, match="damaged"):
        staging(tmp_path / "file", records, is_tree=True)


def test_what_was_offered_before_is_known_from_the_record() -> None:
    assert Arriving.noted(RECORD) == Arriving(SESSION, RECORD.title, is_tree=True)
