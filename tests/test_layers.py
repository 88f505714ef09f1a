"""The house rules of docs/architecture.md that imports can show: layers, and who may use what."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parent.parent / "src" / "warp_portal"
ROOT = "warp_portal"

# A module imports from lower layers or from its own folder.
LAYERS = (
    ("errors", "ids", "clock", "config", "telemetry", "units", "secrecy", "_native"),
    ("primitives", "keys", "gpu"),
    ("archive", "protocol", "edge", "scheduler", "portal"),
    ("reconcile",),
    ("store", "transport", "mesh", "streaming"),
    ("swarm", "hub", "agent"),
    ("cli", "web"),
)
LAYER_OF = {name: number for number, names in enumerate(LAYERS) for name in names}
# Steps within a layer that are meant, each in one direction only.
SIDEWAYS = {
    ("config", "errors"), ("config", "units"), ("units", "errors"), ("_native", "errors"),
    ("secrecy", "errors"), ("config", "secrecy"), ("telemetry", "secrecy"),
    ("keys", "primitives"),
}  # fmt: skip
# What only the command line may import: it decides how things look, nothing else does.
CLI_ONLY = {"click", "rich", "tomlkit"}
# The public names and `python -m warp_portal` stand above all layers.
ABOVE = {"__init__", "__main__"}

MODULES = sorted(PACKAGE.rglob("*.py"))


def top_of(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imports(tree: ast.AST) -> Iterator[str]:
    """Full names of what is imported anywhere in a module; `from a import b` gives `a.b`."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_a_module_imports_only_from_below_or_its_own_folder(path: Path) -> None:
    here = top_of(path)
    assert here in LAYER_OF or here in ABOVE, f"{here} has no layer: add it to LAYERS and docs/architecture.md"
    for name in imports(ast.parse(path.read_text())):
        if name.split(".")[0] != ROOT or here in ABOVE:
            continue
        there = name.split(".")[1]
        assert there in LAYER_OF, f"{name}: import modules, not the package's public names"
        allowed = here == there or LAYER_OF[there] < LAYER_OF[here] or (here, there) in SIDEWAYS
        assert allowed, f"{here} (layer {LAYER_OF[here]}) imports {name} (layer {LAYER_OF[there]})"


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_only_the_command_line_imports_what_draws(path: Path) -> None:
    here = top_of(path)
    used = {name.split(".")[0] for name in imports(ast.parse(path.read_text()))}
    allowed = CLI_ONLY if here == "cli" else set()
    assert used & CLI_ONLY <= allowed


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_only_config_reads_the_environment(path: Path) -> None:
    if top_of(path) == "config":
        return
    names = {node.attr for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Attribute)}
    assert not names & {"environ", "environb", "getenv", "putenv"}


def test_sideways_steps_stay_within_a_layer() -> None:
    assert all(LAYER_OF[here] == LAYER_OF[there] for here, there in SIDEWAYS)
