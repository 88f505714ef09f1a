"""Archives of many chunks, with offsets beyond 2^40: opened, listed, read at their far end, appended to and verified."""

import errno
import hashlib
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.scale.commands import SCALE_DIR
from tests.scale.synthetic import KEY, PASSPHRASE, Shape, build, content
from warp_portal.archive import ArchiveReader, Level, PackOptions, Source, Unlock, append, open_archive, verify
from warp_portal.archive.limits import KIND_CHUNK
from warp_portal.errors import FormatError

UNLOCK = Unlock(archive_key=KEY)
# 12,288 chunks, 256 MiB apart: the last one lies beyond 2^41.
FAR = Shape(12_288, "bulk", gap=256 << 20)
MEMORY = 16 << 20


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("scale")
    (home / "small").write_bytes(b"a file of the first snapshot")
    build(home / "a.warp", FAR, home / "small")
    return home / "a.warp"


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def test_chunks_beyond_a_tebibyte_are_read_back(archive: Path) -> None:
    with open_archive(archive, UNLOCK) as reader:
        assert reader.commit.offset > 1 << 41
        read_real_files(reader)


def test_files_are_read_by_the_parts_of_the_index_that_they_need(
    archive: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As of an archive so large that its whole index is never read."""
    monkeypatch.setattr("warp_portal.archive.reader.WHOLE_PAGES", 0)
    monkeypatch.setattr(ArchiveReader, "chunk_index", None)
    with open_archive(archive, UNLOCK) as reader:
        read_real_files(reader)


def test_the_parts_of_an_index_locate_as_the_whole_does(archive: Path) -> None:
    with open_archive(archive, UNLOCK) as reader:
        parts, fragments = reader.index_parts(), reader.index.fragments
        at_seams = [(4096 * FAR.fragments - 3, 9), (2 * 4096 * FAR.fragments, 1), (0, fragments), (fragments - 1, 1)]
        for first, count in [*at_seams, (5, 0), (4095, 3), (4097 * FAR.fragments, 4096 * FAR.fragments)]:
            assert parts.locate(first, count) == reader.index.locate(first, count)
        with pytest.raises(FormatError):
            parts.locate(fragments, 1)


def test_parts_that_belong_to_other_chunks_are_found(archive: Path) -> None:
    """Two chunk pages exchanged: each is whole, but lies where the other should."""
    with open_archive(archive, UNLOCK) as reader:
        listed = reader.content.pages[KIND_CHUNK]
        listed[0], listed[1] = listed[1], listed[0]
        with pytest.raises(FormatError):
            reader.index_parts().check()


def read_real_files(reader: ArchiveReader) -> None:
    """Each must have the content that the builder gave it."""
    for number, chunk in enumerate(FAR.real()):
        with reader.open_file(f"real/{number}") as file:
            assert digest(file.read()) == digest(content(FAR, chunk))


def test_a_far_archive_takes_a_file_and_knows_its_fragments(archive: Path, tmp_path: Path) -> None:
    """What lies beyond 2^41 already is not stored again, however little memory the index has."""
    (tmp_path / "known").write_bytes(content(FAR, FAR.chunks - 1)[: FAR.raw // FAR.fragments])
    (tmp_path / "new").write_bytes(b"new")
    source = Source.of([tmp_path / "known", tmp_path / "new"])
    report = append(archive, source, PackOptions(memory=MEMORY), unlock=UNLOCK)
    assert report.progress.bytes_raw == len(b"new")
    with open_archive(archive, UNLOCK) as reader, reader.open_file(f"{str(tmp_path).strip('/')}/new") as file:
        assert file.read() == b"new"


def test_the_index_of_a_far_archive_is_verified(archive: Path) -> None:
    report = verify(archive, Level.INDEX, unlock=UNLOCK)
    assert report.ok
    assert report.sequence >= 2


@pytest.mark.soak
@pytest.mark.parametrize("shape", [Shape(10_000_000), Shape(25_000_000, "bulk")], ids=["10M-chunks", "100TB"])
def test_a_huge_archive_is_used_within_its_memory(tmp_path: Path, shape: Shape) -> None:
    """Needs about 6 GB of disk, for 100 TB on a file system with files so large (XFS: `WARP_SCALE_DIR`)."""
    home = Path(SCALE_DIR or tmp_path)
    archive, small = home / f"{shape.profile}.warp", tmp_path / "small"
    small.write_bytes(b"one more file")
    needs_files_of(home / "hole", 2 * shape.chunks * shape.raw)
    try:
        build(archive, shape, small)
        assert peak_bytes("info", archive) < 300 << 20
        assert peak_bytes("list", archive, "real") < 300 << 20
        assert peak_bytes("cat", archive, "real/3") < 300 << 20
        assert peak_bytes("append", archive, "--memory", "1G", small) < 1 << 30
        assert peak_bytes("append", archive, "--memory", "256M", small) < 300 << 20
        assert peak_bytes("verify", archive, "--level", "index") < 300 << 20
        with open_archive(archive, UNLOCK, snapshot=2) as reader, reader.open_file("real/3") as file:
            assert digest(file.read()) == digest(content(shape, shape.chunks - 1))
    finally:
        archive.unlink(missing_ok=True)


def needs_files_of(path: Path, size: int) -> None:
    """Skip the test where files cannot be so large."""
    try:
        with open(path, "wb") as file:
            file.truncate(size)
    except OSError as error:
        if error.errno != errno.EFBIG:
            raise
        pytest.skip(f"{path.parent} has no files of {size} bytes: name a directory on XFS as WARP_SCALE_DIR")
    finally:
        path.unlink(missing_ok=True)


def peak_bytes(command: str, *arguments: str | Path) -> int:
    """Peak resident size of `warp`, which is printed with its time (`-s` shows it)."""
    line = [sys.executable, "-m", "warp_portal", command, *map(str, arguments)]
    environment = os.environ | {"WARP_PASSPHRASE": PASSPHRASE}
    start_s = time.monotonic()
    with subprocess.Popen(line, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    wall_s, cpu_s = time.monotonic() - start_s, usage.ru_utime + usage.ru_stime
    print(f"{command:8}{wall_s:8.1f} s{cpu_s:8.1f} CPU s{usage.ru_maxrss / 1024:8.0f} MiB")
    assert process.returncode == 0
    return usage.ru_maxrss * 1024
