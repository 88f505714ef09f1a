"""The script of developers, on a tree whose build is done at once."""

import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BUILD = '#!/bin/sh\ntouch "$(dirname "$0")/../../src/warp_portal/_native.abi3.so"\n'


def build(tree: Path) -> list[str]:
    """Run the step that builds the native module, where that is needed; the lines that it prints."""
    program = "import runpy; runpy.run_path('dev')['build_native']()"
    ran = subprocess.run([sys.executable, "-c", program], cwd=tree, capture_output=True, text=True, check=True)
    return ran.stdout.splitlines()


def test_a_build_is_announced_and_done_once(tmp_path: Path) -> None:
    shutil.copy(ROOT / "dev", tmp_path)
    (tmp_path / ".cargo").mkdir()
    for name in (".cargo/config.toml", "Cargo.toml", "Cargo.lock", "pyproject.toml"):
        (tmp_path / name).write_text("")
    (tmp_path / "src" / "warp_portal").mkdir(parents=True)
    python = tmp_path / ".venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text(BUILD)
    python.chmod(0o755)
    announced, *commands = build(tmp_path)
    assert announced.startswith("building the native module")
    assert len(commands) == 1
    assert build(tmp_path) == []
