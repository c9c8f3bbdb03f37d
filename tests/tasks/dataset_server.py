"""A hub of one's own on this machine that serves data sets: as much of its interface as streaming takes."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit

from tests.tasks.paper_data import COMMIT


class Handler(BaseHTTPRequestHandler):
    """Serves the files of a directory as the data set ``tiny/data``; nothing else is there."""

    directory: Path

    def log_message(self, *_: object) -> None: ...

    def do_HEAD(self) -> None:
        self.respond(body=False)

    def do_GET(self) -> None:
        self.respond(body=True)

    def do_POST(self) -> None:
        given = self.rfile.read(int(self.headers.get("Content-Length", 0))).decode()
        try:
            paths = json.loads(given).get("paths", [])
        except ValueError:
            paths = parse_qs(given).get("paths", [])
        known = {entry["path"]: entry for entry in self.entries()}
        self.answer(200, json.dumps([known[path] for path in paths if path in known]).encode(), body=True)

    def entries(self) -> list[dict[str, object]]:
        files = sorted(file for file in self.directory.iterdir() if file.is_file())
        return [{"type": "file", "path": f.name, "size": f.stat().st_size, "oid": _oid(f)} for f in files]

    def respond(self, *, body: bool) -> None:
        path = unquote(urlsplit(self.path).path)
        if path.startswith("/api/datasets/tiny/data/tree/"):
            self.answer(200, json.dumps(self.entries()).encode(), body=body)
        elif path in (f"/api/datasets/tiny/data{end}" for end in ("", "/revision/main", f"/revision/{COMMIT}")):
            about = {"id": "tiny/data", "sha": COMMIT, "cardData": {"license": "mit"},
                     "siblings": [{"rfilename": entry["path"]} for entry in self.entries()]}  # fmt: skip
            self.answer(200, json.dumps(about).encode(), body=body)
        elif path.startswith(f"/datasets/tiny/data/resolve/{COMMIT}/"):
            file = self.directory / path.rpartition("/")[2]
            if not file.is_file():
                self.answer(404, b"", {"X-Error-Code": "EntryNotFound"}, body=body)
                return
            data, status, headers = file.read_bytes(), 200, {"ETag": f'"{_oid(file)}"', "X-Repo-Commit": COMMIT}
            if self.headers.get("Range"):
                begin, _, end = self.headers["Range"].removeprefix("bytes=").partition("-")
                whole, status = len(data), 206
                data = data[int(begin) : int(end or whole) + 1]
                headers["Content-Range"] = f"bytes {begin}-{int(begin) + len(data) - 1}/{whole}"
            self.answer(status, data, headers, body=body)
        else:
            self.answer(404 if "resolve" in path else 401, b"", {"X-Error-Code": "RepoNotFound"}, body=body)

    def answer(self, status: int, data: bytes, headers: dict[str, str] | None = None, *, body: bool) -> None:
        self.send_response(status)
        for key, value in (headers or {}).items():
            self.send_header(key, value)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if body:
            self.wfile.write(data)


def _oid(file: Path) -> str:
    return hashlib.sha1(file.read_bytes()).hexdigest()


@contextmanager
def serve(directory: Path) -> Iterator[str]:
    """The address of such a hub for as long as the block lasts."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Bound", (Handler,), {"directory": directory}))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
