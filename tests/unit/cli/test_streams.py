"""Standard streams that are closed or take nothing: one line and a code, never a traceback."""

import contextlib
import io
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.unit.cli.runs import PASSPHRASE, Captured

from warp_portal.cli.main import main
from warp_portal.cli.output import Output


def shell(line: str, *words: str) -> subprocess.CompletedProcess[str]:
    """Run a line of sh; `"$@"` in it is the command, whose streams are buffered, as they are for most."""
    command = [sys.executable, "-m", "warp_portal", *words]
    environment = {**os.environ, "PYTHONUNBUFFERED": ""}
    return subprocess.run(
        ["sh", "-c", line, "sh", *command], capture_output=True, text=True, check=False, env=environment
    )


@pytest.mark.parametrize("words", [["list", "{}"], ["info", "{}", "--json"], ["cat", "{}", "tree/a.txt"]])
def test_a_closed_stdout_is_said(words: list[str], plain: str) -> None:
    ran = shell('"$@" >&-', *(word.format(plain) for word in words))
    assert ran.returncode == 2, ran.stderr
    assert "standard output is closed" in ran.stderr
    assert "Traceback" not in ran.stderr


def test_nothing_is_packed_where_the_result_has_no_place(tree: Path, tmp_path: Path) -> None:
    assert shell('"$@" >&-', "create", "-", str(tree)).returncode == 2
    assert shell('"$@" >&-', "create", str(tmp_path / "x.warp"), str(tree), "--json").returncode == 2
    assert not (tmp_path / "x.warp").exists()


def test_closed_streams_do_not_get_into_the_archive(tree: Path, tmp_path: Path) -> None:
    archive = str(tmp_path / "x.warp")
    assert shell('"$@" <&- >&- 2>&-', "create", archive, str(tree)).returncode == 0
    assert shell('"$@"', "verify", archive, "--level", "deep").returncode == 0


@pytest.mark.parametrize(
    "words",
    [
        ["list", "{}"],
        ["list", "{}", "--json"],
        ["cat", "{}", "tree/sub/b.bin"],
        ["cat", "{}", "tree/sub/b.bin", "--json"],
        ["create", "-", "{}", "-q", "--plain"],
        ["--help"],
        ["list", "--help"],
    ],
)
def test_a_full_stdout_is_no_room_left(words: list[str], plain: str) -> None:
    ran = shell('"$@" >/dev/full', *(word.format(plain) for word in words))
    assert ran.returncode == 17, ran.stderr
    (line,) = ran.stderr.splitlines()
    assert line == "warp: standard output: No space left on device: make room, then run the same command again"
    assert shell('"$@" >/dev/full 2>/dev/full', *(word.format(plain) for word in words)).returncode == 17


@pytest.mark.timeout(60)
@pytest.mark.parametrize("buffered", [True, False])
def test_a_full_stderr_that_does_not_wait_is_waited_for(buffered: bool) -> None:
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    filled, long = fill(writing), "x" * 100_000
    raw = io.FileIO(writing, "wb")
    stderr = io.TextIOWrapper(io.BufferedWriter(raw) if buffered else raw, write_through=not buffered)

    def fail() -> None:
        output = Output(json_lines=False, stdout=io.StringIO(), stderr=stderr)
        output.warning(long)
        output.failure("the end", "UsageError", 2)
        stderr.close()

    failing = threading.Thread(target=fail)
    failing.start()
    failing.join(0.2)
    assert failing.is_alive()  # for nobody has read
    with open(reading, "rb") as reader:
        assert reader.read()[filled:].decode() == f"warning: {long}\nwarp: the end\n"
    failing.join()


@pytest.mark.timeout(60)
def test_a_full_stdout_that_does_not_wait_is_waited_for() -> None:
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    filled, lines, file = fill(writing), ["é" * 50_000] * 3, os.urandom(300_000)

    def write() -> None:
        with open(writing, "w", encoding="utf-8") as stdout:
            output = Output(json_lines=False, stdout=stdout)
            output.results(lines)
            output.write_bytes(file)
            output.result("the end")
            output.exit(0)

    at_work = threading.Thread(target=write)
    at_work.start()
    at_work.join(0.2)
    assert at_work.is_alive()  # for nobody has read
    with open(reading, "rb") as reader:
        assert reader.read()[filled:] == "\n".join(lines).encode() + b"\n" + file + b"the end\n"
    at_work.join()


@pytest.mark.timeout(60)
def test_an_archive_goes_through_pipes_that_do_not_wait(tmp_path: Path) -> None:
    content = os.urandom(3_000_000)
    (tmp_path / "file").write_bytes(content)
    into, out = os.pipe(), os.pipe()
    for fd in (into[0], out[1]):
        os.set_blocking(fd, False)
    words = [sys.executable, "-m", "warp_portal", "create", "-", "--plain", "--stdin-name", "file"]
    feeding = threading.Thread(target=lambda: write_all(into[1], content))
    with subprocess.Popen(words, stdin=into[0], stdout=out[1], stderr=subprocess.PIPE) as process:
        os.close(into[0])
        os.close(out[1])
        feeding.start()
        with open(out[0], "rb") as reader:
            (tmp_path / "x.warp").write_bytes(reader.read())
        assert process.wait() == 0, process.stderr and process.stderr.read()
    feeding.join()
    ran = subprocess.run(
        [sys.executable, "-m", "warp_portal", "cat", str(tmp_path / "x.warp"), "file"], capture_output=True, check=True
    )
    assert ran.stdout == content


def write_all(pipe: int, content: bytes) -> None:
    with open(pipe, "wb") as writer:
        writer.write(content)


def test_a_second_interrupt_where_nobody_reads_ends_without_a_traceback(tmp_path: Path) -> None:
    for number in range(3000):
        (tmp_path / f"{'n' * 100}-{number}").touch()
    archive = str(tmp_path / "x.warp")
    assert main(["create", archive, "-C", str(tmp_path), ".", "-q", "--plain"]) == 0
    words = [sys.executable, "-m", "warp_portal", "list", archive, "--json"]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout
        assert process.stderr
        assert process.stdout.read(1) == b"{"  # it writes, and stops when the pipe is full
        while process.poll() is None:
            process.send_signal(signal.SIGINT)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(0.3)
        assert process.returncode == 130
        assert b"Traceback" not in process.stderr.read()


def fill(pipe: int) -> int:
    """Write until a pipe takes nothing more; how much it took."""
    filled = 0
    with contextlib.suppress(BlockingIOError):
        while True:
            filled += os.write(pipe, b"." * 65536)
    return filled


@pytest.mark.parametrize(
    "words",
    [
        ["verify", "-"], ["list", "-"], ["extract", "-"], ["cat", "-", "a"], ["info", "-"], ["diff", "-"], ["append", "-", "."],
        ["compact", "-"], ["forget", "-", "--keep-last", "1", "--dry-run"], ["key", "list", "-"], ["key", "add", "-"],
        ["key", "remove", "-", "1234"],
    ],
)  # fmt: skip
def test_an_archive_is_not_read_from_a_pipe(words: list[str], capsys: Captured) -> None:
    assert main(words) == 2
    assert "an archive can't be read from a pipe" in capsys.readouterr().err


def test_an_archive_that_is_called_dash_is_read(
    plain: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("-").write_bytes(Path(plain).read_bytes())
    assert main(["verify", "-"]) == 0


def test_what_reads_a_passphrase_from_standard_input_is_said(sealed: str) -> None:
    ran = shell(f'echo "{PASSPHRASE}" | "$@"', "list", sealed, "-p", "-")
    assert ran.returncode == 2
    assert "/dev/stdin reads standard input" in ran.stderr
    assert shell(f'echo "{PASSPHRASE}" | "$@"', "list", sealed, "-p", "/dev/stdin").returncode == 0


def test_no_private_key_goes_to_standard_output(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["key", "keygen", "-"]) == 2
    assert "name a file for it" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("where", "code", "words"),
    [(">/dev/full", 17, []), (">/dev/full", 17, ["--json"]), (">&-", 2, []), (">&-", 2, ["--kind", "signing"])],
)
def test_a_key_whose_public_half_has_no_place_is_said_to_be_made(
    where: str, code: int, words: list[str], tmp_path: Path
) -> None:
    key = tmp_path / "k.key"
    ran = shell(f'"$@" {where}', "key", "keygen", str(key), "-q", *words)
    assert ran.returncode == code
    (line,) = ran.stderr.splitlines()
    assert line.startswith("warp: standard output")
    assert f"{key} is made all the same" in line
    assert "again" not in line
    assert "\n# public key: warp-" in "\n" + key.read_text()


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Path]:
    """A file system of 64 KiB."""
    place = tmp_path / "small"
    place.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(place)], check=False)
    if mounted.returncode:
        pytest.skip("mounting a small file system needs root")
    yield place
    subprocess.run(["umount", str(place)], check=True)


@pytest.mark.parametrize("check", [[], ["--no-space-check"]])
def test_an_extraction_that_finds_no_room_names_the_directory(check: list[str], plain: str, small: Path) -> None:
    ran = shell('"$@"', "extract", plain, "-C", str(small / "back"), *check)
    assert ran.returncode == 17
    *found, last = ran.stderr.splitlines()
    assert last.startswith(f"warp: {small}/back: ")
    assert "make room" in last
    assert len(found) == len(check)  # the file that it stopped at
    assert all("write file: No space left on device" in line for line in found)


def test_a_key_and_settings_that_find_no_room_name_their_file_and_leave_none(small: Path) -> None:
    (small / "filler").write_bytes(bytes(64 * 1024))
    ran = shell('"$@"', "key", "keygen", str(small / "me.key"))
    assert ran.returncode == 17
    assert ran.stderr.startswith(f"warp: {small}/me.key: No space left on device: make room")
    ran = shell(f'WARP_CONFIG={small}/config.toml "$@"', "config", "set", "threads", "3")
    assert ran.returncode == 17
    assert ran.stderr.startswith(f"warp: {small}/config.toml: No space left on device: make room")
    assert [path.name for path in small.iterdir()] == ["filler"]
