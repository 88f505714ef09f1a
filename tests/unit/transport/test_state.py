"""Records of sessions: private, whole, one process at a time, and no stranger's bytes are believed."""

import dataclasses
import json
import os
import shutil
import stat
import subprocess
import sys
import threading
import traceback
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.transport.common import MACHINE, RECORD, SCOPE, SEND, SESSION

from warp_portal.clock import VirtualClock
from warp_portal.errors import (
    BusyError,
    ExistsError,
    FormatError,
    NotFoundError,
    RecordsError,
    UsageError,
    VersionError,
    WarpPortalError,
)
from warp_portal.protocol import cbor
from warp_portal.transport.files import open_private
from warp_portal.transport.record import Kind, SessionRecord
from warp_portal.transport.state import SessionStore

TIMES = st.integers(0, 253_402_300_799)
SIZES = st.integers(0, 2**63 - 1)
PATHS = st.binary(max_size=40).filter(lambda path: b"\0" not in path).map(lambda path: b"/" + path)
MINIMAL = SEND.serialize()
HOLD = """
import pathlib, sys
from warp_portal.transport.state import SessionStore
with SessionStore(pathlib.Path(sys.argv[1])).open(bytes.fromhex(sys.argv[2])):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock(1_900_000_000 * 10**9)


@pytest.fixture
def store(tmp_path: Path, clock: VirtualClock) -> SessionStore:
    return SessionStore(tmp_path / "state", clock)


def place(tmp_path: Path, session: bytes = SESSION) -> Path:
    return tmp_path / "state" / "sessions" / session.hex()


@st.composite
def records(draw: st.DrawFn) -> SessionRecord:
    kind = draw(st.sampled_from(Kind))
    paths = draw(st.lists(PATHS, min_size=1, max_size=1 if kind is Kind.RECEIVE else 5))
    maybe = st.none() | st.binary(min_size=32, max_size=32)
    return SessionRecord(
        kind,
        draw(st.binary(min_size=16, max_size=16)),
        draw(st.text(max_size=60, alphabet=st.characters(exclude_categories=["Cs"]))),
        tuple(paths),
        draw(TIMES),
        draw(TIMES),
        draw(maybe),
        draw(maybe),
        draw(SIZES),
        draw(st.none() | SIZES),
        draw(SIZES),
    )


@given(records())
def test_a_record_survives_its_bytes(record: SessionRecord) -> None:
    assert SessionRecord.parse(record.serialize()) == record


@given(st.binary(max_size=200))
def test_any_bytes_are_a_record_or_a_typed_error(raw: bytes) -> None:
    with pytest.raises((FormatError, VersionError)):
        SessionRecord.parse(raw)


@given(st.data())
def test_any_changed_record_is_one_or_a_typed_error(data: st.DataObject) -> None:
    raw = bytearray(RECORD.serialize())
    raw[data.draw(st.integers(0, len(raw) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    try:
        found = SessionRecord.parse(bytes(raw))
    except (FormatError, VersionError):
        return
    assert found.serialize() == raw


@pytest.mark.parametrize(
    "change",
    [
        {1: 0}, {1: 4}, {2: bytes(15)}, {3: bytes(31)}, {4: "x" * 256}, {5: []}, {5: [b"a"]}, {5: [b"/a\0"]}, {5: ["/a"]},
        {5: [b"/" + b"a" * 4095]}, {5: [b"/a", 1]}, {6: b""}, {7: -1}, {8: 253_402_300_800}, {9: 2**63}, {10: "all"}, {12: 1},
    ],
)  # fmt: skip
def test_a_hostile_field_is_refused(change: dict[int, object]) -> None:
    values = cbor.decode_map(MINIMAL) | change
    with pytest.raises(FormatError, match="the record of a session: "):
        SessionRecord.parse(cbor.encode(values))


@pytest.mark.parametrize("missing", [0, 1, 2, 4, 5, 7, 8, 9, 11])
def test_a_record_without_a_field_is_refused(missing: int) -> None:
    values = cbor.decode_map(MINIMAL)
    del values[missing]
    with pytest.raises(FormatError):
        SessionRecord.parse(cbor.encode(values))


def test_a_later_version_is_told_from_damage() -> None:
    with pytest.raises(VersionError, match="version 2; this program reads 1"):
        SessionRecord.parse(cbor.encode({0: 2, 99: None}))
    with pytest.raises(FormatError):
        SessionRecord.parse(cbor.encode(cbor.decode_map(MINIMAL) | {0: 0}))


def test_a_receive_has_one_target() -> None:
    with pytest.raises(UsageError):
        replace(RECORD, paths=(b"/a", b"/b")).serialize()


def test_what_could_not_be_read_again_is_not_written(store: SessionStore, tmp_path: Path) -> None:
    for record in (
        replace(SEND, title="\udcff"),
        replace(SEND, paths=(b"relative",)),
        replace(SEND, paths=(b"/a" * 100,) * 65_535),
    ):
        with pytest.raises(UsageError):
            store.begin(record)
    assert not (tmp_path / "state").exists()


def test_the_secret_is_shown_nowhere(store: SessionStore) -> None:
    with store.begin(RECORD) as session:
        (listed,) = store.list()
        values = (repr(RECORD), str(session), repr(listed), repr(store.list()), str(RECORD.shown()))
    hidden = (SCOPE.hex(), repr(SCOPE)[2:-1], str(list(SCOPE)))
    assert all(secret not in value for value in values for secret in hidden)
    told = {item.name for item in dataclasses.fields(SessionRecord)} - set(RECORD.shown())
    assert told == {"scope_secret"}
    shown = RECORD.shown() | {"paths": [path.decode("latin-1") for path in RECORD.paths]}
    assert json.loads(json.dumps(shown))["peer"] == str(MACHINE)
    with pytest.raises(FormatError) as refused:
        SessionRecord.parse(RECORD.serialize() + b"\0")
    assert SCOPE.hex() not in "".join(traceback.format_exception(refused.value))


def test_a_session_is_kept_privately_and_found_again(store: SessionStore, tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        store.begin(RECORD).close()
    finally:
        os.umask(before)
    for directory in (tmp_path / "state", tmp_path / "state" / "sessions", place(tmp_path)):
        assert stat.S_IMODE(directory.stat().st_mode) == 0o700
    assert stat.S_IMODE((place(tmp_path) / "record").stat().st_mode) == 0o600
    with store.open(SESSION) as session:
        assert session.record == RECORD
        assert session.directory == place(tmp_path)


def test_a_saved_record_is_active_now_and_no_draft_stays(
    store: SessionStore, clock: VirtualClock, tmp_path: Path
) -> None:
    with store.begin(RECORD) as session:
        clock.advance(60)
        session.save(replace(RECORD, bytes_done=6))
        expected = replace(RECORD, bytes_done=6, active_s=1_900_000_060)
        assert session.record == expected
    assert os.listdir(place(tmp_path)) == ["record"]
    with store.open(SESSION) as session:
        assert session.record == expected


def test_a_record_that_cannot_be_kept_leaves_the_former(store: SessionStore, tmp_path: Path) -> None:
    with store.begin(RECORD) as session:
        before = (place(tmp_path) / "record").read_bytes()
        with pytest.raises(UsageError):
            session.save(replace(RECORD, title="x" * 300))
        assert session.record == RECORD
    assert (place(tmp_path) / "record").read_bytes() == before


def test_a_session_is_begun_once(store: SessionStore) -> None:
    store.begin(RECORD).close()
    with pytest.raises(ExistsError, match=SESSION.hex()):
        store.begin(RECORD)


def test_one_process_works_on_a_session(store: SessionStore, tmp_path: Path) -> None:
    store.begin(RECORD).close()
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path / "state"), SESSION.hex()],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert holder.stdout
    assert holder.stdout.readline() == "held\n"
    with pytest.raises(BusyError, match="in use by another process"):
        store.open(SESSION)
    with pytest.raises(BusyError):
        store.discard(SESSION)
    assert [each.busy for each in store.list()] == [True]
    holder.kill()  # as a power cut would end it
    holder.communicate()
    assert [each.busy for each in store.list()] == [False]
    store.open(SESSION).close()


def test_a_session_that_is_discarded_while_one_waits_for_it_is_not_found(store: SessionStore) -> None:
    session, errors, tries = store.begin(RECORD), list[BaseException](), threading.Barrier(2)

    def wait() -> None:
        tries.wait()
        try:
            store.open(SESSION).close()
        except WarpPortalError as error:
            errors.append(error)

    waiter = threading.Thread(target=wait)
    waiter.start()
    tries.wait()
    session.discard()
    waiter.join()
    assert [type(error) for error in errors] == [NotFoundError]


def test_a_discarded_session_leaves_nothing(store: SessionStore, tmp_path: Path) -> None:
    with store.begin(RECORD) as session:
        (session.directory / "journal").write_bytes(b"x" * 100)
        session.discard()
    assert not place(tmp_path).exists()
    store.begin(RECORD).close()
    store.discard(SESSION)
    assert store.list() == ()
    for use in (store.open, store.discard):
        with pytest.raises(NotFoundError, match=SESSION.hex()):
            use(SESSION)


def test_sessions_are_listed_the_last_active_first(store: SessionStore, clock: VirtualClock, tmp_path: Path) -> None:
    assert store.list() == ()
    store.begin(SEND).close()
    store.begin(RECORD).close()
    with store.open(SEND.session) as session:
        session.save(SEND)
    (place(tmp_path).parent / "notes").mkdir()
    assert [each.session for each in store.list()] == [SEND.session, SESSION]
    assert [each.record for each in store.list()] == [replace(SEND, active_s=1_900_000_000), RECORD]


@pytest.mark.timeout(60)
@pytest.mark.parametrize("kind", ["damaged", "empty", "fifo", "open", "large", "of another", "later"])
def test_a_bad_record_is_told_in_the_list_and_can_be_discarded(store: SessionStore, tmp_path: Path, kind: str) -> None:
    store.begin(SEND).close()
    store.begin(RECORD).close()
    path = place(tmp_path) / "record"
    path.unlink()
    contents = {
        "of another": MINIMAL,
        "large": bytes(cbor.MAX_BYTES + 1),
        "later": cbor.encode({0: 9}),
        "damaged": b"\xff" * 9,
    }
    if kind == "fifo":
        os.mkfifo(path, 0o600)
    else:
        path.write_bytes(contents.get(kind, b""))
        path.chmod(0o644 if kind == "open" else 0o600)
    good, bad = store.list()
    assert (good.record, good.problem) == (SEND, "")
    assert (bad.session, bad.record) == (SESSION, None)
    assert bad.problem
    with pytest.raises(WarpPortalError):
        store.open(SESSION)
    store.discard(SESSION)
    assert [each.session for each in store.list()] == [SEND.session]


def test_a_session_that_never_got_its_record_is_listed_as_damaged_and_can_be_discarded(
    store: SessionStore, tmp_path: Path
) -> None:
    place(tmp_path).mkdir(mode=0o700, parents=True)
    (listed,) = store.list()
    assert (listed.session, listed.record, listed.busy) == (SESSION, None, False)
    assert "warp sessions discard" in listed.problem
    with pytest.raises(RecordsError, match="has no record"):
        store.open(SESSION)
    store.discard(SESSION)
    assert not place(tmp_path).exists()
    assert store.list() == ()


def test_a_kill_while_a_session_is_removed_leaves_nothing_at_its_name(
    store: SessionStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = store.begin(RECORD)
    with monkeypatch.context() as patched:
        patched.setattr(shutil, "rmtree", dies)
        with pytest.raises(KeyboardInterrupt):
            session.discard()
    session.close()
    assert store.list() == ()
    with pytest.raises(NotFoundError):
        store.open(SESSION)
    store.begin(RECORD).close()
    assert os.listdir(tmp_path / "state" / "sessions") == [SESSION.hex()]


def dies(*_: object, **__: object) -> None:
    raise KeyboardInterrupt


@pytest.mark.parametrize("which", [".", "sessions", f"sessions/{SESSION.hex()}"])
def test_what_others_can_write_to_is_not_gone_on_with(store: SessionStore, tmp_path: Path, which: str) -> None:
    store.begin(RECORD).close()
    (tmp_path / "state" / which).chmod(0o770)
    with pytest.raises(UsageError, match="written by others"):
        store.open(SESSION)
    (tmp_path / "state" / which).chmod(0o700)
    store.open(SESSION).close()


@pytest.mark.parametrize("kind", ["fifo", "directory", "link", "open"])
def test_a_file_of_a_session_is_its_own(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "pages"
    match kind:
        case "fifo":
            os.mkfifo(path, 0o600)
        case "directory":
            path.mkdir(mode=0o700)
        case "link":
            path.symlink_to(tmp_path / "elsewhere")
        case _:
            path.touch(0o666)
            path.chmod(0o666)
    with pytest.raises(UsageError if kind == "open" else RecordsError, match="session"):
        open_private(path)
    assert not (tmp_path / "elsewhere").exists()
