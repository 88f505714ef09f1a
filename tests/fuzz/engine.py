"""Runs fuzzers: libFuzzer over the targets of the Rust core, Atheris over those in Python (docs/decisions/0007-fuzzing.md).

Each begins with the kept corpus and with what earlier runs found on this machine, and adds to the latter: it lies in the
user's cache directory, `fuzz/NAME/corpus`, findings beside it in `fuzz/NAME/findings`.
"""

import importlib.util
import os
import random
import re
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

import platformdirs

from tests.fuzz import sections, seeds
from tests.fuzz.targets import RUST

ROOT: Final = Path(__file__).resolve().parents[2]
# What `cargo fuzz` passes too, without the sanitizer: those need a nightly compiler. Debug assertions and overflow
# checks make of a silent wrong value a finding.
FLAGS: Final = (
    "-Cpasses=sancov-module",
    "-Cllvm-args=-sanitizer-coverage-level=4",
    "-Cllvm-args=-sanitizer-coverage-inline-8bit-counters",
    "-Cllvm-args=-sanitizer-coverage-pc-table",
    "-Cllvm-args=-sanitizer-coverage-trace-compares",
    "-Cdebug-assertions",
    "-Coverflow-checks",
)
TIMEOUT_S: Final = 25  # for one input; the slowest of the kept ones takes a hundredth of it
MEMORY_MIB: Final = 2048
# Inputs as long as what they describe needs: a longer one is slower and finds nothing else.
LONGEST: Final = {"rust-matcher": 512, "patterns": 512, "rust-cutter": 65_536, "archive": 131_072, "units": 64}
LONGEST_ELSE: Final = 8192
KEPT_BYTES: Final = {"archive": 131_072, "rust-unpack": 65_536, "rust-columns": 65_536, "rust-baseline": 32_768}
KEPT_BYTES_ELSE: Final = 16_384


class EngineMissingError(Exception):
    """The fuzzing engine of a target cannot be used here; the message says why."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a run did. `coverage` counts edges that libFuzzer saw, `found` the file with an input that fails."""

    executions: int
    per_second: int
    coverage: int
    corpus: int
    found: Path | None
    log: str


def home(name: str) -> Path:
    """Where a target keeps what it finds; FUZZ_CACHE names another place."""
    base = os.environ.get("FUZZ_CACHE") or os.path.join(platformdirs.user_cache_dir("warp-portal"), "fuzz")
    return Path(base) / name


def fuzz(name: str, seconds: int) -> Outcome:
    """Look for findings for so long."""
    corpus, findings = unpacked(name), home(name) / "findings"
    findings.mkdir(parents=True, exist_ok=True)
    before = set(findings.iterdir())
    log = _run(
        name, [f"-max_total_time={seconds}", "-print_final_stats=1", f"-artifact_prefix={findings}/", str(corpus)]
    )
    found = sorted(set(findings.iterdir()) - before)
    stats = {key: int(value) for key, value in re.findall(r"stat::(\w+):\s+(\d+)", log)}
    coverage = [int(value) for value in re.findall(r"\bcov: (\d+)", log)]
    return Outcome(
        stats.get("number_of_executed_units", 0),
        stats.get("average_exec_per_sec", 0),
        coverage[-1] if coverage else 0,
        len(list(corpus.iterdir())),
        found[0] if found else None,
        log,
    )


def again(name: str, found: Path) -> str:
    """The line that runs one input again."""
    command, environment = _command(name)
    words = [f"{key}={value}" for key, value in environment.items()]
    return " ".join([*words, *command, str(found)])


def unpacked(name: str) -> Path:
    """The directory that a fuzzer works on, with the kept inputs in it."""
    corpus = home(name) / "corpus"
    corpus.mkdir(parents=True, exist_ok=True)
    for number, data in enumerate(sections.corpus(name)):
        (corpus / f"kept-{number:04}").write_bytes(data)
    return corpus


def worth_keeping(name: str) -> list[bytes]:
    """The seeds, and as many as there is room for of the inputs found: of a Rust target, those that are needed to reach all."""
    corpus, kept = unpacked(name), seeds.everything()[name]
    with tempfile.TemporaryDirectory() as target:
        # Atheris cannot merge, for libFuzzer would have to start it again; its corpora are smaller.
        if name in RUST:
            _run(name, ["-set_cover_merge=1", target, str(corpus)])
        chosen = [path.read_bytes() for path in (Path(target) if name in RUST else corpus).iterdir()]
    found, room = sorted(set(chosen) - set(kept)), KEPT_BYTES.get(name, KEPT_BYTES_ELSE)
    random.Random(name).shuffle(found)
    for data in found:
        if len(data) <= room:
            room -= len(data)
            kept.append(data)
    return kept


def _run(name: str, options: list[str]) -> str:
    """Run the engine; what it wrote."""
    command, environment = _command(name)
    limits = [
        f"-timeout={TIMEOUT_S}",
        f"-rss_limit_mb={MEMORY_MIB}",
        f"-max_len={LONGEST.get(name, LONGEST_ELSE)}",
    ]
    # In memory where there is such a place: targets write small files thousands of times a second.
    memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    with tempfile.TemporaryDirectory(dir=memory) as scratch:
        ran = subprocess.run(
            [*command, *limits, *options],
            cwd=ROOT,
            env={**os.environ, **environment, "TMPDIR": scratch},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            check=False,
        )
    return ran.stdout.decode("utf-8", "replace")


def _command(name: str) -> tuple[list[str], dict[str, str]]:
    """The engine's command without options, and variables it needs."""
    if name in RUST:
        return [str(rust_engine())], {"WARP_FUZZ_TARGET": name}
    need_atheris()
    path = os.pathsep.join([str(ROOT / "src"), str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    return [sys.executable, "-m", "tests.fuzz.python_engine", name], {"PYTHONPATH": path}


def need_atheris() -> None:
    """Raises EngineMissingError where Atheris is not installed."""
    if importlib.util.find_spec("atheris") is None:
        raise EngineMissingError("Atheris is not installed (it has wheels for CPython 3.11 to 3.14 on x86-64 Linux)")


@cache
def rust_engine() -> Path:
    """The binary with all Rust targets, built once a process."""
    verbose = subprocess.run(["rustc", "-vV"], capture_output=True, text=True, check=True).stdout
    host = verbose.partition("host: ")[2].split()[0]
    folder = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target" / "fuzz"))
    # Naming the target keeps the flags from build scripts and procedural macros.
    command = ["cargo", "build", "--release", "--locked", "-p", "warp-fuzz", "--features", "engine", "--target", host]
    environment = {**os.environ, "RUSTFLAGS": " ".join(FLAGS), "CARGO_TARGET_DIR": str(folder)}
    if subprocess.run(command, cwd=ROOT, env=environment, check=False).returncode:
        raise EngineMissingError("the fuzz targets of the Rust core do not build: see above")
    return folder / host / "release" / "warp-fuzz"
