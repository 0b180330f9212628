"""A hub on this machine: what huggingface_hub asks for when a model is uploaded and downloaded, kept in memory."""

from __future__ import annotations

import base64
import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar

COMMIT = "c" * 40


class Hub(BaseHTTPRequestHandler):
    """The parts of the hub's interface that an upload of small files and a download need."""

    files: ClassVar[dict[str, bytes]] = {}  # "OWNER/NAME/FILE"
    asked: ClassVar[list[str]] = []
    private: ClassVar[dict[str, bool]] = {}

    def do_POST(self) -> None:
        """Make a repository, say how files are to be sent, or take a commit."""
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.asked.append(f"POST {self.path}")
        base = f"http://{self.headers['Host']}"
        if self.path == "/api/repos/create":
            asked = json.loads(body)
            name = f"{asked['organization']}/{asked['name']}" if asked.get("organization") else f"me/{asked['name']}"
            # huggingface_hub 1 sends `private`, 2 sends `visibility`.
            self.private[name] = bool(asked.get("private")) or asked.get("visibility") == "private"
            self._answer({"url": f"{base}/{name}", "name": name})
        elif "/preupload/" in self.path:
            paths = [one["path"] for one in json.loads(body)["files"]]
            self._answer({"files": [{"path": one, "uploadMode": "regular", "shouldIgnore": False} for one in paths]})
        elif "/commit/" in self.path:
            name = "/".join(self.path.split("/")[3:5])
            for line in body.decode().splitlines():
                one = json.loads(line)
                if one["key"] == "file":
                    self.files[f"{name}/{one['value']['path']}"] = base64.b64decode(one["value"]["content"])
            url = f"{base}/{name}/commit/{COMMIT}"
            self._answer({"success": True, "commitOid": COMMIT, "commitUrl": url, "hookOutput": ""})
        else:
            self._answer({"errors": [], "warnings": []})

    def do_HEAD(self) -> None:
        """Answer as `do_GET`, without the file."""
        self._file(whole=False)

    def do_GET(self) -> None:
        """Send a file of a repository, "/OWNER/NAME/resolve/REVISION/FILE"."""
        self._file(whole=True)

    def _file(self, whole: bool) -> None:
        self.asked.append(f"{self.command} {self.path}")
        owner, name, *rest = [*self.path.split("?")[0].strip("/").split("/"), "", ""]
        content = self.files.get(f"{owner}/{name}/{rest[2]}") if rest[:1] == ["resolve"] and len(rest) > 2 else None
        if content is None:
            self.send_response(404 if rest[:1] == ["resolve"] else 200)
            self.send_header("X-Error-Code", "EntryNotFound")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        self.send_response(200)
        self.send_header("X-Repo-Commit", COMMIT)
        self.send_header("ETag", f'"{hashlib.sha256(content).hexdigest()}"')
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if whole:
            self.wfile.write(content)

    def _answer(self, value: Any) -> None:
        content = json.dumps(value).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *arguments: Any) -> None:
        """Print nothing."""


@contextmanager
def serving() -> Iterator[str]:
    """Serve an empty hub, and yield its address."""
    Hub.files, Hub.asked, Hub.private = {}, [], {}
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
