"""A hub of one's own on this machine: as much of its interface as fetching a checkpoint takes."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

COMMIT = "0123456789abcdef0123456789abcdef01234567"


class Handler(BaseHTTPRequestHandler):
    """Serves ``tiny/llama`` from a directory; ``tiny/gated`` wants a token, and nothing else is there."""

    directory: Path
    fetched: list[str]

    def log_message(self, *_: object) -> None: ...

    def do_HEAD(self) -> None:
        self.respond(body=False)

    def do_GET(self) -> None:
        self.respond(body=True)

    def respond(self, *, body: bool) -> None:
        path = urlsplit(self.path).path
        for gate, code in (("tiny/gated", "GatedRepo"), ("tiny/none", "RepoNotFound")):
            if gate in path:
                self.answer(403 if code == "GatedRepo" else 401, b"", {"X-Error-Code": code}, body=body)
                return
        files = sorted(file for file in self.directory.iterdir() if file.is_file())
        if path in (
            "/api/models/tiny/llama",
            f"/api/models/tiny/llama/revision/{COMMIT}",
            "/api/models/tiny/llama/revision/main",
        ):
            siblings = [{"rfilename": file.name, "size": file.stat().st_size} for file in files]
            self.answer(200, json.dumps({"id": "tiny/llama", "sha": COMMIT, "siblings": siblings}).encode(), body=body)
        elif path.startswith("/api/models/tiny/llama/revision/"):
            self.answer(404, b"", {"X-Error-Code": "RevisionNotFound"}, body=body)
        elif path.startswith("/api/models/tiny/llama/tree/"):
            entries = [
                {"type": "file", "path": file.name, "size": file.stat().st_size, "oid": _oid(file)} for file in files
            ]
            self.answer(200, json.dumps(entries).encode(), body=body)
        elif path.startswith(f"/tiny/llama/resolve/{COMMIT}/"):
            file = self.directory / path.rpartition("/")[2]
            if body:
                self.fetched.append(file.name)
            self.answer(200, file.read_bytes(), {"ETag": f'"{_oid(file)}"', "X-Repo-Commit": COMMIT}, body=body)
        else:
            self.answer(404, b"", {"X-Error-Code": "EntryNotFound"}, body=body)

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
def serve(directory: Path) -> Iterator[tuple[str, list[str]]]:
    """The address of such a hub for as long as the block lasts, and the files that were fetched from it."""
    fetched: list[str] = []
    handler = type("Bound", (Handler,), {"directory": directory, "fetched": fetched})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", fetched
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
