"""All measurements, one after the other: `make bench`."""

from __future__ import annotations

import sys

from bench import layer_cost, pkg_add, scripts

if __name__ == "__main__":
    for title, measure in (
        ("the layered commit", layer_cost.main),
        ("layer pkg-add", pkg_add.main),
        ("a package with scripts", scripts.main),
    ):
        print(f"## {title}", flush=True)
        sys.argv = [title]
        measure()
