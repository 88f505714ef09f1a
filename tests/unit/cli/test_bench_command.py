import json
from pathlib import Path

import pytest

from warp_portal.cli.main import main


def test_every_primitive_is_measured_on_named_data(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for number in range(40):
        (tmp_path / f"{number}.txt").write_bytes(b"some text to compress, again and again\n" * 1000)
    (tmp_path / "__pycache__").mkdir()
    assert main(["bench", "cpu", "--data", str(tmp_path), "--seconds", "0.01", "--threads", "2", "--json"]) == 0
    records = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    data = next(record for record in records if record["type"] == "data")
    assert (data["bytes"], data["threads"]) == (40 * 39 * 1000, 2)
    assert "40 files" in data["about"]
    rates = {record["primitive"]: record for record in records if record["type"] == "rate"}
    assert {"copy", "cut", "blake3", "chacha20-poly1305", "aes-256-gcm", "lz4", "zstd:1", "zstd:2", "zstd:3"} <= set(
        rates
    )
    assert all(record["one_core"] > 0 and record["all_cores"] > 0 for record in rates.values())
    assert [rates[name]["plan"] for name in ("blake3", "zstd:1", "lz4", "copy")] == [5e9, 0.5e9, 2e9, None]
    assert next(record for record in records if record["type"] == "file_cost")["files"] == 40


def test_people_get_a_table(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "big").write_bytes(bytes(2 << 20))
    assert main(["bench", "cpu", "--data", str(tmp_path / "big"), "--seconds", "0.01"]) == 0
    out = capsys.readouterr().out
    assert "BLAKE3" in out
    assert "5.00 GB/s" in out
    assert "500 MB/s" in out


def test_too_little_data_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "small").write_bytes(b"x")
    assert main(["bench", "cpu", "--data", str(tmp_path)]) == 2
    assert "needs 1.05 MB" in capsys.readouterr().err
