"""Checks of `./dev lint` that no linter does: file lengths, and the policy and advisories of dependencies.

What needs data from outside (advisory databases) is run where that data can be reached; elsewhere it is said that it did not run.
"""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FOLDERS = ("src", "tests", "benches", "demo", "docs", "rust", ".ci")
CODE = {".py", ".pyi", ".rs", ".cu"}
LINES_NOTED, LINES_MAX = 400, 500


def main() -> int:
    """Run all checks, then fail if one failed."""
    return max([lengths(), rust_policy(), rust_advisories(), python_advisories()])


def lengths() -> int:
    """Files stay short enough to be read in one go."""
    files = [ROOT / "dev", *(p for name in FOLDERS for p in (ROOT / name).rglob("*") if p.suffix in CODE)]
    counts = {path.relative_to(ROOT): len(path.read_bytes().splitlines()) for path in files}
    for path, count in sorted(counts.items()):
        if count > LINES_NOTED:
            print(f"lint: {path} has {count} lines (aim for {LINES_NOTED}, {LINES_MAX} at most)")
    return int(max(counts.values()) > LINES_MAX)


def rust_policy() -> int:
    """Licenses, sources and duplicates of the crates, by deny.toml; needs no data from outside."""
    print("$ cargo deny check bans licenses sources", flush=True)
    return subprocess.run(
        ["cargo-deny", "--offline", "check", "bans", "licenses", "sources"], cwd=ROOT, check=False
    ).returncode


def rust_advisories() -> int:
    """Known vulnerabilities of the crates."""
    return advisories(
        "cargo-deny", ["cargo-deny", "check", "advisories"], ("failed to fetch", "failed to open", "failed to load")
    )


def python_advisories() -> int:
    """Known vulnerabilities of the locked Python packages."""
    lock = "requirements/runtime.txt"
    command = ["pip-audit", "--requirement", lock, "--require-hashes", "--disable-pip", "--progress-spinner", "off"]
    return advisories("pip-audit", command, ("could not be audited", "ConnectionError", "ServiceError", "Max retries"))


def advisories(name: str, command: list[str], unreachable: tuple[str, ...]) -> int:
    """Run an auditor; its status, or 0 with a plain word if it could not reach its data."""
    print("$", " ".join(command), flush=True)
    try:
        ran = subprocess.run(command, cwd=ROOT, check=False, capture_output=True, text=True, timeout=120)
    except subprocess.TimeoutExpired:
        print(f"lint: {name} did NOT run: its advisory data did not answer")
        return 0
    if any(sign in ran.stdout + ran.stderr for sign in unreachable):
        print(f"lint: {name} did NOT check advisories: its advisory data cannot be reached from here")
        return 0
    print((ran.stdout + ran.stderr).strip())
    return ran.returncode


if __name__ == "__main__":
    sys.exit(main())
