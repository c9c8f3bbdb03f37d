"""A visitor of the app without a browser: speaks Streamlit's own protocol, so that one machine can play twenty people.

Twenty browsers would keep two cores busy with drawing, which on people's own machines is nobody's load but theirs.
"""

from __future__ import annotations

import asyncio
import time
from typing import Any, Self

from pituning.errors import RunFailed

PATIENCE = 60.0


class Visitor:
    """One session: a WebSocket to the server, with which pages are asked for and read to their end."""

    def __init__(self, socket: Any):
        self._socket = socket
        self.pages: dict[str, str] = {}
        self.exceptions = 0

    @classmethod
    async def arrive(cls, port: int) -> Self:
        """Connects and reads the home page.

        Raises:
            RunFailed: when the server sends no list of pages.
        """
        from websockets.asyncio.client import connect

        origin: Any = f"http://127.0.0.1:{port}"
        socket = await connect(
            f"ws://127.0.0.1:{port}/_stcore/stream", origin=origin, subprotocols=["streamlit"], max_size=None
        )  # type: ignore[list-item]
        visitor = cls(socket)
        await visitor.go("/")
        if not visitor.pages:
            raise RunFailed("the server sent no list of pages; is it the Studio?")
        return visitor

    async def go(self, path: str, query: str = "") -> float:
        """Opens a page and reads all that it sends; the seconds that took.

        Raises:
            RunFailed: it took longer than `PATIENCE`.
        """
        from streamlit.proto.BackMsg_pb2 import BackMsg

        message: Any = BackMsg()
        message.rerun_script.query_string = query
        message.rerun_script.page_script_hash = self.pages.get(path, "")
        began = time.monotonic()
        await self._socket.send(message.SerializeToString())
        try:
            await asyncio.wait_for(self._read(), PATIENCE)
        except TimeoutError as error:
            raise RunFailed(f"{path}?{query} was not answered in {PATIENCE:.0f} s") from error
        return time.monotonic() - began

    async def _read(self) -> None:
        """Reads messages until the script is done."""
        from streamlit.proto.ForwardMsg_pb2 import ForwardMsg

        while True:
            message: Any = ForwardMsg()
            message.ParseFromString(await self._socket.recv())
            message_type = message.WhichOneof("type")
            if message_type == "navigation":
                self.pages = {
                    "/" if page.is_default else f"/{page.url_pathname}": page.page_script_hash
                    for page in message.navigation.app_pages
                }
            elif message_type == "delta" and message.delta.new_element.WhichOneof("type") == "exception":
                self.exceptions += 1
            elif message_type == "script_finished" and message.script_finished == ForwardMsg.FINISHED_SUCCESSFULLY:
                return

    async def leave(self) -> None:
        """Closes the session."""
        await self._socket.close()
