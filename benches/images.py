"""A disk image in two versions: ext4 with a system's files in it, then the same file system after some files were changed,
deleted and added in place, as an upgrade does. Made by mke2fs and debugfs, without mounting anything.

The files are this machine's own (/usr/share, /usr/bin, /usr/lib, in the order of their paths), so the image is fixed for a
machine's state, but for the inodes' change times. It is not sparse: free space is read as runs of zeros.
"""

import os
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path
from random import Random
from typing import Final

IMAGE_BYTES: Final = 2 << 30
CONTENT_BYTES: Final = 1_200_000_000
MOST_FILE_BYTES: Final = 32 << 20
SYSTEM: Final = (Path("/usr/bin"), Path("/usr/share"), Path("/usr/lib"))
NEW_FILE_BYTES: Final = 1 << 20
EPOCH: Final = 1_700_000_000
DAY_S: Final = 86_400
UUID: Final = "77617270-0000-4000-8000-62656e636865"
# mke2fs and debugfs take the present from it.
FIXED_TIME: Final = {**os.environ, "E2FSPROGS_FAKE_TIME": str(EPOCH)}


def disk_images(home: Path, sources: Sequence[Path] = SYSTEM, size: int = IMAGE_BYTES) -> tuple[Path, Path]:
    """Two directories that each hold `tree` with the image of a version in it."""
    old, new = home / "1", home / "2"
    if not (new / "complete").exists():
        shutil.rmtree(home, ignore_errors=True)
        content = home / "content"
        chosen = _stage(sources, content, CONTENT_BYTES * size // IMAGE_BYTES)
        _make(content, old, size)
        _upgrade(old, new, chosen)
        shutil.rmtree(content)
        for version in (old, new):
            (version / "complete").touch()
    # A disk that was written to has another time; tools may take it for unchanged otherwise.
    for version, time_s in ((old, EPOCH), (new, EPOCH + DAY_S)):
        os.utime(version / "tree" / "disk.img", (time_s, time_s))
    return old, new


def _stage(sources: Sequence[Path], content: Path, most_bytes: int) -> list[Path]:
    """Copy files until there are enough bytes; the copies' paths, relative to `content`."""
    chosen, total = [], 0
    for path in _files(sources):
        size = path.stat().st_size
        if total + size > most_bytes:
            break
        target = content / path.relative_to("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(path, target)
        chosen.append(target.relative_to(content))
        total += size
    return chosen


def _files(sources: Sequence[Path]) -> Iterator[Path]:
    """Regular files, none huge, of names that debugfs takes as they are."""
    for source in sources:
        for path in sorted(source.rglob("*")):
            plain = str(path).isprintable() and not set(str(path)) & set(' "\\')
            if plain and path.is_file() and not path.is_symlink() and path.stat().st_size <= MOST_FILE_BYTES:
                yield path


def _make(content: Path, version: Path, size: int) -> None:
    image = version / "tree" / "disk.img"
    image.parent.mkdir(parents=True)
    image.touch()
    os.posix_fallocate(fd := os.open(image, os.O_RDWR), 0, size)
    os.close(fd)
    fixed = ["-U", UUID, "-E", f"hash_seed={UUID},root_owner=0:0,nodiscard,lazy_itable_init=0"]
    command = ["mke2fs", "-q", "-F", "-t", "ext4", "-m", "0", *fixed, "-d", str(content), str(image)]
    subprocess.run(command, check=True, env=FIXED_TIME)


def _upgrade(old: Path, new: Path, chosen: list[Path]) -> None:
    """A copy of the image in which 3 % of the files have other content, 1 % are gone, and a few of 1 MiB are new."""
    image = new / "tree" / "disk.img"
    image.parent.mkdir(parents=True)
    subprocess.run(["cp", "--sparse=never", old / "tree" / "disk.img", image], check=True)
    random, scratch = Random(3), new / "changed"
    scratch.mkdir()
    picked = _neighbours(chosen, random)
    commands = [f"rm /{path}" for path in picked]
    for number, path in enumerate(picked[: len(picked) * 3 // 4]):
        changed = _changed((old.parent / "content" / path).read_bytes(), random)
        commands.append(_written(scratch / str(number), changed, f"/{path}"))
    commands += [
        _written(scratch / f"new{number}", random.randbytes(NEW_FILE_BYTES), f"/new{number}.bin")
        for number in range(len(chosen) // 10_000 + 1)
    ]
    script = new / "commands"
    script.write_text("\n".join(commands) + "\n")
    ran = subprocess.run(
        ["debugfs", "-w", "-f", script, image], env=FIXED_TIME, capture_output=True, text=True, check=True
    )
    errors = [line for line in ran.stderr.splitlines() if not line.startswith("debugfs ")]
    if errors:
        raise SystemExit(f"debugfs could not change the image: {errors[0]}")
    shutil.rmtree(scratch)
    script.unlink()


def _neighbours(chosen: list[Path], random: Random) -> list[Path]:
    """4 % of the files, in runs of up to 40 that lie beside each other, as a package's do."""
    run = min(40, len(chosen) // 25)
    starts = random.sample(range(0, len(chosen) - run, run), len(chosen) // 25 // run)
    return [path for start in starts for path in chosen[start : start + run]]


def _changed(content: bytes, random: Random) -> bytes:
    """Some bytes replaced, some put in: what another release of a file looks like."""
    at = random.randrange(len(content) + 1)
    return content[:at] + random.randbytes(random.randint(1, 4096)) + content[at + random.randint(0, 2048) :]


def _written(file: Path, content: bytes, target: str) -> str:
    """The command that puts content at a path of the image."""
    file.write_bytes(content)
    os.utime(file, (EPOCH, EPOCH))
    return f"write {file} {target}"
