"""User names and passwords in URLs: left out of what is recorded and of what is said. Pure."""

from __future__ import annotations

import re

# RFC 3986, 3.2.1: what stands before the authority's last @; a password with an unescaped @ is one all the same.
_USERINFO = re.compile(r"(?<=://)[^/?#\s]+(?=@)")


def without_credentials(text: str) -> str:
    """The text with the user names and passwords of its URLs left out: nothing else of it is secret."""
    return _USERINFO.sub("***", text)
