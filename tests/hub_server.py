"""A hub of one's own on this machine: as much of it as fetching a checkpoint or streaming a data set takes."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit

COMMIT = "0123456789abcdef0123456789abcdef01234567"
REFUSALS = {"tiny/gated": (403, "GatedRepo"), "tiny/none": (401, "RepoNotFound")}


class Handler(BaseHTTPRequestHandler):
    """Serves one repository from a directory; ``tiny/gated`` wants a token, and nothing else is there."""

    directory: Path
    fetched: list[str]
    kind: str
    repository: str

    def log_message(self, *_: object) -> None: ...

    def do_HEAD(self) -> None:
        self.respond(body=False)

    def do_GET(self) -> None:
        self.respond(body=True)

    def do_POST(self) -> None:
        """What is asked of a data set's files, by their paths."""
        given = self.rfile.read(int(self.headers.get("Content-Length", 0))).decode()
        try:
            paths = json.loads(given).get("paths", [])
        except ValueError:
            paths = parse_qs(given).get("paths", [])
        self.document([entry for entry in self.entries() if entry["path"] in paths], body=True)

    def entries(self) -> list[dict[str, object]]:
        files = sorted(file for file in self.directory.iterdir() if file.is_file())
        return [{"type": "file", "path": f.name, "size": f.stat().st_size, "oid": _oid(f)} for f in files]

    def respond(self, *, body: bool) -> None:
        path = unquote(urlsplit(self.path).path)
        for name, (status, code) in REFUSALS.items():
            if name in path:
                self.answer(status, b"", {"X-Error-Code": code}, body=body)
                return
        api = f"/api/{self.kind}/{self.repository}"
        files = f"{'' if self.kind == 'models' else f'/{self.kind}'}/{self.repository}/resolve/{COMMIT}/"
        if path in (api, f"{api}/revision/{COMMIT}", f"{api}/revision/main"):
            siblings = [{"rfilename": entry["path"], "size": entry["size"]} for entry in self.entries()]
            about = {"id": self.repository, "sha": COMMIT, "siblings": siblings, "cardData": {"license": "mit"}}
            self.document(about, body=body)
        elif path.startswith(f"{api}/revision/"):
            self.answer(404, b"", {"X-Error-Code": "RevisionNotFound"}, body=body)
        elif path.startswith(f"{api}/tree/"):
            self.document(self.entries(), body=body)
        elif path.startswith(files) and (self.directory / path.removeprefix(files)).is_file():
            self.file(self.directory / path.removeprefix(files), body=body)
        else:
            self.answer(404, b"", {"X-Error-Code": "EntryNotFound"}, body=body)

    def file(self, file: Path, *, body: bool) -> None:
        """A file, or the part of it that is asked for."""
        if body:
            self.fetched.append(file.name)
        data, status, headers = file.read_bytes(), 200, {"ETag": f'"{_oid(file)}"', "X-Repo-Commit": COMMIT}
        if self.headers.get("Range"):
            begin, _, end = self.headers["Range"].removeprefix("bytes=").partition("-")
            whole, status = len(data), 206
            data = data[int(begin) : int(end or whole) + 1]
            headers["Content-Range"] = f"bytes {begin}-{int(begin) + len(data) - 1}/{whole}"
        self.answer(status, data, headers, body=body)

    def document(self, value: object, *, body: bool) -> None:
        self.answer(200, json.dumps(value).encode(), body=body)

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
def serve(directory: Path, *, kind: str = "models", repository: str = "tiny/llama") -> Iterator[tuple[str, list[str]]]:
    """The address of such a hub for as long as the block lasts, and the files that were fetched from it.

    Args:
        directory: the files of the repository.
        kind: ``models`` or ``datasets``.
    """
    fetched: list[str] = []
    bound = {"directory": directory, "fetched": fetched, "kind": kind, "repository": repository}
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Bound", (Handler,), bound))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", fetched
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
