"""Transactions as events of the Open Cybersecurity Schema Framework 1.8. Pure.

What was layered is Application Lifecycle (6002), one event a package; the set that was found, or came of it, Software
Inventory Info (5020); another base or refspec Entity Management (3004). A transaction that failed or was refused is an
Application Lifecycle event of its verb, with its error. Source: the schema's classes of these numbers.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any

from journal.events import (
    BaseChanged,
    DeploymentObserved,
    Event,
    LayerCommitted,
    TransactionCommitted,
    TransactionFailed,
    TransactionRefused,
)
from journal.values import Package
from projections.packages import evr, name_arch
from projections.transactions import tell

VERSION = "1.8.0"

_APPLICATION_LIFECYCLE, _SOFTWARE_INVENTORY, _ENTITY_MANAGEMENT = 6002, 5020, 3004
_INSTALL, _REMOVE, _UPDATE = 1, 2, 8  # activities of an application's life
_COLLECT = 2  # of an inventory
_ENTITY_UPDATE = 3
_SUCCESS, _FAILURE = 1, 2
_INFORMATIONAL, _MEDIUM = 1, 3  # severities
_SHA256 = 3  # among the algorithms of a fingerprint
_ACTIVITIES = {"pkg-add": _INSTALL, "pkg-delete": _REMOVE}


def ocsf(events: Sequence[Event]) -> Iterator[dict[str, Any]]:
    """What one transaction, given by all its events in order, comes to; nothing where nothing was altered."""
    outcome = events[-1]
    if isinstance(outcome.payload, TransactionFailed | TransactionRefused):
        yield _failure(events, outcome)
    if not isinstance(outcome.payload, TransactionCommitted):
        return
    for event in events:
        match event.payload:
            case LayerCommitted() as layer:
                yield from _lifecycle(event, layer)
            case BaseChanged() as base:
                yield {
                    **_common(event, _ENTITY_MANAGEMENT, _ENTITY_UPDATE),
                    "entity": {"name": base.refspec, "type": "base", "uid": base.commit, "version": base.version or ""},
                    "message": f"The base is {base.refspec} {base.version or ''}".rstrip(),
                }
            case DeploymentObserved() as found:
                for package in found.packages:
                    yield {**_common(event, _SOFTWARE_INVENTORY, _COLLECT), "package": _package(package)}
                for nevra in found.base_packages:
                    yield {**_common(event, _SOFTWARE_INVENTORY, _COLLECT), "package": _package(Package(nevra))}


def _lifecycle(event: Event, layer: LayerCommitted) -> Iterator[dict[str, Any]]:
    changes: list[tuple[int, Package, Package | None]] = [(_INSTALL, each, None) for each in layer.added]
    changes += [(_REMOVE, each, None) for each in layer.removed]
    changes += [(_UPDATE, each.new, each.old) for each in (*layer.upgraded, *layer.downgraded)]
    for index, (activity, package, old) in enumerate(changes):
        found = {**_common(event, _APPLICATION_LIFECYCLE, activity, index), "app": _product(package)}
        if old:
            found["message"] = f"{old.nevra} -> {package.nevra}"
            found["unmapped"] = {**found["unmapped"], "previous": old.nevra}
        yield found


def _failure(events: Sequence[Event], outcome: Event) -> dict[str, Any]:
    told = tell(events)
    verb, error = told.verb, told.error
    return {
        **_common(outcome, _APPLICATION_LIFECYCLE, _ACTIVITIES.get(verb, _UPDATE), failed=True),
        "app": {"name": " ".join(told.arguments) or verb, "vendor_name": ""},
        "status_code": error.kind if error else "",
        "status_detail": told.outcome,
        "message": error.message if error else "",
    }


def _common(event: Event, class_uid: int, activity: int, index: int = 0, *, failed: bool = False) -> dict[str, Any]:
    """What every class wants. index: of several that one record gives, for ids of their own."""
    actor, host = event.actor, event.host
    user = {"uid": str(actor.uid) if actor.uid is not None else "", "name": actor.user or ""}
    return {
        "class_uid": class_uid,
        "category_uid": class_uid // 1000,
        "activity_id": activity,
        "type_uid": class_uid * 100 + activity,
        "severity_id": _MEDIUM if failed else _INFORMATIONAL,
        "status_id": _FAILURE if failed else _SUCCESS,
        "time": _milliseconds(event.recorded_at),
        "metadata": {
            "version": VERSION,
            "uid": f"{event.event_id}/{index}" if index else event.event_id,
            "sequence": event.position,
            "correlation_uid": event.transaction_uuid,
            "logged_time": _milliseconds(event.recorded_at),
            "product": {"name": "layer", "vendor_name": "layer", "version": event.tool_version},
        },
        "actor": {
            "user": user,
            "session": {"uid": str(actor.session) if actor.session is not None else ""},
            "process": {"cmd_line": event.command_line},
            "invoked_by": actor.invoked_by or actor.login_user or "",
        },
        "device": {"uid": host.machine_id or "", "type_id": 0, "boot_uid": host.boot_id or ""},
        "unmapped": {"transaction": event.transaction},
    }


def _product(package: Package) -> dict[str, Any]:
    """A package as the product whose life is told of."""
    _, version, release = evr(package.nevra)
    name, _ = name_arch(package.nevra)
    vendor = package.repository or ""
    return {"name": name, "version": f"{version}-{release}", "uid": package.nevra, "vendor_name": vendor}


def _package(package: Package) -> dict[str, Any]:
    name, architecture = name_arch(package.nevra)
    epoch, version, release = evr(package.nevra)
    found: dict[str, Any] = {
        "name": name,
        "version": version,
        "release": release,
        "epoch": int(epoch),
        "architecture": architecture,
        "uid": package.nevra,
        "package_manager": "rpm",
    }
    if package.sha256:
        found["hash"] = {"algorithm": "SHA-256", "algorithm_id": _SHA256, "value": package.sha256}
    return found


def _milliseconds(instant: str) -> int:
    """Since the epoch, of an instant as the journal writes it."""
    return int(datetime.fromisoformat(instant[:26] + "+00:00").timestamp() * 1000)
