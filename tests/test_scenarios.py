"""docs/scenarios.md names tests; they exist."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

TESTS = Path(__file__).parent
ROWS = [
    line
    for line in (TESTS.parent / "docs/scenarios.md").read_text().splitlines()
    if line.startswith("| ") and not line.startswith("| scenario |")
]


@cache
def functions_of(file: str) -> frozenset[str]:
    """The names of the tests in a file as the table has it: `requested_set` or `layering/paths`."""
    folder, _, name = file.rpartition("/")
    path = TESTS / (folder or "acceptance") / f"test_{name}.py"
    tree = ast.parse(path.read_text()) if path.exists() else ast.Module([], [])
    return frozenset(each.name for each in tree.body if isinstance(each, ast.FunctionDef))


def test_every_scenario_names_tests_that_exist() -> None:
    assert len(ROWS) > 50
    for row in ROWS:
        named = re.findall(r"`([\w/]+)::(\w+)`", row)
        assert named, row
        for file, name in named:
            assert f"test_{name}" in functions_of(file), f"{file}::{name} in: {row}"
