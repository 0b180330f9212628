"""The floors: data -> densepose_extract -> dsap -> train, dsa_reid on the ground; no import goes up."""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from repository import ROOT

FLOORS = ["dsa_reid", "data", "densepose_extract", "dsap", "train"]
GROUND_MAY_USE = {"torch", "torchvision", "numpy"}
GROUND_MAY_USE_INSIDE_FUNCTIONS = {"faiss", "timm"}  # extras, for those who ask for what they do
MODULES = [path for package in FLOORS for path in sorted((ROOT / package).rglob("*.py"))]


def imports(path: Path) -> Iterator[tuple[str, bool]]:
    """Yield each module that a file imports absolutely, and whether it does so inside a function."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    inside = {
        node
        for function in ast.walk(tree)
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef)
        for node in ast.walk(function)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, node in inside) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level <= len(path.relative_to(ROOT).parts) - 1, f"{path}: imports from above its package"
            if node.level == 0:
                yield str(node.module), node in inside


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_import_goes_up(path: Path) -> None:
    package = path.relative_to(ROOT).parts[0]
    allowed = FLOORS[: FLOORS.index(package) + 1]
    for module, inside in imports(path):
        top = module.split(".")[0]
        assert top not in FLOORS or top in allowed, f"{package} imports {module}"
        assert top != package, f"{package} imports itself absolutely: {module}"
        if package == "data":
            assert top not in {"torch", "torchvision", "dsa_reid"}, "the data floor needs no network library"
        if package == "dsa_reid":
            optional = GROUND_MAY_USE_INSIDE_FUNCTIONS if inside else set()
            assert top in GROUND_MAY_USE | optional | set(sys.stdlib_module_names), (
                f"what people deploy imports {module}"
            )


def test_one_module_imports_detectron2_inside_a_function() -> None:
    found = {
        (path.name, inside)
        for path in MODULES
        for module, inside in imports(path)
        if module.split(".")[0] in {"detectron2", "densepose"}
    }
    assert found == {("detectron.py", True)}


def test_setup_lists_every_package() -> None:
    packages = {".".join(path.parent.relative_to(ROOT).parts) for path in MODULES if path.name == "__init__.py"}
    text = (ROOT / "setup.cfg").read_text()
    listed = text.split("packages =")[1].split("install_requires")[0].split()
    assert set(listed) == packages
