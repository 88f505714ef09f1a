"""The short forms: their examples run, their names are listed, and importing them loads nothing heavy."""

import doctest
import subprocess
import sys

import warp_portal


def test_the_examples_run() -> None:
    assert doctest.testmod(warp_portal, optionflags=doctest.ELLIPSIS).failed == 0


def test_all_names_every_public_function() -> None:
    functions = {name for name, value in vars(warp_portal).items() if getattr(value, "__module__", "") == "warp_portal"}
    assert {name for name in functions if not name.startswith("_")} == set(warp_portal.__all__)
    assert warp_portal.__all__ == sorted(warp_portal.__all__)


def test_the_archive_layer_lists_its_names() -> None:
    from warp_portal import archive

    assert all(hasattr(archive, name) for name in archive.__all__)
    assert set(archive.__all__) == set(archive._HOME_OF)


def test_importing_the_package_loads_nothing_native() -> None:
    code = "import sys, warp_portal; print(*[m for m in sys.modules if 'cryptography' in m or '_native' in m])"
    loaded = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
    assert loaded.strip() == ""
