"""The recipes that could do harm, run twice, after a step that failed, on a disk that is not there, and on archives that were compacted or damaged.

The commands are those of the pages; what goes wrong in between is here.
"""

import json
import os
import shutil
from pathlib import Path

import pytest

from tests.cookbook.pages import Block, sections
from tests.cookbook.sandbox import SCENES, Ran, Sandbox

DOCS = Path(__file__).resolve().parents[2] / "docs"
FUNCTIONS = (SCENES / "functions.sh").read_text()
NIGHTLY = "run-it-from-cron-or-systemd"
MIRROR = "mirror-to-a-second-disk"
DUMP = "stream-a-database-dump-through-a-pipe"
BEGINNING = "the-beginning-is-damaged"


class Machine:
    """A sandbox and the blocks of one section; `needs` are programs that not every machine has."""

    def __init__(self, root: Path, page: str, section: str, needs: str = "") -> None:
        for tool in needs.split():
            if not shutil.which(tool):
                pytest.skip(f"{tool} is not installed")
        self.root = root
        self._sandbox = Sandbox(root)
        self._sandbox.set_up(page, section)
        (self.blocks,) = (found.blocks for found in sections(DOCS / f"{page}.md") if found.slug == section)

    def run(self, commands: str | Block, code: int = 0) -> str:
        """What they print; they end with that code."""
        ran = self.try_to(commands)
        assert ran.code == code, ran.output
        return ran.output

    def try_to(self, commands: str | Block) -> Ran:
        """The same, whatever the code; a block as at a terminal, where what failed stops nothing of itself."""
        if isinstance(commands, Block):
            return self._sandbox.run(f"set +e +o pipefail\n{commands.commands}")
        return self._sandbox.run(f"{FUNCTIONS}\n{commands}")

    def block(self, text: str) -> Block:
        """The one block that has that text in it."""
        (found,) = (block for block in self.blocks if text in block.commands)
        return found

    def snapshots(self, archive: str) -> int:
        """How many it has."""
        lines = self.run(f"warp info {archive} --json").splitlines()
        return [json.loads(line)["type"] for line in lines].count("snapshot")

    def lose_roots_rights(self) -> None:
        """Let `warp` run without the right to read everything, also for root."""
        if os.geteuid() == 0:
            warp = self.root / "bin" / "warp"
            warp.write_text(
                warp.read_text().replace("exec ", "exec setpriv --bounding-set=-dac_override,-dac_read_search ")
            )


def test_a_passphrase_file_is_made_once(tmp_path: Path) -> None:
    """A second run would lock out every archive that was made after the first."""
    machine = Machine(tmp_path, "cookbook", "once-on-each-machine")
    machine.run(machine.blocks[0])
    before = machine.run("cat ~/.config/warp-portal/passphrase")
    machine.run(machine.blocks[0], code=2)  # home.warp is there already
    assert machine.run("cat ~/.config/warp-portal/passphrase") == before
    machine.run("warp verify home.warp --level deep")


def test_a_night_that_could_not_read_everything_forgets_nothing(tmp_path: Path) -> None:
    machine = Machine(tmp_path, "cookbook", "back-up-a-home-every-night")
    machine.run(machine.blocks[0])
    machine.lose_roots_rights()
    machine.run("chmod 0 work/papers/thesis.tex; echo more >> work/papers/figures.csv")
    machine.run(machine.block("warp forget"), code=3)
    assert machine.snapshots("/mnt/disk/home.warp") == 2
    machine.run("warp cat /mnt/disk/home.warp work/papers/thesis.tex --snapshot 1 > thesis.tex")


def test_each_night_keeps_a_beginning_that_belongs(tmp_path: Path) -> None:
    """That of the archive after its compaction; a damaged one does not replace it."""
    machine = Machine(tmp_path, "cookbook", "back-up-a-home-every-night")
    machine.run(machine.blocks[0])
    for _ in range(2):
        machine.run(machine.block("warp forget"))
        machine.run("cmp -n 33024 home.warp.beginning /mnt/disk/home.warp")
    machine.run("cp home.warp.beginning before; damage /mnt/disk/home.warp 300")
    machine.run(machine.block("warp forget"), code=13)
    machine.run("cmp before home.warp.beginning")


def test_changing_a_passphrase_twice_leaves_a_slot_for_it(tmp_path: Path) -> None:
    """The second time the slot to be removed is that of the new passphrase."""
    machine = Machine(tmp_path, "cookbook", "add-a-second-key-and-take-one-away", needs="jq")
    for block in [*machine.blocks, machine.blocks[-1]]:
        listed = machine.run(block)
    assert "passphrase" in listed.splitlines()[-1]
    machine.run("warp verify home.warp --level quick -p new-passphrase")


def test_of_six_dumps_the_one_that_broke_off_is_no_snapshot(tmp_path: Path) -> None:
    machine = Machine(tmp_path, "cookbook", DUMP)
    for block in machine.blocks[:2]:
        machine.run(block)
    for last in (200002, 200003):
        machine.run(f"~/bin/into-warp shop.warp shop.sql seq {last}")
    # Long enough that some of it is stored before the break.
    machine.run("~/bin/into-warp shop.warp shop.sql bash -c 'seq 2000000; sleep 1; exit 1'", code=143)
    machine.run("~/bin/into-warp shop.warp shop.sql seq 200005")
    assert machine.snapshots("shop.warp") == 5
    ends = [machine.run(f"warp cat shop.warp shop.sql --snapshot {n} | tail -1").strip() for n in range(1, 6)]
    assert ends == ["200000", "200001", "200002", "200003", "200005"]
    machine.run("warp verify shop.warp --level deep")


@pytest.mark.parametrize("signal", ["kill -INT 0", "kill -INT $PPID $$", "kill -TERM $PPID", "kill -HUP $PPID"])
def test_a_dump_that_is_interrupted_is_no_snapshot(tmp_path: Path, signal: str) -> None:
    """Ctrl-C reaches the script, the dump and warp in any order; others may stop the script alone."""
    machine = Machine(tmp_path, "cookbook", DUMP)
    for block in machine.blocks[:2]:
        machine.run(block)
    ran = machine.try_to(f"setsid -w ~/bin/into-warp shop.warp shop.sql bash -c 'seq 1000; {signal}; exit 1'")
    assert ran.code != 0
    machine.run("~/bin/into-warp shop.warp shop.sql seq 200003")
    assert machine.snapshots("shop.warp") == 3


def test_an_append_that_fails_by_itself_says_so(tmp_path: Path) -> None:
    """Nothing is forgotten for it, and its own code is the end."""
    machine = Machine(tmp_path, "cookbook", DUMP)
    for block in machine.blocks[:2]:
        machine.run(block)
    machine.run("~/bin/into-warp none.warp shop.sql seq 2000000", code=10)
    machine.run("rm ~/.config/warp-portal/passphrase; ~/bin/into-warp shop.warp shop.sql seq 10 < /dev/null", code=10)


def mirrored(root: Path) -> Machine:
    """A machine with an archive and its mirror."""
    machine = Machine(root, "cookbook", MIRROR, needs="rsync")
    machine.run(machine.blocks[0])
    return machine


def test_a_mirror_grows_in_place(tmp_path: Path) -> None:
    machine = mirrored(tmp_path)
    copy = tmp_path / "mnt" / "second" / "home.warp"
    before = copy.stat().st_ino
    machine.run("echo more > work/more.txt; warp append home.warp work -q; ~/bin/mirror home.warp /mnt/second")
    machine.run("cmp home.warp /mnt/second/home.warp")
    assert copy.stat().st_ino == before


@pytest.mark.parametrize("then", ["true", "bytes 20000000 new > work/new; warp append home.warp work -q"])
def test_a_mirror_follows_a_compaction(tmp_path: Path, then: str) -> None:
    """To a shorter archive, and to one that has since grown past the mirror."""
    machine = mirrored(tmp_path)
    machine.run(
        f"rm -r work/photos; warp append home.warp work -q; warp forget home.warp --keep-last 1 --compact; {then}"
    )
    machine.run("~/bin/mirror home.warp /mnt/second; cmp home.warp /mnt/second/home.warp")
    machine.run("warp verify /mnt/second/home.warp")


def test_a_mirror_follows_a_change_of_keys(tmp_path: Path) -> None:
    machine = mirrored(tmp_path)
    machine.run("warp key keygen a.key -q > a.pub; warp key add home.warp -r a.pub")
    machine.run("~/bin/mirror home.warp /mnt/second; cmp home.warp /mnt/second/home.warp")


def test_a_mirror_that_was_appended_to_is_made_the_same_again(tmp_path: Path) -> None:
    machine = mirrored(tmp_path)
    machine.run("bytes 9000000 other > other; WARP_STATE_DIR=elsewhere warp append /mnt/second/home.warp other -q")
    machine.run("~/bin/mirror home.warp /mnt/second; cmp home.warp /mnt/second/home.warp")


@pytest.mark.parametrize("harm", ["damage home.warp 2000000", "truncate -s -9000 home.warp", "cp older home.warp"])
def test_a_mirror_takes_nothing_from_a_damaged_or_older_archive(tmp_path: Path, harm: str) -> None:
    machine = mirrored(tmp_path)
    machine.run("cp home.warp older; warp append home.warp work -q; ~/bin/mirror home.warp /mnt/second")
    machine.run(f"cp home.warp good; {harm}; ~/bin/mirror home.warp /mnt/second", code=13)
    machine.run("cmp good /mnt/second/home.warp")


def test_nothing_is_mirrored_into_the_place_of_a_missing_disk(tmp_path: Path) -> None:
    machine = mirrored(tmp_path)
    machine.run("rm /mnt/second/home.warp; touch /mnt/second.unmounted; ~/bin/mirror home.warp /mnt/second", code=1)
    machine.run("[ ! -e /mnt/second/home.warp ]")


@pytest.mark.parametrize("exclude", ["export WARP_EXCLUDE='*.csv'", "warp config set exclude '*.csv' -q"])
def test_what_a_setting_excluded_is_not_proven_equal(tmp_path: Path, exclude: str) -> None:
    machine = Machine(tmp_path, "cookbook", "move-data-to-a-new-disk-and-prove-that-it-is-equal", needs="rsync")
    ran = machine.try_to(f"{exclude}\n{machine.blocks[0].commands}")
    assert "equal" not in ran.output.splitlines()
    assert "figures.csv" in machine.run("cat differs")


@pytest.mark.parametrize(
    "change", ["echo >> work/notes.txt", "rm work/notes.txt", "touch -d 2001-01-01 work/notes.txt"]
)
def test_what_changed_after_the_move_is_not_proven_equal(tmp_path: Path, change: str) -> None:
    """The proof holds for the moment it is run, however often the steps before it were."""
    machine = Machine(tmp_path, "cookbook", "move-data-to-a-new-disk-and-prove-that-it-is-equal", needs="rsync")
    machine.run(machine.blocks[0])
    proof = next(line for line in machine.blocks[0].commands.splitlines() if line.startswith("rsync"))
    assert machine.run(proof).strip() == "equal"
    machine.run(f"{change}; {proof}", code=1)


def nightly(root: Path) -> Machine:
    """A machine with the script of the night, which never ran."""
    machine = Machine(root, "cookbook", NIGHTLY)
    script, ran = machine.block("cat > ~/bin/nightly").commands.split("~/bin/nightly\n~/bin/nightly\n")
    assert ran
    machine.run(script)
    return machine


# How the first create is killed: as soon as its file has so many bytes.
@pytest.mark.parametrize("size", [0, 1, 20_000_000])
def test_a_night_goes_on_with_a_create_that_was_killed(tmp_path: Path, size: int) -> None:
    machine = nightly(tmp_path)
    machine.run("bytes 60000000 film > work/film")
    create = "warp create /mnt/disk/home.warp.first work --exclude-from ~/.warp-excludes --quiet --checkpoint-bytes 8M"
    machine.run(
        f"for try in 1 2 3 4 5; do killed /mnt/disk/home.warp.first {size} {create} && break; rm -f /mnt/disk/*; done"
    )
    machine.run("[ ! -e /mnt/disk/home.warp ]")
    assert machine.run("~/bin/nightly; ~/bin/nightly") == ""
    assert machine.snapshots("/mnt/disk/home.warp") == 2
    machine.run("cmp -n 33024 home.warp.beginning /mnt/disk/home.warp; [ ! -e /mnt/disk/home.warp.first ]")


def test_a_night_that_was_killed_before_the_name_was_given_goes_on(tmp_path: Path) -> None:
    machine = nightly(tmp_path)
    machine.run("~/bin/nightly; mv /mnt/disk/home.warp /mnt/disk/home.warp.first; ~/bin/nightly")
    assert machine.snapshots("/mnt/disk/home.warp") == 1


def test_a_night_without_the_disk_packs_nothing(tmp_path: Path) -> None:
    machine = nightly(tmp_path)
    assert "not mounted" in machine.run("touch /mnt/disk.unmounted; ~/bin/nightly", code=1)
    machine.run('[ -z "$(ls -A /mnt/disk)" ]')


def test_a_night_on_a_damaged_archive_ends_with_its_code(tmp_path: Path) -> None:
    """And the copy of its beginning stays that of the whole one."""
    machine = nightly(tmp_path)
    machine.run("~/bin/nightly; cp home.warp.beginning before; damage /mnt/disk/home.warp 300")
    machine.run("~/bin/nightly", code=13)
    machine.run("cmp before home.warp.beginning")


@pytest.mark.parametrize(
    "stale",
    [
        "cp home.warp other; warp compact other; echo x >> work/notes.txt; warp append other work -q; "
        "warp forget other --keep-last 1 --compact; head -c 33024 other > home.warp.beginning",
        "warp create other work -q; head -c 33024 other > home.warp.beginning",
        ": > home.warp.beginning",
    ],
    ids=["from before or after a compaction", "another archive's", "empty"],
)
@pytest.mark.parametrize("harm", ["true", "damage home.warp 300"])
def test_a_beginning_that_does_not_belong_destroys_nothing(tmp_path: Path, stale: str, harm: str) -> None:
    """Be the archive damaged, or whole and the reader wrong about it."""
    machine = Machine(tmp_path, "recovery", BEGINNING)
    machine.run(f"cp /mnt/second/home.warp home.warp; {stale}; {harm}; cp home.warp before")
    machine.try_to(machine.block("dd if="))
    machine.run("warp verify home.warp || { cmp before home.warp && [ ! -e damaged.warp ]; }")


def test_a_beginning_put_back_twice_leaves_a_whole_archive(tmp_path: Path) -> None:
    machine = Machine(tmp_path, "recovery", BEGINNING)
    for block in [*machine.blocks, machine.blocks[-1]]:
        machine.try_to(block)
    machine.run("warp verify home.warp --level deep; cmp home.warp /mnt/second/home.warp")


def test_a_damaged_archive_gives_no_copy_of_its_beginning(tmp_path: Path) -> None:
    machine = Machine(tmp_path, "recovery", BEGINNING)
    machine.run(machine.blocks[0])
    machine.run("cp home.warp.beginning before; damage /mnt/second/home.warp 300")
    machine.run(machine.blocks[0], code=13)
    machine.run("cmp before home.warp.beginning")


def test_a_mirror_from_before_a_compaction_is_told_and_harms_nothing(tmp_path: Path) -> None:
    """Its chunks may lie at other places (where, the random keys decide): the archive stays as it was."""
    machine = Machine(tmp_path, "recovery", "some-content-is-damaged", needs="jq")
    machine.run("cp /mnt/second/home.warp home.warp; rm work/photos/1.jpg; warp append home.warp work -q")
    machine.run("warp forget home.warp --keep-last 1 --compact; damage home.warp 2000000; cp home.warp before")
    ran = machine.try_to(machine.block("dd if="))
    assert ran.output.startswith("home.warp /mnt/second/home.warp differ")
    machine.run("cmp before home.warp")


def test_an_append_of_something_small_is_forgotten_after_a_whole_one(tmp_path: Path) -> None:
    """As the page says: it is the newest, then everything is appended, then it goes by its number."""
    machine = Machine(tmp_path, "recovery", "the-end-is-damaged-or-cut-short")
    machine.run("warp append home.warp work/notes.txt --recover")
    machine.run("warp list home.warp work/papers/thesis.tex", code=10)
    small = machine.snapshots("home.warp")
    machine.run(f"warp append home.warp work -q; warp forget home.warp --snapshot {small} --compact")
    assert machine.snapshots("home.warp") == small
    machine.run("for n in $(seq 2); do warp cat home.warp work/papers/thesis.tex --snapshot $n > thesis.tex; done")
