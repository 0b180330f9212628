"""The built wheel, in fresh environments: beside a user's own `data` and `train`, light, and whole in any folder."""

import configparser
import json
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest
import torch
import yaml

import dsa_reid
import wheels
from dsa_reid import MainStream, MainStreamConfig, Preprocessing
from wheels import COMMANDS, OURS

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

LIGHT = {"torch", "torchvision", "numpy", "pillow"}
INSTALLED_AS = {"data": "dsa_data", "train": "dsa_train"}


@pytest.fixture(scope="module")
def sdist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sdist")
    return wheels.build_sdist(wheels.clone(folder / "clone"), folder)


@pytest.fixture(scope="module")
def wheel(sdist: Path) -> Path:
    """The wheel, from the source distribution alone."""
    return wheels.build_wheel(sdist, sdist.parent)


@pytest.fixture(scope="module")
def packages(wheel: Path) -> Path:
    """What the wheel and its pipeline need, as it is installed here."""
    wanted = wheels.requirements(wheel) + wheels.requirements(wheel, "pipeline")
    return wheels.linked(wheel.parent / "packages", wheels.needed(wanted))


@pytest.fixture(scope="module")
def installed(wheel: Path, packages: Path) -> Path:
    """A fresh environment with the wheel and its pipeline."""
    return wheels.environment(wheel.parent / "venv", packages, wheel)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A user's own folder."""
    folder = tmp_path / "project"
    folder.mkdir()
    return folder


def write(folder: Path, texts: dict[str, str]) -> None:
    """Write files, by their paths in `folder`."""
    for name, text in texts.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)


# What is in it


def test_the_names_are_ours(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        tops = {name.split("/")[0] for name in archive.namelist()}
        (scripts,) = [name for name in archive.namelist() if name.endswith("entry_points.txt")]
        points = configparser.ConfigParser()
        points.read_string(archive.read(scripts).decode())
    assert {top for top in tops if not top.endswith(".dist-info")} == OURS
    assert set(points["console_scripts"]) == set(COMMANDS)


def test_all_of_the_packages_is_in_it(sdist: Path, wheel: Path) -> None:
    clone = sdist.parent / "clone"
    own = set()
    for folder in ("dsa_app", "data", "densepose_extract", "dsap", "dsa_reid", "train"):
        for path in (path for path in (clone / folder).rglob("*") if path.is_file()):
            top, *rest = path.relative_to(clone).parts
            own.add("/".join([INSTALLED_AS.get(top, top), *rest]))
    with zipfile.ZipFile(wheel) as archive:
        files = {name for name in archive.namelist() if ".dist-info/" not in name}
    assert files == own
    assert {f"{package}/py.typed" for package in OURS} <= files
    assert {"dsa_train/experiments/table3/dsa-reid.yaml", "dsa_data/project/dvc.yaml"} <= files


def test_a_wheel_from_the_clone_is_the_same(sdist: Path, wheel: Path, tmp_path: Path) -> None:
    direct = wheels.build_wheel(wheels.clone(tmp_path / "clone"), tmp_path)
    contents = []
    for path in (direct, wheel):
        with zipfile.ZipFile(path) as archive:
            contents.append({name: archive.read(name) for name in archive.namelist()})
    assert contents[0] == contents[1]


def test_the_source_distribution_has_no_half_of_the_tests(sdist: Path) -> None:
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert {"setup.cfg", "pyproject.toml", "README.md", "LICENSE"} <= names
    assert not [name for name in names if name.startswith("tests")]


# Beside a user's own `data` and `train`


def test_beside_folders_without_init(installed: Path, project: Path) -> None:
    """PEP 420: a regular package later on the path would win over a folder without __init__.py in front."""
    write(
        project,
        {
            "data/loader.py": "def load(): return 'mine'\n",
            "train/steps.py": "def step(): return 'mine too'\n",
            "main.py": "from data.loader import load\nfrom train.steps import step\nimport dsa_reid\n"
            "print(load(), step(), dsa_reid.__file__)\n",
        },
    )
    done = wheels.run(installed, "python", "main.py", cwd=project)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"mine mine too {installed}")


@pytest.mark.parametrize("command", COMMANDS)
def test_commands_beside_a_users_modules_on_the_path(installed: Path, project: Path, command: str) -> None:
    """`PYTHONPATH=.`, as many projects want it, puts a user's modules before everything that is installed."""
    broken = "raise RuntimeError('a module of the user was imported')\n"
    write(project, {"data/__init__.py": broken, "train.py": broken})
    done = wheels.run(installed, command, "--help", cwd=project, PYTHONPATH=".")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"Usage: {command}")


@pytest.mark.parametrize("ours_first", [True, False])
def test_beside_a_wheel_that_ships_data(
    wheel: Path, packages: Path, tmp_path: Path, project: Path, ours_first: bool
) -> None:
    other = wheels.other_wheel(tmp_path)
    order = (wheel, other) if ours_first else (other, wheel)
    environment = wheels.environment(tmp_path / "venv", packages)
    for one in order:
        wheels.pip("install", "--no-deps", "--no-index", one, environment=environment)
    assert wheels.altered(environment, "dsa-reid") == []
    assert wheels.altered(environment, "other") == []
    wheels.pip("uninstall", "--yes", "other", environment=environment)
    assert not (wheels.site_packages(environment) / "data").exists()
    assert wheels.altered(environment, "dsa-reid") == []
    for command in COMMANDS:
        done = wheels.run(environment, command, "--help", cwd=project)
        assert done.returncode == 0, done.stderr


def test_uninstalling_ours_leaves_the_others(wheel: Path, packages: Path, tmp_path: Path) -> None:
    environment = wheels.environment(tmp_path / "venv", packages, wheel, wheels.other_wheel(tmp_path))
    wheels.pip("uninstall", "--yes", "dsa-reid", environment=environment)
    assert wheels.altered(environment, "other") == []
    assert not [name for name in OURS if (wheels.site_packages(environment) / name).exists()]


# In any folder


EPOCHS = """
import sys
from dsa_app.config import read_settings

print(read_settings(dataset="x", experiment=sys.argv[1]).sections.get("train", {}).get("epochs"))
"""


def test_experiments_are_found_from_any_folder(installed: Path, project: Path) -> None:
    def epochs(experiment: str) -> str:
        done = wheels.run(installed, "python", "-c", EPOCHS, experiment, cwd=project)
        return done.stdout.strip() or done.stderr.strip().splitlines()[-1]

    done = wheels.run(
        installed, "dsa-train", "summary", "--dataset", "x", "--experiment", "table3/two-branches", cwd=project
    )
    assert done.returncode == 0, done.stderr
    assert "everything" in done.stdout
    assert epochs("table3/two-branches") == "None"
    own = project / "experiments" / "table3" / "two-branches.yaml"
    own.parent.mkdir(parents=True)
    own.write_text("train: {epochs: 7}\n")
    (project / "experiments" / "mine.yaml").write_text("train: {epochs: 9}\n")
    assert epochs("table3/two-branches") == "7"
    assert epochs("mine") == "9"
    assert epochs("table4/csa") == "None", "the project's own are found all the same"
    assert "Did you mean 'mine'" in epochs("mien")


SMALL = {
    "synth": ["seed=1", "train_identities=4", "test_identities=3", "train_pictures=4", "distractors=2"],
    "warp": ["size=8"],
    "train": [
        "height=64", "width=32", "identities=2", "pictures=2", "epochs=1", "threads=1",
        "network.main.trunk=resnet18", "network.main.width=0.125", "network.classifier_width=8",
        "network.conv5_init=random", "network.weights=none",
    ],
    "evaluate": ["threads=1"],
}  # fmt: skip


def test_the_pipeline_needs_its_extra_alone(installed: Path, project: Path) -> None:
    """Every stage, with what `[pipeline]` brings and nothing else, in an empty folder."""
    settings = ["--dataset", "synthetic"]
    for section, values in SMALL.items():
        settings += [word for value in values for word in ("--set", f"{section}.{value}")]
    made = project / "artifacts" / "synthetic"
    for command, *arguments in (
        ("dsa-data", "prepare", *settings),
        ("densepose-extract", "run", *settings),
        ("dsap", "build", *settings),
        ("dsa-train", "run", "--experiment", "table3/dsa-reid", *settings),
        ("dsa-train", "evaluate", "--experiment", "table3/dsa-reid", *settings),
        ("python", "-m", "dvc", "--version"),
        ("python", "-m", "pytest", "--version"),
    ):
        done = wheels.run(installed, command, *arguments, cwd=project, PYTHONPATH=str(wheels.site_packages(installed)))
        assert done.returncode == 0, f"{command} {arguments}: {done.stdout}{done.stderr}"
    assert 0 < json.loads((made / "metrics.json").read_text())["mAP"] <= 1
    assert (made / "runs" / "table3" / "dsa-reid" / "model.pt").is_file()


def test_a_new_project_needs_no_clone(installed: Path, project: Path) -> None:
    """`dsa-data new`, then the pipeline there, of the demo with tiny settings."""
    path = str(wheels.site_packages(installed))
    done = wheels.run(installed, "dsa-data", "new", "people", cwd=project, PYTHONPATH=path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.endswith("Next:\n  cd people\n  dvc repro\n  dsa-train report\n")
    folder = project / "people"
    params = yaml.safe_load((folder / "params.yaml").read_text())
    settings = [f"{section}.{value}" for section, values in SMALL.items() for value in values]
    (folder / "params.yaml").write_text(yaml.safe_dump(params | {"set": settings}, sort_keys=False))
    for words in (("python", "-m", "dvc", "repro"), ("dsa-train", "report")):
        done = wheels.run(installed, *words, cwd=folder, PYTHONPATH=path)
        assert done.returncode == 0, done.stdout + done.stderr
    assert "mAP" in done.stdout
    assert 0 < json.loads((folder / "artifacts/synthetic/metrics.json").read_text())["mAP"] <= 1
    done = wheels.run(installed, "python", "-m", "dvc", "repro", cwd=folder, PYTHONPATH=path)
    assert "Running stage" not in done.stdout, "all is up to date"


# A light installation

TRACKER = """
import torch, dsa_reid

model = dsa_reid.load("model.pt")
features = model.embed(torch.load("crops.pt"))
assert dsa_reid.distances(features, features).shape == (3, 3)
assert dsa_reid.search(features.numpy(), features.numpy(), top=1).indices.ravel().tolist() == [0, 1, 2]
dsa_reid.export(model, "model.pt2")
assert dsa_reid.check(model, "model.pt2").passed
torch.save(features, "features.pt")
"""
MORE = """
import numpy, torch
from dsa_reid import MainStream, MainStreamConfig, Model, ModelError, Preprocessing, build_index, export

network = MainStream(MainStreamConfig(trunk="resnet18", width=0.125))
model = Model(network, Preprocessing(32, 16), torch.device("cpu"))
for need in (
    lambda: build_index(numpy.zeros((3, 2))),
    lambda: export(model, "model.onnx"),
    lambda: MainStream(MainStreamConfig(trunk="timm/convnext_tiny")),
):
    try:
        need()
    except ModelError as error:
        print(error)
"""


@pytest.fixture(scope="module")
def light_packages(wheel: Path) -> Path:
    """torch, torchvision, NumPy, Pillow, and what those need."""
    return wheels.linked(wheel.parent / "light", wheels.needed(LIGHT))


@pytest.fixture(scope="module")
def light(wheel: Path, light_packages: Path) -> Path:
    """A fresh environment with the wheel and what a plain installation brings."""
    return wheels.environment(wheel.parent / "light-venv", light_packages, wheel)


def test_what_a_plain_installation_brings(wheel: Path, light_packages: Path) -> None:
    assert {line.split(">")[0] for line in wheels.requirements(wheel)} == LIGHT
    absent = ("click", "h5py", "cv2", "joblib", "pydantic", "yaml", "dvc", "tqdm", "scipy", "pytest", "hdf5plugin")
    assert not [name for name in absent if (light_packages / name).exists()]


def test_a_light_installation_embeds(light: Path, project: Path) -> None:
    network = MainStream(MainStreamConfig(trunk="resnet18", width=0.125)).eval()
    dsa_reid.save(network, project / "model.pt", Preprocessing(32, 16))
    crops = torch.randint(0, 256, (3, 3, 40, 20), dtype=torch.uint8)
    torch.save(crops, project / "crops.pt")
    write(project, {"tracker.py": TRACKER})
    done = wheels.run(light, "python", "tracker.py", cwd=project)
    assert done.returncode == 0, done.stderr
    torch.testing.assert_close(torch.load(project / "features.pt"), dsa_reid.load(project / "model.pt").embed(crops))


def test_types_are_seen_by_a_users_type_checker(light: Path, project: Path) -> None:
    write(project, {"typed.py": "import dsa_reid\nreveal_type(dsa_reid.load('x').embed([]))\ndsa_reid.load(3)\n"})
    words = ["--python-executable", light / "bin" / "python", "--follow-imports", "silent", "typed.py"]
    done = wheels.run(light, Path(sys.executable).parent / "mypy", *words, cwd=project)
    assert 'note: Revealed type is "torch._tensor.Tensor"' in done.stdout, done.stdout + done.stderr
    assert 'error: Argument 1 to "load" has incompatible type "int"' in done.stdout


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_says_what_to_install(light: Path, wheel: Path, project: Path, command: str) -> None:
    done = wheels.run(light, command, "--help", cwd=project)
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr == (
        f"error: the package {missing(done.stderr)} is not installed. Install what the commands need: "
        f"pip install '{wheel}[pipeline]'\n"
    )


def missing(said: str) -> str:
    return said.split()[3]


def test_a_light_installation_says_how_to_get_its_extras(light: Path, wheel: Path, project: Path) -> None:
    write(project, {"more.py": MORE})
    done = wheels.run(light, "python", "more.py", cwd=project)
    assert done.returncode == 0, done.stderr
    said = done.stdout.splitlines()
    assert [line.rsplit("pip install ")[1] for line in said] == [
        f"'{wheel}[{extra}]'" for extra in ("search", "export", "timm")
    ]


def test_pip_accepts_what_it_says(light: Path, project: Path) -> None:
    """Run as it is printed, pip takes the wheel and its extra, and asks for the extra's first package."""
    said = wheels.run(light, "dsap", "--help", cwd=project).stderr
    command = said.partition("Install what the commands need: ")[2]
    done = wheels.run(light, "sh", "-c", command, cwd=project, PIP_NO_INDEX="1", PIP_FIND_LINKS="")
    assert "does not provide the extra" not in done.stderr
    assert "No matching distribution found for opencv-python>=5" in done.stderr


def test_nothing_but_the_standard_library_before_the_remedy(project: Path, tmp_path: Path, wheel: Path) -> None:
    """Even where torch is missing too."""
    nothing = tmp_path / "nothing"
    nothing.mkdir()
    bare = wheels.environment(tmp_path / "venv", nothing, wheel)
    done = wheels.run(bare, "dsap", "--help", cwd=project)
    assert (done.returncode, len(done.stderr.splitlines())) == (2, 1), done.stderr
    assert done.stderr.endswith(f"pip install '{wheel}[pipeline]'\n")
