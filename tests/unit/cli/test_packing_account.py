"""The account at the end of `create` and `append`: figures that say something."""

from pathlib import Path

from tests.unit.cli.runs import Captured

from warp_portal.archive import PackProgress
from warp_portal.cli.main import main
from warp_portal.cli.packing import known, ratios


def test_where_next_to_nothing_is_new_that_is_said_and_no_ratio(plain: str, tree: Path, capsys: Captured) -> None:
    with open(tree / "sub" / "b.bin", "ab") as file:
        file.write(b"x")
    (tree / "sub" / "copy.bin").touch()
    (tree / "sub" / "large.bin").write_bytes((tree / "sub" / "copy.bin").read_bytes() * 60)
    append = ["append", plain, "-C", str(tree.parent), "tree"]
    assert main(append) == 0
    capsys.readouterr()
    (tree / "sub" / "large.bin").touch()
    (tree / "a.txt").write_text("!")
    assert main(append) == 0
    said = capsys.readouterr().err
    assert "new: 1 B in 1 chunk, stored as " in said
    assert "; over 99.9 % of what was read was there already" in said
    assert "×" not in said
    (tree / "sub" / "large.bin").touch()
    assert main(append) == 0
    assert "stored as 0 B; all of what was read was there already" in capsys.readouterr().err


def test_ratios_are_given_where_there_is_something_to_compare() -> None:
    usual = PackProgress(bytes_read=3_000_000, bytes_raw=1_500_000, bytes_stored=500_000)
    assert (ratios(usual), known(usual)) == ("dedup 2.00×, compression 3.00×", "")
    nothing = PackProgress()
    assert (ratios(nothing), known(nothing)) == ("", "")
    resumed = PackProgress(bytes_read=1_000, bytes_raw=1_500_000, bytes_stored=500_000)
    assert (ratios(resumed), known(resumed)) == ("compression 3.00×", "")
