"""Text of others on a terminal or in a log: what would steer it is shown as an escape, as Python writes it. Pure."""

from __future__ import annotations

import re

# C0 and C1 controls, and what turns the direction of writing (Unicode's Bidi_Control): it makes a name read as another.
_STEERING = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


def printable(text: str, *, keep: str = "") -> str:
    """The text, with what would steer a terminal escaped but for the characters to keep."""
    return _STEERING.sub(lambda found: found[0] if found[0] in keep else _escape(found[0]), text)


def _escape(character: str) -> str:
    return character.encode("unicode_escape").decode()
