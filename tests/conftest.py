"""What holds for every test: settings and state of this machine's user are out of reach, and hypothesis does not race."""

import signal
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

settings.register_profile("warp", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("warp")

# What a shell runs in the background ignores Ctrl-C, and so would every process that a test starts.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_addoption(parser: pytest.Parser) -> None:
    """`./dev soak fuzz --fuzz-seconds 60` fuzzes each target for a minute."""
    parser.addoption("--fuzz-seconds", type=int, default=None, help="how long each target is fuzzed (default: 600)")


@pytest.fixture(autouse=True)
def own_settings(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty home for configuration and state, and no WARP_ variable of the outside."""
    import os

    for name in [name for name in os.environ if name.startswith("WARP_")]:
        monkeypatch.delenv(name)
    home = tmp_path_factory.mktemp("home")
    monkeypatch.setenv("WARP_CONFIG", str(home / "config.toml"))
    monkeypatch.setenv("WARP_STATE_DIR", str(home / "state"))
    return home
