"""What holds for all tests."""

from __future__ import annotations

from hypothesis import settings

# How long an example takes says nothing here: machines are shared, and what is measured is measured by `make bench`.
settings.register_profile("layer", deadline=None)
settings.load_profile("layer")
