"""The floors: an import goes to its own floor or an earlier one, of the packages and of the rooms within them."""

import configparser
import sys

import pytest

from modules import FLOORS, MODULES, imports, loaded, ours
from repository import ROOT

REST = "*"  # the modules of a package that are not named, all on one floor
ROOMS = {  # of a package: folders, and modules at its top
    "dsa_data": [
        "charts", "numbers", "keys", "matlab", "npy", "images", "walk", "records", "sets", "stores", "synthetic", REST,
        "sharing", "cli",
    ],
    "dsa_train": [
        "network", "losses", "batches", "evaluation", "gallery", "explain", "probe", REST,
        "ablation", "comparison", "pages", "browse", "commands", "cli",
    ],
}  # fmt: skip
GROUND_MAY_USE = {"torch", "torchvision", "numpy", "PIL"}
GROUND_MAY_USE_INSIDE_FUNCTIONS = {"faiss", "timm", "huggingface_hub"}  # extras, for those who ask for what they do
START = "dsa_app.entry"  # what a command imports before anything else
EXTRACTS = {
    "dsa_train.ablation.stores",
    "dsa_train.explain.body_maps",
    "dsa_train.result_settings",
}  # what of the trainer may know DensePose


def room(module: str) -> str:
    """Return the room of a module within its package; a package's own `__init__` is on the floor of the rest."""
    package, _, rest = module.partition(".")
    name = rest.split(".")[0]
    return name if name in ROOMS[package] else REST


@pytest.mark.parametrize("module", MODULES)
def test_no_import_goes_up(module: str) -> None:
    package, floors = module.split(".")[0], list(FLOORS)
    for found in imports(module):
        top = found.name.split(".")[0]
        assert top not in {"data", "train"}, f"{module} imports {found.name}, which is a user's"
        assert (top == package) == found.relative, f"{module} imports {found.name}: relative within, absolute across"
        if top in FLOORS:
            assert floors.index(top) <= floors.index(package), f"{module} imports {found.name}, which is above it"


@pytest.mark.parametrize("module", [module for module in MODULES if module.split(".")[0] in ROOMS])
def test_no_import_goes_up_within_a_package(module: str) -> None:
    package = module.split(".")[0]
    rooms = ROOMS[package]
    if module == package:
        return
    for name in ours(module):
        if name.split(".")[0] == package:
            assert rooms.index(room(name)) <= rooms.index(room(module)), f"{module} imports {name}, which is above it"


def test_every_room_is_there() -> None:
    for package, rooms in ROOMS.items():
        names = {module.split(".")[1] for module in MODULES if module.startswith(f"{package}.")}
        assert set(rooms) - {REST} <= names
        folders = {path.parent.name for path in (ROOT / FLOORS[package]).glob("*/__init__.py")}
        assert folders <= set(rooms), f"{package}: say on which floor a new room is"


def test_no_modules_import_each_other_in_a_circle() -> None:
    """Those that are left when all have gone that import nothing, or only what has gone before."""
    left = {module: set(ours(module)) - {module} for module in MODULES}
    while free := [module for module, needs in left.items() if not needs & left.keys()]:
        for module in free:
            del left[module]
    assert left == {}


@pytest.mark.parametrize("module", [module for module in MODULES if module.split(".")[0] == "dsa_reid"])
def test_what_is_deployed_needs_little(module: str) -> None:
    for found in imports(module):
        top = found.name.split(".")[0]
        optional = GROUND_MAY_USE_INSIDE_FUNCTIONS if found.inside else set()
        allowed = {"dsa_reid"} | GROUND_MAY_USE | optional | set(sys.stdlib_module_names)
        assert top in allowed, f"{module}, which people deploy, imports {found.name}"


@pytest.mark.parametrize("module", [module for module in MODULES if module.split(".")[0] == "dsa_data"])
def test_the_data_floor_needs_no_network_library(module: str) -> None:
    assert not {name.split(".")[0] for name in loaded(module)} & {"torch", "torchvision", "timm"}


def test_commands_start_with_the_standard_library() -> None:
    """So that they can say what is not installed."""
    others = {name for name in loaded(START) if name.split(".")[0] not in sys.stdlib_module_names}
    assert others == {START, "dsa_app", "dsa_app.interrupt"}


def test_the_trainer_extracts_only_where_it_is_meant() -> None:
    found = {
        module
        for module in MODULES
        if module.startswith("dsa_train.") and any(name.startswith("densepose_extract") for name in ours(module))
    }
    assert found, "the ablation makes maps of its own"
    assert not [module for module in found if not any(f"{module}.".startswith(f"{one}.") for one in EXTRACTS)]


def test_one_module_imports_detectron2_inside_a_function() -> None:
    found = {
        (MODULES[module].name, one.inside)
        for module in MODULES
        for one in imports(module)
        if one.name.split(".")[0] in {"detectron2", "densepose"}
    }
    assert found == {("detectron.py", True)}


def test_setup_lists_every_package_and_its_folder() -> None:
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg")
    listed = setup["options"]["packages"].split()
    assert listed == list(dict.fromkeys(listed)), "twice"
    assert set(listed) == {module for module, path in MODULES.items() if path.name == "__init__.py"}
    folders = dict(line.split(" = ") for line in setup["options"]["package_dir"].strip().splitlines())
    assert folders == {package: folder for package, folder in FLOORS.items() if package != folder}


def test_every_folder_with_modules_is_a_package() -> None:
    folders = {path.parent for path in MODULES.values()}
    assert [folder for folder in folders if not (folder / "__init__.py").is_file()] == []


def test_links_for_mypy_and_editors_lead_to_the_packages() -> None:
    for package, folder in FLOORS.items():
        if package != folder:
            assert (ROOT / "src" / package).resolve() == ROOT / folder
