"""A witness of the tests' own (C2SP tlog-witness): a real HTTP server on loopback that remembers what it cosigned.

It checks signatures and consistency with the independent verifier, and shares no code with layer.
"""

from __future__ import annotations

import base64
import hashlib
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from tests.independent_verifier import Refused, hashes, number, open_checkpoint, verify_path

TIME = 1_764_000_000


class Witness:
    """logs: origin of each known log to its verifier key. cosigned: origin to the size and root cosigned last."""

    def __init__(self, name: str = "witness.example/w1") -> None:
        self.name = name
        self.logs: dict[str, str] = {}
        self.cosigned: dict[str, tuple[int, bytes]] = {}
        self.requests: list[str] = []
        self.answer_with: tuple[int, bytes] | None = None
        self._key = Ed25519PrivateKey.generate()
        public = b"\x04" + self._key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
        self._id = hashlib.sha256(name.encode() + b"\n" + public).digest()[:4]
        self.vkey = f"{name}+{self._id.hex()}+{base64.b64encode(public).decode()}"

    def add_checkpoint(self, body: str) -> tuple[int, bytes]:
        """Status and body of the answer to a request."""
        self.requests.append(body)
        if self.answer_with:
            return self.answer_with
        head, _, note = body.partition("\n\n")
        old, *proof = head.split("\n")
        size = number(old.removeprefix("old "))
        origin = note.split("\n", 1)[0]
        if origin not in self.logs:
            return 404, b""
        try:
            new_size, root = open_checkpoint(note, self.logs[origin])
        except Refused:
            return 403, b""
        if size > new_size:
            return 400, b""
        known_size, known_root = self.cosigned.get(origin, (0, b""))
        if size != known_size or (size == new_size and root != known_root):
            return 409, f"{known_size}\n".encode()
        try:
            if size:
                verify_path(size, known_root, new_size, root, hashes(proof))
            elif proof:
                return 422, b""
        except Refused:
            return 422, b""
        self.cosigned[origin] = new_size, root
        return 200, self.cosign(note).encode()

    def cosign(self, note: str) -> str:
        text = note[: note.rindex("\n\n") + 1]
        signature = self._key.sign(f"cosignature/v1\ntime {TIME}\n{text}".encode())
        encoded = base64.b64encode(self._id + struct.pack(">Q", TIME) + signature).decode()
        return f"\u2014 {self.name} {encoded}\n"

    @contextmanager
    def serving(self) -> Iterator[str]:
        """Serve, and give the submission prefix."""
        witness = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"])).decode()
                status, answer = witness.add_checkpoint(body) if self.path == "/w/add-checkpoint" else (404, b"")
                self.send_response(status)
                self.send_header("Content-Length", str(len(answer)))
                if status == 409:
                    self.send_header("Content-Type", "text/x.tlog.size")
                self.end_headers()
                self.wfile.write(answer)

            def log_message(self, *_: object) -> None:
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/w"
        finally:
            server.shutdown()
            server.server_close()
            thread.join()
