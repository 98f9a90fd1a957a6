"""The two rules of the house: who may import whom, and what kind each module is."""

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

ROOT: Final = Path(__file__).resolve().parents[1]
KINDS: Final = ("Pure.", "Adapter.", "Shell.")
MODULES: Final = sorted(
    p.relative_to(ROOT)
    for package in ("agent", "cloud")
    for p in (ROOT / package).rglob("*.py")
    if p.read_text(encoding="utf-8").strip()
)
# What reaches outside: files, processes, sockets, clocks, threads, chance, other services.
IMPURE: Final = frozenset({
    "asyncio", "dbos", "fcntl", "glob", "http", "importlib", "logging", "multiprocessing",
    "obstore", "openai", "os", "paho", "requests", "rich", "secrets", "select", "shutil",
    "signal", "socket", "sqlalchemy.create_engine", "sqlalchemy.engine", "sqlalchemy.orm",
    "sqlite3", "ssl", "subprocess", "sys", "tempfile", "threading", "typer", "urllib.request",
    "uuid",
})  # fmt: skip
HARMLESS: Final = {
    "random": {"Random"},  # as an argument's type, or seeded
    "time": {"gmtime", "localtime", "strftime"},  # how a given time is written
}
"""What pure modules may use of modules that they otherwise may not."""
PURE_CALLS_BANNED: Final = frozenset({"open", "print", "input", "exec", "eval"})
SHARED: Final = ("agent.contract", "agent.vision", "agent.base")
"""What cloud may import of agent: the contract, the vision, and what both stand on."""
PATH_READS: Final = frozenset({
    "exists", "glob", "is_dir", "is_file", "iterdir", "mkdir", "open", "read_bytes", "read_text",
    "rename", "resolve", "rglob", "stat", "touch", "unlink", "write_bytes", "write_text",
})  # fmt: skip


def tree_of(module: Path) -> ast.Module:
    return ast.parse((ROOT / module).read_text(encoding="utf-8"), str(module))


def imports(tree: ast.Module) -> Iterator[str]:
    """Full names of what is imported, wherever in the module it stands."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"line {node.lineno}: relative import"
            yield str(node.module)
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def under(name: str, package: str) -> bool:
    return name == package or name.startswith(f"{package}.")


def kind_of(tree: ast.Module) -> str | None:
    """The kind that ends the first line or the first paragraph of the docstring."""
    paragraph = (ast.get_docstring(tree) or "").split("\n\n")[0].split("\n")
    for text in (paragraph[0], " ".join(paragraph)):
        for kind in KINDS:
            if text.endswith(f" {kind}"):
                return kind
    return None


def pure_modules() -> list[Path]:
    return [m for m in MODULES if kind_of(tree_of(m)) == "Pure."]


def test_there_is_something_to_check() -> None:
    assert len(MODULES) > 30
    assert len(pure_modules()) > 10


@pytest.mark.parametrize("module", MODULES, ids=str)
def test_every_module_says_its_kind(module: Path) -> None:
    if module.name == "__init__.py":
        assert ast.get_docstring(tree_of(module)), "say what the package is"
        return
    assert kind_of(tree_of(module)), f"end the first line with one of {', '.join(KINDS)}"


@pytest.mark.parametrize("module", MODULES, ids=str)
def test_imports_point_one_way(module: Path) -> None:
    for name in imports(tree_of(module)):
        if module.parts[0] == "agent":
            assert not under(name, "cloud"), "agent never imports cloud"
        elif module.parts[:2] != ("cloud", "demo") and under(name, "agent"):
            shared = any(under(name, part) for part in SHARED)
            # `from agent import x` names the package itself first; its version is no module.
            assert shared or name in ("agent", "agent.__version__"), f"cloud may not import {name}"
        assert not under(name, "tests"), "nothing imports tests"


@pytest.mark.parametrize("module", pure_modules(), ids=str)
def test_pure_modules_reach_nothing_outside(module: Path) -> None:
    tree = tree_of(module)
    for name in imports(tree):
        banned = next((b for b in IMPURE if under(name, b)), None)
        assert banned is None, f"a pure module may not import {name}"
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            assert node.func.id not in PURE_CALLS_BANNED, f"line {node.lineno}: {node.func.id}()"
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            on_path = isinstance(node.func.value, ast.Call | ast.Name) and (
                "path" in ast.unparse(node.func.value).lower()
            )
            assert not (on_path and node.func.attr in PATH_READS), (
                f"line {node.lineno}: reads files"
            )


@pytest.mark.parametrize("module", pure_modules(), ids=str)
def test_pure_modules_ask_no_clock_and_no_chance(module: Path) -> None:
    for node in ast.walk(tree_of(module)):
        if isinstance(node, ast.ImportFrom) and node.module in HARMLESS:
            assert {a.name for a in node.names} <= HARMLESS[node.module]
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            allowed = HARMLESS.get(node.value.id)
            assert allowed is None or node.attr in allowed, f"line {node.lineno}: {node.attr}"
        if isinstance(node, ast.Call):
            called = ast.unparse(node.func)
            maker = called.rpartition(".")[2] in ("Random", "default_rng")
            seeded = not maker or node.args or node.keywords
            assert seeded, f"line {node.lineno}: a generator without a seed"
            assert called not in ("datetime.now", "datetime.datetime.now")
