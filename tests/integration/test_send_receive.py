"""`warp send` and `warp receive` as two processes that speak over the sockets of this machine."""

import errno
import os
import shutil
from pathlib import Path

import pytest

from tests.transfers import Pair, noise
from tests.trees import IS_ROOT, add_socket, differences, every_type, write

MIB = 1 << 20


@pytest.fixture
def pair(tmp_path: Path) -> Pair:
    return Pair.at(tmp_path)


def small_tree(root: Path) -> Path:
    """A few files in two directories."""
    for number in range(12):
        noise(root / f"d{number % 2}" / f"f{number}", 5000 + 17 * number, seed=number)
    return root


def test_a_tree_of_every_type_arrives_as_it_was(pair: Pair, tmp_path: Path) -> None:
    tree, target = tmp_path / "tree", tmp_path / "out"
    every_type(tree)
    with pair.both(target, tree, taking=["--setuid"]) as (sender, receiver):
        offered, taken = sender.offer(), receiver.offer()
        received, sent = receiver.succeeded(), sender.succeeded()
    assert differences(tree, target / "tree") == ""
    holes = (target / "tree" / "sparse").stat()
    assert holes.st_blocks * 512 < holes.st_size // 10
    entries = 1 + sum(1 for _ in tree.rglob("*"))
    assert sent["entries"] == sent["restored"] == received["restored"] == entries
    assert sent["failed"] == received["failed"] == 0
    assert taken["title"] == "tree"
    assert taken["machine"].startswith("warp-machine:")
    assert (offered["code"], offered["resumed"]) == (None, False)
    # What lies there twice travels once.
    assert sent["bytes_packed"] == received["bytes_received"] < sent["bytes"] * 0.7
    assert received["bytes_wire"] == sent["bytes_wire"] >= received["bytes_received"] // 30
    for records in (sender.records, receiver.records):
        assert all(record["schema"] == 1 for record in records)
        assert records[-1] == {"type": "exit", "schema": 1, "code": 0}
    pair.assert_clean(target)


def test_progress_counts_up_to_the_whole(pair: Pair, tmp_path: Path) -> None:
    tree, target = tmp_path / "tree", tmp_path / "out"
    noise(tree / "large", 8 * MIB)
    # Slow enough that there is something to tell.
    with pair.both(target, tree, "--limit", "3MiB/s") as (sender, receiver):
        received, sent = receiver.succeeded(), sender.succeeded()
        for process in (sender, receiver):
            steps = [record for record in process.records if record["type"] == "progress"]
            done = [step["bytes_done"] for step in steps]
            assert done == sorted(done)
            assert 0 < done[-1] <= 8 * MIB
            assert steps[-1]["bytes_total"] == 8 * MIB
            assert steps[-1]["total_entries"] == 2
            assert {"entries", "files", "fragments_kept", "bytes_wire"} <= steps[-1].keys()
            # What was read ahead of the network is not done.
            assert all(step["bytes_done"] <= step["bytes_wire"] + 3 * MIB for step in steps)
    # As a ratio, for the machine may be slow: never faster than said, but for the first burst.
    for summary in (sent, received):
        assert summary["bytes_wire"] / summary["seconds"] < 1.1 * 3 * MIB


def test_the_ticket_may_be_an_argument_or_in_the_environment(pair: Pair, tmp_path: Path) -> None:
    tree = small_tree(tmp_path / "tree")
    with pair.source.send(tree) as sender:
        with pair.sink.run("receive", "-C", tmp_path / "one", sender.offer()["ticket"].upper()) as receiver:
            receiver.succeeded()
        sender.succeeded()
    with pair.source.send(tree) as sender:
        with pair.sink.run("receive", "-C", tmp_path / "two", WARP_CODE=sender.offer()["ticket"]) as receiver:
            receiver.succeeded()
        sender.succeeded()
    assert differences(tree, tmp_path / "one" / "tree") == differences(tree, tmp_path / "two" / "tree") == ""


def test_several_paths_come_under_their_own_names(pair: Pair, tmp_path: Path) -> None:
    tree, single, target = small_tree(tmp_path / "a" / "tree"), noise(tmp_path / "b" / "file", 70_000), tmp_path / "out"
    empty = tmp_path / "c" / "empty"
    empty.mkdir(parents=True)
    empty.chmod(0o710)
    (tmp_path / "link").symlink_to("b")
    sent, _ = pair.transfer(target, single, tree, empty, tmp_path / "link")
    assert sorted(os.listdir(target)) == ["empty", "file", "link", "tree"]
    assert differences(tree, target / "tree") == differences(empty, target / "empty") == ""
    assert (target / "file").read_bytes() == single.read_bytes()
    assert os.readlink(target / "link") == "b"
    assert sent["entries"] == 15 + 1 + 1 + 1
    pair.assert_clean(target)


def test_a_dot_is_what_is_in_the_directory_without_what_is_left_out(pair: Pair, tmp_path: Path) -> None:
    tree, target = small_tree(tmp_path / "tree"), tmp_path / "out"
    write(tree / "d0" / "a.log", b"left out")
    write(tree / "d1" / "b.tmp", b"left out too")
    patterns = tmp_path / "patterns"
    patterns.write_text("# temporary\n*.tmp\n")
    with pair.source.send(".", "-x", "*.log", "--exclude-from", patterns, directory=tree) as sender:
        with pair.sink.receive(sender.offer()["ticket"], target) as receiver:
            receiver.succeeded()
        sender.succeeded()
    (tree / "d0" / "a.log").unlink()
    (tree / "d1" / "b.tmp").unlink()
    assert sorted(os.listdir(target)) == ["d0", "d1"]
    assert all(differences(tree / name, target / name).replace(".d..t...... ./\n", "") == "" for name in ("d0", "d1"))
    pair.assert_clean(target)


def test_existing_files_are_left_unless_they_may_go(pair: Pair, tmp_path: Path) -> None:
    tree, target = small_tree(tmp_path / "tree"), tmp_path / "out"
    shutil.copytree(tree, target / "tree", copy_function=shutil.copy2)
    changed, same = target / "tree" / "d0" / "f0", target / "tree" / "d0" / "f2"
    # Another content of the same size and time is not seen as changed.
    stamp = same.stat()
    write(same, b"?" * stamp.st_size)
    os.utime(same, ns=(stamp.st_atime_ns, stamp.st_mtime_ns))
    write(changed, b"mine")
    (target / "tree" / "d1" / "f1").unlink()
    _, never = pair.transfer(target, tree)
    assert never["skipped"]["exists"] == 11
    assert changed.read_bytes() == b"mine"
    assert never["bytes_received"] == 5017
    assert (target / "tree" / "d1" / "f1").read_bytes() == (tree / "d1" / "f1").read_bytes()
    pair.transfer(target, tree, taking=["--overwrite", "changed"])
    assert changed.read_bytes() == (tree / "d0" / "f0").read_bytes()
    assert same.read_bytes() == b"?" * stamp.st_size
    pair.transfer(target, tree, taking=["--overwrite", "always"])
    assert differences(tree, target / "tree") == ""
    pair.assert_clean(target)


@pytest.mark.skipif(not IS_ROOT, reason="only root can give up what root may read")
def test_what_cannot_be_read_is_told_on_both_sides(tmp_path: Path) -> None:
    tree, target = small_tree(tmp_path / "tree"), tmp_path / "out"
    (tree / "d0" / "f0").chmod(0)
    (tree / "d1").chmod(0)
    pair = Pair.at(tmp_path, within=["setpriv", "--bounding-set=-dac_override,-dac_read_search"])
    with pair.both(target, tree) as (sender, receiver):
        assert receiver.failed() == (3, "the other side could not read everything: it says there what")
        code, message = sender.failed()
        assert code == 3
        assert "2 paths could not be read" in message
        problems = [record for record in sender.records if record["type"] == "error" and not record["fatal"]]
    assert sorted(Path(problem["path"]).name for problem in problems) == ["d1", "f0"]
    assert all(problem["errno"] == errno.EACCES for problem in problems)
    assert sorted(os.listdir(target / "tree" / "d0")) == ["f10", "f2", "f4", "f6", "f8"]
    pair.assert_clean(target)


def test_a_socket_is_left_out(pair: Pair, tmp_path: Path) -> None:
    tree, target = small_tree(tmp_path / "tree"), tmp_path / "out"
    add_socket(tree)
    _, received = pair.transfer(target, tree)
    assert received["skipped"]["socket"] == 1
    assert not (target / "tree" / "socket").exists()
    pair.assert_clean(target)


def test_what_is_deleted_after_it_was_offered_is_missed(pair: Pair, tmp_path: Path) -> None:
    tree, target = small_tree(tmp_path / "tree"), tmp_path / "out"
    with pair.source.send(tree) as sender:
        ticket = sender.offer()["ticket"]
        (tree / "d0" / "f0").unlink()
        with pair.sink.receive(ticket, target) as receiver:
            assert receiver.ended() == sender.ended() == 3
            missed = [record for record in sender.records if record["type"] == "error" and not record["fatal"]]
    assert [(record["path"], record["message"]) for record in missed] == [
        (str(tree), "1 entry that was offered is gone")
    ]
    assert differences(tree, target / "tree") == ""
