"""What the settings of the app's server promise, asked of Streamlit itself and of a server that runs."""

from __future__ import annotations

import base64
import contextlib
import http.client
import os
import secrets
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

ROOT = Path(__file__).resolve().parents[2]

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
    with serving(tmp_path_factory.mktemp("front") / "workspace") as running:
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
    ],
)
def test_foreign_hosts_and_pages_are_refused(
    server: tuple[psutil.Process, int], host: str, origin: str | None, status: int
) -> None:
    _process, port = server

    answer = open_websocket(port, host=host.format(port=port), origin=origin and origin.format(port=port))

    assert answer == status


@pytest.mark.slow
def test_an_upload_without_the_token_is_refused(server: tuple[psutil.Process, int]) -> None:
    _process, port = server
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    body = b'--x\r\nContent-Disposition: form-data; name="f"; filename="f.csv"\r\n\r\na,b\r\n--x--\r\n'
    connection.request(
        "PUT", "/_stcore/upload_file/session/file", body, {"Content-Type": "multipart/form-data; boundary=x"}
    )

    assert connection.getresponse().status == 403


@pytest.mark.slow
def test_a_proxy_brings_its_name(tmp_path: Path) -> None:
    with serving(tmp_path / "workspace", STREAMLIT_SERVER_ALLOWED_HOSTS="studio.example.org 127.0.0.1") as (
        _process,
        port,
    ):
        assert open_websocket(port, host="studio.example.org", origin="https://studio.example.org") == 101
        assert open_websocket(port, host="evil.example", origin="https://evil.example") == 403


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
