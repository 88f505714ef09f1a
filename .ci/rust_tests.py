"""Runs the tests of warp-core, and the kept fuzz inputs, and prints warp-core's line coverage, without counting the tests' own lines.

Only workspace crates are instrumented (by a rustc wrapper), so the dependencies of the release build are shared.
Reading the profiles needs llvm-profdata and llvm-cov of rustc's own LLVM version: from `rustup component add llvm-tools`
or the system's package llvm-N. Without them the tests run all the same, and that nothing was measured is said.
"""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
OUT = ROOT / "target" / "coverage"
REQUIRED_PERCENT = 90.0
TESTS = ["cargo", "test", "--release", "--locked", "-p", "warp-core", "-p", "warp-fuzz"]


def main() -> int:
    """Test with coverage where it can be read, else without."""
    tools = llvm_tools()
    if tools is None:
        print("coverage of warp-core was NOT measured: llvm-profdata and llvm-cov of rustc's LLVM version are missing")
        return subprocess.run(TESTS, cwd=ROOT, check=False).returncode
    profdata, cov = tools
    for old in OUT.glob("rust-*.profraw"):
        old.unlink()
    environment = {
        **os.environ,
        "RUSTC_WORKSPACE_WRAPPER": str(wrapper()),
        "LLVM_PROFILE_FILE": str(OUT / "rust-%p-%m.profraw"),
    }
    binaries = build(environment)
    status = subprocess.run(TESTS, cwd=ROOT, env=environment, check=False).returncode
    if status:
        return status
    merged = OUT / "rust.profdata"
    subprocess.run([profdata, "merge", "-sparse", "-o", merged, *OUT.glob("rust-*.profraw")], check=True)
    objects = [word for binary in binaries[1:] for word in ("-object", binary)]
    lcov = subprocess.run(
        [cov, "export", "-format=lcov", "-skip-functions", f"-instr-profile={merged}", binaries[0], *objects],
        check=True, capture_output=True, text=True,
    ).stdout  # fmt: skip
    return report(lcov)


def llvm_tools() -> tuple[str, str] | None:
    """Paths of llvm-profdata and llvm-cov that fit rustc, or None."""
    verbose = subprocess.run(["rustc", "-vV"], capture_output=True, text=True, check=True).stdout
    host = re.search(r"host: (\S+)", verbose)
    version = re.search(r"LLVM version: (\d+)", verbose)
    sysroot = subprocess.run(["rustc", "--print", "sysroot"], capture_output=True, text=True, check=True).stdout.strip()
    if host is None or version is None:
        return None
    component = Path(sysroot) / "lib" / "rustlib" / host[1] / "bin"
    for pair in (
        (component / "llvm-profdata", component / "llvm-cov"),
        (f"llvm-profdata-{version[1]}", f"llvm-cov-{version[1]}"),
    ):
        found = [shutil.which(tool) for tool in pair]
        if found[0] and found[1]:
            return found[0], found[1]
    return None


def wrapper() -> Path:
    """A rustc that instruments; cargo calls it for workspace crates only and keeps their artifacts apart."""
    OUT.mkdir(parents=True, exist_ok=True)
    path = OUT / "rustc"
    path.write_text('#!/bin/sh\nexec "$@" -C instrument-coverage\n')
    path.chmod(0o755)
    return path


def build(environment: dict[str, str]) -> list[str]:
    """Compile the tests; the executables' paths."""
    command = [*TESTS, "--no-run", "--message-format=json-render-diagnostics"]
    made = subprocess.run(command, cwd=ROOT, env=environment, check=False, stdout=subprocess.PIPE, text=True)
    if made.returncode:
        sys.exit(made.returncode)
    artifacts = (json.loads(line) for line in made.stdout.splitlines() if line.startswith("{"))
    return [artifact["executable"] for artifact in artifacts if artifact.get("executable")]


def report(lcov: str) -> int:
    """Print lines covered per file and in all; 1 if in all they are too few."""
    rows = sorted((path, *count) for path, count in by_file(lcov).items())
    print(f"\n{'coverage of warp-core':<48}{'lines':>8}{'missed':>8}{'cover':>8}")
    for path, lines, missed in rows:
        print(f"{path:<48}{lines:>8}{missed:>8}{share(lines, missed):>7.1f}%")
    lines, missed = sum(row[1] for row in rows), sum(row[2] for row in rows)
    covered = share(lines, missed)
    print(
        f"{'in all':<48}{lines:>8}{missed:>8}{covered:>7.1f}%   (more than {REQUIRED_PERCENT:.0f}% required)\n",
        flush=True,
    )
    return 0 if covered > REQUIRED_PERCENT else 1


def by_file(lcov: str) -> dict[str, tuple[int, int]]:
    """(lines, lines never run) of each file of warp-core's sources, up to its test module."""
    counts: dict[str, tuple[int, int]] = {}
    path, last, hits = "", 0, dict[int, int]()
    for record in lcov.splitlines():
        if record.startswith("SF:"):
            path, hits = record[3:], {}
            last = first_test_line(Path(path))
        elif record.startswith("DA:"):
            number, hit = record[3:].split(",")[:2]
            hits[int(number)] = max(hits.get(int(number), 0), int(hit))
        elif record == "end_of_record" and "/warp-core/src/" in path:
            kept = [hit for number, hit in hits.items() if number < last]
            if kept:
                counts[path.split("/warp-core/")[1]] = (len(kept), kept.count(0))
    return counts


def first_test_line(path: Path) -> int:
    """Where a file's tests begin: at its `#[cfg(test)]` module, or at 0 if the whole file is one."""
    parents = [path.parent / "mod.rs", path.parent.with_suffix(".rs"), path.parent / "lib.rs"]
    declared = rf"#\[cfg\(test\)\]\n(pub(\(\w+\))? )?mod {path.stem};"
    if any(parent.exists() and re.search(declared, parent.read_text()) for parent in parents):
        return 0
    lines = path.read_text().splitlines()
    starts = (
        i + 1 for i, line in enumerate(lines) if line == "#[cfg(test)]" and lines[i + 1 : i + 2] == ["mod tests {"]
    )
    return next(starts, len(lines) + 1)


def share(lines: int, missed: int) -> float:
    """Percent of lines that ran."""
    return 100.0 * (lines - missed) / lines if lines else 100.0


if __name__ == "__main__":
    sys.exit(main())
