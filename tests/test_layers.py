"""The layers of CONTRIBUTING.md, enforced: imports run downward only, siblings stay apart, no cycle."""

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[1] / "gnnvcell"

L0 = {"_dgl", "keys", "errors", "files", "config", "registry", "genes", "perturbation"}
ALLOWED = {
    "ops": L0,
    "graphs": L0,
    "features": L0,
    "data": L0,
    "metrics": L0,
    "fitting": L0,
    "nn": L0 | {"ops"},
    "tasks": L0 | {"data", "metrics"},
    # Models take the objects a user hands over, so they may name the types of graphs, features and data.
    "models": L0 | {"nn", "ops", "graphs", "data", "features", "fitting"},
    "training": L0 | {"graphs", "features", "data", "models", "tasks", "metrics", "fitting", "nn"},
    "screens": L0 | {"graphs", "data", "models", "metrics"},
    "bench": L0 | {"graphs", "data", "models", "tasks", "metrics"},
    "testing": L0 | {"graphs", "data", "ops"},
}
TOP = {"report", "cli", "demo"}
L0_ALLOWED = {
    "errors": set(),
    "keys": set(),
    "_dgl": {"errors"},
    "files": {"errors"},
    "registry": {"errors"},
    "config": {"errors", "files"},
    "genes": {"errors", "files", "keys", "registry", "config"},
    "perturbation": {"errors", "keys"},
}


def imported_rooms(path: Path) -> set[str]:
    rooms = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module:
            names = [a.name for a in node.names if not a.name.startswith("__")]
            modules = [node.module] if node.module != "gnnvcell" else [f"gnnvcell.{name}" for name in names]
        elif isinstance(node, ast.Import):
            modules = [alias.name for alias in node.names]
        else:
            continue
        rooms |= {m.split(".")[1] for m in modules if m.startswith("gnnvcell.")}
    return rooms


def room_of(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")), ids=lambda p: str(p.relative_to(PACKAGE)))
def test_imports_run_downward(path: Path) -> None:
    room = room_of(path)
    if room == "__init__":
        return
    below = imported_rooms(path) - {room}
    if room in TOP:
        assert "testing" not in below
        return
    allowed = L0_ALLOWED.get(room, ALLOWED.get(room))
    assert allowed is not None, f"the room {room} is not in the layer table: add it to CONTRIBUTING.md and here"
    assert below <= allowed, f"{path.name} of {room} may not import {sorted(below - allowed)}"


def module_name(path: Path) -> str:
    return ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts).removesuffix(".__init__")


MODULES = {module_name(path): path for path in PACKAGE.rglob("*.py")}


def module_level_imports(path: Path) -> set[str]:
    """Modules of the package that the top level of a file imports; ``from package import module`` means the module."""
    found: set[str] = set()
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("gnnvcell."):
            members = {f"{node.module}.{alias.name}" for alias in node.names}
            submodules = members & MODULES.keys()
            found |= submodules
            if submodules != members:
                found.add(node.module)
    return found


def test_no_cycle_between_modules() -> None:
    graph = {name: module_level_imports(path) for name, path in MODULES.items()}
    state: dict[str, int] = {}

    def visit(name: str, trail: tuple[str, ...]) -> None:
        if state.get(name) == 2 or name not in graph:
            return
        assert state.get(name) != 1, f"import cycle: {' -> '.join([*trail, name])}"
        state[name] = 1
        for other in graph[name]:
            visit(other, (*trail, name))
        state[name] = 2

    for name in graph:
        visit(name, ())


def test_graphs_folder_holds_data_only() -> None:
    assert not list((PACKAGE.parent / "graphs").rglob("*.py"))
