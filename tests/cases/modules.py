"""The modules of the packages, and what each imports, read from their source."""

import ast
import functools
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from repository import ROOT

FLOORS = {  # packages by the names they are imported by, the ground first, and the folders they are in
    "dsa_reid": "dsa_reid",
    "dsa_app": "dsa_app",
    "dsa_data": "data",
    "densepose_extract": "densepose_extract",
    "dsap": "dsap",
    "dsa_train": "train",
}


class Import(NamedTuple):
    """One imported module, under its whole name."""

    name: str
    relative: bool
    inside: bool  # a function
    typing: bool  # under `if TYPE_CHECKING`


def module_name(path: Path) -> str:
    """Return the name that a file of ours is imported by."""
    folder, *rest = path.relative_to(ROOT).with_suffix("").parts
    (package,) = [name for name, at in FLOORS.items() if at == folder]
    return ".".join([package, *rest]).removesuffix(".__init__")


MODULES = {module_name(path): path for folder in FLOORS.values() for path in sorted((ROOT / folder).rglob("*.py"))}


def within(tree: ast.AST, *kinds: type[ast.AST]) -> set[ast.AST]:
    """Return all nodes below nodes of some kinds."""
    return {node for outer in ast.walk(tree) if isinstance(outer, kinds) for node in ast.walk(outer)}


@functools.cache
def imports(module: str) -> tuple[Import, ...]:
    """Return what a module imports; `from .a import b` is a.b where that is a module, else a."""
    return tuple(_imports(module))


def _imports(module: str) -> Iterator[Import]:
    path = MODULES[module]
    tree = ast.parse(path.read_text(encoding="utf-8"))
    functions = within(tree, ast.FunctionDef, ast.AsyncFunctionDef)
    conditional = {
        node
        for branch in ast.walk(tree)
        if isinstance(branch, ast.If) and getattr(branch.test, "id", "") == "TYPE_CHECKING"
        for statement in branch.body
        for node in ast.walk(statement)
    }
    package = module.split(".") if path.name == "__init__.py" else module.split(".")[:-1]
    for node in ast.walk(tree):
        inside, typing = node in functions, node in conditional
        if isinstance(node, ast.Import):
            yield from (Import(alias.name, False, inside, typing) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level <= len(package), f"{path}: imports from above its package"
            above = package[: len(package) - node.level + 1] if node.level else []
            source = ".".join([*above, *([node.module] if node.module else [])])
            for alias in node.names:
                name = f"{source}.{alias.name}"
                yield Import(name if name in MODULES else source, node.level > 0, inside, typing)


def ours(module: str) -> Iterator[str]:
    """Yield the modules of ours that a module imports."""
    yield from (found.name for found in imports(module) if found.name in MODULES)


def loaded(module: str) -> set[str]:
    """Return every module that is imported with a module of ours: those that its own import runs, and so on."""
    found: set[str] = set()
    waiting = [module]
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            if name in MODULES:
                waiting += [one.name for one in imports(name) if not one.inside and not one.typing]
                waiting += [name.rpartition(".")[0]] if "." in name else []
    return found
