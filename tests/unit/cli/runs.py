"""Running commands in process and reading what they say to programs."""

import json
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
