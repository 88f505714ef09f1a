"""A message says what is wrong, on what, and what to do: the ones that people meet when something is broken."""

from pathlib import Path

import pytest
from tests.unit.cli.runs import PASSPHRASE, Captured

from warp_portal.cli.main import OTHER_WORDS, SECTIONS, main

FIRST_SEGMENT = 256 + 2 * 16384


def flip(archive: str, offset: int) -> None:
    """Change one byte."""
    data = bytearray(Path(archive).read_bytes())
    data[offset] ^= 1
    Path(archive).write_bytes(bytes(data))


def said(capsys: Captured) -> str:
    return capsys.readouterr().err


@pytest.mark.parametrize(("offset", "what"), [(150, "the header is damaged"), (300, "the key slots are damaged")])
@pytest.mark.parametrize("words", [["verify"], ["list", "--recover"]])
def test_a_damaged_beginning_names_the_bytes_to_put_back(
    offset: int, what: str, words: list[str], sealed: str, passphrase_file: str, capsys: Captured
) -> None:
    """Also with --recover, although the end of the file is whole."""
    flip(sealed, offset)
    assert main([words[0], sealed, *words[1:], "-p", passphrase_file]) == 13
    text = said(capsys)
    assert what in text
    assert f" first {FIRST_SEGMENT} bytes" in text


def test_the_bytes_named_mend_it(sealed: str, passphrase_file: str, capsys: Captured) -> None:
    kept = Path(sealed).read_bytes()[:FIRST_SEGMENT]
    flip(sealed, 300)
    with open(sealed, "r+b") as file:
        file.write(kept)
    assert main(["verify", sealed, "--level", "deep", "-p", passphrase_file]) == 0


def test_what_is_no_archive_is_named(tmp_path: Path, capsys: Captured) -> None:
    path = tmp_path / "photo.jpg"
    path.write_bytes(bytes(5000))
    assert main(["verify", str(path)]) == 13
    assert f"{path}: no Warp archive" in said(capsys)


def test_bytes_after_the_end_are_thought_of(plain: str, capsys: Captured) -> None:
    with open(plain, "ab") as file:
        file.write(b"garbage")
    assert main(["verify", plain]) == 13
    assert "followed by other bytes" in said(capsys)


def test_a_directory_in_the_way_of_a_file_is_to_be_moved(plain: str, tmp_path: Path, capsys: Captured) -> None:
    (tmp_path / "back" / "tree" / "a.txt" / "full").mkdir(parents=True)
    assert main(["extract", plain, "-C", str(tmp_path / "back"), "--overwrite", "always"]) == 3
    assert "tree/a.txt: a directory lies at its name, and is not removed: move it away" in said(capsys)


def test_a_file_in_the_way_of_a_directory_names_the_option(plain: str, tmp_path: Path, capsys: Captured) -> None:
    (tmp_path / "back" / "tree").mkdir(parents=True)
    (tmp_path / "back" / "tree" / "sub").touch()
    assert main(["extract", plain, "-C", str(tmp_path / "back")]) == 3
    assert "tree/sub: no directory lies at its name or above it: --overwrite always puts one there" in said(capsys)
    assert main(["extract", plain, "-C", str(tmp_path / "back"), "--overwrite", "always"]) == 0


def test_a_passphrase_is_not_added_twice(sealed: str, passphrase_file: str, capsys: Captured) -> None:
    before = Path(sealed).read_bytes()
    assert main(["key", "add", sealed, "-p", passphrase_file, "--new-passphrase-file", passphrase_file]) == 2
    assert "opens the archive already, by slot" in said(capsys)
    assert Path(sealed).read_bytes() == before


def test_the_same_passphrase_may_get_another_cost(sealed: str, passphrase_file: str, tmp_path: Path) -> None:
    """So its cost is raised: add it anew, then remove the old slot."""
    same = tmp_path / "same"
    same.write_text(PASSPHRASE)
    same.chmod(0o600)
    words = ["key", "add", sealed, "-p", passphrase_file, "--new-passphrase-file", str(same), "--argon2-passes", "2"]
    assert main(words) == 0


def test_a_signer_who_was_not_asked_for_is_named(tree: Path, tmp_path: Path, capsys: Captured) -> None:
    for name in ("one", "other"):
        assert main(["key", "keygen", str(tmp_path / name), "--kind", "signing"]) == 0
    texts = capsys.readouterr().out.split()
    archive = str(tmp_path / "signed.warp")
    assert main(["create", archive, str(tree), "--sign", str(tmp_path / "one")]) == 0
    assert main(["verify", archive, "--signer", str(tmp_path / "other")]) == 13
    assert f"another signer than {texts[1]}, {texts[0]}:" in said(capsys)


def test_two_copies_that_were_appended_to_are_told_apart(
    plain: str, tree: Path, tmp_path: Path, capsys: Captured
) -> None:
    copy = str(tmp_path / "copy.warp")
    Path(copy).write_bytes(Path(plain).read_bytes())
    assert main(["append", plain, "-C", str(tree.parent), "tree"]) == 0
    (tree / "more").touch()
    Path(tmp_path / "saved.warp").write_bytes(Path(plain).read_bytes())
    assert main(["append", copy, "-C", str(tree.parent), "tree"]) == 13
    assert "rolled back, or an old copy" in said(capsys)
    assert main(["append", copy, "-C", str(tree.parent), "tree", "--recover"]) == 0
    assert main(["verify", plain]) == 13
    text = said(capsys)
    assert "two copies were appended to" in text
    commit = text.rsplit(maxsplit=1)[1]
    assert main(["verify", plain, "--expect-commit", commit]) == 0


@pytest.mark.parametrize(("word", "ours"), sorted(OTHER_WORDS.items()))
def test_a_word_of_another_program_leads_to_ours(word: str, ours: str, capsys: Captured) -> None:
    assert main([word, "home.warp"]) == 2
    assert f"what comes nearest is `warp {ours}`" in said(capsys)
    names = [name for _, commands in SECTIONS for name, _ in commands]
    assert word not in names
    assert ours in {*names, "--help"}


def test_a_path_that_is_not_there_is_looked_for_in_the_list(plain: str, tree: Path, capsys: Captured) -> None:
    """The snapshot is called by its number, whatever checkpoints lie between."""
    assert main(["append", plain, "-C", str(tree.parent), "tree"]) == 0
    assert main(["cat", plain, "a.txt", "--snapshot", "1"]) == 10
    assert "no 'a.txt' in snapshot 1: give a whole path, as `warp list` shows it" in said(capsys)


def test_a_key_given_in_the_wrong_place_is_told_its_own(plain: str, tmp_path: Path, capsys: Captured) -> None:
    key = str(tmp_path / "key")
    assert main(["key", "keygen", key]) == 0
    assert main(["verify", plain, "--signer", key]) == 2
    assert "not a warp-identity-xwing: that is for --identity" in said(capsys)


def test_without_a_key_it_is_said_that_one_names_the_files(sealed: str, passphrase_file: str, capsys: Captured) -> None:
    flip(sealed, FIRST_SEGMENT + 100_000)
    assert main(["verify", sealed]) == 13
    assert "DAMAGED: 1 chunk (with a key, their files are named)" in said(capsys)
    assert main(["verify", sealed, "-p", passphrase_file]) == 13
    assert "files are named" not in said(capsys)


@pytest.mark.parametrize(("word", "meant"), [("verfy", "verify"), ("extarct", "extract"), ("keys", "key")])
def test_a_mistyped_command_leads_to_the_one_that_was_meant(word: str, meant: str, capsys: Captured) -> None:
    assert main([word]) == 2
    assert f"No such command '{word}': what comes nearest is `warp {meant}`" in said(capsys)


def test_a_word_like_none_of_ours_leads_nowhere(capsys: Captured) -> None:
    assert main(["xyzzy"]) == 2
    assert "nearest" not in said(capsys)
