"""What the settings of the app's server promise, asked of Streamlit itself and of a server that runs."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import datetime
import getpass
import http.client
import os
import re
import secrets
import shutil
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator
from email.message import Message
from http.cookies import SimpleCookie
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import urlsplit

import psutil
import pytest
from anyio.from_thread import start_blocking_portal
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from streamlit import config
from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.ClientState_pb2 import ClientState
from streamlit.proto.Common_pb2 import FileURLs, UploadedFileInfo
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from streamlit.proto.WidgetStates_pb2 import WidgetState
from streamlit.runtime.memory_uploaded_file_manager import MemoryUploadedFileManager
from streamlit.runtime.state import SessionState
from streamlit.runtime.state.common import WidgetMetadata
from streamlit.runtime.uploaded_file_manager import UploadedFile, UploadedFileRec
from websockets.exceptions import ConnectionClosedError, InvalidStatus
from websockets.sync.client import connect
from websockets.typing import Origin, Subprotocol

from app.components import door
from app.components.door import MOST_MESSAGE, SESSION_FILES, SESSION_UPLOADS, Door, make_room, shown
from tests.conftest import lacking

ROOT = Path(__file__).resolve().parents[2]
MEBIBYTE = 2**20

READ = """
import streamlit.config as config
config.get_config_options(force_reparse=True)
for name in ("server.address", "server.allowedHosts", "server.enableXsrfProtection", "server.enableCORS",
             "server.maxUploadSize", "server.enableAgentApi", "server.trustedUserHeaders",
             "browser.gatherUsageStats", "client.showErrorDetails"):
    print(name, config.get_option(name))
"""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_streamlit_reads_the_settings_as_they_are_meant() -> None:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("STREAMLIT_")}
    done = subprocess.run([sys.executable, "-c", READ], cwd=ROOT, env=clean, check=True, capture_output=True, text=True)
    actual = dict(line.split(" ", 1) for line in done.stdout.splitlines())

    assert actual["server.address"] == "127.0.0.1"
    assert actual["server.allowedHosts"] == "['127.0.0.1', 'localhost']"
    assert actual["server.enableXsrfProtection"] == "True"
    assert actual["server.enableCORS"] == "True"
    assert int(actual["server.maxUploadSize"]) <= 64
    assert actual["server.enableAgentApi"] == "False"
    assert actual["server.trustedUserHeaders"] == "{}"
    assert actual["browser.gatherUsageStats"] == "False"
    assert actual["client.showErrorDetails"] == "none"


@contextlib.contextmanager
def serving(workspace: Path, **environment: str) -> Iterator[tuple[psutil.Process, int]]:
    """`pituning app` as a user starts it: its process and port."""
    port = free_port()
    log = workspace.parent / "app.log"
    with log.open("ab") as stream:
        process = subprocess.Popen(
            [sys.executable, "-m", "pituning.cli", "app", "--headless", "--port", str(port), "-w", str(workspace)],
            cwd=ROOT, env={**os.environ, **environment}, stdin=subprocess.DEVNULL, stdout=stream, stderr=stream,
        )  # fmt: skip
    try:
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline:
            with contextlib.suppress(OSError):
                connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
                connection.request("GET", "/_stcore/health")
                if connection.getresponse().status == 200:
                    break
            assert process.poll() is None, log.read_text()
            time.sleep(0.2)
        yield psutil.Process(process.pid), port
    finally:
        process.terminate()
        process.wait(timeout=30)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[psutil.Process, int]]:
    small = {"STREAMLIT_SERVER_MAX_UPLOAD_SIZE": "1"}
    with serving(tmp_path_factory.mktemp("front") / "workspace", **small) as running:
        yield running


def open_websocket(port: int, *, host: str, origin: str | None = None) -> int:
    """The HTTP status with which a WebSocket to the app is answered: 101 when it opens."""
    headers = {
        "Host": host, "Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": base64.b64encode(secrets.token_bytes(16)).decode(),
        "Sec-WebSocket-Protocol": "streamlit",
    }  # fmt: skip
    if origin is not None:
        headers["Origin"] = origin
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    with contextlib.closing(connection):
        connection.request("GET", "/_stcore/stream", headers=headers)
        return connection.getresponse().status


@pytest.mark.slow
def test_it_listens_on_this_machine_only(server: tuple[psutil.Process, int]) -> None:
    process, port = server
    family = [process, *process.children(recursive=True)]
    listening = {
        (c.laddr.ip, c.laddr.port) for p in family for c in p.net_connections("inet") if c.status == psutil.CONN_LISTEN
    }

    assert listening == {("127.0.0.1", port)}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("host", "origin", "status"),
    [
        ("127.0.0.1:{port}", "http://127.0.0.1:{port}", 101),
        ("localhost:{port}", "http://localhost:{port}", 101),
        ("evil.example:{port}", "http://evil.example:{port}", 403),  # a foreign name that points here
        ("evil.example", None, 403),
        ("127.0.0.1.evil.example:{port}", None, 403),
        ("127.0.0.1:{port}", "http://evil.example", 403),  # a foreign page that talks to this machine
        ("127.0.0.1:{port}", "http://127.0.0.1:9", 403),  # a page of another program of this machine
        ("127.0.0.1:{port}", "http://localhost:{port}", 403),
        ("127.0.0.1:{port}", "null", 403),
        ("127.0.0.1:{port}", None, 403),  # no browser
    ],
)
def test_foreign_hosts_and_pages_are_refused(
    server: tuple[psutil.Process, int], host: str, origin: str | None, status: int
) -> None:
    _process, port = server

    answer = open_websocket(port, host=host.format(port=port), origin=origin and origin.format(port=port))

    assert answer == status


def open_stream(url: str, public: str, origin: str, context: ssl.SSLContext | None, **options: Any) -> connect:
    """A WebSocket to the app.

    Args:
        url: where it is.
        public: what it is called.
        origin: of the page that opens it.
    """
    address = urlsplit(url)
    return connect(
        f"ws{public.removeprefix('http')}/_stcore/stream", origin=Origin(origin), ssl=context, max_size=None,
        proxy=None, sock=socket.create_connection((str(address.hostname), int(address.port or 0))), **options,
    )  # fmt: skip


class Visit(contextlib.AbstractContextManager["Visit"]):
    """A session as a browser opens it, and what is uploaded in it."""

    def __init__(self, url: str, origin: str, context: ssl.SSLContext | None = None, page: str = "graph"):
        self.url, self.origin, self.context = url, origin, context
        self.token = self._token()
        self.stack = contextlib.ExitStack()
        self.stream = stream = self.stack.enter_context(
            open_stream(
                url, origin, origin, context, subprotocols=[Subprotocol("streamlit"), Subprotocol(self.token)],
                additional_headers={"Cookie": f"_streamlit_xsrf={self.token}"},
            )
        )  # fmt: skip
        stream.send(BackMsg(rerun_script=ClientState(page_name=page)).SerializeToString())
        while True:
            message = ForwardMsg.FromString(bytes(stream.recv(timeout=60)))
            if message.WhichOneof("type") == "new_session":
                self.session = message.new_session.initialize.session_id
            if message.WhichOneof("type") == "script_finished":
                return

    def __exit__(self, *_exception: object) -> None:
        self.stack.close()

    def _token(self) -> str:
        _status, headers, _text = self.request("GET", "/_stcore/host-config", cookie=False)
        _status, health, _text = self.request("GET", "/_stcore/health", cookie=False)
        cookies = SimpleCookie("; ".join([*headers.get_all("Set-Cookie", []), *health.get_all("Set-Cookie", [])]))
        return cookies["_streamlit_xsrf"].value

    def request(
        self, method: str, path: str, body: bytes | Iterator[bytes] | None = None, *, cookie: bool = True,
        **headers: str,
    ) -> tuple[int, Message, str]:  # fmt: skip
        """Status, headers and text of the answer."""
        address = urlsplit(self.url)
        assert address.hostname is not None
        connection: http.client.HTTPConnection = (
            http.client.HTTPConnection(address.hostname, address.port, timeout=60)
            if self.context is None
            else http.client.HTTPSConnection(address.hostname, address.port, timeout=60, context=self.context)
        )
        sent = {"Host": urlsplit(self.origin).netloc} | {key.replace("_", "-"): value for key, value in headers.items()}
        if cookie:
            sent |= {"Cookie": f"_streamlit_xsrf={self.token}", "X-Xsrftoken": self.token}
        with contextlib.closing(connection):
            connection.request(method, path, body, sent)
            answer = connection.getresponse()
            return answer.status, answer.headers, answer.read().decode(errors="replace")

    def upload(self, size: int, name: str = "one", session: str | None = None, *, cookie: bool = True) -> int:
        """The status with which a file of that size is answered."""
        head = b'--x\r\nContent-Disposition: form-data; name="f"; filename="f.csv"\r\n\r\n'
        return self.request(
            "PUT", f"/_stcore/upload_file/{session or self.session}/{name}", head + b"a" * size + b"\r\n--x--\r\n",
            cookie=cookie, Content_Type="multipart/form-data; boundary=x",
        )[0]  # fmt: skip


@pytest.mark.slow
def test_uploads_and_frames(server: tuple[psutil.Process, int]) -> None:
    url = f"http://127.0.0.1:{server[1]}"
    with Visit(url, url) as visit:
        assert visit.upload(10, cookie=False) == 403  # without the token
        assert visit.upload(10, session="another") == 400
        assert visit.request("PUT", f"/_stcore/upload_file/{visit.session}/one", iter([b"x"]))[0] == 411
        assert visit.upload(MEBIBYTE + 1) == 413
        assert {visit.upload(MEBIBYTE * 9 // 10, str(number)) for number in range(20)} == {204}
        status, headers, _page = visit.request("GET", "/")
        (kept,) = re.findall(r'"UploadedFileManager".* (\d+)\n', visit.request("GET", "/_stcore/metrics")[2])
    with Visit(url, url, page="runs") as visit:
        assert visit.upload(10) == 409  # no uploader of that page asks for it
        visit.stream.send(BackMsg(rerun_script=ClientState(query_string="a" * MOST_MESSAGE)).SerializeToString())
        with pytest.raises(ConnectionClosedError, match="1009"):
            while visit.stream.recv(timeout=60):
                pass

    assert 0 < int(kept) <= SESSION_UPLOADS * MEBIBYTE
    assert (status, headers["X-Frame-Options"]) == (200, "SAMEORIGIN")
    assert headers["Content-Security-Policy"] == "frame-ancestors 'self'"


def test_what_a_session_left_first_goes_first() -> None:
    def kept(sizes: list[int]) -> dict[str, UploadedFileRec]:
        return {
            str(place): UploadedFileRec(file_id=str(place), name="", type="", data=bytes(size))
            for place, size in enumerate(sizes)
        }

    gone: list[str] = []
    make_room(kept([1] * SESSION_FILES), "new", 1, forget=gone.append)
    assert gone == ["0"]
    most = SESSION_UPLOADS * config.get_option("server.maxUploadSize") * 2**20
    make_room(kept([5, 5, 5]), "1", most - 5, forget=gone.append)  # it takes the place of one
    assert gone == ["0", "0"]
    make_room(kept([5, 5, 5]), "1", most - 10, forget=gone.append)
    assert gone == ["0", "0"]


class Session:
    """A session whose page has an uploader."""

    def __init__(self) -> None:
        self.session_state = SessionState()
        self.widgets = self.session_state._new_widget_state
        metadata = WidgetMetadata("files", lambda _: None, lambda _: None, "file_uploader_state_value")
        self.widgets.set_widget_metadata(metadata)

    def send(self, *files: str) -> None:
        """What a browser tells after an upload."""
        state = WidgetState(id="files")
        state.file_uploader_state_value.uploaded_file_info.extend(UploadedFileInfo(file_id=file) for file in files)
        self.widgets.set_widget_from_proto(state)


def test_the_files_that_a_page_shows(monkeypatch: pytest.MonkeyPatch) -> None:
    session, manager = Session(), MemoryUploadedFileManager("")
    assert list(shown(session.session_state)) == []  # a page before had one: its metadata stays
    session.send()
    assert list(shown(session.session_state)) == [set()]
    kept = {name: UploadedFileRec(file_id=name, name="f.csv", type="", data=b"x") for name in ("held", "stray")}
    held = UploadedFile(kept["held"], FileURLs())
    for value in (held, [held]):
        session.widgets.set_from_value("files", value)
        assert list(shown(session.session_state)) == [{"held"}]
        session.session_state._old_state["files"] = value
        session.widgets.states.clear()
        assert list(shown(session.session_state)) == [{"held"}]  # while the page is drawn again
    session.send("held")
    sessions: dict[str, Session] = {"s": session}
    runtime = SimpleNamespace(uploaded_file_mgr=manager, get_app_session=sessions.get)
    monkeypatch.setattr(door.Runtime, "instance", lambda: runtime)
    monkeypatch.setattr(door, "UNSHOWN_SECONDS", 0.01)

    async def wait() -> list[str]:
        await asyncio.sleep(0.1)
        return list(manager.file_storage["s"])

    async def upload() -> list[list[str]]:
        guard = Door(lambda *_: asyncio.sleep(0))
        for record in kept.values():
            manager.add_file("s", record)
            guard._look_later("s", record.file_id)
        seen = [await wait()]
        sessions.clear()  # the page is away for a moment
        session.send()
        seen.append(await wait())
        sessions["s"] = session
        return [*seen, await wait()]

    with start_blocking_portal() as portal:  # a test with a browser may have left a loop in this thread
        assert portal.call(upload) == [["held"], ["held"], []]


def certificate(folder: Path) -> tuple[Path, Path, ssl.SSLContext]:
    """A certificate of ``studio.example.org`` and its key, and what trusts it."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "studio.example.org")])
    now = datetime.datetime.now(datetime.UTC)
    made = x509.CertificateBuilder(
        issuer_name=name, subject_name=name, public_key=key.public_key(), serial_number=1,
        not_valid_before=now - datetime.timedelta(days=1), not_valid_after=now + datetime.timedelta(days=1),
    ).sign(key, hashes.SHA256())  # fmt: skip
    (folder / "fullchain.pem").write_bytes(made.public_bytes(serialization.Encoding.PEM))
    (folder / "privkey.pem").write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    context = ssl.create_default_context(cafile=str(folder / "fullchain.pem"))
    context.check_hostname = False  # tests reach it at its address
    return folder / "fullchain.pem", folder / "privkey.pem", context


def nginx_config(folder: Path, *, port: int, behind: int) -> str:
    """The server of docs/deploy.md with ports and files of the test's own, in what nginx needs around it."""
    (block,) = re.findall(r"```nginx\n(.*?)```", (ROOT / "docs" / "deploy.md").read_text(), re.DOTALL)
    for documented, own in (
        ("listen 443 ssl", f"listen 127.0.0.1:{port} ssl"), ("127.0.0.1:8501", f"127.0.0.1:{behind}"),
        ("/etc/letsencrypt/live/studio.example.org", str(folder)),
    ):  # fmt: skip
        assert documented in block
        block = block.replace(documented, own)
    kept = "".join(
        f"    {name}_temp_path {folder}/{name};\n" for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    return (
        f"daemon off;\nuser {getpass.getuser()};\npid {folder}/nginx.pid;\nerror_log {folder}/error.log;\nevents {{}}\n"
        f"http {{\n    access_log off;\n{kept}{block}}}\n"
    )


@pytest.fixture(scope="module")
def proxied(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, str, ssl.SSLContext]]:
    """nginx as docs/deploy.md sets it up, before a Studio with sign-in: its address, its public one, and its trust."""
    nginx = shutil.which("nginx", path=f"{os.environ['PATH']}:/usr/sbin")
    if nginx is None:
        lacking("nginx is not installed (apt-get install nginx-light)")
    folder = tmp_path_factory.mktemp("proxied")
    (folder / "roles.toml").write_text('admins = ["ada@example.org"]')
    (folder / "secrets.toml").write_text(
        f'[auth]\nredirect_uri = "https://studio.example.org/oauth2callback"\ncookie_secret = "{secrets.token_hex()}"\n'
        'client_id = "studio"\nclient_secret = "x"\nserver_metadata_url = "http://127.0.0.1:9/none"\n'
    )
    *_files, context = certificate(folder)
    with serving(
        folder / "workspace", STREAMLIT_SERVER_ALLOWED_HOSTS="studio.example.org 127.0.0.1",
        PITUNING_ROLES=str(folder / "roles.toml"), STREAMLIT_SECRETS_FILES=str(folder / "secrets.toml"),
    ) as (_process, behind):  # fmt: skip
        port = free_port()
        (folder / "nginx.conf").write_text(nginx_config(folder, port=port, behind=behind))
        proxy = subprocess.Popen([nginx, "-p", folder, "-c", folder / "nginx.conf"], stderr=subprocess.DEVNULL)
        try:
            deadline = time.monotonic() + 30
            while time.monotonic() < deadline and proxy.poll() is None:
                with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
                    break
                time.sleep(0.05)
            assert proxy.poll() is None, (folder / "error.log").read_text()
            yield f"https://127.0.0.1:{port}", f"https://studio.example.org:{port}", context
        finally:
            proxy.terminate()
            proxy.wait(timeout=30)


@pytest.mark.slow
def test_behind_nginx_as_it_is_documented(proxied: tuple[str, str, ssl.SSLContext]) -> None:
    url, public, context = proxied
    for origin in ("https://evil.example", url, "https://studio.example.org:1"):
        with pytest.raises(InvalidStatus, match="403"), open_stream(url, public, origin, context):
            pass

    with Visit(url, public, context) as visit:  # a page of the public name gets a session
        status, headers, page = visit.request("GET", "/")
        assert visit.upload(10) == 403  # nobody has signed in
        assert visit.upload(63 * MEBIBYTE) == 403  # it gets as far as the Studio
        with contextlib.suppress(ConnectionError):  # nginx may close before it has read all
            assert visit.upload(66 * MEBIBYTE) == 413

    assert (status, "<title>" in page) == (200, True)
    assert headers.get_all("X-Frame-Options") == ["SAMEORIGIN"]
    assert headers.get_all("Strict-Transport-Security") == ["max-age=31536000"]
    assert headers["Server"] == "nginx"  # without its version


def test_bad_roles_keep_the_app_from_starting(tmp_path: Path) -> None:
    roles = tmp_path / "roles.toml"
    roles.write_text('admin = ["ada@example.org"]')
    done = subprocess.run(
        [sys.executable, "-m", "pituning.cli", "app", "--port", str(free_port()), "-w", str(tmp_path / "w")],
        cwd=ROOT, env={**os.environ, "PITUNING_ROLES": str(roles)}, capture_output=True, text=True, timeout=120,
    )  # fmt: skip

    assert done.returncode == 2
    assert done.stderr.strip() == (
        f"pituning: PITUNING_ROLES: {roles} has the key 'admin'; it takes admins, runners, viewers"
    )
