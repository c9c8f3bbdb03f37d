"""A PostgreSQL server of one's own, in a directory and on a port of its own, for tests and benchmarks."""

from __future__ import annotations

import os
import pwd
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql

INSTALL = "install it with: apt-get install postgresql"


def binaries() -> Path | None:
    """The directory of the newest installed server's programs, or None."""
    debian = [path.parent for path in Path("/usr/lib/postgresql").glob("*/bin/initdb")]  # which keeps them off the path
    newest = max(debian, key=lambda path: int(path.parent.name), default=None)
    initdb = shutil.which("initdb")
    return newest or (Path(initdb).resolve().parent if initdb else None)


class LocalPostgres:
    """A running server. It refuses to run as root, so root starts it as the user ``postgres``.

    Raises:
        FileNotFoundError: no server is installed.
    """

    def __init__(self) -> None:
        programs = binaries()
        if programs is None:
            raise FileNotFoundError(f"there is no PostgreSQL server on this machine; {INSTALL}")
        self._programs = programs
        self.directory = Path(tempfile.mkdtemp(prefix="pituning-postgres-"))
        self._as: Mapping[str, Any] = {}
        if os.getuid() == 0:
            account = pwd.getpwnam("postgres")
            os.chown(self.directory, account.pw_uid, account.pw_gid)
            self._as = {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []}
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = int(probe.getsockname()[1])
        self._process: subprocess.Popen[bytes] | None = None
        self._run(
            "initdb", "-D", str(self.directory / "data"), "-U", "studio", "--auth=trust", "--encoding=UTF8",
            "--locale=C", "--no-sync",
        )  # fmt: skip
        try:
            self.start()
        except BaseException:
            self.close()
            raise

    def start(self) -> None:
        """Starts the server and waits until it answers."""
        settings = {"listen_addresses": "127.0.0.1", "port": self.port, "unix_socket_directories": self.directory,
                    "fsync": "off", "max_connections": 100}  # fmt: skip
        words = [word for key, value in settings.items() for word in ("-c", f"{key}={value}")]
        with (self.directory / "log.txt").open("ab") as log:
            self._process = subprocess.Popen(
                [str(self._programs / "postgres"), "-D", str(self.directory / "data"), *words],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=self.directory, start_new_session=True,
                **self._as,
            )  # fmt: skip
        deadline = time.monotonic() + 60
        while not self._answers():
            if time.monotonic() > deadline or self._process.poll() is not None:
                raise RuntimeError(f"PostgreSQL did not start: {(self.directory / 'log.txt').read_text()[-2000:]}")
            time.sleep(0.1)

    def stop(self) -> None:
        """Ends the server; its data stays."""
        if self._process is not None:
            self._process.send_signal(signal.SIGINT)
            self._process.wait(timeout=60)
            self._process = None

    def close(self) -> None:
        """Ends the server and lets its directory be removed: hundreds of databases are a minute's worth of files."""
        self.stop()
        subprocess.Popen(
            ["rm", "-rf", str(self.directory)], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL, start_new_session=True,
        )  # fmt: skip

    def database(self, template: str = "template1") -> str:
        """Makes a database, a copy of ``template``, and returns its URL."""
        name = f"studio_{secrets.token_hex(4)}"
        with self._connect() as connection:
            connection.execute(sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(*map(sql.Identifier, (name, template))))
        return f"postgresql://studio@127.0.0.1:{self.port}/{name}"

    def _connect(self) -> psycopg.Connection[Any]:
        return psycopg.connect(host="127.0.0.1", port=self.port, user="studio", dbname="postgres", autocommit=True)

    def _answers(self) -> bool:
        try:
            self._connect().close()
        except psycopg.OperationalError:
            return False
        return True

    def _run(self, program: str, *arguments: str) -> None:
        done = subprocess.run(
            [str(self._programs / program), *arguments], stdin=subprocess.DEVNULL, capture_output=True, text=True,
            cwd=self.directory, **self._as,
        )  # fmt: skip
        if done.returncode:
            raise RuntimeError(f"{program} failed: {done.stderr[-1000:]}")
