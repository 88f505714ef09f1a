"""The units of systemd in the documentation are ones that systemd takes."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

PAGE = Path(__file__).resolve().parents[2] / "docs" / "cookbook.md"


def test_the_timer_of_the_cookbook_is_valid(tmp_path: Path) -> None:
    if not shutil.which("systemd-analyze"):
        pytest.skip("systemd-analyze is not installed")
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "nightly").write_text("#!/bin/sh\n")
    (tmp_path / "bin" / "nightly").chmod(0o755)
    units = re.findall(r"^```ini\n# (\S+)\n(.*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    assert [name for name, _ in units] == ["nightly.service", "nightly.timer"]
    for name, text in units:
        (tmp_path / name).write_text(text.replace("%h", str(tmp_path)))
    paths = [str(tmp_path / name) for name, _ in units]
    ran = subprocess.run(["systemd-analyze", "verify", "--man=no", *paths], capture_output=True, text=True, check=False)
    assert (ran.returncode, [line for line in ran.stderr.splitlines() if str(tmp_path) in line]) == (0, [])
