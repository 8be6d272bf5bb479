"""Text of others, as it may be shown."""

from __future__ import annotations

import pytest

from journal.errors import LayerError
from journal.printable import printable


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain ünïcode 漢字", "plain ünïcode 漢字"),
        ("\x1b[2J", r"\x1b[2J"),
        ("a\nb\tc\r", r"a\nb\tc\r"),
        ("\x9b31m", r"\x9b31m"),
        ("evil\u202egpj.exe", r"evil\u202egpj.exe"),
        ("caf\udce9", r"caf\udce9"),
    ],
)
def test_what_steers_a_terminal_is_escaped(text: str, shown: str) -> None:
    assert printable(text) == shown


def test_an_errors_message_keeps_its_lines_and_nothing_else_that_steers() -> None:
    assert LayerError("one\ntwo\x1b[31m").message == "one\ntwo\\x1b[31m"
