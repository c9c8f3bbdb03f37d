"""Streamlit's page as browsers get it, from a server that runs."""

from __future__ import annotations

import contextlib
import http.client
import re
from collections.abc import Iterator
from typing import Any

import psutil
import pytest
from anyio.from_thread import start_blocking_portal

from app.components.shell import STYLE, Shell
from tests.app.test_front_door import serving


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[psutil.Process, int]]:
    with serving(tmp_path_factory.mktemp("shell") / "workspace") as running:
        yield running


def answered(port: int, path: str, **headers: str) -> tuple[http.client.HTTPResponse, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    with contextlib.closing(connection):
        connection.request("GET", path, headers={name.replace("_", "-"): value for name, value in headers.items()})
        answer = connection.getresponse()
        return answer, answer.read()


BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"


@pytest.mark.slow
@pytest.mark.parametrize("path", ["/", "/graph?task=nli", "/no-such-page"])
def test_pages_have_the_style_and_the_name_from_the_start(server: tuple[psutil.Process, int], path: str) -> None:
    _process, port = server
    plain, streamlits = answered(port, path)
    first, page = answered(port, path, Accept=BROWSER, Accept_Encoding="gzip, br")

    assert first.status == 200
    assert first.headers["X-Frame-Options"] == "SAMEORIGIN"
    assert first.headers["Content-Encoding"] is None
    assert int(first.headers["Content-Length"]) == len(page)
    assert "<title>π-Tuning Studio</title>".encode() in page
    assert page.index(b'<div id="root">') < page.index(STYLE.read_bytes()) < page.index(b"</body>")
    assert b"<style>" not in streamlits
    assert page.split(b"<style>")[0] == streamlits.split(b"</body>")[0].replace(
        b"Streamlit</title>", "π-Tuning Studio</title>".encode()
    )

    # It is no file that a browser may have of an older edition.
    assert first.headers["ETag"] is None
    assert first.headers["Last-Modified"] is None
    assert "no-cache" in first.headers["Cache-Control"]
    again, same = answered(port, path, Accept=BROWSER, If_None_Match=plain.headers["ETag"], Range="bytes=0-9")
    assert (again.status, same) == (200, page)


@pytest.mark.slow
def test_what_is_no_page_is_passed_on_as_it_is(server: tuple[psutil.Process, int]) -> None:
    _process, port = server
    _, page = answered(port, "/")
    script = re.findall(rb'src="\.(/static/js/index\.[^"]+)"', page)[0].decode()
    for path in (script, "/_stcore/health"):
        plain, body = answered(port, path)
        browsers, same = answered(port, path, Accept="text/html")
        assert plain.status == browsers.status == 200
        assert (plain.headers["ETag"], body) == (browsers.headers["ETag"], same)


def test_what_people_download_stays_as_it_is() -> None:
    """Pieces of a long answer come as they are sent, and a report is not taken for Streamlit's page."""

    def told(body: list[bytes], **headers: str) -> list[dict[str, Any]]:
        sent: list[dict[str, Any]] = []

        async def app(_scope: Any, _receive: Any, send: Any) -> None:
            named = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
            await send({"type": "http.response.start", "status": 200, "headers": named})
            for index, part in enumerate(body, 1):
                await send({"type": "http.response.body", "body": part, "more_body": index < len(body)})

        async def send(message: Any) -> None:
            sent.append(dict(message))

        scope = {"type": "http", "method": "GET", "path": "/media/x.html", "headers": [(b"accept", b"text/html")]}
        with start_blocking_portal() as portal:  # a test with a browser may have left a loop in this thread
            portal.call(Shell(app), scope, None, send)
        return sent

    report = [b"<html><head><title>A report on Streamlit</title>", b"</head><body></body></html>"]
    size = str(sum(map(len, report)))
    start, *bodies = told(report, content_type="text/html", content_length=size, etag="x")
    assert [value for _, value in start["headers"]] == [b"text/html", size.encode(), b"x"]
    assert b"".join(part["body"] for part in bodies) == b"".join(report)
    assert len(told(report, content_type="text/html", content_length=str(2**17))) == 3
    assert len(told(report, content_type="text/html")) == 3
    assert len(told(report, content_type="text/css", content_length=size)) == 3
