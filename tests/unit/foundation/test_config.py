import os
from pathlib import Path

import pytest

from warp_portal import config
from warp_portal.config import ConfigFile, load
from warp_portal.errors import UsageError


def written(path: Path, text: str, *, trusted: bool = True) -> ConfigFile:
    path.write_text(text)
    return ConfigFile(str(path), trusted)


def test_defaults_hold_where_nothing_is_set() -> None:
    effective = load(files=(), environ={})
    assert effective.config == config.Config()
    assert set(effective.origin.values()) == {"default"}


def test_the_last_source_wins_and_is_named(tmp_path: Path) -> None:
    system = written(tmp_path / "system.toml", 'threads = 1\nmemory = "1M"\nprofile = "fine"\ncutter = "fixed"')
    user = written(tmp_path / "user.toml", 'memory = "2M"\nprofile = "bulk"\ncutter = "buzhash64"')
    environ = {"WARP_PROFILE": "general", "WARP_CUTTER": "fixed"}
    effective = load(files=(system, user), environ=environ, flags={"cutter": "buzhash64", "overwrite": None})
    assert (effective.config.threads, effective.config.memory) == (1, 2 << 20)
    assert (effective.config.profile, effective.config.cutter) == ("general", "buzhash64")
    named = [effective.origin[name] for name in ("threads", "memory", "profile", "cutter", "overwrite")]
    assert named == [system.path, user.path, "WARP_PROFILE", "--cutter", "default"]


def test_lists_given_by_flags_are_added(tmp_path: Path) -> None:
    file = written(tmp_path / "c.toml", 'exclude = ["*.o"]')
    effective = load(files=(file,), environ={}, flags={"exclude": ("*.tmp",)})
    assert effective.config.exclude == ("*.o", "*.tmp")


def test_lists_in_the_environment_are_split() -> None:
    assert load(files=(), environ={"WARP_IDENTITY": "/a:/b"}).config.identity == ("/a", "/b")


def test_the_colon_of_a_key_in_the_environment_parts_nothing() -> None:
    environ = {"WARP_RECIPIENT": "warp-recipient-xwing:aa:/b:warp-recipient-x25519:cc"}
    found = load(files=(), environ=environ).config.recipient
    assert found == ("warp-recipient-xwing:aa", "/b", "warp-recipient-x25519:cc")
    with pytest.raises(UsageError):
        load(files=(), environ={"WARP_RECIPIENT": "/a::/b"})
    with pytest.raises(UsageError) as caught:
        load(files=(), environ={"WARP_IDENTITY": "warp-identity-xwing:secret::/b"})
    assert "secret" not in str(caught.value)


def test_an_untrusted_file_sets_only_what_is_harmless(tmp_path: Path) -> None:
    harmless = written(tmp_path / "a.toml", "threads = 3", trusted=False)
    assert load(files=(harmless,), environ={}).config.threads == 3
    for line in (
        'recipient = ["warp-recipient-xwing:aa"]',
        'state_dir = "/tmp/x"',
        "verify_writes = false",
        'sign = "key"',
        'exclude = ["*"]',
        "exclude_caches = true",
        "one_file_system = true",
    ):
        hostile = written(tmp_path / "b.toml", line, trusted=False)
        with pytest.raises(UsageError, match="cannot be set here"):
            load(files=(hostile,), environ={})


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ("threads = -1", "whole number"), ("threads = true", "whole number"), ("threads = 1025", "to 1024"), ('memory = "5Q"', "no size"),
        ('profile = "huge"', "one of fine"), ("exclude = [1]", "list of texts"), ('exclude_caches = "maybe"', "true or false"),
        ("checkpoint_seconds = 0", "seconds"), ('checkpoint_seconds = "soon"', "seconds"), ('sign = ""', "a text"),
        ("thread = 1", "did you mean 'threads'"), ("zzz = 1", "config list"), ("threads =", "TOML"),
        ("threads = " + "9" * 5000, "TOML"), ("exclude = " + "[" * 5000, "TOML"), ("threads = 0x" + "f" * 5000, "whole number"),
        ('threads = "' + "9" * 5000 + '"', "whole number"), ("memory = 9223372036854775808", "whole number"),
        ("threads" + ".a" * 3000 + " = 1", "a table without bottom: expected a whole number"),
    ],
)  # fmt: skip
def test_a_wrong_value_names_its_source(tmp_path: Path, line: str, complaint: str) -> None:
    file = written(tmp_path / "c.toml", line)
    with pytest.raises(UsageError, match=complaint) as caught:
        load(files=(file,), environ={})
    assert str(caught.value).startswith(file.path)


def test_a_file_that_is_not_there_is_no_error(tmp_path: Path) -> None:
    assert load(files=(ConfigFile(str(tmp_path / "none.toml")),), environ={}).config == config.Config()


def test_the_files_read_are_the_system_user_and_project_ones(tmp_path: Path) -> None:
    files = config.default_files({"WARP_CONFIG": "/somewhere.toml"})
    assert [file.path for file in files] == [config.SYSTEM_FILE, "/somewhere.toml", ".warp-portal.toml"]
    assert [file.trusted for file in files] == [True, True, False]
    assert config.user_file({}).endswith("/warp-portal/config.toml")


def test_the_state_directory_follows_the_platform_unless_set() -> None:
    assert config.Config().state_path().endswith("warp-portal")
    assert config.Config(state_dir="/x").state_path() == "/x"


def test_debugging_is_asked_for_by_a_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    assert not config.debugging()
    monkeypatch.setenv("WARP_DEBUG", "1")
    assert config.debugging()


def test_an_empty_variable_that_would_protect_is_refused_and_others_are_not_set() -> None:
    for variable in ("WARP_PASSPHRASE_FILE", "WARP_RECIPIENT", "WARP_SIGN"):
        with pytest.raises(UsageError, match=f"{variable} is empty"):
            load(files=(), environ={variable: ""})
    assert load(files=(), environ={"WARP_THREADS": "", "WARP_EXCLUDE": ""}).config == config.Config()


def test_a_variable_that_nothing_reads_is_named_with_the_one_it_resembles() -> None:
    read = {"WARP_CONFIG", "WARP_DEBUG", "WARP_PASSPHRASE", "WARP_BENCH_DATA", "WARP_RECIPIENT", "_WARP_COMPLETE"}
    assert config.mistyped_variables(dict.fromkeys(read | {"RECIPIENTS", "WARP_ZZZ"}, "x")) == []
    found = config.mistyped_variables({"WARP_RECIPIENTS": "x", "WARP_PASSFRASE": "x"})
    assert found == [("WARP_PASSFRASE", "WARP_PASSPHRASE"), ("WARP_RECIPIENTS", "WARP_RECIPIENT")]


def test_the_passphrase_of_the_environment_goes_before_a_file_that_is_set_and_not_before_a_flag(tmp_path: Path) -> None:
    user, environ = written(tmp_path / "user.toml", 'passphrase_file = "one"'), {"WARP_PASSPHRASE": "words"}
    assert load(files=(user,), environ={}).config.passphrase_file == "one"
    assert load(files=(user,), environ=environ).config.passphrase_file is None
    assert load(files=(user,), environ=environ, flags={"passphrase_file": "two"}).config.passphrase_file == "two"


@pytest.mark.timeout(60)
def test_what_is_no_settings_file_is_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "zero").symlink_to("/dev/zero")
    (tmp_path / "large").write_text("#" * (1 << 20) + "\n")
    for name, message in (("fifo", "regular file"), ("zero", "regular file"), ("large", "larger than 1 MiB")):
        path = tmp_path / name
        with pytest.raises(UsageError, match=message):
            load(files=(ConfigFile(str(path), trusted=False),), environ={})
