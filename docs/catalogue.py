"""The event catalogue, the JSON Schemas and the manual page, written from the code that they describe.

    python -m docs.catalogue [--check]

docs/events.md tells of every type of event; docs/schemas has a JSON Schema (draft 2020-12) of the events and of each
document that `--json` prints; docs/layer.8 is the manual page, see `docs.manual`. With `--check` nothing is written:
what differs from the code is named, and that is an error, so that `make lint` finds it.
"""

from __future__ import annotations

import inspect
import json
import re
import sys
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

import msgspec

from docs import manual
from docs.documents import DOCUMENTS
from journal.events import PAYLOADS, Envelope, Event, Payload
from journal.values import Actor, HostIdentity, Package, PackageChange, Request, Summary

DOCS = Path(__file__).parent
_DIALECT = "https://json-schema.org/draft/2020-12/schema"
_VALUES = (Package, PackageChange, Request, Summary, HostIdentity, Actor)
_REFERENCE = "#/$defs/{name}"

_HEAD = """\
# The events

Written from the types in `journal/events.py` by `make docs`; `make lint` checks that it is what they say.

An event is one fact: appended once, never changed. Its record is one JSON object, the [envelope](#the-envelope) with
the payload inside; [schemas/event.json](schemas/event.json) is its JSON Schema. Fields are added with a default or not
at all, and never change their meaning; a reader ignores fields that it does not know. An event of a type or version
that this version of layer does not know is kept, hashed, shown and exported; a state that would need it is refused,
not guessed.

"""


def files() -> dict[Path, str]:
    """What is generated: each file and its text."""
    generated = {DOCS / "events.md": _catalogue(), DOCS / "schemas/event.json": _dump(event_schema())}
    for name, (kind, title) in DOCUMENTS.items():
        generated[DOCS / f"schemas/{name}.json"] = _dump(document_schema(kind, title))
    generated[DOCS / "layer.8"] = manual.page()
    return generated


def event_schema() -> dict[str, Any]:
    """The schema of a record: the envelope, and for each type that is known its payload."""
    _, definitions = msgspec.json.schema_components([*PAYLOADS, *_VALUES], ref_template=_REFERENCE)
    envelope = _envelope()
    envelope["properties"]["payload"] = {"type": "object"}
    return {
        "$schema": _DIALECT,
        "title": "A record of layer's journal",
        **envelope,
        "allOf": [
            {
                "if": {"properties": {"type": {"const": each.TYPE}, "version": {"const": each.VERSION}}},
                "then": {"properties": {"payload": {"$ref": _REFERENCE.format(name=each.__name__)}}},
            }
            for each in PAYLOADS
        ],
        "$defs": _tidy(definitions),
    }


def document_schema(kind: Any, title: str) -> dict[str, Any]:
    """The schema of a document that `--json` prints. kind: its type."""
    (schema,), definitions = msgspec.json.schema_components([kind], ref_template=_REFERENCE)
    for each in definitions.values():
        if "properties" in each:
            each["required"] = list(each["properties"])  # a document has all its keys, always
    found = {"$schema": _DIALECT, "title": title, **schema}
    return {**found, "$defs": _tidy(definitions)} if definitions else found


def _envelope() -> dict[str, Any]:
    """Of an event, as it is stored; its payload is told apart by its type."""
    _, definitions = msgspec.json.schema_components([Envelope], ref_template=_REFERENCE)
    envelope = _tidy(definitions)["Envelope"]
    return {key: value for key, value in envelope.items() if key not in ("title", "description")}


def _catalogue() -> str:
    contents = [f"[`{each.TYPE}`](#{each.TYPE})" for each in PAYLOADS]
    sections = [_HEAD, f"Types: {', '.join(contents)}.\n"]
    sections.append(_section("The envelope", Event))
    sections += [_section(f"`{each.TYPE}`", each, anchor=each.TYPE) for each in PAYLOADS]
    sections.append("\n# Values\n")
    sections += [_section(each.__name__, each) for each in _VALUES]
    return "".join(sections)


def _section(title: str, kind: type[msgspec.Struct], anchor: str = "") -> str:
    version = f"Version {kind.VERSION}. " if issubclass(kind, Payload) else ""
    fields = msgspec.structs.fields(kind)
    lines = [f'\n<a id="{anchor}"></a>\n'] if anchor else []
    lines.append(f"\n## {title}\n\n{version}{_prose(kind, {field.name for field in fields})}\n")
    if fields:
        lines.append("\n| field | type | default |\n|---|---|---|\n")
        lines += [f"| `{field.name}` | {_type(field.type)} | {_default(field)} |\n" for field in fields]
    return "".join(lines)


def _prose(kind: type, fields: Collection[str]) -> str:
    """The docstring: paragraphs stay, line ends within them do not, and fields look like fields."""

    def marked(match: re.Match[str]) -> str:
        names = match[1].split(", ")
        return ", ".join(f"`{name}`" for name in names) + ":" if set(names) <= set(fields) else match[0]

    paragraphs = (" ".join(each.split()) for each in inspect.cleandoc(kind.__doc__ or "").split("\n\n"))
    return "\n\n".join(re.sub(r"(?<!\w)(\w+(?:, \w+)*):(?= )", marked, each) for each in paragraphs)


def _type(kind: Any) -> str:
    if isinstance(kind, type) and issubclass(kind, Payload):
        return "by `type`"
    text = kind.__name__ if isinstance(kind, type) and not hasattr(kind, "__args__") else str(kind)
    text = re.sub(r"(?:[a-z_]+\.)+(?=[A-Za-z])", "", text)
    text = re.sub(r"tuple\[(\w+), \.\.\.\]", r"list of \1", text)
    names = {"str": "string", "int": "integer", "bool": "boolean"}
    text = re.sub(r"\b(str|int|bool)\b", lambda match: names[match[1]], text)
    text = re.sub(r"dict\[string, (.+)\]", r"object of \1", text)
    return text.replace(" | None", " or null")


def _default(field: msgspec.structs.FieldInfo) -> str:
    if field.required:
        return "required"
    default = field.default_factory() if field.default is msgspec.NODEFAULT else field.default
    return f"`{json.dumps(msgspec.to_builtins(default))}`"


def _tidy(definitions: dict[str, Any]) -> dict[str, Any]:
    """Docstrings without the line ends and indentation of the source."""
    for each in definitions.values():
        if "description" in each:
            each["description"] = " ".join(each["description"].split())
    return dict(sorted(definitions.items()))


def _dump(schema: dict[str, Any]) -> str:
    return json.dumps(schema, indent=2, ensure_ascii=False) + "\n"


def _differing(generated: dict[Path, str]) -> Iterator[Path]:
    for path, text in generated.items():
        if not path.exists() or path.read_text() != text:
            yield path
    yield from sorted(set((DOCS / "schemas").glob("*.json")) - set(generated))


def main() -> int:
    """Write the files, or with --check tell which are not what the code says."""
    generated = files()
    differing = list(_differing(generated))
    if "--check" in sys.argv[1:]:
        for path in differing:
            print(f"{path.relative_to(DOCS.parent)} is not what the code says: make docs", file=sys.stderr)
        return 1 if differing else 0
    for path in differing:
        if path in generated:
            path.parent.mkdir(exist_ok=True)
            path.write_text(generated[path])
        else:
            path.unlink()
    return 0


if __name__ == "__main__":
    sys.exit(main())
