"""The page's server: an ASGI application of Starlette (extra `browse`) that serves one gallery.

It gives away crops and part images of the gallery, by their number in a list and never by a path, decoded and encoded
again. It takes an image of bounded size, decoded by the project's own reader. It refuses requests under another host
name (of another site whose name was pointed at this machine, DNS rebinding), requests that a page of another site
makes, and, where a token is set, all requests without it.
"""

from __future__ import annotations

import base64
import csv
import hmac
import io
import json
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.middleware import Middleware
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from dsa_app.errors import DsaError
from dsa_data import images
from dsa_reid.errors import ModelError

from ..pages.pictures import fitted
from .gallery import Filter, Gallery, Hit, ListedImage, Ranking

HERE = Path(__file__).parent
FILES = {"browse.css": "text/css", "browse.js": "text/javascript"}
LARGEST = 32 * 2**20  # bytes of an image that is sent
MOST = 500  # hits of a ranking
SHELF = 60  # images to pick from at a time
COOKIE = "dsa-browse"
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; img-src 'self' blob: data:; script-src 'self'; style-src 'self'; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}
OWN = {"same-origin", "none"}  # of Sec-Fetch-Site: the page itself, and what a person typed
COLUMNS = ("rank", "image", "pid", "camid", "distance", "probability", "correct")
Handler = Callable[[Request], Awaitable[Response]]


class RefusedError(Exception):
    """A request that is answered with a status and one line."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


def application(gallery: Gallery, hosts: Sequence[str], token: str | None = None) -> Starlette:
    """Return the application.

    Args:
        hosts: names under which it answers; "*" for any, which wants a token.
        token: that a browser must present once, as ?token=...; None for none.
    """
    assert token or "*" not in hosts, "any host name only with a token"

    async def guarded(request: Request, handle: Handler) -> Response:
        """Check where a request comes from, and give every answer its headers."""
        try:
            response = _admitted(request, token) or await handle(request)
        except RefusedError as refused:
            response = JSONResponse({"error": str(refused)}, refused.status)
        response.headers.update(HEADERS)
        return response

    async def page(request: Request) -> Response:
        return Response((HERE / "browse.html").read_text(encoding="utf-8"), media_type="text/html")

    async def file(request: Request) -> Response:
        name = request.path_params["name"]
        if name not in FILES:
            raise RefusedError(404, "There is no such file.")
        return Response((HERE / name).read_text(encoding="utf-8"), media_type=FILES[name])

    async def about(request: Request) -> Response:
        cameras = sorted({one.camid for one in gallery.images if one.camid is not None})
        return JSONResponse(
            {
                "title": gallery.title,
                "images": gallery.size,
                "regions": list(gallery.regions),
                "cameras": cameras,
                "calibrated": gallery.calibration is not None,
                "visible": gallery.visible,
            }
        )

    async def picks(request: Request) -> Response:
        text, start = request.query_params.get("text", ""), _number(request, "start", 0)
        found = [number for number in gallery.picks if text in gallery.images[number].key]
        shown = [{"number": number, **_about(gallery.images[number])} for number in found[start : start + SHELF]]
        return JSONResponse({"total": len(found), "start": start, "images": shown})

    async def image(request: Request) -> Response:
        image = await run_in_threadpool(_answered, gallery.read, _known_number(gallery, request.path_params["number"]))
        return Response(images.encode_jpeg(fitted(image, 384, 192)), media_type="image/jpeg")

    async def surfaces(request: Request) -> Response:
        one, other = (_known_number(gallery, _number(request, name)) for name in ("query", "image"))
        found = await run_in_threadpool(_answered, gallery.surfaces, one, other)
        if found is None:
            raise RefusedError(404, "There are no part images of these two: build them with dsap build.")
        coded = [{"words": words, "src": _png(body)} for words, body in found]
        return JSONResponse(coded)

    async def search(request: Request) -> Response:
        ranking = await run_in_threadpool(_answered, _search, gallery, request, await _sent(request))
        return _exported(ranking, request.query_params.get("format", "page"))

    routes = [
        Route("/", page),
        Route("/files/{name}", file),
        Route("/api/about", about),
        Route("/api/picks", picks),
        Route("/api/image/{number:int}", image),
        Route("/api/surfaces", surfaces),
        Route("/api/search", search, methods=["POST"]),
    ]
    middleware = [
        Middleware(TrustedHostMiddleware, allowed_hosts=list(hosts), www_redirect=False),
        Middleware(BaseHTTPMiddleware, dispatch=guarded),
    ]
    return Starlette(routes=routes, middleware=middleware, exception_handlers={RefusedError: _refused})


async def _refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, RefusedError)
    return JSONResponse({"error": str(error)}, error.status)


def _admitted(request: Request, token: str | None) -> Response | None:
    """Return an answer for a request that is not to be handled; None for one that is. Raises RefusedError."""
    if request.headers.get("sec-fetch-site", "none") not in OWN and request.url.path != "/":
        raise RefusedError(403, "A page of another site made this request.")
    if token is None:
        return None
    given = request.query_params.get("token", "")
    if given and hmac.compare_digest(given.encode(), token.encode()):
        answer = RedirectResponse("/", 303)  # so that the token is not left in the address
        answer.set_cookie(COOKIE, token, httponly=True, samesite="strict", path="/")
        return answer
    if not hmac.compare_digest(request.cookies.get(COOKIE, "").encode(), token.encode()):
        raise RefusedError(401, "The token is missing or wrong. Open the address that dsa-train browse printed.")
    return None


async def _sent(request: Request) -> bytes:
    """Return the body of a request. Raises RefusedError for more than `LARGEST` bytes, before all are read."""
    data = bytearray()
    async for piece in request.stream():
        data += piece
        if len(data) > LARGEST:
            raise RefusedError(413, f"The image has more than {LARGEST // 2**20} MiB. Send a smaller one.")
    return bytes(data)


def _search(gallery: Gallery, request: Request, data: bytes) -> Ranking:
    """Return the ranking of the image that was sent, or of the one that was picked."""
    asked = request.query_params
    if data:
        query, picked = images.decode(data, "The image that was sent", "send another."), None
    else:
        number = _known_number(gallery, _number(request, "query"))
        query, picked = gallery.read(number), gallery.images[number]
    camera = _number(request, "camera") if asked.get("camera") else None
    some = Filter(camera, asked.get("text", ""), asked.get("other") == "1")
    top = min(MOST, max(1, _number(request, "top", 50)))
    return gallery.rank(query, picked, asked.getlist("region"), some, top)


def _answered(work: Callable[..., Any], *arguments: Any) -> Any:
    """Return what work returns; an error of the user's, as an image that does not decode, is answered in one line."""
    try:
        return work(*arguments)
    except (DsaError, ModelError) as error:
        raise RefusedError(422, str(error)) from None


def _number(request: Request, name: str, default: int | None = None) -> int:
    text = request.query_params.get(name)
    if text is None and default is not None:
        return default
    if text is None or not text.isascii() or not text.isdecimal() or len(text) > 9:
        raise RefusedError(400, f"{name} must be a whole number.")
    return int(text)


def _known_number(gallery: Gallery, number: int) -> int:
    if not 0 <= number < len(gallery.images):
        raise RefusedError(404, "There is no such image.")
    return number


def _about(one: ListedImage) -> dict[str, Any]:
    return {"key": one.key, "pid": one.pid, "camid": one.camid}


def _row(hit: Hit) -> dict[str, Any]:
    """Return a hit as `COLUMNS` name it."""
    values = (hit.rank, hit.image.key, hit.image.pid, hit.image.camid, hit.distance, hit.probability, hit.correct)
    return dict(zip(COLUMNS, values, strict=True))


def _exported(ranking: Ranking, form: str) -> Response:
    """Return a ranking for the page, or as a file: "csv" or "json"."""
    rows = [_row(hit) for hit in ranking.hits]
    if form == "csv":
        text = io.StringIO()
        writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
        return Response(text.getvalue(), media_type="text/csv")
    if form == "json":
        return Response(json.dumps(rows, indent=1) + "\n", media_type="application/json")
    hits = [{**row, "number": hit.number, "regions": hit.regions} for row, hit in zip(rows, ranking.hits, strict=True)]
    return JSONResponse({"presence": ranking.presence, "hits": hits})


def _png(image: Any) -> str:
    return "data:image/png;base64," + base64.b64encode(images.encode_png(image, 9)).decode()
