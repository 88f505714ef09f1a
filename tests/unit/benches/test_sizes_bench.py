"""benches/sizes.py: that each cell can be packed, and what a cell is found to store."""

from pathlib import Path

import pytest
from benches import generated, places, sizes

from warp_portal.primitives.cutting import KIB, MIB


@pytest.mark.parametrize("name", sizes.SETS)
def test_every_cell_is_within_the_formats_limits(name: str) -> None:
    cells = sizes.grid(name)
    assert all(cell.cutting().defect() is None for cell in cells)
    assert len(set(cells)) == len(cells)


def test_a_cell_is_measured_and_told(tmp_path: Path) -> None:
    versions = generated.small_files(tmp_path / "small", 200)
    found, cell = sizes.Found(), sizes.Cell(16 * KIB, 256 * KIB, "lz4")
    with places.place(versions, tmp_path) as place:
        for _ in range(2):
            sizes.measure(place, cell, found)
    assert len(found.create_s) == len(found.append_s) == 2
    assert found.fragments == 200
    assert found.stored[0] > found.index + found.table > 0
    assert found.growth[0] > 0
    row = {"sizes": cell.sizes(), "codec": cell.codec, **{name: getattr(found, name) for name in found.__slots__}}
    assert any(line.startswith("| 16K / 256K | lz4 |") for line in sizes.markdown({"small": [row]}))


def test_cells_of_a_round_share_their_cuts(tmp_path: Path) -> None:
    versions = generated.small_files(tmp_path / "small", 400)
    cells = [sizes.Cell(64 * KIB, 256 * KIB, codec) for codec in ("zstd 1", "zstd 3")]
    counts = []
    with places.place(versions, tmp_path) as place:
        for cell in cells:
            found = sizes.Found()
            sizes.measure(place, cell, found)
            counts.append(found.chunks)
    assert counts[0] == counts[1] > 1


def test_sizes_are_written_as_people_do() -> None:
    assert sizes.Cell(64 * KIB, MIB, fixed=True).sizes() == "64K / 1M fixed"
