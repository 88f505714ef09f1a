"""benches/: what the archive bench does when tools fail or are absent, and that its data and drawings are what they say."""

import hashlib
import json
import shutil
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
from benches import generated, images, lineup, places, plot, report
from benches.harness import CommandFailedError, Run, Table, measure, own_peak_bytes, write_json
from benches.places import Place
from benches.rounds import Rounds
from benches.tools import Checker, Pipe

SVG = "{http://www.w3.org/2000/svg}"
NEEDED = ("rsync", "taskset", "tar")
pytestmark = pytest.mark.skipif(
    not all(map(shutil.which, NEEDED)), reason="the benches need Linux with rsync: apt-get install rsync"
)


def digests(tree: Path) -> dict[str, tuple[str, int]]:
    return {
        str(path.relative_to(tree)): (hashlib.sha256(path.read_bytes()).hexdigest(), path.stat().st_mtime_ns)
        for path in sorted(tree.rglob("*"))
        if path.is_file()
    }


@pytest.fixture
def place(tmp_path: Path) -> Place:
    (tmp_path / "scratch").mkdir()
    (tmp_path / "current").mkdir()
    return Place(tmp_path / "scratch", tmp_path / "current", generated.small_files(tmp_path / "small", 60))


class Copy(Checker):
    """A tool that copies the tree, and fails where it is told to."""

    name, settings = "copy", "cp -a"

    def __init__(self, place: Place, failing: str = "") -> None:
        super().__init__(place)
        self.failing = failing
        self.store = place.scratch / "store"

    def pack(self, number: int) -> Run:
        self._may_fail(f"pack {number}")
        shutil.rmtree(self.store, ignore_errors=True)
        return measure(["cp", "-a", str(self.place.current), str(self.store)])

    def verify(self) -> Run:
        self._may_fail("verify")
        return measure(["true"])

    def extract(self, target: Path) -> Run:
        self._may_fail("extract")
        return measure(["cp", "-a", f"{self.store}/.", str(target)])

    def outputs(self) -> tuple[Path, ...]:
        return (self.store,)

    def _may_fail(self, step: str) -> None:
        if step == self.failing:
            measure(["sh", "-c", "echo pack 7 is damaged >&2; exit 3"])


def steps_of(rounds: Rounds, tool: str) -> list[str]:
    return [step for name, step in rounds.table.series if name == tool]


def test_every_tool_does_every_step_it_can(place: Place) -> None:
    rounds = Rounds(place, [Copy(place), Pipe(place, "tar", "", "")], cold=False)
    rounds.run(0)
    assert steps_of(rounds, "copy") == ["create", "second version", "unchanged", "verify deep", "extract"]
    assert steps_of(rounds, "tar") == ["create", "extract"]
    assert rounds.restored == {"copy": (0, []), "tar": (0, [])}
    assert not rounds.table.failures


def test_a_step_that_fails_is_reported_and_the_others_go_on(place: Place) -> None:
    rounds = Rounds(place, [Copy(place, "verify"), Pipe(place, "tar", "", "")], cold=False)
    rounds.run(0)
    assert steps_of(rounds, "copy") == ["create", "second version", "unchanged", "extract"]
    assert [(each.tool, each.step) for each in rounds.table.failures] == [("copy", "verify deep")]
    assert "exit 3" in rounds.table.failures[0].error
    assert "pack 7 is damaged" in rounds.table.failures[0].error
    assert steps_of(rounds, "tar") == ["create", "extract"]


def test_a_failed_second_version_is_compared_with_the_first(place: Place) -> None:
    rounds = Rounds(place, [Copy(place, "pack 2")], cold=False)
    rounds.run(0)
    assert steps_of(rounds, "copy") == ["create", "verify deep", "extract"]
    assert rounds.restored == {"copy": (0, [])}


def test_each_round_begins_with_another_tool(place: Place) -> None:
    first, second = Copy(place), Pipe(place, "tar", "", "")
    started: list[str] = []
    for tool in (first, second):
        tool.prepare = lambda name=tool.name: started.append(name)  # type: ignore[misc, method-assign]
    rounds = Rounds(place, [first, second], cold=False)
    rounds.run(0)
    rounds.run(1)
    assert started == ["copy", "tar", "tar", "copy"]


def test_outputs_are_deleted_and_trees_put_back_after_a_round(place: Place) -> None:
    Rounds(place, [Copy(place), Copy(place, "extract")], cold=False).run(0)
    assert list(place.scratch.iterdir()) == []
    assert list(place.current.iterdir()) == []
    assert all((version / "tree").is_dir() for version in place.versions)


def test_a_wrong_restore_is_found(tmp_path: Path) -> None:
    home = generated.made(tmp_path / "home", lambda: iter([("a", b"one"), ("b", b"two")]))
    copy = tmp_path / "copy"
    shutil.copytree(home / "tree", copy)
    assert places.differences(home / "tree", copy) == []
    (copy / "a").write_bytes(b"eno")
    assert len(places.differences(home / "tree", copy)) == 1
    assert places.differences(home / "tree", tmp_path / "none") == ["none is missing"]


def test_a_tree_that_a_killed_run_left_is_put_back(tmp_path: Path) -> None:
    versions = generated.small_files(tmp_path / "small", 20)
    current = versions[0].parent / "current"
    current.mkdir()
    (versions[1] / "tree").rename(current / "tree")
    with places.place(versions, tmp_path):
        assert (versions[1] / "tree").is_dir()
    assert not current.exists()


def test_too_little_room_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    versions = generated.small_files(tmp_path / "small", 20)
    monkeypatch.setattr(places, "ROOM_BYTES", 1 << 60)
    with pytest.raises(SystemExit, match="name another directory with --scratch"), places.place(versions, tmp_path):
        pass


def test_absent_tools_are_named_with_how_to_get_them(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(lineup, "WARP", sys.executable)
    chosen = lineup.choose(["warp", "borg", "rustic", "tar"], {})
    assert [entrant.key for entrant, _ in chosen.present] == ["warp", "tar"]
    assert chosen.absent["borg"] == "borg is absent: apt-get install borgbackup"
    assert "cargo install rustic-rs" in chosen.absent["rustic"]


def test_an_unknown_tool_is_refused() -> None:
    with pytest.raises(SystemExit, match="unknown tools: bup"):
        lineup.choose(["warp", "bup"], {})


def test_a_command_that_fails_says_its_errors() -> None:
    with pytest.raises(CommandFailedError, match=r"exit 4 of(?s:.)*no such repository"):
        measure(["sh", "-c", "echo no such repository >&2; exit 4"])


def test_small_files_are_the_same_every_time(tmp_path: Path) -> None:
    old, new = generated.small_files(tmp_path / "a", 300)
    again, _ = generated.small_files(tmp_path / "b", 300)
    before, after = digests(old / "tree"), digests(new / "tree")
    assert digests(again / "tree") == before
    assert len(before) == 300
    assert 0 < sum(before[path] != after[path] for path in before.keys() & after.keys()) < 30
    assert before.keys() - after.keys()
    assert after.keys() - before.keys()


def test_incompressible_files_have_the_bytes_asked_for(tmp_path: Path) -> None:
    home = generated.incompressible(tmp_path / "a", 3_000_000)
    again = generated.incompressible(tmp_path / "b", 3_000_000)
    assert digests(home / "tree") == digests(again / "tree")
    assert sum(path.stat().st_size for path in home.rglob("*.bin")) == 3_000_000


@pytest.mark.skipif(
    not (shutil.which("mke2fs") and shutil.which("debugfs")),
    reason="mke2fs or debugfs is absent: apt-get install e2fsprogs",
)
def test_a_disk_image_changes_in_place(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    for number in range(100):
        (source / f"{number:03}").write_bytes(bytes([number]) * 5000)
    old, new = images.disk_images(tmp_path / "image", [source], 8 << 20)
    before, after = ((version / "tree" / "disk.img").read_bytes() for version in (old, new))
    assert len(before) == len(after) == 8 << 20
    blocks = [before[at : at + 4096] != after[at : at + 4096] for at in range(0, len(before), 4096)]
    assert 0 < sum(blocks) < len(blocks) // 2
    assert before.count(bytes([7]) * 5000) == 1
    assert bytes(1 << 20) in before


def results() -> report.Result:
    table = Table()
    table.add("warp", "create", Run(2.5, 4.0, 100), stored_bytes=220_000_000)
    table.add("warp", "second version", Run(1.0, 2.0, 100), stored_bytes=240_000_000)
    table.add("tar|lz4", "create", Run(5.0, 4.0, 100), stored_bytes=300_000_000)
    table.fail("tar|lz4", "extract", "exit 2 of tar")
    failures = [{"tool": each.tool, "step": each.step, "error": each.error} for each in table.failures]
    return {"rows": table.as_json(), "failures": failures, "files": 3, "bytes": 10, "rounds": 1}


def test_the_report_has_ratios_growth_and_failures() -> None:
    lines = list(report.markdown("tree", results()))
    assert r"| tar\|lz4 | 2.00× |  |" in lines
    assert "| warp | 2.50 (2.50–2.50) | 1.00 (1.00–1.00) | 220.0 | 20.0 | 4.00 | 0 |" in lines
    assert any("**Failed**: tar|lz4, extract" in line for line in lines)


def test_the_drawing_has_a_bar_for_every_figure_and_a_word_for_every_gap() -> None:
    drawn = ET.fromstring(plot.draw(results(), ["warp", "tar|lz4"], "a tree <1>"))
    texts = [element.text for element in drawn.iter(f"{SVG}text")]
    assert len(list(drawn.iter(f"{SVG}rect"))) == 5  # create and size of both, second version of one
    assert {"2.5", "5.0", "220", "300", "–"} <= set(texts)
    assert "a tree <1>" in texts


def test_a_step_that_failed_in_some_round_is_drawn_as_failed() -> None:
    result = results()
    result["failures"].append({"tool": "tar|lz4", "step": "create", "error": "exit 2"})
    drawn = plot.draw(result, ["warp", "tar|lz4"], "a tree")
    assert ">failed<" in drawn
    assert ">5.0<" not in drawn


def test_results_are_written_with_the_machine(tmp_path: Path) -> None:
    file = tmp_path / "results" / "archive.json"
    write_json(file, {"sets": {}, "own_peak_bytes": own_peak_bytes()})
    written = json.loads(file.read_text())
    assert written["machine"]["cores"] >= 1
    assert written["own_peak_bytes"] > 1_000_000
    assert [path.name for path in file.parent.iterdir()] == ["archive.json"]
