"""What the base's rpmdb says about scripts: triggers that wait for packages or files, asked through its indexes."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import rpm

from layering.rpmdb import read_database
from layering.rpmfile import nevra_of
from layering.scripts import Base


def base_of(root: Path) -> Base:
    """The base whose rpmdb is below `root`."""

    def triggers(names: Iterable[str]) -> list[rpm.hdr]:
        return _unique(root, rpm.RPMDBI_TRIGGERNAME, names)

    def file_triggers() -> list[rpm.hdr]:
        def read(transaction: rpm.TransactionSet) -> list[rpm.hdr]:
            numbers: set[int] = set()
            for tag in (rpm.RPMTAG_FILETRIGGERNAME, rpm.RPMTAG_TRANSFILETRIGGERNAME):
                index = transaction.dbIndex(tag)
                numbers.update(number for _ in index for number, _ in index.instances())
            return [header for number in sorted(numbers) for header in transaction.dbMatch(rpm.RPMDBI_PACKAGES, number)]

        return sorted(read_database(root, read), key=nevra_of)

    def providing(name: str) -> list[rpm.hdr]:
        return _unique(root, rpm.RPMDBI_PROVIDENAME, [name])

    def files() -> Iterable[str]:
        headers = read_database(root, lambda transaction: list(transaction.dbMatch()))
        return [path for header in headers for path in header[rpm.RPMTAG_FILENAMES] or ()]

    return Base(triggers, file_triggers, providing, files)


def _unique(root: Path, index: int, keys: Iterable[str]) -> list[rpm.hdr]:
    def read(transaction: rpm.TransactionSet) -> list[rpm.hdr]:
        return [header for key in keys for header in transaction.dbMatch(index, key)]

    found = {nevra_of(header): header for header in read_database(root, read)}
    return [header for _, header in sorted(found.items())]
