"""All measurements, one after the other: `make bench`."""

from __future__ import annotations

import sys

from bench import audit, importing, layer_cost, pkg_add, scripts

MEASUREMENTS = (
    ("importing", importing.main),
    ("the layered commit", layer_cost.main),
    ("layer pkg-add", pkg_add.main),
    ("a package with scripts", scripts.main),
    ("the audit desk", audit.main),
)

if __name__ == "__main__":
    for title, measure in MEASUREMENTS:
        print(f"## {title}", flush=True)
        sys.argv = [title]
        measure()
