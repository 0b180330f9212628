"""A gallery of a run on a small dataset, and its page served on a free port."""

import importlib.util
import threading
import time
from contextlib import contextmanager

import pytest

from dsa_data.records import Entry
from dsa_data.stores.header import Header
from dsa_train.browse.source import gallery_of_run
from dsa_train.evaluation.config import EvaluateConfig
from dsa_train.evaluation_stage import Task
from hostile_names import HOSTILE, write_dataset
from thin import write_model


@pytest.fixture(scope="session")
def place(tmp_path_factory):
    """A dataset of three people in two cameras with part images, and a run; returns its task."""
    root = tmp_path_factory.mktemp("browsed") / "market1501"
    entries = [Entry(f"query/{HOSTILE}{pid}.png", "query", pid, 1) for pid in (1, 2, 3)]
    entries += [Entry(f"gallery/{HOSTILE}{pid}_c{cam}.png", "gallery", pid, cam) for pid in (1, 2, 3) for cam in (1, 2)]
    write_dataset(root, entries, Header("market1501", {"warp": {}}, "made up"), seed=1)
    run = root.parent / "runs" / "first"
    run.mkdir(parents=True)
    write_model(run / "model.pt")
    return Task(root / "manifest.csv", root, root / "dsap.h5", run, None, None, "market1501")


@pytest.fixture(scope="session")
def gallery(place):
    return gallery_of_run(place, EvaluateConfig())


@pytest.fixture(scope="session")
def serving():
    """Return a context in which a gallery is served; its value is the port."""
    for package in ("starlette", "uvicorn"):
        if importlib.util.find_spec(package) is None:
            pytest.skip(f"{package} is not installed (extra browse)")
    import uvicorn

    from dsa_train.browse.app import application

    @contextmanager
    def context(gallery, hosts=("127.0.0.1", "localhost"), token=None):
        app = application(gallery, hosts, token)
        server = uvicorn.Server(uvicorn.Config(app, "127.0.0.1", 0, log_level="error"))
        thread = threading.Thread(target=server.run, daemon=True)
        thread.start()
        while not server.started:
            time.sleep(0.05)
        yield server.servers[0].sockets[0].getsockname()[1]
        server.should_exit = True
        thread.join(30)

    return context


@pytest.fixture(scope="session")
def port(serving, gallery):
    with serving(gallery) as port:
        yield port
