"""A file server on the loopback interface that can fail as real ones do."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass
class Mirror:
    """The server's files and its faults; `asked` are the Range headers of its requests, None without one."""

    files: dict[str, bytes]
    base: str = ""
    ranges: bool = True
    cuts: list[int] = field(default_factory=list)  # bytes after which the next connections are cut
    status: int = 200
    length: bool = True
    asked: list[str | None] = field(default_factory=list)


@contextmanager
def serving(files: dict[str, bytes]) -> Iterator[Mirror]:
    """Serve `files` by path ("/a/b.pkl") at `mirror.base` while the context lasts."""
    mirror = Mirror(files)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked = self.headers.get("Range")
            mirror.asked.append(asked)
            content = mirror.files.get(self.path)
            if content is None or mirror.status != 200:
                return self.send_error(404 if content is None else mirror.status)
            start = int(asked.removeprefix("bytes=").rstrip("-")) if asked and mirror.ranges else 0
            if start >= len(content):
                return self.send_error(416)
            self.send_response(206 if start else 200)
            if mirror.length:
                self.send_header("Content-Length", str(len(content) - start))
            self.end_headers()
            stop = start + mirror.cuts.pop(0) if mirror.cuts else None
            self.wfile.write(content[start:stop])
            return None

        def log_message(self, *args: object) -> None:
            """Print nothing."""

    class Server(ThreadingHTTPServer):
        def handle_error(self, *args: object) -> None:
            """Print nothing: a client that closes the connection is part of the tests."""

    server = Server(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    mirror.base = f"http://127.0.0.1:{server.server_port}"
    try:
        yield mirror
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
