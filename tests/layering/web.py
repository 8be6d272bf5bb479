"""The tests' web server in a process of its own: dnf downloads with Python's lock held: a thread could not answer."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.acceptance.repositories import HttpServer


class WebServer:
    """`HttpServer` at the other end of a pipe."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def __enter__(self) -> Self:
        command = [sys.executable, "-m", "tests.layering.web", str(self._directory)]
        pipe = subprocess.PIPE
        self._process = subprocess.Popen(
            command, stdin=pipe, stdout=pipe, text=True, cwd=Path(__file__).parents[2], bufsize=1
        )
        self.url = str(self._answer())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._process.stdin
        self._process.stdin.close()
        self._process.wait()
        assert self._process.stdout
        self._process.stdout.close()

    def count(self, pattern: str = "*") -> int:
        return int(self._call("count", pattern))

    def fail(self, pattern: str = "*") -> None:
        self._call("fail", pattern)

    def _call(self, *words: str) -> Any:
        assert self._process.stdin
        self._process.stdin.write(json.dumps(words) + "\n")
        return self._answer()

    def _answer(self) -> Any:
        assert self._process.stdout
        return json.loads(self._process.stdout.readline())


def main(directory: Path) -> None:
    with HttpServer(directory) as server:
        print(json.dumps(server.url), flush=True)
        for line in sys.stdin:
            method, *arguments = json.loads(line)
            print(json.dumps(getattr(server, method)(*arguments)), flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
