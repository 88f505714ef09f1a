"""Running commands in process and reading what they say to programs."""

import json
import os
from pathlib import Path
from typing import Any

import pytest

from warp_portal.cli.main import main

PASSPHRASE = "correct horse battery"
Captured = pytest.CaptureFixture[str]


def records(capsys: Captured, *words: str, code: int = 0) -> list[dict[str, Any]]:
    """Run with --json; every line must be a record, and the last one the exit."""
    capsys.readouterr()
    assert main([*words, "--json"]) == code
    found: list[dict[str, Any]] = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert found[-1] == {"type": "exit", "schema": 1, "code": code}
    return found


def only(found: list[dict[str, Any]], kind: str) -> dict[str, Any]:
    (record,) = [record for record in found if record["type"] == kind]
    return record


def write_over(tree: Path) -> None:
    """Other content under the same metadata, ctime and inode apart."""
    file = tree / "sub" / "b.bin"
    status = file.stat()
    file.write_bytes(bytes(status.st_size))
    os.utime(file, ns=(status.st_atime_ns, status.st_mtime_ns))
