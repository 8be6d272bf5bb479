"""What holds for all tests."""

from __future__ import annotations

import os

import pytest
from hypothesis import settings

# The product is started some thousands of times: let Python keep what it compiled, as where the product is installed.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

# How long an example takes says nothing here: machines are shared, and what is measured is measured by `make bench`.
settings.register_profile("layer", deadline=None)
settings.load_profile("layer")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests that fork come first: libostree's threads, once a test has used it in this process, never end."""
    items.sort(key=lambda item: item.get_closest_marker("forks") is None)
