"""Real package repositories: directories that createrepo_c describes, and a small web server to reach them by.

The server speaks TLS where it is given a certificate, and is a proxy for whatever it is asked for by a whole URL.
"""

from __future__ import annotations

import fnmatch
import shutil
import ssl
import subprocess
from base64 import b64encode
from collections import Counter
from dataclasses import dataclass, field
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from types import TracebackType
from typing import Any, Self
from urllib.parse import unquote, urlsplit

from tests.acceptance.rpms import build_rpm

# Packages of the standard repository.
FOO = "foo-1.0-1.noarch"
FOO_LIBS = "foo-libs-1.0-1.x86_64"
BAR = "bar-1.0-1.noarch"
BAZ = "baz-1.0-1.noarch"

NOWHERE = "http://127.0.0.1:9/nothing-listens-here"


@dataclass(frozen=True, slots=True)
class Repository:
    """A directory of packages; what is published is what was there at the last `publish()`."""

    directory: Path

    def __post_init__(self) -> None:
        self.directory.mkdir(parents=True, exist_ok=True)

    @property
    def url(self) -> str:
        return self.directory.as_uri()

    def add(self, package: Path) -> Path:
        """Copy a package in and return its place."""
        return Path(shutil.copy(package, self.directory / package.name))

    def build(self, name: str, *args: Any, **kwargs: Any) -> Path:
        """Build a package (the arguments are those of `build_rpm`) right into the repository."""
        return build_rpm(self.directory, name, *args, **kwargs)

    def remove(self, name: str) -> None:
        """Take all versions of the package called `name` out."""
        for package in self.packages():
            if package.name.rsplit("-", 2)[0] == name:
                package.unlink()

    def packages(self) -> list[Path]:
        return sorted(self.directory.glob("*.rpm"))

    def publish(self) -> Self:
        """Describe the packages anew. All of them: an update goes by times, which are too coarse for tests."""
        command = ["createrepo_c", "--quiet", "--no-database", "--workers=1", str(self.directory)]
        subprocess.run(command, check=True, capture_output=True)
        return self

    def copy_to(self, directory: Path) -> Repository:
        shutil.copytree(self.directory, directory)
        return Repository(directory)

    def repo_file(
        self,
        repo_id: str = "test",
        gpgcheck: bool = False,
        gpgkey: Path | None = None,
        url: str | None = None,
    ) -> str:
        """The text of a .repo file that leads here."""
        lines = [
            f"[{repo_id}]",
            f"name=The {repo_id} repository",
            f"baseurl={url or self.url}",
            "enabled=1",
            f"gpgcheck={int(gpgcheck)}",
            *([f"gpgkey={gpgkey.as_uri()}"] if gpgkey else []),
        ]
        return "\n".join(lines) + "\n"


def standard_repository(directory: Path) -> Repository:
    """A published repository of what most tests need."""
    repository = Repository(directory)
    build = repository.build
    build("foo", files={"/usr/bin/foo": "#!/bin/sh\necho foo\n", "/usr/share/foo/data": "foo\n"})
    build("foo-libs", arch="x86_64", files={"/usr/lib64/libfoo.so.1": "libfoo\n"})
    build("bar", requires=["foo-libs"], files={"/usr/bin/bar": "#!/bin/sh\necho bar\n"})
    build("baz", provides=["baz-capability = 1.0"], files={"/usr/bin/baz": "#!/bin/sh\necho baz\n"})
    build("left", conflicts=["right"], files={"/usr/share/left": "left\n"})
    build("right", files={"/usr/share/right": "right\n"})
    build("twin-a", files={"/usr/share/twin": "the same\n"})
    build("twin-b", files={"/usr/share/twin": "the same\n"})
    build("clash-a", files={"/usr/share/clash": "a\n"})
    build("clash-b", files={"/usr/share/clash": "b\n"})
    return repository.publish()


@dataclass(slots=True)
class HttpServer:
    """Serves a directory over loopback while the context lasts, counts what is asked for, and fails on demand.

    certificate: PEM file of certificate and key, for TLS. login: USER:PASSWORD that is asked for, by basic
    authentication; proxy_login: the same as a proxy.
    """

    directory: Path
    certificate: Path | None = None
    login: str = ""
    proxy_login: str = ""
    requests: Counter[str] = field(default_factory=Counter)
    failures: dict[str, int] = field(default_factory=dict)
    _server: ThreadingHTTPServer = field(init=False, repr=False)

    @property
    def url(self) -> str:
        return f"{'https' if self.certificate else 'http'}://127.0.0.1:{self._server.server_address[1]}"

    def count(self, pattern: str = "*") -> int:
        """How many requests there were for paths that match."""
        return sum(number for path, number in self.requests.items() if fnmatch.fnmatch(path, pattern))

    def fail(self, pattern: str = "*", status: int = 503) -> None:
        """Answer requests for matching paths with an error until `heal()`."""
        self.failures[pattern] = status

    def heal(self) -> None:
        self.failures.clear()

    def __enter__(self) -> Self:
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Handler, self))
        self._server.daemon_threads = True
        if self.certificate:
            tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            tls.load_cert_chain(self.certificate)
            # The handshake is the handler's thread's: a client that breaks it off must not end the server's.
            self._server.socket = tls.wrap_socket(self._server.socket, server_side=True, do_handshake_on_connect=False)
        Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()


class _Handler(SimpleHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def __init__(self, owner: HttpServer, *args: Any) -> None:
        self.owner = owner
        super().__init__(*args, directory=str(owner.directory))

    def do_GET(self) -> None:
        path = unquote(self.path.partition("?")[0])
        self.owner.requests[path] += 1
        for login, header, status, asking in (
            (self.owner.login, "Authorization", 401, "WWW-Authenticate"),
            (self.owner.proxy_login, "Proxy-Authorization", 407, "Proxy-Authenticate"),
        ):
            if login and self.headers[header] != f"Basic {b64encode(login.encode()).decode()}":
                self.send_response(status)
                self.send_header(asking, 'Basic realm="tests"')
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
        self.path = urlsplit(self.path).path
        for pattern, status in self.owner.failures.items():
            if fnmatch.fnmatch(path, pattern):
                self.send_error(status)
                return
        super().do_GET()

    def log_message(self, format: str, *args: Any) -> None:
        """The counts are the log."""
