"""What packages can be called."""

from __future__ import annotations

import pytest

from layering.nevra import is_nevra


@pytest.mark.parametrize(
    "text",
    ["a-1-1.noarch", "libstdc++-13.2.1-4.fc39.x86_64", "foo-devel-2:1.0~rc1^git-1%{x}.i686", "_x-0-0.s390x"],
)
def test_what_rpmbuild_makes_is_a_name(text: str) -> None:
    assert is_nevra(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "foo",
        "-1-1.noarch",
        "..-1-1.noarch",
        "../a-1-1.noarch",
        "--root-1-1.noarch",
        "a-1-1",
        "a-1-1.",
        "a-1-.noarch",
        "a--1.noarch",
        "a-1-1.no/arch",
        "a\n-1-1.noarch",
        "a-1-1.noarch\n",
        "a-1 1-1.noarch",
        "é-1-1.noarch",
    ],
)
def test_what_would_be_a_path_an_option_or_a_line_is_none(text: str) -> None:
    assert not is_nevra(text)
