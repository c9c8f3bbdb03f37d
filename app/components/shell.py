"""The page into which Streamlit draws: it has the Studio's style and name before anything is drawn.

A style that is drawn like all else, with ``st.html``, comes late where a page is opened anew: the browser first has to
fetch Streamlit's code for it. Until then graphs were seen at a height that they did not keep, and clicks went astray.
"""

from __future__ import annotations

from pathlib import Path

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.components.window import STUDIO

STYLE = Path(__file__).resolve().parent.parent / "assets" / "frame.css"
TITLE = b"<title>Streamlit</title>"
"""By which Streamlit's page is known; what people download may be HTML, too, and stays as it is."""

END = b"</body>"
"""Of two rules for the same the later one holds: the style comes after all that Streamlit adds to the head."""

MOST_BYTES = 2**16
"""Streamlit's page is far smaller."""

_WHOLE = {b"accept-encoding", b"if-none-match", b"if-modified-since", b"range"}
"""What asks for a part of a file, or for one that is packed."""


class Shell:
    """ASGI middleware around Streamlit's app, whose page it completes for browsers."""

    def __init__(self, app: ASGIApp):
        self.app = app
        self.title = f"<title>{STUDIO}</title>".encode()
        self.end = b"<style>\n" + STYLE.read_bytes() + b"</style>\n  " + END

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Passes a request on; the answer to one for a page is read to its end before it is sent."""
        if scope["type"] != "http" or scope["method"] != "GET" or "text/html" not in Headers(scope=scope).get(
            "Accept", ""
        ):  # fmt: skip
            await self.app(scope, receive, send)
            return
        start: Message | None = None
        body = b""

        async def answer(message: Message) -> None:
            nonlocal start, body
            if message["type"] == "http.response.start" and _may_be_page(message):
                start = message
            elif start is None or message["type"] != "http.response.body":
                await send(message)
            else:
                body += message.get("body", b"")
                if not message.get("more_body", False):
                    page = self._completed(body)
                    if page != body:
                        _is(start, page)
                    await send(start)
                    await send({"type": "http.response.body", "body": page})

        headers = [(name, value) for name, value in scope["headers"] if name.lower() not in _WHOLE]
        await self.app({**scope, "headers": headers}, receive, answer)

    def _completed(self, page: bytes) -> bytes:
        if TITLE not in page:
            return page
        return page.replace(TITLE, self.title, 1).replace(END, self.end, 1)


def _is(start: Message, page: bytes) -> None:
    """The head of an answer is that of this page, and no longer that of a file."""
    headers = MutableHeaders(scope=start)
    headers["Content-Length"] = str(len(page))
    for name in ("ETag", "Last-Modified"):
        if name in headers:
            del headers[name]


def _may_be_page(start: Message) -> bool:
    headers = Headers(scope=start)
    size = headers.get("Content-Length", "")
    return (
        start["status"] == 200
        and headers.get("Content-Type", "").startswith("text/html")
        and size.isdigit()
        and int(size) <= MOST_BYTES
    )
