"""What is asked of every request before Streamlit sees it: where it comes from, and who may leave a file.

Streamlit looks at the host (``server.allowedHosts``) and at the token of an upload. It opens a session for every page
of this machine, whatever its port, and keeps what is uploaded until the session ends, whoever sends it.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from streamlit import config
from streamlit.runtime import Runtime
from streamlit.runtime.uploaded_file_manager import UploadedFileRec

from app.components import access
from pituning.errors import PiTuningError
from pituning.runs.roles import Role

HEADERS = {
    "X-Frame-Options": "SAMEORIGIN",
    "Content-Security-Policy": "frame-ancestors 'self'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
}
"""Sent with every answer: no foreign page shows the Studio in a frame, and none learns an address of it."""

UPLOADS = "/_stcore/upload_file/"
SESSION_FILES = 16
SESSION_UPLOADS = 4
"""A session keeps so many times the largest upload (``server.maxUploadSize``); what it left first goes first."""

ALL_UPLOADS = 16
"""All sessions together keep so many times the largest upload; what is beyond that is refused."""

MOST_MESSAGE = 4 * 2**20
"""Bytes that a page may say at once: its widgets and its address. Streamlit keeps them with the session."""

UNSHOWN_SECONDS = 60.0
"""For so long a file may lie there that no uploader of its page shows: a browser says at once where it belongs."""

_UPLOADER = "file_uploader_state_value"

_log = logging.getLogger("pituning.app")


class Door:
    """ASGI middleware around Streamlit's app."""

    def __init__(self, app: ASGIApp):
        self.app = app
        self.under_way: Counter[str] = Counter()
        """The bytes of the uploads that each session is sending."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Refuses a request, or passes it on."""
        if scope["type"] == "websocket":
            headers = Headers(scope=scope)
            if not from_own_page(headers.get("Origin"), headers.get("Host")):
                _log.warning("a session was refused: its page is of %r, not of this Studio", headers.get("Origin"))
                await send({"type": "websocket.close", "code": 1008})  # policy violation; the browser is told 403
                return

            async def listen() -> Message:
                message = await receive()
                if len(message.get("bytes") or message.get("text") or "") <= MOST_MESSAGE:
                    return message
                await send({"type": "websocket.close", "code": 1009})  # message too big
                return {"type": "websocket.disconnect", "code": 1009}

            await self.app(scope, listen, send)
            return
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return

        async def answer(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(HEADERS)
            await send(message)

        path = scope["path"]
        if scope["method"] == "PUT" and UPLOADS in path:
            await self._upload(path.partition(UPLOADS)[2].partition("/"), scope, receive, answer)
        else:
            await self.app(scope, receive, answer)

    async def _upload(self, parts: tuple[str, str, str], scope: Scope, receive: Receive, send: Send) -> None:
        session, _, file = parts
        size = _size(Headers(scope=scope).get("Content-Length"))
        status, why = self._why_not(session, size)
        if status:
            await PlainTextResponse(why, status)(scope, receive, send)
            return
        make_room(_kept(session), file, size, forget=lambda name: _manager().remove_file(session, name))
        self.under_way[session] += size
        try:
            await self.app(scope, receive, send)
        finally:
            self.under_way[session] -= size
            if not self.under_way[session]:
                del self.under_way[session]
        self._look_later(session, file)

    def _look_later(self, session: str, file: str) -> None:
        """Forgets a file once no uploader of its session's page shows it any more."""
        if file in _kept(session):
            asyncio.get_running_loop().call_later(UNSHOWN_SECONDS, self._look, session, file)

    def _look(self, session: str, file: str) -> None:
        found = Runtime.instance().get_app_session(session)  # none while a page is away for a moment
        if found is not None and not any(file in files for files in shown(found.session_state)):
            _manager().remove_file(session, file)
        self._look_later(session, file)

    def _why_not(self, session: str, size: int) -> tuple[int, str]:
        """The HTTP status and the reason with which an upload is refused; 0 where it is not."""
        if size < 0:
            return 411, "say how long the file is"
        found = Runtime.instance().get_app_session(session)
        if found is None:
            return 400, "there is no such session; reload the page"
        try:
            # What the identity provider tells of whoever opened the session. Streamlit has no public name for it;
            # where it had another, nobody would be let in.
            access.actor_of(dict(getattr(found, "_user_info", {}))).require(Role.RUNNER, "upload files")
        except PiTuningError as error:
            return 403, str(error)
        if next(shown(found.session_state), None) is None:
            return 409, "the page asks for no file; open the form that does"
        most = config.get_option("server.maxUploadSize") * 2**20
        if self.under_way[session] + size > SESSION_UPLOADS * most:
            return 429, "this page uploads too many files at once; wait for them"
        everybody = sum(
            len(one.data) for files in list(_manager().file_storage.values()) for one in list(files.values())
        )
        if everybody + self.under_way.total() + size > ALL_UPLOADS * most:
            return 507, "the Studio keeps as many uploads as it has room for; try again when others have closed theirs"
        return 0, ""


def from_own_page(origin: str | None, host: str | None) -> bool:
    """Whether a page of the Studio itself opens a session: one of the very host and port that it talks to.

    Browsers always tell the origin (RFC 6455, section 4.1). Streamlit alone would let in every page of this machine,
    and whoever tells none. ``server.corsAllowedOrigins`` has what else is let in.
    """
    if origin is None:
        return False
    if origin in config.get_option("server.corsAllowedOrigins"):
        return True
    try:
        page = urlsplit(origin)
    except ValueError:
        return False
    usual = {"http": ":80", "https": ":443"}.get(page.scheme)
    return usual is not None and bool(host) and page.netloc.removesuffix(usual) == str(host).removesuffix(usual)


def make_room(kept: Mapping[str, UploadedFileRec], file: str, size: int, *, forget: Any) -> None:
    """Forgets what a session left first, until one more file has room among what it may keep.

    Args:
        file: the id of the new one, whose place it takes where it is there already.
        forget: called with the id of a file.
    """
    most = SESSION_UPLOADS * config.get_option("server.maxUploadSize") * 2**20
    others = {name: len(one.data) for name, one in kept.items() if name != file}
    while others and (len(others) >= SESSION_FILES or sum(others.values()) + size > most):
        first = next(iter(others))
        del others[first]
        forget(first)


def shown(state: Any) -> Iterator[set[str]]:
    """The ids of the files in each uploader that the page of a session has; those of pages before are gone.

    Args:
        state: a session's `SessionState`. Streamlit has no public names for what is read here; where it had others,
            nothing could be uploaded.
    """
    now, before = state._new_widget_state, state._old_state
    for name, widget in list(now.widget_metadata.items()):
        value = now.states.get(name)
        if widget.value_type != _UPLOADER or (value is None and name not in before):
            continue
        value = before.get(name) if value is None else value.value
        if hasattr(value, _UPLOADER):  # as the browser has just sent it
            value = list(getattr(value, _UPLOADER).uploaded_file_info)
        yield {each.file_id for each in (value if isinstance(value, list) else [value]) if each is not None}


def _size(told: str | None) -> int:
    """The length of a body; -1 where it is not told."""
    return int(told) if told is not None and told.isascii() and told.isdigit() and len(told) < 16 else -1


def _manager() -> Any:
    return Runtime.instance().uploaded_file_mgr


def _kept(session: str) -> dict[str, UploadedFileRec]:
    return dict(_manager().file_storage.get(session, {}))
