"""The rooms and who may import whom, read from the syntax trees; what the pure rooms may not touch."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ROOMS = (
    "ccw",
    "controller.channel",
    "controller.commands",
    "controller.remote_copy",
    "controller.models",
    "controller.array",
    "controller.subsystem",
    "controller.box",
    "controller.state_changes",
    "controller.hardening",
    "controller.parallel_access",
    "controller.releasing",
    "controller.sharing",
    "controller.links",
    "controller.config",
    "controller.copy_config",
    "controller.port_config",
    "controller.toml_fields",
    "controller.added_volumes",
    "controller.app",
    "host_emulator",
    "traces",
    "tools",
)
MAY_IMPORT = {
    "ccw": set(),
    "controller.commands": {"ccw"},
    "controller.models": {"ccw"},
    "controller.channel": {"ccw", "controller.commands"},
    "controller.remote_copy": {"ccw", "controller.channel", "controller.commands"},
    "controller.array": {"ccw"},
    "controller.subsystem": {
        "ccw", "controller.box", "controller.channel", "controller.commands", "controller.hardening",
        "controller.remote_copy", "controller.models", "controller.parallel_access", "controller.releasing",
        "controller.state_changes",
    },
    "controller.box": {"ccw", "controller.channel", "controller.commands", "controller.remote_copy"},
    "controller.state_changes": {"controller.box", "controller.channel", "controller.commands"},
    "controller.hardening": {
        "ccw", "controller.box", "controller.channel", "controller.commands", "controller.remote_copy",
    },
    "controller.parallel_access": {"ccw", "controller.channel", "controller.commands"},
    "controller.releasing": {
        "ccw", "controller.box", "controller.channel", "controller.commands", "controller.hardening",
        "controller.remote_copy",
    },
    "controller.sharing": {"ccw", "controller.commands", "controller.remote_copy", "controller.subsystem"},
    "controller.config": {
        "controller.copy_config", "controller.port_config", "controller.remote_copy", "controller.toml_fields",
    },
    "controller.copy_config": {"controller.remote_copy", "controller.toml_fields"},
    "controller.port_config": {"controller.toml_fields"},
    "controller.toml_fields": set(),
    "controller.added_volumes": {"controller.array", "controller.config"},
    "controller.links": {
        "ccw", "controller.array", "controller.box", "controller.channel", "controller.commands", "controller.config",
        "controller.models", "controller.remote_copy", "controller.sharing", "controller.subsystem",
    },
    "controller.app": set(ROOMS) - {"host_emulator", "tools", "traces", "controller.app"},
    "host_emulator": {"ccw"},
    "traces": set(),
    "tools": set(ROOMS),
}  # fmt: skip
PURE = {
    "ccw", "controller.channel", "controller.commands", "controller.remote_copy", "controller.models",
    "controller.box", "controller.state_changes", "controller.subsystem", "controller.hardening",
    "controller.parallel_access", "controller.releasing", "controller.sharing",
}  # fmt: skip
FORBIDDEN_IN_PURE = {"trio", "time", "random", "socket", "os", "pathlib", "threading", "datetime", "subprocess"}
ONLY_IN_LINKS = {"trio"}


def room_of(module: str) -> str | None:
    """The room a dotted module name lies in."""
    return next((room for room in ROOMS if module == room or module.startswith(room + ".")), None)


def sources() -> Iterator[tuple[str, Path]]:
    for top in ("ccw", "controller", "host_emulator", "traces", "tools"):
        for path in sorted((ROOT / top).rglob("*.py")):
            name = ".".join(path.relative_to(ROOT).with_suffix("").parts)
            yield name.removesuffix(".__init__"), path


def imports(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Every imported module, also `from package import module`."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "relative imports hide the arrow"
            assert node.module is not None
            yield node.lineno, node.module
            yield from ((node.lineno, f"{node.module}.{alias.name}") for alias in node.names)


def wrong_arrows(name: str, tree: ast.AST) -> list[str]:
    room = room_of(name)
    if room is None:
        return [] if name == "controller" else [f"{name}: lies in no room"]
    found = []
    for line, imported in imports(tree):
        target = room_of(imported)
        if target is not None and target != room and target not in MAY_IMPORT[room]:
            found.append(f"{name}:{line} imports {imported}")
        top = imported.split(".")[0]
        if room in PURE and top in FORBIDDEN_IN_PURE:
            found.append(f"{name}:{line} imports {imported} in a pure room")
        if top in ONLY_IN_LINKS and room == "controller.array":
            found.append(f"{name}:{line} imports {imported}: the array is synchronous")
    if room in PURE:
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "open":
                found.append(f"{name}:{node.lineno} calls open in a pure room")
    return found


@pytest.mark.parametrize(("name", "path"), [pytest.param(n, p, id=n) for n, p in sources()])
def test_arrows(name: str, path: Path) -> None:
    assert wrong_arrows(name, ast.parse(path.read_text(encoding="utf-8"))) == []


@pytest.mark.parametrize(
    ("name", "source"),
    [
        ("ccw.frames", "import controller.array"),
        ("controller.channel.link", "import trio"),
        ("controller.commands.reads", "from time import monotonic"),
        ("controller.remote_copy.pair", "from controller.array import VirtualArrayStore"),
        ("controller.array.store", "import trio"),
        ("host_emulator.link", "from controller.channel import Link"),
        ("controller.subsystem", "text = open('x')"),
        ("controller.links.system", "from controller import app"),
    ],
)
def test_a_wrong_arrow_is_seen(name: str, source: str) -> None:
    assert wrong_arrows(name, ast.parse(source)) != []


def imported_tests(tree: ast.AST) -> list[str]:
    """Which test modules a module imports. What tests share is in helpers, so that each may be renamed or split."""
    return [name for _, name in imports(tree) if name.startswith("tests.") and ".test_" in name]


def test_no_test_module_is_imported_by_another() -> None:
    modules = sorted((ROOT / "tests").rglob("*.py"))
    assert len(modules) > 200
    found = {str(path.relative_to(ROOT)): imported_tests(ast.parse(path.read_text("utf-8"))) for path in modules}
    assert {path: names for path, names in found.items() if names} == {}
    assert imported_tests(ast.parse("from tests.unit import test_rooms")) == ["tests.unit.test_rooms"]


def circle_in(arrows: dict[str, set[str]]) -> list[str] | None:
    """Modules that import each other in a circle, or None. Arrows for type checkers alone count like the others."""
    state: dict[str, int] = {}  # 1 on the way, 2 done
    trail: list[str] = []

    def visit(module: str) -> list[str] | None:
        state[module] = 1
        trail.append(module)
        for other in sorted(arrows.get(module, ())):
            if state.get(other) == 1:
                return [*trail[trail.index(other) :], other]
            if other not in state and (found := visit(other)):
                return found
        trail.pop()
        state[module] = 2
        return None

    return next((found for module in sorted(arrows) if module not in state and (found := visit(module))), None)


def test_commands_import_each_other_in_one_direction() -> None:
    found = {name: path for name, path in sources() if name.startswith("controller.commands.")}
    arrows = {
        name: {module for _, module in imports(ast.parse(path.read_text())) if module in found}
        for name, path in found.items()
    }
    assert len(arrows) > 10 and circle_in(arrows) is None
    assert circle_in({"a": {"b"}, "b": {"c"}, "c": {"b"}}) == ["b", "c", "b"], "a circle is found"
