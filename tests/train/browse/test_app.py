"""The page over HTTP: its answers, and what it refuses: paths, links, other hosts and sites, unfit images."""

import csv
import http.client
import io
import json
from urllib.parse import quote

import pytest

from dsa_data import images

pytest.importorskip("starlette", reason="starlette is not installed (extra browse)")

from dsa_train.browse import app


@pytest.fixture
def ask(port):
    """Send a request as it is written, without normalising its path; return status, headers and body."""

    def request(path, method="GET", body=None, port=port, **headers):
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        connection.putrequest(method, path, skip_host="Host" in headers)
        headers = {name.replace("_", "-"): value for name, value in headers.items()}
        for name, value in {**headers, **({"Content-Length": str(len(body))} if body is not None else {})}.items():
            connection.putheader(name, value)
        connection.endheaders(body)
        response = connection.getresponse()
        return response.status, dict(response.getheaders()), response.read()

    return request


def test_the_page_and_its_files(ask):
    status, headers, body = ask("/")
    assert (status, body[:15]) == (200, b"<!DOCTYPE html>")
    assert headers["content-security-policy"].startswith("default-src 'none'")
    assert headers["x-content-type-options"] == "nosniff"
    assert ask("/files/browse.js")[1]["content-type"].startswith("text/javascript")
    about = json.loads(ask("/api/about")[2])
    assert (about["images"], about["cameras"], len(about["regions"])) == (6, [1, 2], 8)


def test_an_image_that_was_picked(ask, gallery):
    status, _, body = ask("/api/search?query=6&top=2", "POST", b"")
    assert status == 200
    hits = json.loads(body)["hits"]
    expected = gallery.rank(gallery.read(6), gallery.images[6], [], app.Filter(), 2).hits
    assert [(hit["number"], hit["image"]) for hit in hits] == [(one.number, one.image.key) for one in expected]


def test_an_image_that_was_sent_finds_itself(ask, gallery):
    sent = (gallery.root / gallery.images[3].key).read_bytes()
    status, _, body = ask("/api/search?top=1", "POST", sent)
    (hit,) = json.loads(body)["hits"]
    assert (status, hit["number"], hit["correct"]) == (200, 3, None)


def test_a_ranking_is_exported(ask):
    _, headers, body = ask("/api/search?query=6&format=csv&region=torso", "POST", b"")
    rows = list(csv.DictReader(io.StringIO(body.decode())))
    assert headers["content-type"].startswith("text/csv")
    assert tuple(rows[0]) == app.COLUMNS
    whole = json.loads(ask("/api/search?query=6&format=json&region=torso", "POST", b"")[2])
    assert [row["image"] for row in rows] == [row["image"] for row in whole]
    assert len(whole) == 6


def test_images_to_pick_from(ask):
    found = json.loads(ask("/api/picks?text=" + quote("query/"))[2])
    assert (found["total"], [one["pid"] for one in found["images"]]) == (3, [1, 2, 3])
    assert json.loads(ask("/api/picks?text=gallery")[2])["total"] == 0, "queries alone, where there are any"


def test_crops_are_encoded_again(ask):
    status, headers, body = ask("/api/image/0")
    assert (status, headers["content-type"]) == (200, "image/jpeg")
    assert images.decode(body, "crop").shape == (48, 24, 3)


def test_surfaces(ask):
    status, _, body = ask("/api/surfaces?query=6&image=0")
    assert status == 200
    assert [one["words"] for one in json.loads(body)][:2] == ["query", "image"]


PATHS = (
    "/api/image/../../manifest.csv", "/api/image/%2e%2e%2fmanifest.csv", "/files/../app.py", "/files/%2e%2e/app.py",
    "/files/app.py", "/files/..%2f..%2fcli.py", "/manifest.csv", "//etc/passwd", "/files//etc/passwd",
    "/api/image/9", "/api/image/-1", "/api/image/0.jpg",
)  # fmt: skip


@pytest.mark.parametrize("path", PATHS)
def test_no_path_leads_to_a_file(ask, path):
    status, _, body = ask(path)
    assert status == 404
    assert b"import" not in body


def test_a_link_out_of_the_root_is_refused(serving, ask, gallery, tmp_path):
    from dsa_train.browse.gallery import Gallery, ListedImage

    (tmp_path / "root").mkdir()
    (tmp_path / "root" / "link.png").symlink_to(gallery.root / gallery.images[0].key)
    linked = Gallery(
        gallery.model, [ListedImage("link.png")], gallery._features, tmp_path / "root", None, "densepose", ""
    )
    with serving(linked) as other:
        status, _, body = ask("/api/image/0", port=other)
    assert status == 422
    assert "is a link to a file outside" in json.loads(body)["error"]


@pytest.mark.parametrize("host", ["evil.example", "evil.example:8000", "127.0.0.1.evil.example", "", "192.168.0.9"])
def test_another_host_name_is_refused(ask, host):
    assert ask("/api/picks", Host=host)[0] == 400


def test_own_host_names_are_answered(ask, port):
    for host in ("localhost", f"localhost:{port}", f"127.0.0.1:{port}"):
        assert ask("/api/about", Host=host)[0] == 200


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
def test_another_sites_page_is_refused(ask, site):
    assert ask("/api/image/0", Sec_Fetch_Site=site)[0] == 403
    assert ask("/api/search?query=6", "POST", b"", Sec_Fetch_Site=site)[0] == 403
    assert ask("/api/about", Sec_Fetch_Site="same-origin")[0] == 200


def test_a_large_image_is_refused_before_it_is_read(ask, monkeypatch):
    monkeypatch.setattr(app, "LARGEST", 1000)
    status, _, body = ask("/api/search", "POST", b"x" * 1001)
    assert status == 413
    assert "Send a smaller one" in json.loads(body)["error"]


@pytest.mark.parametrize(
    "sent", [b"no image", b"<svg xmlns='http://www.w3.org/2000/svg'/>", b"\x89PNG\r\n\x1a\n" + b"\0" * 40]
)
def test_what_does_not_decode_is_refused_in_one_line(ask, sent):
    status, _, body = ask("/api/search", "POST", sent)
    assert status == 422
    assert "The image that was sent does not decode as an image" in json.loads(body)["error"]


def test_an_image_of_too_many_pixels_is_not_decoded(ask, gallery, monkeypatch):
    monkeypatch.setenv("DSA_MAX_PIXELS", "100")
    status, _, body = ask("/api/search", "POST", (gallery.root / gallery.images[3].key).read_bytes())
    assert status == 422
    assert "DSA_MAX_PIXELS" in json.loads(body)["error"]


@pytest.mark.parametrize("asked", ["query=x", "query=-1", "query=1&top=1e9", "query=1&camera=a", "", "query=¹"])
def test_numbers_that_are_none(ask, asked):
    assert ask("/api/search?" + quote(asked, safe="=&"), "POST", b"")[0] == 400


def test_a_region_that_is_none(ask):
    status, _, body = ask("/api/search?query=6&region=tail", "POST", b"")
    assert (status, json.loads(body)["error"][:20]) == (422, "'tail' is no region ")


def test_with_a_token_nothing_is_answered_without_it(serving, ask, gallery):
    with serving(gallery, ["*"], "secret-token") as guarded:
        for path in ("/", "/api/about", "/api/image/0", "/files/browse.js", "/?token=wrong", "/api/about?token="):
            assert ask(path, port=guarded)[0] == 401, path
        assert ask("/api/search?query=6", "POST", b"", port=guarded)[0] == 401
        status, headers, _ = ask("/?token=secret-token", port=guarded, Host="a.machine")
        assert (status, headers["location"]) == (303, "/")
        cookie = headers["set-cookie"]
        assert "HttpOnly" in cookie
        assert "samesite=strict" in cookie.lower()
        assert ask("/api/about", port=guarded, Cookie=cookie.split(";")[0], Host="a.machine")[0] == 200
        assert ask("/api/about", port=guarded, Cookie=f"{app.COOKIE}=wrong")[0] == 401


def test_any_host_name_needs_a_token(gallery):
    with pytest.raises(AssertionError, match="only with a token"):
        app.application(gallery, ["*"])
