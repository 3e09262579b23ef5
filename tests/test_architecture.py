"""The map in docs/architecture.md is the source tree."""

from __future__ import annotations

import ast
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

from provisioner.resources import TYPES

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "provisioner"
_ROW = re.compile(r"^\| `([^`]+)` \|", re.MULTILINE)


def test_the_map_names_every_package_and_top_level_module_and_nothing_else() -> None:
    page = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    folders = {p.name for p in PACKAGE.iterdir() if (p / "__init__.py").exists()}
    modules = {p.name for p in PACKAGE.glob("*.py")}
    assert set(_ROW.findall(page)) == folders | modules


def test_the_top_of_the_package_has_at_most_six_modules() -> None:
    assert len(list(PACKAGE.glob("*.py"))) <= 6


def test_every_package_opens_with_a_paragraph() -> None:
    short = [p for p in PACKAGE.rglob("__init__.py") if not p.read_text(encoding="utf-8").startswith('"""')]
    assert short == []


_CONCRETE = {type(kind).__module__ for kind in TYPES}
_MAY_KNOW = {"resources", "devices", "diagnosis", "sandbox"}


def _imported(path: Path) -> Iterator[str]:
    """Every module that a file imports, also for types alone and inside of functions."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{name.name}" for name in node.names)
        elif isinstance(node, ast.Import):
            yield from (name.name for name in node.names)


def test_only_resources_devices_and_diagnosis_know_a_concrete_resource_type() -> None:
    """What knows a type by its class gives a new type no guard. The import contract leaves out imports for types."""
    others = [p for p in PACKAGE.rglob("*.py") if p.relative_to(PACKAGE).parts[0] not in _MAY_KNOW]
    found = {(str(p.relative_to(PACKAGE)), module) for p in others for module in _CONCRETE & set(_imported(p))}
    assert found == set()


def test_the_contract_about_concrete_types_names_all_of_them() -> None:
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"][
        "contracts"
    ]
    (contract,) = [c for c in contracts if "concrete resource type" in c["name"]]
    assert set(contract["forbidden_modules"]) == _CONCRETE
    packages = {f"provisioner.{p.name}" for p in PACKAGE.iterdir() if (p / "__init__.py").exists()}
    assert packages - set(contract["source_modules"]) == {f"provisioner.{name}" for name in _MAY_KNOW}


# --- what the source tree is counted for -----------------------------------------------------------------------------


def _trees() -> Iterator[tuple[Path, ast.Module]]:
    for path in sorted(PACKAGE.rglob("*.py")):
        yield path, ast.parse(path.read_text(encoding="utf-8"))


def _imports(node: ast.AST) -> Iterator[str]:
    """The modules of ours that are imported in this node, at any depth."""
    for child in ast.walk(node):
        if isinstance(child, ast.ImportFrom) and child.module:
            yield from (f"{child.module}.{alias.name}" for alias in child.names if child.module == "provisioner")
            yield from (child.module for _ in [0] if child.module.startswith("provisioner."))
        elif isinstance(child, ast.Import):
            yield from (alias.name for alias in child.names if alias.name.split(".")[0] == "provisioner")


def test_nothing_outside_of_cli_imports_cli() -> None:
    guilty = [
        str(path.relative_to(ROOT))
        for path, tree in _trees()
        if "cli" not in path.relative_to(PACKAGE).parts and path.name != "__main__.py"
        if any(f"{name}.".startswith("provisioner.cli.") for name in _imports(tree))
    ]
    assert guilty == []


def test_cli_has_fewer_than_twenty_imports_of_ours_inside_of_functions() -> None:
    """Commands are loaded when they are named, so that their imports can stand at the top of their modules."""
    late = [
        f"{path.name}:{statement.lineno}"
        for path, tree in _trees()
        if path.parent == PACKAGE / "cli"
        for function in ast.walk(tree)
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef)
        for statement in ast.walk(function)
        if isinstance(statement, ast.Import | ast.ImportFrom) and any(_imports(statement))
    ]
    assert len(set(late)) < 20, late


def test_no_function_has_more_than_fifty_lines() -> None:
    long = [
        f"{path.relative_to(ROOT)}: {function.name}"
        for path, tree in _trees()
        for function in ast.walk(tree)
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef)
        if (function.end_lineno or 0) - function.lineno + 1 > 50
    ]
    assert long == []
