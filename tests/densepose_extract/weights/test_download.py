"""Downloads from a server on loopback: complete, interrupted, resumed, of another version, refused, concurrent."""

import hashlib
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from densepose_extract.weights import download as downloads
from densepose_extract.weights.download import digest, download
from dsa_app.errors import CheckpointError
from loopback import Mirror, serving

CONTENT = bytes(range(256)) * 20_000  # 5 MB: several chunks
SHA = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture
def mirror(monkeypatch: pytest.MonkeyPatch) -> Iterator[Mirror]:
    monkeypatch.setattr(downloads, "PAUSE", 0.0)
    with serving({"/model.pkl": CONTENT}) as made:
        yield made


def test_downloads_the_file_and_prints_its_digest(
    mirror: Mirror, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target = tmp_path / "deep" / "model.pkl"
    download(f"{mirror.base}/model.pkl", target, SHA.upper())
    assert target.read_bytes() == CONTENT
    assert SHA in capsys.readouterr().err
    assert not target.with_name("model.pkl.part").exists()


def test_resumes_where_the_connection_was_cut(mirror: Mirror, tmp_path: Path) -> None:
    mirror.cuts = [1_500_000, 2_000_000]
    download(f"{mirror.base}/model.pkl", tmp_path / "model.pkl", SHA)
    assert mirror.asked == [None, "bytes=1500000-", "bytes=3500000-"]
    assert digest(tmp_path / "model.pkl") == SHA


def test_fails_after_tries_without_a_byte_and_a_later_call_resumes(mirror: Mirror, tmp_path: Path) -> None:
    mirror.cuts = [1_000_000, 0, 0, 0]
    with pytest.raises(CheckpointError, match=r"the connection was cut.*resume after 1,000,000 bytes"):
        download(f"{mirror.base}/model.pkl", tmp_path / "model.pkl")
    assert not (tmp_path / "model.pkl").exists()
    download(f"{mirror.base}/model.pkl", tmp_path / "model.pkl", SHA)
    assert mirror.asked[-1] == "bytes=1000000-"


def test_a_server_that_gives_only_whole_files_starts_over(mirror: Mirror, tmp_path: Path) -> None:
    mirror.ranges = False
    (tmp_path / "model.pkl.part").write_bytes(b"x" * 1000)
    download(f"{mirror.base}/model.pkl", tmp_path / "model.pkl", SHA)


@pytest.mark.parametrize("rest", [b"", b"longer"], ids=["just arrived", "of another version"])
def test_a_part_as_long_as_the_file_or_longer_is_fetched_again(mirror: Mirror, tmp_path: Path, rest: bytes) -> None:
    (tmp_path / "model.pkl.part").write_bytes(CONTENT + rest)
    download(f"{mirror.base}/model.pkl", tmp_path / "model.pkl", SHA)
    assert digest(tmp_path / "model.pkl") == SHA


def test_another_digest_is_refused_and_leaves_nothing(mirror: Mirror, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=f"has SHA-256 {SHA}, expected {'0' * 64}"):
        download(f"{mirror.base}/model.pkl", tmp_path / "model.pkl", "0" * 64)
    assert [path.name for path in tmp_path.iterdir()] == []


def test_refusals_fail_at_once(mirror: Mirror, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"HTTP 404.*--checkpoint FILE"):
        download(f"{mirror.base}/other.pkl", tmp_path / "model.pkl")
    assert len(mirror.asked) == 1
    mirror.status = 503
    with pytest.raises(CheckpointError, match="HTTP 503"):
        download(f"{mirror.base}/model.pkl", tmp_path / "model.pkl")
    assert len(mirror.asked) == 1 + downloads.TRIES


def test_a_server_that_is_not_there(mirror: Mirror, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"could not be downloaded: .*refused"):
        download("http://127.0.0.1:9/model.pkl", tmp_path / "model.pkl")


def test_a_server_without_content_length(mirror: Mirror, tmp_path: Path) -> None:
    mirror.length = False
    with pytest.raises(CheckpointError, match="sends no Content-Length"):
        download(f"{mirror.base}/model.pkl", tmp_path / "model.pkl")


def test_concurrent_calls_wait_and_download_nothing(mirror: Mirror, tmp_path: Path) -> None:
    args = (f"{mirror.base}/model.pkl", tmp_path / "model.pkl", SHA)
    crowd = [threading.Thread(target=download, args=args) for _ in range(4)]
    for one in crowd:
        one.start()
    for one in crowd:
        one.join()
    assert len(mirror.asked) == 1
    assert digest(tmp_path / "model.pkl") == SHA
