"""Sets as states keep them, sorted tuples, and what they become by a change that is small beside them."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Sequence
from operator import attrgetter
from typing import Any, TypeVar

from journal.values import Package, Request

_Keyed = TypeVar("_Keyed", Request, Package)
_KEYS: dict[type, Callable[[Any], str]] = {Request: attrgetter("spec"), Package: attrgetter("nevra")}


def union(values: tuple[_Keyed, ...], more: Sequence[_Keyed]) -> tuple[_Keyed, ...]:
    """Sorted values and some more, each once. One by one: they are few, and comparing all is dear."""
    if not more:
        return values
    merged = list(values)
    for value in more:
        place, there = _find(merged, value)
        if not there:
            merged.insert(place, value)
    return tuple(merged)


def difference(values: tuple[_Keyed, ...], gone: Sequence[_Keyed]) -> tuple[_Keyed, ...]:
    """Sorted values without some of them."""
    if not gone:
        return values
    kept = list(values)
    for value in gone:
        place, there = _find(kept, value)
        if there:
            del kept[place]
    return tuple(kept)


def _find(values: list[_Keyed], value: _Keyed) -> tuple[int, bool]:
    """Where a value is among sorted ones, or would be: by its first field, the others decide among equals."""
    key = _KEYS[type(value)]
    wanted = key(value)
    place = bisect_left(values, wanted, key=key)
    while place < len(values) and key(values[place]) == wanted:
        if values[place] == value:
            return place, True
        if value < values[place]:
            break
        place += 1
    return place, False


def upgraded(packages: tuple[str, ...], added: Sequence[str], removed: Sequence[str]) -> tuple[str, ...]:
    """Sorted packages with those added, and without those removed.

    A new version mostly comes right after the old one, and takes its place: then nothing else need be moved.
    """
    gone, changed = set(removed), list(packages)
    for package in added:
        place = bisect_left(changed, package)
        if changed[place : place + 1] == [package]:
            continue
        if place and (before := changed[place - 1]) in gone:
            gone.remove(before)
            changed[place - 1] = package
        else:
            changed.insert(place, package)
    for package in gone:
        place = bisect_left(changed, package)
        if changed[place : place + 1] == [package]:
            del changed[place]
    return tuple(changed)
