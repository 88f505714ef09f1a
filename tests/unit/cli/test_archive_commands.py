"""The commands against real archives, in process: what they print, in both forms, and how they end."""

import base64
import json
import os
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from tests.unit.cli.runs import PASSPHRASE, Captured, only, records

from warp_portal.archive import Source
from warp_portal.cli.main import main
from warp_portal.cli.packing import no_longer_excluded


def test_create_says_what_it_made_and_that_it_is_plain(tree: Path, tmp_path: Path, capsys: Captured) -> None:
    assert main(["create", str(tmp_path / "x.warp"), str(tree)]) == 0
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "not encrypted" in captured.err
    assert "snapshot 1: 5 files" in captured.err
    assert "dedup" in captured.err


def test_create_gives_programs_the_numbers(tree: Path, tmp_path: Path, passphrase_file: str, capsys: Captured) -> None:
    found = records(capsys, "create", str(tmp_path / "x.warp"), str(tree), "--passphrase-file", passphrase_file)
    summary = only(found, "summary")
    assert (summary["snapshot"], summary["files"], summary["problems"], summary["resumed"]) == (1, 5, 0, False)
    assert len(bytes.fromhex(summary["commit"])) == 32
    assert summary["totals"]["bytes_duplicate"] >= 250_000
    assert not any("not encrypted" in record.get("message", "") for record in found)


def test_a_finished_archive_is_not_overwritten(plain: str, tree: Path, capsys: Captured) -> None:
    before = Path(plain).read_bytes()
    assert main(["create", plain, str(tree)]) == 2
    assert Path(plain).read_bytes() == before


def test_what_is_restored_is_what_was_packed(
    sealed: str, tree: Path, tmp_path: Path, passphrase_file: str, capsys: Captured
) -> None:
    back = tmp_path / "back"
    back.mkdir()
    assert main(["extract", sealed, "-C", str(back), "-p", passphrase_file]) == 0
    assert "5 files" in capsys.readouterr().err
    listed = subprocess.run(
        ["rsync", "-aHn", "--checksum", "--itemize-changes", "--delete", f"{tree}/", f"{back}/tree/"],
        capture_output=True, check=True,
    )  # fmt: skip
    assert listed.stdout == b""


def test_existing_files_are_kept_unless_told(plain: str, tree: Path, tmp_path: Path, capsys: Captured) -> None:
    back = tmp_path / "back"
    back.mkdir()
    assert main(["extract", plain, "-C", str(back), "-q"]) == 0
    (back / "tree" / "a.txt").write_text("mine")
    assert main(["extract", plain, "-C", str(back)]) == 0
    assert (back / "tree" / "a.txt").read_text() == "mine"
    assert "--overwrite" in capsys.readouterr().err
    assert main(["extract", plain, "-C", str(back), "--overwrite", "changed"]) == 0
    assert (back / "tree" / "a.txt").read_text() == "hello " * 1000


def test_a_passphrase_that_is_not_utf_8_neither_makes_nor_opens_an_archive(
    sealed: str, tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    monkeypatch.setenv("WARP_PASSPHRASE", "caf\udce9")
    for words in (["create", str(tmp_path / "new.warp"), str(tree)], ["list", sealed]):
        assert main(words) == 2
        assert "the passphrase is not UTF-8" in capsys.readouterr().err
    assert not (tmp_path / "new.warp").exists()


def test_an_empty_secret_in_the_environment_makes_no_plain_archive(
    tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    for variable in ("WARP_PASSPHRASE", "WARP_PASSPHRASE_FILE", "WARP_RECIPIENT"):
        with monkeypatch.context() as patched:
            patched.setenv(variable, "")
            assert main(["create", str(tmp_path / "new.warp"), str(tree)]) == 2
        assert f"warp: {variable} is empty" in capsys.readouterr().err
    assert not (tmp_path / "new.warp").exists()


def test_a_mistyped_variable_is_noted(plain: str, monkeypatch: pytest.MonkeyPatch, capsys: Captured) -> None:
    monkeypatch.setenv("WARP_RECIPIENTS", "x")
    assert main(["list", plain]) == 0
    assert capsys.readouterr().err == "note: WARP_RECIPIENTS is not read: did you mean WARP_RECIPIENT?\n"


def test_a_code_in_the_environment_is_no_mistyped_variable(
    plain: str, monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    monkeypatch.setenv("WARP_CODE", "7-apple-river-stone")
    assert main(["list", plain]) == 0
    assert capsys.readouterr().err == ""


def test_what_was_restored_before_is_matched_still(plain: str, tmp_path: Path) -> None:
    for _ in range(2):
        assert main(["extract", plain, "a.txt", "-C", str(tmp_path)]) == 0


@pytest.mark.parametrize("words", [["list"], ["info"], ["cat", "tree/a.txt"], ["extract", "--dry-run"]])
def test_what_a_damaged_end_asks_for_is_an_option(words: list[str], plain: str, capsys: Captured) -> None:
    with open(plain, "ab") as file:
        file.write(b"x" * 5000)
    command, *rest = words
    assert main([command, plain, *rest]) == 13
    assert "--recover (cat, extract, info, list)" in capsys.readouterr().err
    assert main([command, plain, *rest, "--recover"]) == 0
    assert "may be older" in capsys.readouterr().err


def test_a_dry_run_restores_nothing(plain: str, tmp_path: Path, capsys: Captured) -> None:
    back = tmp_path / "back"
    back.mkdir()
    assert main(["extract", plain, "*.txt", "-C", str(back), "--dry-run"]) == 0
    captured = capsys.readouterr()
    assert "tree/a.txt" in captured.out
    assert "1 file, 6.00 kB" in captured.err
    assert list(back.iterdir()) == []


def test_cat_writes_the_bytes(plain: str, tree: Path) -> None:
    ran = subprocess.run(
        [sys.executable, "-m", "warp_portal", "cat", plain, "tree/sub/b.bin"], capture_output=True, check=True
    )
    assert ran.stdout == (tree / "sub" / "b.bin").read_bytes()


def test_cat_as_json_is_base64(plain: str, tree: Path, capsys: Captured) -> None:
    found = records(capsys, "cat", plain, "tree/sub/b.bin")
    content = b"".join(base64.b64decode(record["data_b64"]) for record in found if record["type"] == "data")
    assert content == (tree / "sub" / "b.bin").read_bytes()


def test_cat_of_what_is_not_there_is_not_found(plain: str, capsys: Captured) -> None:
    assert main(["cat", plain, "tree/none"]) == 10
    assert "tree/none" in capsys.readouterr().err


def test_a_list_looks_like_ls_and_is_safe_to_print(plain: str, capsys: Captured) -> None:
    assert main(["list", plain]) == 0
    out = capsys.readouterr().out
    lines = {line.split(" ", 1)[0]: line for line in out.splitlines()}
    assert "\x1b" not in out
    assert "\u202e" not in out
    assert "tree/escape\\x1b[2J\\u202e" in out
    assert "tree/raw\\xff" in out
    assert lines["lrwxrwxrwx"].endswith("tree/link -> a.txt")
    assert any(line.endswith("tree/a.txt") and " 6000 " in line for line in out.splitlines())


def test_a_list_for_programs_is_exact(plain: str, tree: Path, capsys: Captured) -> None:
    found = records(capsys, "list", plain)
    entries = [record for record in found if record["type"] == "entry"]
    paths = {base64.b64decode(e["path_b64"]) if "path_b64" in e else e["path"].encode() for e in entries}
    assert {b"tree/raw\xff", "tree/escape\x1b[2J\u202e".encode(), b"tree/sub/b.bin", b"tree/link"} <= paths
    (text,) = [entry for entry in entries if entry["path"] == "tree/a.txt"]
    status = (tree / "a.txt").stat()
    assert (text["size"], text["mtime_ns"], text["mode"]) == (6000, status.st_mtime_ns, stat.S_IMODE(status.st_mode))
    assert only(found, "summary")["entries"] == len(entries) == 8


def test_paths_alone_are_for_pipes(plain: str, capsys: Captured) -> None:
    assert main(["list", plain, "--paths", "*.txt"]) == 0
    assert capsys.readouterr().out == "tree/a.txt\n"


def test_append_adds_a_snapshot_and_earlier_ones_stay(plain: str, tree: Path, capsys: Captured) -> None:
    (tree / "a.txt").write_text("second")
    found = records(capsys, "append", plain, "-C", str(tree.parent), "tree")
    assert only(found, "summary")["snapshot"] == 2
    assert only(found, "summary")["totals"]["bytes_raw"] <= 10
    texts = [only(records(capsys, "cat", plain, "tree/a.txt", *words), "data") for words in ((), ("--snapshot", "1"))]
    assert [base64.b64decode(text["data_b64"]) for text in texts] == [b"second", b"hello " * 1000]
    assert main(["cat", plain, "tree/a.txt", "--snapshot", "9"]) == 10


def test_an_append_says_what_was_excluded_before_and_is_not_now(tree: Path, tmp_path: Path, capsys: Captured) -> None:
    archive, where = str(tmp_path / "x.warp"), ["-C", str(tree.parent)]
    words = [f"-xpattern{number}\x1b" for number in range(6)]
    assert main(["create", archive, *where, "tree", "-x", "copy.bin", *words, "--exclude-caches"]) == 0
    assert main(["append", archive, *where, "tree", "-x", "copy.bin", *words, "--exclude-caches", "-x", "*.o"]) == 0
    assert main(["append", archive, *where, "tree/sub", "-x", "*.o"]) == 0
    assert main(["append", archive, *where, "tree"]) == 0
    assert "last snapshot excluded" not in capsys.readouterr().err
    assert main(["append", archive, *where, "tree", "-x", "copy.bin", "-x", "*.o"]) == 0
    assert main(["append", archive, *where, "tree", "-x", "*.o"]) == 0
    assert "note: the last snapshot excluded copy.bin: repeat -x to exclude" in capsys.readouterr().err
    assert main(["append", archive, *where, "tree", "-x", "copy.bin", *words]) == 0
    assert main(["append", archive, *where, "tree"]) == 0
    assert (
        "note: the last snapshot excluded copy.bin, pattern0\\x1b, pattern1\\x1b, pattern2\\x1b, pattern3\\x1b and 2 more: "
        "repeat -x to exclude them again\n"
    ) in capsys.readouterr().err


@pytest.mark.parametrize(
    "previous",
    [
        {}, {"stream": b"name", "mode": 0}, {"roots": None, "excludes": ["a"]}, {"roots": [[b"tree"]], "excludes": "a"},
        {"roots": [b"tree"], "excludes": ["a"]}, {"roots": [[]], "excludes": ["a"]},
        {"roots": [[b"tree", b"/tree"]], "excludes": [b"a", 1, None], "exclude_caches": "yes"},
    ],
)  # fmt: skip
def test_recorded_arguments_may_be_anything(previous: dict[str, object]) -> None:
    assert no_longer_excluded(previous, Source(((b"tree", b"/tree"),))) == []


@pytest.mark.parametrize(
    ("pattern", "noted"),
    [
        ("tree/sub", True),
        ("./sub", False),
        ("/nosuch/", True),
        ("/sub/", False),
        ("sub/*.bin ", False),
        ("nosuch", False),
    ],
)
def test_an_exclude_that_names_a_place_and_matches_nothing_is_noted(
    pattern: str, noted: bool, tree: Path, tmp_path: Path, capsys: Captured
) -> None:
    assert main(["create", str(tmp_path / "x.warp"), "-C", str(tree.parent), "tree", "-x", pattern]) == 0
    assert (f"nothing was excluded by {pattern.rstrip()}" in capsys.readouterr().err) == noted


def test_what_is_excluded_still_needs_no_note() -> None:
    before = Source(((b"tree", b"/elsewhere/tree"),), excludes=("a", "b"), exclude_caches=True)
    now = Source(((b"tree", b"/tree"),), excludes=("b",))
    caches = "directories marked by a CACHEDIR.TAG (--exclude-caches)"
    assert no_longer_excluded(before.arguments(), now) == ["a", caches]
    assert no_longer_excluded(before.arguments(), before) == []


def test_info_shows_identity_parameters_slots_and_history(sealed: str, passphrase_file: str, capsys: Captured) -> None:
    assert main(["info", sealed, "-p", passphrase_file]) == 0
    out = capsys.readouterr().out
    for words in ("chacha20-poly1305", "16 KiB / 64 KiB / 256 KiB", "unsigned", "passphrase", "8 entries", "snapshot"):
        assert words in out
    found = records(capsys, "info", sealed, "-p", passphrase_file)
    about = only(found, "archive")
    assert (about["encrypted"], about["cutter"], about["snapshot"]) == (True, "buzhash64", 1)
    assert [slot["kind"] for slot in about["slots"]] == ["passphrase"]
    assert only(found, "snapshot")["commit"] == about["commit"]


def test_excludes_come_from_options_files_and_settings(
    tree: Path, tmp_path: Path, own_settings: Path, capsys: Captured
) -> None:
    (own_settings / "config.toml").write_text('exclude = ["copy.bin"]')
    (tmp_path / "patterns").write_text("# remark\n\nraw*\n")
    archive = str(tmp_path / "x.warp")
    assert main(["create", archive, str(tree), "-x", "escape*", "--exclude-from", str(tmp_path / "patterns")]) == 0
    capsys.readouterr()
    assert main(["list", archive, "--paths"]) == 0
    names = {line.rsplit("/", 1)[-1] for line in capsys.readouterr().out.splitlines()}
    assert names == {"a.txt", "b.bin", "link", "sub", "tree"} | names - {"copy.bin", "a.txt"}
    assert not {"copy.bin", "raw\\xff"} & names


def test_a_pipe_takes_an_archive_and_standard_input_gives_a_file(tmp_path: Path, capsys: Captured) -> None:
    content = os.urandom(200_000)
    made = subprocess.run(
        [sys.executable, "-m", "warp_portal", "create", "-", "--stdin-name", "data.bin"],
        input=content,
        capture_output=True,
        check=True,
    )
    archive = tmp_path / "piped.warp"
    archive.write_bytes(made.stdout)
    found = records(capsys, "cat", str(archive), "data.bin")
    assert b"".join(base64.b64decode(record["data_b64"]) for record in found if record["type"] == "data") == content


@pytest.mark.parametrize(
    "words",
    [
        ["x.warp"], ["x.warp", ".", "--stdin-name", "a"], ["x.warp", "-"], ["x.warp", ".", "--compression", "best"],
        ["x.warp", ".", "--profile", "huge"], ["x.warp", ".", "--memory", "much"], ["x.warp", ".", "--threads", "-2"],
        ["-", "--stdin-name", "a", "--json"], ["x.warp", ".", "--cipher", "rot13"],
    ],
)  # fmt: skip
def test_options_that_make_no_sense_are_refused(
    words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["create", *words]) == 2
    assert not (tmp_path / "x.warp").exists()
    assert "Traceback" not in capsys.readouterr().err


def test_paths_that_are_not_there_are_not_found(tmp_path: Path, plain: str, capsys: Captured) -> None:
    assert main(["create", str(tmp_path / "x.warp"), str(tmp_path / "none")]) == 10
    assert main(["create", str(tmp_path / "x.warp"), ".", "-C", str(tmp_path / "none")]) == 10
    assert main(["list", str(tmp_path / "none.warp")]) == 10
    assert main(["list", plain, "--snapshot", "0"]) == 2
    (tmp_path / "junk.warp").write_bytes(b"junk" * 1000)
    assert main(["list", str(tmp_path / "junk.warp")]) == 13


def test_an_unreadable_file_is_listed_and_ends_with_3(tree: Path, tmp_path: Path) -> None:
    (tree / "secret").write_text("x")
    (tree / "secret").chmod(0)
    # Root reads anything unless these capabilities are taken from it.
    prefix = ["setpriv", "--bounding-set=-dac_override,-dac_read_search"] if os.geteuid() == 0 else []
    words = [*prefix, sys.executable, "-m", "warp_portal", "create", str(tmp_path / "x.warp"), str(tree)]
    ran = subprocess.run(words, capture_output=True, text=True, check=False)
    assert ran.returncode == 3, ran.stderr
    assert "secret" in ran.stderr
    assert "Permission denied" in ran.stderr
    assert "1 path not packed" in ran.stderr


def test_ctrl_c_ends_with_130_and_says_how_to_go_on(tmp_path: Path) -> None:
    words = [sys.executable, "-m", "warp_portal", "create", str(tmp_path / "x.warp"), "--stdin-name", "data", "--json"]
    process = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdin is not None
    assert process.stdout is not None
    while "not encrypted" not in process.stdout.readline():
        pass
    process.stdin.write("x" * 100_000)
    process.stdin.flush()
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert json.loads(out.splitlines()[-1])["code"] == 130
    assert "interrupted: run the same command again to resume" in err
    assert "Traceback" not in err


def test_a_reader_of_the_archive_that_leaves_ends_it_quietly(tree: Path) -> None:
    read, write = os.pipe()
    os.close(read)
    words = [sys.executable, "-m", "warp_portal", "create", "-", str(tree), "-q", "--plain"]
    ran = subprocess.run(words, stdout=write, stderr=subprocess.PIPE, check=False)
    os.close(write)
    assert (ran.returncode, ran.stderr) == (141, b"")


def test_logs_go_to_stderr_and_hold_no_secret(tree: Path, tmp_path: Path, passphrase_file: str) -> None:
    words = ["create", str(tmp_path / "x.warp"), str(tree), "-p", passphrase_file, "-vv", "--json"]
    ran = subprocess.run([sys.executable, "-m", "warp_portal", *words], capture_output=True, text=True, check=True)
    assert json.loads(ran.stderr.splitlines()[0])["event"] == "command.started"
    assert PASSPHRASE not in ran.stdout + ran.stderr


def test_a_plain_archive_with_a_passphrase_is_a_contradiction(tree: Path, tmp_path: Path) -> None:
    archive, secret = tmp_path / "x.warp", tmp_path / "secret"
    secret.write_text("pass\n")
    assert main(["create", str(archive), str(tree), "--plain", "-p", str(secret)]) == 2
    assert not archive.exists()


def test_a_missing_directory_is_named_when_an_archive_is_made(
    tree: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["create", str(tmp_path / "none" / "x.warp"), str(tree)]) == 10
    assert "none': no such directory" in capsys.readouterr().err
