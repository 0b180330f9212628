"""The public names: each is the object of its module in every order of imports, and no module has a public name."""

import json
import subprocess
import sys
from importlib import import_module
from pathlib import Path
from types import ModuleType

import pytest

import dsa_reid

MODULES = sorted(path.stem for path in Path(dsa_reid.__file__).parent.glob("*.py") if path.stem != "__init__")


def test_no_module_has_a_public_name() -> None:
    assert not set(MODULES) & set(dsa_reid.__all__)
    assert len(MODULES) > 10


@pytest.mark.parametrize("name", dsa_reid.__all__)
def test_a_public_name_is_the_object_of_its_module(name: str) -> None:
    value = getattr(dsa_reid, name)
    assert not isinstance(value, ModuleType)
    assert value is getattr(import_module(f"dsa_reid.{dsa_reid._MODULE_OF[name]}"), name)
    assert name in dir(dsa_reid)


def test_every_public_name_has_a_module() -> None:
    assert sorted(dsa_reid._MODULE_OF) == sorted(dsa_reid.__all__)
    assert len(set(dsa_reid.__all__)) == len(dsa_reid.__all__)
    with pytest.raises(AttributeError, match="has no attribute 'serach'"):
        dsa_reid.serach  # noqa: B018


@pytest.mark.parametrize("order", ["modules first", "modules first, reversed", "names first"])
def test_importing_modules_hides_no_name(order: str) -> None:
    """In a fresh process: importing a submodule binds its name in the package."""
    script = f"""
import importlib, json, sys, types
import dsa_reid
modules, order = {MODULES!r}, {order!r}
names = list(dsa_reid.__all__)
if order == "names first":
    [getattr(dsa_reid, name) for name in names]
for module in reversed(modules) if order.endswith("reversed") else modules:
    importlib.import_module("dsa_reid." + module)
hidden = [name for name in names if isinstance(getattr(dsa_reid, name), types.ModuleType)]
lost = [name for name in modules if not isinstance(getattr(dsa_reid, name), types.ModuleType)]
print(json.dumps([hidden, lost]))
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == [[], []]


def test_every_name_is_there_after_any_submodule_alone() -> None:
    """As in `import dsa_reid.regions; dsa_reid.search(...)`."""
    script = """
import importlib, sys, types
for module in sys.argv[1:]:
    for name in [name for name in sys.modules if name.split(".")[0] == "dsa_reid"]:
        del sys.modules[name]
    importlib.import_module("dsa_reid." + module)
    package = sys.modules["dsa_reid"]
    for name in package.__all__:
        assert not isinstance(getattr(package, name), types.ModuleType), (module, name)
print("checked")
"""
    done = subprocess.run([sys.executable, "-c", script, *MODULES], capture_output=True, text=True, check=True)
    assert done.stdout == "checked\n", done.stderr
