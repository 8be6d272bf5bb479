"""The origin file: rendered from the state, and read back. Its format is GLib's key file.

<https://docs.gtk.org/glib/struct.KeyFile.html>; the keys are OSTree's and rpm-ostree's, ours are in `[layer]`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from journal.values import Request

if TYPE_CHECKING:
    from projections.host import HostState

_OURS = {
    "origin": {"refspec", "baserefspec", "override-commit"},
    "packages": {"requested", "requested-local"},
    "layer": {"transaction"},
    # libostree keeps it in memory only for the deployment at hand: a new deployment must not inherit it.
    "libostree-transient": {"pinned"},
}

CONTAINER = "container-image-reference"
"""What bootc and rpm-ostree write in place of a refspec where the base comes from a container image."""


class Origin(msgspec.Struct, frozen=True):
    """What an origin file says. extra: groups and keys that are not layer's, kept as they are."""

    refspec: str | None = None
    override_commit: str | None = None
    requested: tuple[Request, ...] = ()
    transaction: str | None = None
    extra: dict[str, dict[str, str]] = {}


def render(state: HostState, transaction_uuid: str) -> str:
    """The origin of a deployment of this state, made by this transaction."""
    groups: dict[str, dict[str, str]] = {"origin": {}}
    layered = bool(state.requested or state.packages)
    if state.refspec:
        groups["origin"]["baserefspec" if layered else "refspec"] = state.refspec
    if state.pinned_base and state.base_commit:
        groups["origin"]["override-commit"] = state.base_commit
    packages = {
        "requested": [request.spec for request in sorted(state.requested) if not request.sha256],
        "requested-local": sorted(f"{r.sha256}:{r.spec}" for r in state.requested if r.sha256),
    }
    if any(packages.values()):
        groups["packages"] = {key: _list(values) for key, values in packages.items() if values}
    for group, keys in state.origin_extra.items():
        # A host that came from a container image, and follows a refspec now, no longer follows the image.
        left = {key: value for key, value in keys.items() if not (state.refspec and key == CONTAINER)}
        groups.setdefault(group, {}).update(left)
    groups["layer"] = {**groups.pop("layer", {}), "transaction": transaction_uuid}
    return "\n".join(
        f"[{group}]\n" + "".join(f"{key}={value}\n" for key, value in keys.items()) for group, keys in groups.items()
    )


def parse(text: str) -> Origin:
    """What this origin file says."""
    groups = _groups(text)
    origin, packages = groups.get("origin", {}), groups.get("packages", {})
    local = (entry.partition(":") for entry in _entries(packages.get("requested-local", "")))
    requested = [
        *(Request(spec) for spec in _entries(packages.get("requested", ""))),
        *(Request(nevra, sha256) for sha256, _, nevra in local),
    ]
    extra = {
        group: kept
        for group, keys in groups.items()
        if (kept := {key: value for key, value in keys.items() if key not in _OURS.get(group, ())})
    }
    return Origin(
        refspec=origin.get("baserefspec") or origin.get("refspec"),
        override_commit=origin.get("override-commit"),
        requested=tuple(sorted(requested)),
        transaction=groups.get("layer", {}).get("transaction"),
        extra=extra,
    )


def _groups(text: str) -> dict[str, dict[str, str]]:
    groups: dict[str, dict[str, str]] = {}
    keys: dict[str, str] = {}
    for line in text.splitlines():
        if line.startswith("[") and line.rstrip().endswith("]"):
            keys = groups.setdefault(line.strip()[1:-1], {})
        elif "=" in line and not line.lstrip().startswith("#"):
            key, _, value = line.partition("=")
            keys[key.strip()] = value.strip()
    return groups


def _list(values: list[str]) -> str:
    """A list as GLib writes it: each entry ended by a semicolon; backslashes, semicolons, leading spaces escaped."""
    return "".join(_escape(value) + ";" for value in values)


def _escape(value: str) -> str:
    escaped = value.replace("\\", "\\\\").replace("\n", "\\n").replace("\t", "\\t").replace(";", "\\;")
    return "\\s" + escaped[1:] if escaped.startswith(" ") else escaped


def _entries(value: str) -> list[str]:
    entries, entry, characters = [], "", iter(value)
    for character in characters:
        if character == "\\":
            following = next(characters, "")
            entry += {"s": " ", "n": "\n", "t": "\t", "r": "\r"}.get(following, following)
        elif character == ";":
            entries.append(entry)
            entry = ""
        else:
            entry += character
    return [each for each in [*entries, entry] if each]
