"""The public names of the deployed package: each in one module, imported when it is first used."""

import ast
import subprocess
import sys
from importlib import import_module

import pytest

import dsa_reid
from repository import ROOT

INIT = ROOT / "dsa_reid" / "__init__.py"


MODULES = sorted(path.stem for path in INIT.parent.glob("*.py") if path != INIT)


def test_no_name_hides_a_module() -> None:
    assert len(MODULES) > 10
    assert not set(MODULES) & set(dsa_reid.__all__)


@pytest.mark.parametrize("name", dsa_reid.__all__)
def test_every_name_is_that_of_its_module(name: str) -> None:
    module = import_module(f"dsa_reid.{dsa_reid._MODULE_OF[name]}")
    assert getattr(dsa_reid, name) is getattr(module, name)
    assert name in dir(dsa_reid)


def test_type_checkers_see_the_same_names() -> None:
    """A type checker reads the imports under TYPE_CHECKING, Python the table of modules."""
    imports = {
        alias.name: node.module
        for node in ast.walk(ast.parse(INIT.read_text(encoding="utf-8")))
        if isinstance(node, ast.ImportFrom) and node.level == 1
        for alias in node.names
    }
    assert imports == dsa_reid._MODULE_OF
    assert sorted(imports) == sorted(dsa_reid.__all__)


def test_a_name_that_is_not_there() -> None:
    with pytest.raises(AttributeError, match="module 'dsa_reid' has no attribute 'serach'"):
        _ = dsa_reid.serach


def test_importing_is_instant_and_all_names_can_be_had_at_once() -> None:
    code = (
        "import sys, dsa_reid\n"
        "assert 'torch' not in sys.modules\n"
        "from dsa_reid import *\n"
        "assert callable(load) and callable(search) and 'torch' in sys.modules\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("order", ["modules first", "modules first, reversed", "names first"])
def test_importing_modules_hides_no_name(order: str) -> None:
    """In a fresh process, as importing a submodule binds its name in the package."""
    code = f"""
import importlib, types
import dsa_reid
modules, order = {MODULES!r}, {order!r}
if order == "names first":
    [getattr(dsa_reid, name) for name in dsa_reid.__all__]
for module in reversed(modules) if order.endswith("reversed") else modules:
    importlib.import_module("dsa_reid." + module)
for name in dsa_reid.__all__:
    assert not isinstance(getattr(dsa_reid, name), types.ModuleType), name
for module in modules:
    assert isinstance(getattr(dsa_reid, module), types.ModuleType), module
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_importing_one_module_hides_no_name() -> None:
    """As in `import dsa_reid.regions; dsa_reid.search(...)`, for every module in a package that is imported anew."""
    code = """
import importlib, sys, types
for module in sys.argv[1:]:
    for name in [name for name in sys.modules if name.split(".")[0] == "dsa_reid"]:
        del sys.modules[name]
    importlib.import_module("dsa_reid." + module)
    package = sys.modules["dsa_reid"]
    for name in package.__all__:
        assert not isinstance(getattr(package, name), types.ModuleType), (module, name)
"""
    done = subprocess.run([sys.executable, "-c", code, *MODULES], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
