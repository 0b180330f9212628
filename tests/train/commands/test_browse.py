"""`dsa-train browse` as a process: it prints its address, answers, and stops; and what it refuses."""

import os
import signal
import socket
import subprocess
import sys
import urllib.request

import pytest

from repository import ROOT


def test_without_the_extra_the_command_to_install_it_is_named(run, tmp_path, monkeypatch):
    import importlib.util

    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *more: None if name == "uvicorn" else find(name, *more)
    )
    refused = run("browse", tmp_path / "features.h5")
    assert refused.exit_code == 2
    assert "not installed: " in refused.stderr
    assert "uvicorn" in refused.stderr
    assert "[browse]" in refused.stderr


@pytest.fixture
def features(run, tmp_path, model, image_folder):
    pytest.importorskip("starlette", reason="starlette is not installed (extra browse)")
    pytest.importorskip("uvicorn", reason="uvicorn is not installed (extra browse)")
    run("embed", image_folder, "--model", model, "--out", tmp_path / "features.h5")
    return tmp_path / "features.h5"


def test_a_port_that_is_taken(run, features, model, image_folder):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        refused = run("browse", features, "--model", model, "--pictures", image_folder, "--port", port)
    assert refused.exit_code == 2
    assert f"Port {port} of 127.0.0.1 cannot be used" in refused.stderr


def test_a_folder_without_the_images(run, features, model, tmp_path):
    refused = run("browse", features, "--model", model, "--pictures", tmp_path, "--port", 0)
    assert refused.exit_code == 2
    assert "Name the folder: --pictures DIR" in refused.stderr


@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0"])
def test_it_serves_until_it_is_interrupted(features, model, image_folder, host):
    command = [sys.executable, "-c", "from dsa_app.entry import train; train()", "browse", features, "--model", model]
    command += ["--pictures", image_folder, "--port", "0", "--host", host]
    process = subprocess.Popen(
        [*map(str, command)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )
    try:
        address = process.stdout.readline().strip()
        assert ("?token=" in address) == (host != "127.0.0.1")
        address = address.replace("0.0.0.0", "127.0.0.1")
        opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor())
        assert b"Search by image" in opener.open(address, timeout=120).read()
        assert opener.open(address.split("?")[0] + "api/image/0", timeout=120).read(2) == b"\xff\xd8"
        process.send_signal(signal.SIGINT)
        assert process.wait(120) == 130
        assert process.stderr.read().splitlines()[-1] == "Server stopped."
    finally:
        process.kill()
        process.stdout.close()
        process.stderr.close()
