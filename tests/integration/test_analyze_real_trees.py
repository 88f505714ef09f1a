"""What `analyze` tells of trees that lie on this machine, beside what `create` makes of them."""

import sysconfig
from pathlib import Path

import pytest

from warp_portal.archive import AnalyzeOptions, Source, analyze, create

WITHIN = 0.10
LEAST_BYTES = 4 << 20


def library() -> Path:
    """Python's own."""
    return Path(sysconfig.get_path("stdlib"))


def packages() -> Path:
    """The packages that these tests are run with."""
    return Path(sysconfig.get_path("purelib"))


def registry() -> Path:
    """Sources of crates, and their packed files."""
    return Path.home() / ".cargo" / "registry"


def toolchains() -> Path:
    """Compilers: mostly large binaries."""
    return Path.home() / ".rustup" / "toolchains"


def quotient(tree: Path, scratch: Path, *, full: bool) -> float:
    """Predicted ÷ real size of an archive of a tree."""
    source = Source.of([tree], excludes=["__pycache__"])
    found = analyze(source, AnalyzeOptions(suite="plain", passphrase=False, full=full))
    if found.bytes < LEAST_BYTES:
        pytest.skip(f"{tree} holds little")
    archive = scratch / "real.warp"
    create(archive, source)
    size = archive.stat().st_size
    archive.unlink()
    print(f"{tree}: predicted {found.estimate.archive_bytes:,}, real {size:,}")
    return found.estimate.archive_bytes / size


@pytest.mark.soak
@pytest.mark.parametrize("full", [False, True])
@pytest.mark.parametrize("tree_of", [library, packages, registry, toolchains])
def test_archives_of_real_trees_have_the_size_that_was_told(tree_of: object, full: bool, tmp_path: Path) -> None:
    assert callable(tree_of)
    tree = tree_of()
    if not tree.is_dir():
        pytest.skip(f"there is no {tree}")
    assert quotient(tree, tmp_path, full=full) == pytest.approx(1, abs=WITHIN)


def test_an_archive_of_a_package_has_the_size_that_was_told(tmp_path: Path) -> None:
    """The sample of the above that always runs."""
    assert quotient(packages(), tmp_path, full=False) == pytest.approx(1, abs=WITHIN)
