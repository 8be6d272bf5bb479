"""What holds for all tests."""

from __future__ import annotations

import pytest
from hypothesis import settings

# How long an example takes says nothing here: machines are shared, and what is measured is measured by `make bench`.
settings.register_profile("layer", deadline=None)
settings.load_profile("layer")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests that fork come first: libostree's threads, once a test has used it in this process, never end."""
    items.sort(key=lambda item: item.get_closest_marker("forks") is None)
