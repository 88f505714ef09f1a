"""Where the benches get their data: two versions of a source tree and of a big wheel from package registries, large binaries
and a disk image from this machine's own packages, and generated files. Each is made once and stays in the cache directory.

    ./dev bench datasets [SET …]        make them now, for example before a machine is to be quiet
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Final

from benches import generated, images

PACKAGE = "linux-source-6.1"
WHEEL, WHEEL_VERSIONS = "torch", ("2.8.0", "2.9.0")


def cache_directory() -> Path:
    """Where downloaded and unpacked data stays between runs (WARP_BENCH_DATA, default ~/.cache/warp-portal-bench)."""
    default = Path.home() / ".cache" / "warp-portal-bench"
    return Path(os.environ.get("WARP_BENCH_DATA", default))


def source_trees() -> tuple[Path, Path]:
    """Two directories that each hold `tree`: the two newest upstream versions of the kernel source that Debian serves."""
    new, old = _versions()
    return _source_tree(old), _source_tree(new)


def _versions() -> list[str]:
    """The newest revision of each of the two newest upstream versions."""
    listing = subprocess.run(["apt-cache", "madison", PACKAGE], check=True, capture_output=True, text=True).stdout
    newest: dict[str, str] = {}
    for line in listing.splitlines():
        version = line.split("|")[1].strip()
        newest.setdefault(version.rsplit("-", 1)[0], version)
    if len(newest) < 2:
        raise SystemExit(f"apt-cache knows fewer than two versions of {PACKAGE}; run apt-get update")
    return list(newest.values())[:2]


def _source_tree(version: str) -> Path:
    home = cache_directory() / f"{PACKAGE}-{version}"
    if (home / "complete").exists():
        return home
    print(f"fetching and unpacking {PACKAGE} {version} …", file=sys.stderr)
    shutil.rmtree(home, ignore_errors=True)
    home.mkdir(parents=True)
    subprocess.run(["apt-get", "download", f"{PACKAGE}={version}"], cwd=home, check=True, stdout=subprocess.DEVNULL)
    subprocess.run(["dpkg-deb", "-x", next(home.glob("*.deb")), home / "package"], check=True)
    (home / "tree").mkdir()
    packed = next((home / "package").rglob("*.tar.xz"))
    subprocess.run(["tar", "-C", home / "tree", "--strip-components=1", "-xJf", packed], check=True)
    shutil.rmtree(home / "package")
    next(home.glob("*.deb")).unlink()
    (home / "complete").touch()
    return home


def wheels() -> tuple[Path, Path]:
    """Two directories that each hold `tree`: two releases of one big wheel, unpacked."""
    old, new = (_wheel(version) for version in WHEEL_VERSIONS)
    return old, new


def _wheel(version: str) -> Path:
    home = cache_directory() / f"{WHEEL}-{version}"
    if (home / "complete").exists():
        return home
    print(f"fetching and unpacking {WHEEL} {version} …", file=sys.stderr)
    shutil.rmtree(home, ignore_errors=True)
    home.mkdir(parents=True)
    wanted = ["--no-deps", "--only-binary", ":all:", "--python-version", "3.11", "--quiet", f"{WHEEL}=={version}"]
    subprocess.run([shutil.which("python3") or "python3", "-m", "pip", "download", *wanted], cwd=home, check=True)
    packed = next(home.glob("*.whl"))
    shutil.unpack_archive(packed, home / "tree", "zip")
    packed.unlink()
    (home / "complete").touch()
    return home


def large_binaries(minimum_bytes: int = 4 << 20) -> Path:
    """A directory that holds `tree`: copies of the large files (≥ 4 MiB) of the Rust toolchain."""
    home = cache_directory() / "binaries"
    if (home / "complete").exists():
        return home
    sysroot = subprocess.run(["rustc", "--print", "sysroot"], check=True, capture_output=True, text=True).stdout.strip()
    shutil.rmtree(home, ignore_errors=True)
    for path in sorted(Path(sysroot).rglob("*")):
        if path.is_file() and not path.is_symlink() and path.stat().st_size >= minimum_bytes:
            target = home / "tree" / path.relative_to(sysroot)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(path, target)
    (home / "complete").touch()
    return home


def _generated(name: str) -> Path:
    home = cache_directory() / name
    if not home.exists():
        print(f"making the set {name} …", file=sys.stderr)
    return home


def measure(version: Path) -> tuple[int, int]:
    """Number and bytes of a version's files."""
    count = total = 0
    for path in (version / "tree").rglob("*"):
        if path.is_file() and not path.is_symlink():
            count, total = count + 1, total + path.stat().st_size
    return count, total


SETS: Final[Mapping[str, Callable[[], tuple[Path, ...]]]] = MappingProxyType(
    {
        "tree": source_trees,
        "wheel": wheels,
        "binaries": lambda: (large_binaries(),),
        "incompressible": lambda: (generated.incompressible(_generated("incompressible")),),
        "small": lambda: generated.small_files(_generated("small")),
        "image": lambda: images.disk_images(_generated("image")),
    }
)


def prepared(name: str) -> tuple[Path, ...]:
    """The versions of a set, made in another process: what this one holds would count as the memory of what it starts."""
    subprocess.run([sys.executable, "-m", "benches.datasets", name], check=True)
    return SETS[name]()


def main() -> None:
    """Make the sets named in argv, or all."""
    names = sys.argv[1:] or list(SETS)
    if unknown := set(names) - set(SETS):
        raise SystemExit(f"unknown sets: {', '.join(sorted(unknown))}; there are {', '.join(SETS)}")
    for name in names:
        SETS[name]()


if __name__ == "__main__":
    main()
